"""Times, ranges and points as requests give them."""

import math
from datetime import UTC, datetime

from contract.frames import to_ns
from contract.values import IDENTIFIER, POINT
from gateway.api.errors import Refused
from gateway.malfunctions import GATEWAY_NODE
from gateway.store import Series

MAX_SPAN_NS = 5 * 366 * 86_400_000_000_000  # five years: longer than any raw data is kept
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


def range_of(start_ns: int, end_ns: int) -> tuple[int, int]:
    """The same. Raises Refused (422) for a range that is none, or too long."""
    if start_ns >= end_ns:
        raise Refused(422, "bad_range", "start must be before end")
    if end_ns - start_ns > MAX_SPAN_NS:
        raise Refused(422, "bad_range", "the range is longer than five years")
    return start_ns, end_ns


def series_of(node: str, point: str) -> Series:
    """Raises Refused (422) that says what a node or a point looks like."""
    if not IDENTIFIER.fullmatch(node) and node != GATEWAY_NODE:
        raise Refused(422, "bad_node", f"node {node!r}: write 1 to 32 of a-z, 0-9 and '-'")
    if not POINT.fullmatch(point):
        raise Refused(422, "bad_point", f"point {point!r}: write asset/signal, for example pump-3/process/flow")
    return Series(node, point)
