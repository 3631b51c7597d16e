"""Which points of a device that speaks by itself have fallen silent, and which of its readings are worth passing on. Pure."""

from collections.abc import Iterable

from contract.values import Quality, Reading


class Freshness:
    """Keeps, for each point, when it last spoke and what was passed on. The monotonic clock is passed in, in seconds.

    A point is silent ``stale_after`` seconds after its last reading, or after the start. A reading passes when ``every`` seconds have gone
    by since the last that did, and at once when its quality changed or its point is one of ``eager``.
    """

    def __init__(self, points: Iterable[str], now: float, *, stale_after: float, every: float = 0.0, eager: Iterable[str] = ()) -> None:
        self._stale_after = stale_after
        self._every = every
        self._eager = frozenset(eager)
        self._heard = dict.fromkeys(points, now)
        self._silent: set[str] = set()
        self._passed: dict[str, tuple[float, Quality]] = {}

    def admit(self, readings: Iterable[Reading], now: float) -> list[Reading]:
        """Those of the readings that are passed on."""
        admitted = []
        for reading in readings:
            self._heard[reading.point] = now
            last = None if reading.point in self._silent else self._passed.get(reading.point)
            self._silent.discard(reading.point)
            due = last is None or last[1] != reading.quality or reading.point in self._eager
            if last is None or due or now - last[0] >= self._every:
                self._passed[reading.point] = now, reading.quality
                admitted.append(reading)
        return admitted

    def fell_silent(self, now: float) -> list[str]:
        """The points whose silence has just become too long; each is told once, until it has spoken again."""
        late = [point for point, heard in self._heard.items() if point not in self._silent and now - heard >= self._stale_after]
        self._silent.update(late)
        return late

    def next_silence(self) -> float | None:
        """When the next point would be silent too long; None where all have been told."""
        due = [heard for point, heard in self._heard.items() if point not in self._silent]
        return min(due) + self._stale_after if due else None
