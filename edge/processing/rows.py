"""Readings of several points as rows: the mean of each point within a period, or one reading of each for a cycle of the machine. Pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from contract.values import GOOD, Level, Quality, Reading, bad, worst
from edge.clock import SECOND

STALE = bad("stale")
_BACK = 10  # periods: a reading that is older by more comes of a clock that was set back


class Row(NamedTuple):
    """``values`` float64 (points,), or None where a point had no good reading, with the ``quality`` that says why.

    ``missing`` rows went by before it of which nothing was read.
    """

    time_ns: int
    values: "np.ndarray[tuple[int], np.dtype[np.float64]] | None"
    quality: Quality
    missing: int = 0


class Rows:
    """A row comes out when the first reading of the next one comes in; a cycle's, as soon as every point has been read."""

    def __init__(self, points: Mapping[str, Callable[[float], float]], period: float | None, together: float) -> None:
        """``points``: how each one's values are converted. ``period``: seconds; None where a row is a cycle, whose readings lie at most
        ``together`` seconds apart."""
        self._points = points
        self._period = None if period is None else round(period * SECOND)
        self._together = round(together * SECOND)
        self._found: dict[str, list[float]] = {}
        self._quality = GOOD
        self._wrong: dict[str, Quality] = {}
        self._newest = 0
        self._missing = 0
        self.place: int | None = None  # the period that is gathered, counted from 1970; the start of a cycle in ns

    def add(self, reading: Reading) -> list[Row]:
        """The rows that this reading of one of the points completes; none or one."""
        return self._by_period(reading, self._period) if self._period else self._by_cycle(reading)

    def _by_period(self, reading: Reading, period: int) -> list[Row]:
        place, rows = reading.time_ns // period, []
        if self.place is not None and place > self.place:
            seen = bool(self._seen())
            rows = [self._closed()] if seen else []
            self._missing += place - self.place - seen
        elif self.place is not None and place < self.place:
            if self.place - place <= _BACK:
                return []  # too late for its row
            self._clear()
            self._missing = 1
        self.place = place
        self._take(reading)
        return rows

    def _by_cycle(self, reading: Reading) -> list[Row]:
        rows, seen = [], self._seen()
        if seen and (reading.point in seen or abs(reading.time_ns - self._newest) > self._together):
            rows = [self._closed()]
        self._take(reading)
        return [*rows, self._closed()] if len(self._seen()) == len(self._points) else rows

    def _seen(self) -> set[str]:
        return self._found.keys() | self._wrong.keys()

    def _take(self, reading: Reading) -> None:
        self._newest = max(self._newest, reading.time_ns) if self._seen() else reading.time_ns
        if reading.value is None or reading.quality.level is Level.BAD:
            self._wrong[reading.point] = reading.quality if reading.quality.level is Level.BAD else bad("no_value")
        else:
            self._found.setdefault(reading.point, []).append(self._points[reading.point](reading.value))
            self._quality = worst(self._quality, reading.quality)

    def _closed(self) -> Row:
        missing, self._missing = self._missing, 0
        lacking = [point for point in self._points if point not in self._found]
        if lacking:
            row = Row(self._newest, None, next((self._wrong[point] for point in lacking if point in self._wrong), STALE), missing)
        else:
            values = np.array([float(np.mean(self._found[point])) for point in self._points])
            row = Row(self._newest, values, self._quality, missing)
        self._clear()
        return row

    def _clear(self) -> None:
        self._found, self._wrong, self._quality = {}, {}, GOOD

    def begin_after(self, place: int | None) -> None:
        """After a restart: the periods since ``place`` are missing."""
        self.place = place if self._period else None
