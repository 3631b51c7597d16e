"""Which readings of a result that comes many times a second are told: what changes, at once; else now and then, with the peaks between. Pure."""

from collections.abc import Iterable

from contract.values import Quality, Reading
from edge.clock import SECOND


class News:
    """``peaks`` are the points of which only the highest value counts; a change of any other, or of its quality, is told at once.

    A result that says the same is told after ``period`` seconds of its own time, and before it, at their own times, the higher peaks between.
    """

    def __init__(self, peaks: Iterable[str], period: float) -> None:
        self._peaks = frozenset(peaks)
        # A tenth of grace: results that come at just that rate must not lose every second one to jitter.
        self._period_ns = period * 0.9 * SECOND
        self._told: list[tuple[float | None, Quality]] = []
        self._told_ns: int | None = None
        self._highest: dict[str, Reading] = {}  # since then

    def of(self, readings: list[Reading], time_ns: int) -> list[Reading]:
        """What is told of one result, whose readings are always of the same points in the same order: nothing, or they and the peaks."""
        said = [(reading.value, reading.quality) for reading in readings if reading.point not in self._peaks]
        if said == self._told and self._told_ns is not None and 0 <= time_ns - self._told_ns < self._period_ns:
            for reading in readings:
                if reading.point in self._peaks and _higher(reading, self._highest.get(reading.point)):
                    self._highest[reading.point] = reading
            return []
        last = {reading.point: reading for reading in readings}
        held = [reading for point, reading in self._highest.items() if reading.time_ns < time_ns and _higher(reading, last[point])]
        self._told, self._told_ns, self._highest = said, time_ns, {}
        return [*held, *readings]

    def forget(self) -> None:
        """Somebody else has told other values since: the next result is told."""
        self._told_ns = None


def _higher(reading: Reading, other: Reading | None) -> bool:
    return reading.value is not None and (other is None or other.value is None or reading.value > other.value)
