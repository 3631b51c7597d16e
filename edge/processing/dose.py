"""The dose of one gas at one place: over the last 15 minutes, and since the shift began. Pure; time comes with the readings.

A value counts until the next reading, and ``max_gap`` at most. What lies beyond is missing: it is told as coverage, and the averages are
those of the time that was measured, which is to say that missing time is never taken for clean air.
"""

from collections import deque
from typing import Any, NamedTuple

SECOND = 1_000_000_000
WINDOW = 900 * SECOND  # of a short-term exposure: 29 CFR 1910.1000, ACGIH, D.S. 024-2016-EM
_FINEST = SECOND  # shorter pieces are averaged into one, so that a fast sensor needs no more memory
_SAVED = 60 * SECOND  # the pieces that are kept across a restart


class Average(NamedTuple):
    """The mean over the time that was measured (None where nothing was), and the fraction of the whole that this is, 0 to 1."""

    mean: float | None
    coverage: float


class Dose:
    """Readings in, in order of time. ``begin_shift`` begins the sum anew."""

    def __init__(self, max_gap_ns: int) -> None:
        self._max_gap = max_gap_ns
        self._pieces: deque[tuple[int, int, float]] = deque()  # begin, end, mean
        self._held: tuple[int, float] | None = None  # the latest value and when it was read
        self._now = 0
        self.shift_start: int | None = None
        self._sum = 0.0  # value times ns, since the shift began
        self._measured = 0  # ns, since the shift began

    def add(self, time_ns: int, value: float | None) -> bool:
        """The value from now on, None for none. False, and nothing done, where it is older than what came before."""
        if time_ns < self._now:
            if self._now - time_ns <= self._max_gap:
                return False
            self._set_back(time_ns)
        if self._held is not None:
            begin, held = self._held
            self._count(begin, min(time_ns, begin + self._max_gap), held)
        self._now = time_ns
        self._held = None if value is None else (time_ns, value)
        while self._pieces and self._pieces[0][1] <= time_ns - WINDOW:
            self._pieces.popleft()
        return True

    def begin_shift(self, start_ns: int) -> None:
        """The shift that the latest reading belongs to; what was held over its beginning counts from there."""
        if start_ns == self.shift_start:
            return
        self.shift_start = start_ns
        inside = [(max(begin, start_ns), end, mean) for begin, end, mean in self._pieces if end > start_ns]
        # Only what lies in the window is at hand: all of it, unless the first reading of a shift comes more than 15 minutes late.
        self._sum = sum((end - begin) * mean for begin, end, mean in inside)
        self._measured = sum(end - begin for begin, end, _ in inside)

    def short_term(self) -> Average:
        """Over the 15 minutes before the latest reading."""
        first = self._now - WINDOW
        total, measured = 0.0, 0
        for begin, end, mean in self._pieces:
            part = end - max(begin, first)
            total += part * mean
            measured += part
        return Average(total / measured if measured else self._latest(), measured / WINDOW)

    def shift(self) -> tuple[Average, float]:
        """Since the shift began: the average, and the hours that have passed: those measured at least, where the clock was set back."""
        passed = max(self._now - self.shift_start, self._measured) if self.shift_start is not None else 0
        average = self._sum / self._measured if self._measured else self._latest()
        return Average(average, self._measured / passed if passed else 1.0), passed / (3600 * SECOND)

    def _latest(self) -> float | None:
        return self._held[1] if self._held else None

    def _count(self, begin: int, end: int, value: float) -> None:
        if end <= begin:
            return
        if self.shift_start is not None:
            inside = end - max(begin, self.shift_start)
            self._sum += inside * value
            self._measured += inside
        if self._pieces:
            first, last, mean = self._pieces[-1]
            if last == begin and (mean == value or (end - first) <= _FINEST):
                merged = mean if mean == value else ((last - first) * mean + (end - begin) * value) / (end - first)
                if end - first <= _SAVED:
                    self._pieces[-1] = (first, end, merged)
                    return
        self._pieces.append((begin, end, value))

    def _set_back(self, time_ns: int) -> None:
        """The clock was set back: what lies after now is no past of the window. What was breathed in this shift stays breathed."""
        self._pieces = deque((begin, min(end, time_ns), mean) for begin, end, mean in self._pieces if begin < time_ns)
        self._held = None
        if self.shift_start is not None and time_ns < self.shift_start:
            self.shift_start = None
            self._sum, self._measured = 0.0, 0

    def state(self) -> dict[str, Any]:
        """For a restart: the sums, and the window in minutes."""
        minutes: list[tuple[int, int, float]] = []
        for begin, end, mean in self._pieces:
            if minutes and end - minutes[-1][0] <= _SAVED:
                first, last, before = minutes[-1]
                weight = (last - first) + (end - begin)
                # A hole within a minute is closed by moving its parts together at the end; the measured time stays what it was.
                minutes[-1] = (end - weight, end, ((last - first) * before + (end - begin) * mean) / weight)
            else:
                minutes.append((begin, end, mean))
        return {"now": self._now, "shift": self.shift_start, "sum": self._sum, "measured": self._measured, "minutes": minutes}

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave. The value that was held is not: what happened while nobody measured is missing."""
        pieces = deque((int(begin), int(end), float(mean)) for begin, end, mean in state["minutes"])
        now, total, measured = int(state["now"]), float(state["sum"]), int(state["measured"])
        start = None if state["shift"] is None else int(state["shift"])
        self._now, self._pieces, self.shift_start, self._sum, self._measured = now, pieces, start, total, measured
