"""What conditions measure beyond one reading: how fast a point changes, and whether something suppresses an alarm. Pure."""

import math
from collections import deque

from contract.alarms import ConditionKind, Suppression
from contract.values import Level, Reading
from rules.moment import SECOND, Instant

_GRAIN = 64  # a window is remembered in this many steps, however fast the point is: bounded memory
_OLDEST = 3  # windows: a comparison with something older says nothing of this one


def usable(reading: Reading) -> float | None:
    """The value where it may decide something: it is there, it is a number, and its quality is not bad."""
    value = reading.value
    if value is None or reading.quality.level is Level.BAD or math.isnan(value):
        return None
    return value


class RateOfChange:
    """|change| per second (or minute) between now and ``window`` seconds ago, on the steady clock of arrival."""

    def __init__(self, window: float, per: str) -> None:
        self._window = int(window * SECOND)
        self._per = SECOND * (60 if per == "min" else 1)
        self._kept: deque[tuple[int, float]] = deque()

    def update(self, value: float, steady_ns: int) -> float | None:
        """The rate with this value; None until there is one to compare with that is ``window`` old, or when the last is far older."""
        kept = self._kept
        while len(kept) > 1 and steady_ns - kept[1][0] >= self._window:
            kept.popleft()
        rate = None
        if kept:
            age = steady_ns - kept[0][0]
            if age > _OLDEST * self._window:
                kept.popleft()
            elif age >= self._window:
                rate = abs(value - kept[0][1]) * self._per / age
        if not kept or steady_ns - kept[-1][0] >= self._window / _GRAIN:
            kept.append((steady_ns, value))
        return rate


class Suppressor:
    """Whether the condition that suppresses an alarm holds.

    An unknown point suppresses nothing: bad, silent or never read, the alarm works. ``remembered``: it was suppressed when the node ended;
    then the first ``max_age`` seconds wait for the point, so that each restart does not raise what is suppressed.
    """

    def __init__(self, settings: Suppression, *, remembered: bool = False) -> None:
        self.point = settings.point
        self.active = remembered
        self._settings = settings
        self._value: float | None = None
        self._told: int | None = None  # steady ns of the last usable reading
        self._since: int | None = None  # steady ns since when the condition holds
        self._grace = remembered
        self._began: int | None = None

    def update(self, reading: Reading, now: Instant) -> bool:
        """Takes a reading of the point, and says whether the alarm is suppressed."""
        self._value, self._told, self._grace = usable(reading), now.steady_ns, False
        return self.tick(now)

    def tick(self, now: Instant) -> bool:
        if self._began is None:
            self._began = now.steady_ns
        max_age = self._settings.max_age * SECOND
        if self._grace and now.steady_ns - self._began <= max_age:
            return self.active
        known = self._value is not None and self._told is not None and now.steady_ns - self._told <= max_age
        if not known or not self._holds():
            self._since, self.active = None, False
            return False
        if self._since is None:
            self._since = now.steady_ns
        self.active = self.active or now.steady_ns - self._since >= self._settings.on_delay * SECOND
        return self.active

    def _holds(self) -> bool:
        kind, limit = self._settings.condition.kind, self._settings.condition.limit
        if self._value is None or limit is None:
            return False
        if kind is ConditionKind.ABOVE:
            return self._value > limit
        if kind is ConditionKind.BELOW:
            return self._value < limit
        return self._value == limit
