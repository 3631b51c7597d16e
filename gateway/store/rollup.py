"""Rollups: minutes and hours of every series, and which of them, with how much raw data, answer a chart exactly.

A *cell* is one series' summary of one minute or hour. Cells below ``rolled_to_ns`` are there or *stale*: a stale one is read from the level below
until it has been made again. So a chart is as exact as the raw data, whether cells lag behind or not.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.store.slots import slot_width

RAW, MINUTE, HOUR = 0, 1, 2
UNITS_NS = (1, 60_000_000_000, 3_600_000_000_000)
LAG_NS = 90_000_000_000  # what is younger is not rolled up: most of what comes late comes within this
_HOLES = 20


class Kept(NamedTuple):
    """``rolled_to_ns``: below it every cell is there or stale. Below ``raw_from_ns`` (a whole minute), ``minute_from_ns``, ``hour_from_ns`` (whole
    hours) retention has dropped that level; 0 where it never did.
    """

    rolled_to_ns: int = 0
    raw_from_ns: int = 0
    minute_from_ns: int = 0
    hour_from_ns: int = 0


class Grid(NamedTuple):
    """The slots of a chart, and the coarsest level whose cells fit into them. Slots of cells begin and end with cells."""

    start_ns: int
    width_ns: int
    level: int


class Piece(NamedTuple):
    """A span of time and the level that it is read from."""

    level: int
    start_ns: int
    end_ns: int


def floor_to(level: int, time_ns: int) -> int:
    return time_ns - time_ns % UNITS_NS[level]


def ceil_to(level: int, time_ns: int) -> int:
    return -floor_to(level, -time_ns)


def grid(start_ns: int, end_ns: int, count: int, kept: Kept) -> Grid:
    """At most ``count`` (1 to 1,000) slots over the range. Raises ValueError as `slot_width` does.

    Slots narrower than a minute begin at ``start_ns``; wider ones begin with the minute or hour that holds it, and are whole minutes or hours.
    """
    width = slot_width(start_ns, end_ns, count)
    level = max(level for level in (RAW, MINUTE, HOUR) if UNITS_NS[level] <= width)
    while level < HOUR and start_ns < kept[1 + level]:
        level += 1
    if level == RAW:
        return Grid(start_ns, width, RAW)
    first = floor_to(level, start_ns)
    return Grid(first, max(UNITS_NS[level], ceil_to(level, -((first - end_ns) // count))), level)


def pieces(level: int, start_ns: int, end_ns: int, kept: Kept, stale: Iterable[int]) -> list[Piece]:
    """Spans in no order that together are the range, none twice. ``stale`` holds the beginnings of stale minutes.

    Where retention has dropped what an edge would need, the whole cell that holds the edge is taken.
    """
    return list(_cover(level, start_ns, end_ns, kept, sorted(set(stale))))


def _cover(level: int, start_ns: int, end_ns: int, kept: Kept, stale: Sequence[int]) -> Iterator[Piece]:
    if start_ns >= end_ns:
        return
    dropped_to = kept[1 + level]
    if start_ns < dropped_to:
        cut = min(end_ns, dropped_to)
        if level < HOUR:
            yield from _cells(level + 1, floor_to(level + 1, start_ns), ceil_to(level + 1, cut), kept)
        start_ns = cut
        if start_ns >= end_ns:
            return
    if level == RAW:
        yield Piece(RAW, start_ns, end_ns)
        return
    low, high = ceil_to(level, start_ns), min(floor_to(level, end_ns), floor_to(level, kept.rolled_to_ns))
    if low >= high:
        yield from _cover(level - 1, start_ns, end_ns, kept, stale)
        return
    yield from _cover(level - 1, start_ns, low, kept, stale)
    at = low
    for hole, after in _holes(level, low, high, stale):
        if at < hole:
            yield Piece(level, at, hole)
        yield from _cover(level - 1, hole, after, kept, stale)
        at = after
    if at < high:
        yield Piece(level, at, high)
    yield from _cover(level - 1, high, end_ns, kept, stale)


def _cells(level: int, start_ns: int, end_ns: int, kept: Kept) -> Iterator[Piece]:
    """Whole cells of what was dropped below: nothing there is stale."""
    if level < HOUR and start_ns < kept[1 + level]:
        cut = min(end_ns, kept[1 + level])
        yield Piece(HOUR, floor_to(HOUR, start_ns), ceil_to(HOUR, cut))
        start_ns = cut
    if start_ns < end_ns:
        yield Piece(level, start_ns, end_ns)


def _holes(level: int, low: int, high: int, stale: Sequence[int]) -> list[tuple[int, int]]:
    """The stale cells of the level as spans; one span over all where they are many, for a query has a length."""
    unit = UNITS_NS[level]
    holes: list[tuple[int, int]] = []
    for minute in stale:
        start = floor_to(level, minute)
        if not low <= start < high:
            continue
        if holes and start <= holes[-1][1]:
            holes[-1] = (holes[-1][0], max(holes[-1][1], start + unit))
        else:
            holes.append((start, start + unit))
    return holes if len(holes) <= _HOLES else [(holes[0][0], holes[-1][1])]
