"""From one message of another broker to the reading of a point. Pure; the time of receipt is passed in."""

import math
import re
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from contract.values import GOOD, Quality, Reading, bad, uncertain, worst
from edge.clock import MS, SECOND
from edge.sources.device_clock import CLOCK_UNSURE, stamp
from edge.sources.json_path import NotThere, find, parse
from edge.sources.mqtt_in_settings import MqttPoint, word

MAX_BYTES = 256 << 10
MALFORMED = bad("malformed")
NO_VALUE = bad("no_value")
RETAINED = uncertain("retained")

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_WORDS = {
    **dict.fromkeys(("true", "on", "yes"), 1.0),
    **dict.fromkeys(("false", "off", "no"), 0.0),
    **dict.fromkeys(("nan", "inf", "+inf", "-inf", "infinity", "-infinity"), math.nan),
}
# A number of this size or more counts in the finer unit: 1e11 s would be the year 5138, 1e11 ms is 1973.
_EPOCH_SCALES = ((1e11, SECOND), (1e14, MS), (1e17, 1000), (1e20, 1))


class Malformed(ValueError):
    """The message is not what the configuration says; the text says where, for the log."""


class Payload:
    """The bytes of one message, decoded once however many points they carry."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @cached_property
    def _text_or_error(self) -> str | Malformed:
        if len(self.raw) > MAX_BYTES:
            return Malformed(f"{len(self.raw)} bytes are more than {MAX_BYTES}")
        try:
            return self.raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            return Malformed(f"is no text: it begins with {self.raw[:16]!r}")

    @cached_property
    def _document_or_error(self) -> Any:
        try:
            return msgspec.json.decode(self.text)
        except (msgspec.DecodeError, RecursionError) as error:
            return Malformed(f"is no JSON: {error}; it begins with {self.text[:40]!r}")

    @property
    def text(self) -> str:
        if isinstance(self._text_or_error, Malformed):
            raise self._text_or_error
        return self._text_or_error

    @property
    def document(self) -> Any:
        if isinstance(self._document_or_error, Malformed):
            raise self._document_or_error
        return self._document_or_error


def interpret(name: str, point: MqttPoint, payload: Payload, *, retained: bool, received_ns: int) -> Reading | None:
    """The reading of one point, None where the message is not about it (``optional``). Raises Malformed.

    A retained message may be months old: without a time of its own it comes out ``uncertain:retained``, with the time of receipt.
    An empty message, or null, says that the sender has no value: ``bad:no_value``.
    """
    if not payload.raw:
        return Reading(name, stamp(None, received_ns)[0], None, NO_VALUE)
    if point.path is None:
        said: Any = payload.text
        device_ns, quality = None, GOOD
    else:
        try:
            said = find(payload.document, parse(point.path))
        except NotThere as error:
            if point.optional:
                return None
            raise Malformed(f"path {point.path}: {error}") from None
        device_ns, quality = _time_of(point, payload.document)
        quality = worst(quality, _quality_of(point, payload.document))
    time_ns, clock = stamp(device_ns, received_ns)
    quality = worst(quality, clock)
    if retained and (device_ns is None or clock is CLOCK_UNSURE):
        quality = worst(RETAINED, quality)
    if said is None:
        return Reading(name, time_ns, None, worst(NO_VALUE, quality))
    return point.reading(name, time_ns, number(said, point), quality)


def number(said: Any, point: MqttPoint) -> float:
    """What was said, as a number before scaling; nan and inf as nan. Raises Malformed."""
    if point.texts and (known := point.texts.get(word(said))) is not None:
        return known
    if isinstance(said, bool | int | float):
        try:
            return float(said)
        except OverflowError:
            return math.inf
    if isinstance(said, str):
        text = said.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        if (known := _WORDS.get(text.lower())) is not None:
            return known
        hint = "; it looks like JSON: give the point a path" if text[:1] in ("{", "[") else ""
        raise Malformed(f"{text[:40]!r} is no number and stands neither in texts nor for true or false{hint}")
    raise Malformed(f"{'an object' if isinstance(said, dict) else 'a list'} is no number: let the path go on to the number")


def instant(said: Any, zone: str | None) -> int:
    """Unix ns of a time as devices write it: seconds, ms, µs or ns since 1970, or ISO 8601. Raises ValueError."""
    if isinstance(said, str) and _NUMBER.fullmatch(said.strip()):
        said = float(said)
    if isinstance(said, str):
        found = datetime.fromisoformat(said.strip())
        if found.tzinfo is None:
            found = found.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
        since = found - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise ValueError(f"{said!r} is no time")  # noqa: TRY004 - of the message, not of our code
    for limit, unit in _EPOCH_SCALES:
        if abs(said) < limit:
            whole = int(said)  # apart from the fraction: a float has not enough digits for both in ns
            return whole * unit + round((said - whole) * unit)
    raise ValueError(f"{said!r} is no time")


def _time_of(point: MqttPoint, document: Any) -> tuple[int | None, Quality]:
    """A value whose time cannot be read is still a value: it gets the time of receipt, and says that its clock is not sure."""
    if point.time is None:
        return None, GOOD
    try:
        return instant(find(document, parse(point.time)), point.timezone), GOOD
    except (ValueError, OverflowError):
        return None, CLOCK_UNSURE


def _quality_of(point: MqttPoint, document: Any) -> Quality:
    if point.quality is None:
        return GOOD
    try:
        said = find(document, parse(point.quality.path))
    except NotThere:
        return Quality.parse(point.quality.otherwise)
    return point.quality.of(said)
