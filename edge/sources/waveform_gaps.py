"""Samples that are missing, found from the times that a device gives to each one. Pure; no I/O."""

from typing import Any

import numpy as np

Times = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.floating]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

JITTER = 0.05  # s by which a time may be late and the next ones on time again
LEAST_GAP = 1e-4  # s; a shorter gap cannot be told from jitter
RATE_TOLERANCE = 0.1  # of the nominal rate; sensors with their own oscillator are off by some per cent
CLOCK_TOLERANCE_NS = 2_000_000_000  # a device whose clock is further off is given ours
CLOCK_AHEAD = 1.0  # s by which a device's time may run ahead of the steady clock, and …
CLOCK_DRIFT = 1e-3  # … s more for each second
_FOLLOW = 0.05  # of what a block says about the period


class GapFinder:
    """Counts what is missing before each sample. ``period_ns`` follows the device's own oscillator.

    A time may be late (an interrupt served late, a batch stamped together) but never early. So a sample is missing where all that follow,
    for ``JITTER`` at least, are late: a gap is told from jitter by the lower envelope. A gap counts from one sample on, or from
    ``LEAST_GAP``, whichever is longer.
    """

    def __init__(self, rate_hz: float) -> None:
        self._nominal = 1e9 / rate_hz
        self._least = max(0.6, LEAST_GAP * rate_hz)
        self.period_ns = self._nominal
        self.ahead = max(8, round(JITTER * rate_hz))
        self._next_ns: float | None = None  # when the next sample is due, from _zero on
        self._zero = 0
        self._since = 0.0  # of the steady clock, at _zero

    def missing(self, times_ns: Times, size: int, now: float) -> tuple[Counts, bool]:
        """How many are missing before each of the first ``size`` samples, all before it in this block counted: shape (size,), never falling.
        And whether the device's clock was set: then nothing counts as missing.

        ``times_ns``: Unix time of ``size`` samples and of those that follow, ``ahead`` of them where there are so many; ``now``: the node's
        own steady clock, s. Times that go back, or that run ahead of it, mean that the clock was set.
        """
        was_set = False
        if self._next_ns is not None:
            late = self._lateness(times_ns, self._next_ns)
            ahead = (int(times_ns[size - 1]) - self._zero) / 1e9 - (now - self._since)
            was_set = late.min() <= -self.ahead - self._least or ahead > CLOCK_AHEAD + CLOCK_DRIFT * (now - self._since)
        if self._next_ns is None or was_set:
            self._zero, self._next_ns, self._since = int(times_ns[0]), 0.0, now
            self._learn(times_ns)
            late = self._lateness(times_ns, 0.0)
        floor = np.minimum.accumulate(late[::-1])[::-1][:size]
        if was_set:
            floor = np.minimum(floor, 0.0)
        counts = np.where(floor >= self._least, np.rint(floor), 0).astype(np.int64)
        rest = float(floor[-1]) - int(counts[-1])
        self._next_ns += (size + int(counts[-1]) + rest) * self.period_ns
        if abs(rest) <= self._least:
            period = self.period_ns * (1 + _FOLLOW * rest / size)
            self.period_ns = float(np.clip(period, self._nominal / (1 + RATE_TOLERANCE), self._nominal * (1 + RATE_TOLERANCE)))
        return counts, was_set

    def _lateness(self, times_ns: Times, next_ns: float) -> Floats:
        """In samples, of each time."""
        late: Floats = ((times_ns - self._zero) - next_ns) / self.period_ns - np.arange(len(times_ns))
        return late

    def _learn(self, times_ns: Times) -> None:
        """The period from the first times: from the ends of batches that are stamped together, else the median over stretches of ``ahead``
        samples, which a gap does not reach."""
        ends = np.flatnonzero(np.diff(times_ns) > 0)
        if 2 <= len(ends) < 0.75 * len(times_ns):
            period = float(times_ns[ends[-1]] - times_ns[ends[0]]) / float(ends[-1] - ends[0])
        elif len(times_ns) >= 2 * self.ahead:
            period = float(np.median(times_ns[self.ahead :] - times_ns[: -self.ahead])) / self.ahead
        else:
            return
        if abs(period / self._nominal - 1) <= RATE_TOLERANCE:
            self.period_ns = period


def clock_shift(block_end_ns: int, now_ns: int) -> int:
    """What to add to a device's times, in ns: 0 where its clock agrees with ours, else what makes its first block end now."""
    return 0 if abs(block_end_ns - now_ns) <= CLOCK_TOLERANCE_NS else now_ns - block_end_ns
