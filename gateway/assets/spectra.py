"""Spectra that a node tells line by line, as they are and as they were: rows of a waterfall. Pure but for the store's reads."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from gateway.store import Series, TimeSeriesStore
from gateway.store.rollup import grid

LINE = re.compile(r"(?P<input>.+)/(?P<kind>spectrum|envelope)/(?P<axis>hz|order)-(?P<at>[0-9]{3,5})")
ORDER = re.compile(r"(?P<input>.+)/(?P<line>[a-z]{3,4})_order")
MOST_LINES = 400
SCALE = {"hz": 1.0, "order": 0.1}  # what a number in a name counts


class Spectrum(NamedTuple):
    """``at`` in Hz or in shaft orders; ``rows`` oldest first, each with its time (Unix ns) and a value for each line, None where there is none."""

    axis: str
    at: list[float]
    rows: list[tuple[int, list[float | None]]]


def inputs(points: Iterable[str]) -> dict[str, set[str]]:
    """The inputs that have spectra, each with its kinds."""
    found: dict[str, set[str]] = {}
    for point in points:
        if match := LINE.fullmatch(point):
            found.setdefault(match["input"], set()).add(match["kind"])
    return found


def is_line(point: str) -> bool:
    """Whether a point is one line of a spectrum, which nobody wants to see by itself."""
    return LINE.fullmatch(point) is not None or ORDER.fullmatch(point) is not None


def lines(points: Iterable[str], wanted: str, kind: str) -> list[tuple[float, str, str]]:
    """(place on the axis, axis, point) of each line, in order."""
    matches = [match for point in points if (match := LINE.fullmatch(point)) and (match["input"], match["kind"]) == (wanted, kind)]
    return sorted((int(match["at"]) * SCALE[match["axis"]], match["axis"], match.string) for match in matches)[:MOST_LINES]


def waterfall(store: TimeSeriesStore, node: str, found: list[tuple[float, str, str]], *, start_ns: int, end_ns: int, rows: int) -> Spectrum:
    """Means of at most ``rows`` slots of time. Blocks. Raises StoreUnavailable."""
    slots: dict[int, list[float | None]] = {}
    for place, (_, _, point) in enumerate(found):
        for slot in store.buckets(Series(node, point), start_ns, end_ns, rows):
            slots.setdefault(slot.start_ns, [None] * len(found))[place] = slot.mean
    width = grid(start_ns, end_ns, rows, store.kept()).width_ns
    return Spectrum(found[0][1] if found else "hz", [at for at, _, _ in found], [(at + width // 2, slots[at]) for at in sorted(slots)])


def median(rows: list[tuple[int, list[float | None]]]) -> list[float | None]:
    """Line by line, over the rows that have it."""
    columns = [sorted(value for value in column if value is not None) for column in zip(*(values for _, values in rows), strict=True)]
    return [None if not column else column[len(column) // 2] for column in columns]
