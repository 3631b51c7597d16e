"""Which points have gone too long without a fresh value, each by its own limit. Pure; the monotonic clock is passed in, in seconds."""

from collections.abc import Mapping


class Staleness:
    """``limits``: seconds by point. The time begins to run at ``now``; a point is told stale once, until it has been fresh again."""

    def __init__(self, limits: Mapping[str, float], now: float) -> None:
        self._limits = dict(limits)
        self._due = {point: now + limit for point, limit in limits.items()}

    def fresh(self, point: str, now: float, age: float = 0.0) -> None:
        """A value of the point came, ``age`` seconds old. One that is older than what is known changes nothing."""
        limit = self._limits.get(point)
        if limit is None or age >= limit:
            return
        self._due[point] = max(now - age + limit, self._due.get(point, 0.0))

    def fell(self, now: float) -> list[str]:
        """The points that have just become stale."""
        late = [point for point, due in self._due.items() if due <= now]
        for point in late:
            del self._due[point]
        return late

    def pause(self, now: float) -> float | None:
        """Seconds until the next point falls stale; None where none can."""
        return max(0.0, min(self._due.values()) - now) if self._due else None
