"""What a store accepts: every frame is checked and brought into one form before a store sees it, so that all stores keep the same."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import NamedTuple

from contract.topics import GATEWAY
from contract.values import IDENTIFIER, Level, Quality, check_point
from gateway.store import StoreFrame, StoreRefused

MAX_TIME_NS = 2**63 - 2
"""The last instant that every store can keep: the year 2262."""

NOT_FINITE = "bad:not_finite"
NO_VALUE = "bad:no_value"
_KNOWN_LIMIT = 200_000


class Intake(NamedTuple):
    """``frames`` have legal names, finite values, no explicit ``good`` in ``quality``, and (node, time_ns) is unique; ``refused`` say why not."""

    frames: list[StoreFrame]
    refused: list[tuple[StoreFrame, str]]

    def recent(self, raw_from_ns: int) -> list[StoreFrame]:
        """The frames that are not older than what retention has left; the others are refused."""
        if not raw_from_ns or all(frame.time_ns >= raw_from_ns for frame in self.frames):
            return self.frames
        when = datetime.fromtimestamp(raw_from_ns // 10**9, UTC).isoformat()
        reason = f"older than the retention of raw readings, which keeps them from {when} on"
        self.refused.extend((frame, reason) for frame in self.frames if frame.time_ns < raw_from_ns)
        return [frame for frame in self.frames if frame.time_ns >= raw_from_ns]

    def raise_refused(self) -> None:
        """Raises StoreRefused when a frame was refused."""
        if self.refused:
            raise StoreRefused([frame for frame, _ in self.refused], "; ".join(sorted({reason for _, reason in self.refused})[:5]))


class Checker:
    """Remembers the names that it has seen to be legal: a check of a known frame costs a few set operations."""

    def __init__(self) -> None:
        self._nodes: set[str] = set()
        self._points: set[str] = set()

    def accept(self, frames: Sequence[StoreFrame]) -> Intake:
        """The frames of a batch in the order given. Frames of one node and instant become one; the last value of a point wins."""
        places: dict[tuple[str, int], int] = {}
        accepted: list[StoreFrame] = []
        refused: list[tuple[StoreFrame, str]] = []
        for frame in frames:
            try:
                checked = self._check(frame)
            except (ValueError, TypeError, OverflowError) as error:
                refused.append((frame, str(error)))
                continue
            key = (frame.node, frame.time_ns)
            place = places.setdefault(key, len(accepted))
            if place == len(accepted):
                accepted.append(checked)
            else:
                accepted[place] = _merged(accepted[place], checked)
        return Intake(accepted, refused)

    def _check(self, frame: StoreFrame) -> StoreFrame:
        if frame.node not in self._nodes:
            if not IDENTIFIER.fullmatch(frame.node) and frame.node != GATEWAY:  # the gateway keeps figures of its own
                raise ValueError(f"node {frame.node!r}: write 1 to 32 of a-z, 0-9 and '-'")
            self._nodes = _remember(self._nodes, [frame.node])
        if not 0 <= frame.time_ns <= MAX_TIME_NS:
            raise ValueError(f"time_ns {frame.time_ns}: write Unix nanoseconds from 0 to {MAX_TIME_NS}")
        if not (frame.values.keys() <= self._points and frame.quality.keys() <= self._points):
            names = [check_point(point) for point in (*frame.values, *frame.quality)]
            self._points = _remember(self._points, names)
        finite = isfinite(sum(frame.values.values()))
        if finite and not frame.quality:
            return frame
        return _normal(frame, finite=finite)


def _remember(known: set[str], names: Sequence[str]) -> set[str]:
    # A fresh set rather than growth in place: other threads may be comparing with the old one.
    return {*(() if len(known) > _KNOWN_LIMIT else known), *names}


def _normal(frame: StoreFrame, *, finite: bool) -> StoreFrame:
    """The frame with each quality checked, no value that is not finite, and no quality that only says good."""
    values: Mapping[str, float] = frame.values
    quality: dict[str, str] = {}
    for point, text in frame.quality.items():
        if Quality.parse(text).level is not Level.GOOD:
            quality[point] = text
        elif point not in values:
            quality[point] = NO_VALUE
    if not finite:
        lost = [point for point, value in values.items() if not isfinite(value)]
        values = {point: value for point, value in values.items() if isfinite(value)}
        for point in lost:
            quality.setdefault(point, NOT_FINITE)
    return StoreFrame(frame.node, frame.time_ns, values, quality)


def _merged(first: StoreFrame, second: StoreFrame) -> StoreFrame:
    fresh = second.values.keys() | second.quality.keys()
    values = {**{point: value for point, value in first.values.items() if point not in fresh}, **second.values}
    quality = {**{point: text for point, text in first.quality.items() if point not in fresh}, **second.quality}
    return StoreFrame(first.node, first.time_ns, values, quality)
