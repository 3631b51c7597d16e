"""A chart out of InfluxDB: pieces of readings, minutes and hours, put together slot by slot."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gateway.store import Bucket, Sample, Series
from gateway.store.influx_cells import CELLS
from gateway.store.influx_lines import MEASUREMENT, QUALITY, VOID, split_point
from gateway.store.intake import MAX_TIME_NS
from gateway.store.rollup import RAW, Grid, Piece
from gateway.store.summary import bucket, summarised

Rows = list[dict[str, Any]]  # what the server answers to one statement


class Part(NamedTuple):
    """What one piece brings to a slot."""

    low: float
    high: float
    total: float
    samples: int
    last: float


def statements(series: Series, piece: Piece, slots: Grid, *, emptied: bool = False) -> list[str]:
    """Four for readings, two for cells. ``emptied``: some of the cells have no value any more, and are left out; that takes the server longer."""
    asset, field = split_point(series.point)
    low, high = max(piece.start_ns, 0), min(piece.end_ns - 1, MAX_TIME_NS)
    where = f"WHERE node = '{series.node}' AND asset = '{asset}' AND time >= {low} AND time <= {high}"
    slotted = f"GROUP BY time({slots.width_ns}ns, {slots.start_ns % slots.width_ns}ns) fill(none)"
    if piece.level == RAW:
        name, text, origin = f'"{field}"', f'"{field}{QUALITY}"', f"FROM {MEASUREMENT} {where}"
        return [
            f"SELECT min({name}), max({name}), sum({name}), count({name}), last({name}) {origin} {slotted}",
            f"SELECT count({text}) {origin} AND {text} =~ /^uncertain/ {slotted}",
            f"SELECT count({text}) {origin} AND {text} =~ /^bad/ {slotted}",
            f'SELECT count("{field}{VOID}") {origin} {slotted}',
        ]
    origin = f"FROM {CELLS[piece.level]} {where}"
    columns = ", ".join(
        f'{take}("{name}_{field}")' for take, name in (("min", "min"), ("max", "max"), ("sum", "sum"), ("sum", "count"), ("last", "last"))
    )
    valued = f' AND "count_{field}" > 0' if emptied else ""
    return [f'SELECT {columns}, min("count_{field}") {origin}{valued} {slotted}', f'SELECT max("worst_{field}") {origin} {slotted}']


def has_emptied(piece: Piece, answers: Sequence[Rows]) -> bool:
    """Whether a cell among them has no value any more: InfluxDB still has the minimum and the rest of what it was."""
    return piece.level != RAW and any(row[6] == 0 for one in answers[0] for row in one["values"])


class Chart:
    """Takes the answers of the pieces in the order of time."""

    def __init__(self, series: Series, slots: Grid, samples: Callable[[Series, int, int], Iterable[Sample]]) -> None:
        self._series = series
        self._slots = slots
        self._samples = samples
        self._parts: dict[int, list[Part]] = {}
        self._worst: dict[int, int] = {}

    def take(self, piece: Piece, answers: Sequence[Rows]) -> None:
        # The server reads each column for itself: a slot that only just began may have a count and no sum yet, and is there the next time.
        parts = {row[0]: Part(*row[1:6]) for one in answers[0] for row in one["values"] if row[4] and None not in row[1:6]}
        if piece.level != RAW:
            worst = {row[0]: int(row[1] or 0) for one in answers[1] for row in one["values"]}
        else:
            worst = {row[0]: rank for rank, found in ((1, answers[1]), (2, answers[2])) for one in found for row in one["values"] if row[1]}
            # Slots in which a number is void, which InfluxDB cannot delete, are counted from the readings.
            for slot in [row[0] for one in answers[3] for row in one["values"] if row[1]]:
                parts.pop(slot, None)
                begin, end = max(slot, piece.start_ns), min(slot + self._slots.width_ns, piece.end_ns)
                again = summarised(self._samples(self._series, begin, end), slot, self._slots.width_ns)
                parts.update({one.start_ns: Part(one.minimum, one.maximum, one.mean * one.samples, one.samples, one.last) for one in again})
        for slot, part in parts.items():
            self._parts.setdefault(slot, []).append(part)
        for slot, rank in worst.items():
            self._worst[slot] = max(rank, self._worst.get(slot, 0))

    def buckets(self) -> list[Bucket]:
        return [
            bucket(
                slot,
                min(part.low for part in parts),
                max(part.high for part in parts),
                sum(part.total for part in parts),
                sum(part.samples for part in parts),
                parts[-1].last,
                self._worst.get(slot, 0),
            )
            for slot, parts in sorted(self._parts.items())
        ]
