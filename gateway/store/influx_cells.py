"""A minute or an hour of one series as a line of InfluxDB."""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from sys import float_info

from gateway.store import Sample, Series
from gateway.store.influx_lines import split_point
from gateway.store.rollup import HOUR, MINUTE
from gateway.store.summary import drawn, rank

CELLS = {MINUTE: "minute", HOUR: "hour"}  # measurements


def cell_of(level: int, series: Series, start: int, readings: Iterable[Sample]) -> str:
    """From the readings within it."""
    readings = list(readings)
    values = [sample.value for sample in readings if drawn(sample) and sample.value is not None]
    worst = max((rank(sample.quality) for sample in readings), default=0)
    cell = (min(values), max(values), sum(values), len(values), values[-1]) if values else None
    return line(level, series, start, cell, worst)


def line(level: int, series: Series, start: int, cell: tuple[float, float, float, int, float] | None, worst: int) -> str:
    """``cell``: minimum, maximum, sum, count and last; None where no reading has a value. ``worst``: the rank of the worst quality."""
    asset, field = split_point(series.point)
    fields = [f"worst_{field}={worst}i", f"count_{field}={cell[3] if cell else 0}i"]
    if cell:
        total = cell[2] if isfinite(cell[2]) else float_info.max if cell[2] > 0 else -float_info.max
        fields += [
            f"{name}_{field}={float(value)!r}" for name, value in (("min", cell[0]), ("max", cell[1]), ("sum", total), ("last", cell[4]))
        ]
    return f"{CELLS[level]},asset={asset},node={series.node} {','.join(fields)} {start}\n"


def spans(starts: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Ordered beginnings of cells as spans of neighbours, end outside."""
    first = 0
    for place in range(1, len(starts) + 1):
        if place == len(starts) or starts[place] != starts[place - 1] + width:
            yield starts[first], starts[place - 1] + width
            first = place
