"""Which points of a device that speaks by itself have fallen silent, and which of its readings are worth passing on. Pure."""

from collections.abc import Iterable

from contract.values import Quality, Reading
from edge.sources.staleness import Staleness


class Freshness:
    """Keeps, for each point, when it last spoke and what was passed on. The monotonic clock is passed in, in seconds.

    A point is silent ``stale_after`` seconds after its last reading, or after the start. A reading passes when ``every`` seconds have gone
    by since the last that did, and at once when its quality changed, its point had been silent or is one of ``eager``.
    """

    def __init__(self, points: Iterable[str], now: float, *, stale_after: float, every: float = 0.0, eager: Iterable[str] = ()) -> None:
        self._staleness = Staleness(dict.fromkeys(points, stale_after), now)
        self._every = every
        self._eager = frozenset(eager)
        self._passed: dict[str, tuple[float, Quality]] = {}

    def admit(self, readings: Iterable[Reading], now: float) -> list[Reading]:
        """Those of the readings that are passed on."""
        admitted = []
        for reading in readings:
            self._staleness.fresh(reading.point, now)
            last = self._passed.get(reading.point)
            due = last is None or last[1] != reading.quality or reading.point in self._eager
            if last is None or due or now - last[0] >= self._every:
                self._passed[reading.point] = now, reading.quality
                admitted.append(reading)
        return admitted

    def fell_silent(self, now: float) -> list[str]:
        """The points whose silence has just become too long; each is told once, until it has spoken again."""
        late = self._staleness.fell(now)
        for point in late:
            self._passed.pop(point, None)
        return late

    def pause(self, now: float) -> float | None:
        """Seconds until the next point would be silent too long; None where all have been told."""
        return self._staleness.pause(now)
