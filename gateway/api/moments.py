"""Times as requests give them."""

import math
from datetime import UTC, datetime

from contract.frames import to_ns
from gateway.api.errors import Refused

_MAX_MS = 253402300799999  # the end of the year 9999


def moment_ns(given: float | str, name: str) -> int:
    """Unix nanoseconds from Unix milliseconds or ISO 8601 with an offset. Raises Refused (422) that says what would be right."""
    ms = given if isinstance(given, int | float) else _number(given)
    if ms is None:
        ms = _iso_ms(str(given), name)
    if not (math.isfinite(ms) and 0 <= ms <= _MAX_MS):
        raise Refused(422, "bad_time", f"{name} {given!r}: outside the years 1970 to 9999; write Unix milliseconds")
    return to_ns(ms)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _iso_ms(text: str, name: str) -> float:
    right = "write Unix milliseconds, or ISO 8601 with an offset like 2026-03-01T06:00:00Z (in a URL, + is written %2B)"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(422, "bad_time", f"{name} {text!r} is no time: {right}") from None
    if moment.tzinfo is None:
        raise Refused(422, "bad_time", f"{name} {text!r} has no offset from UTC: {right}")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000
