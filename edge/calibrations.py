"""When sensors were calibrated and bump tested: a file of its own in the node's folder that is only ever added to, with who and when."""

import datetime
import getpass
import logging
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

import msgspec

from edge.clock import SECOND
from edge.config import NodeConfig
from edge.errors import Misconfigured
from edge.trust import Due
from edge.trust_settings import TrustSettings

log = logging.getLogger("muki.edge.calibrations")

FILE = "calibrations.jsonl"
_DAY = 86_400 * SECOND  # ns


class Calibration(msgspec.Struct, frozen=True):
    """One line of the file. ``date`` is the day of the work, ``recorded`` the instant (UTC, ISO 8601) at which somebody said so."""

    point: str
    date: datetime.date
    by: str
    recorded: str
    bump: bool = False


_decoder = msgspec.json.Decoder(Calibration)


def record(folder: Path, calibration: Calibration) -> None:
    """Adds a line and returns when it is on disk. Raises Misconfigured where the folder cannot be written."""
    line = msgspec.json.encode(calibration) + b"\n"
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":  # power failed in the middle of a line: it must not swallow this one
                line = b"\n" + line
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}: run this as the user that the agent runs as") from error


class CalibrationFile:
    """Reads the file of a node's folder, and again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int] | None = None

    def news(self) -> list[Calibration] | None:
        """Every record, oldest first; None when nothing has changed since the last call. A damaged line is logged and passed over."""
        try:
            state = self._path.stat()
            mark = state.st_size, state.st_mtime_ns
            if mark == self._seen:
                return None
            text = self._path.read_bytes()
        except FileNotFoundError:
            mark, text = (0, 0), b""
            if mark == self._seen:
                return None
        except OSError as error:
            if self._seen != (-1, -1):
                log.warning("%s cannot be read: %s; the dates of the configuration count", self._path, error.strerror)
            known, self._seen = self._seen, (-1, -1)
            return [] if known is None else None
        self._seen = mark
        found = []
        for number, line in enumerate(text.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                found.append(_decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:  # the first has not all that damage can raise
                log.warning("%s:%d is damaged and passed over: %s", self._path, number, error)
        return found


def due(settings: Mapping[str, TrustSettings], records: Iterable[Calibration]) -> dict[str, Due]:
    """When each point is due next: a day's work lasts through the end (UTC) of its last day. Overdue from the start where no date is known.

    A calibration exposes the sensor to gas and so counts as a bump test too.
    """
    calibrated = {point: one.calibrated for point, one in settings.items()}
    bumped = {point: one.bump_tested for point, one in settings.items()}
    for one in records:
        if one.point in settings:
            dates = bumped if one.bump else calibrated
            dates[one.point] = max(one.date, dates[one.point] or one.date)
    found = {}
    for point, one_point in settings.items():
        tested = max((date for date in (bumped[point], calibrated[point]) if date is not None), default=None)
        ends = _end(calibrated[point], one_point.calibration_every), _end(tested, one_point.bump_every)
        if ends != (None, None):
            found[point] = Due(*ends, _begin(calibrated[point]), _begin(tested))
    return found


def _begin(date: datetime.date | None) -> int:
    return 0 if date is None else (date - datetime.date(1970, 1, 1)).days * _DAY


def _end(date: datetime.date | None, days: int | None) -> int | None:
    if days is None:
        return None
    return 0 if date is None else _begin(date) + (days + 1) * _DAY


class CalibrationError(ValueError):
    """What was asked to be recorded cannot be right."""


def recorded(config: NodeConfig, point: str, *, bump: bool, by: str | None, day: datetime.date | None, now: datetime.datetime) -> str:
    """Records one calibration or bump test and says so in one line; ``now`` is in UTC. Raises CalibrationError and Misconfigured."""
    if point not in config.points:
        close = get_close_matches(point, config.points, 1, 0.6)
        raise CalibrationError(
            f"point {point!r}: this node has none of that name; {f'did you mean {close[0]!r}?' if close else 'see muki edge check'}"
        )
    day = day or now.date()
    if day > now.date():
        raise CalibrationError(f"--date {day}: it is {now.date()} (UTC) on this machine; write the day it was done")
    by = (by or getpass.getuser()).strip()
    record(config.data_dir, Calibration(point, day, by, now.isoformat(timespec="seconds"), bump))
    what = "bump test" if bump else "calibration"
    settings = config.trust.get(point)
    days = None if settings is None else settings.bump_every if bump else settings.calibration_every
    if days is None:
        key = "bump_every" if bump else "calibration_every"
        return f"{point}: {what} of {day} by {by} recorded; it never falls due, because trust has no {key} for this point"
    return f"{point}: {what} of {day} by {by} recorded; the next is due after {day + datetime.timedelta(days=days)}"
