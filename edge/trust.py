"""How far each reading of a sensor can be trusted: decided here, for every source alike, before alarm rules and disk. Pure.

The value is never changed and never held back: a doubted one goes on as ``uncertain`` with its reason, so that a true burst of gas, which may
look impossible, still raises its alarm. Where several things can be said, the source's own word comes first, then the order of `Trust.judge`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from contract.messages import PointDeclaration
from contract.values import Level, Quality, Reading, bad, uncertain, worst
from edge.clock import SECOND, Instant
from edge.trust_settings import TrustSettings

OUT_OF_RANGE = uncertain("out_of_range")
IMPOSSIBLE_RATE = uncertain("impossible_rate")
STUCK = uncertain("stuck")
CALIBRATION_OVERDUE = uncertain("calibration_overdue")
BUMP_OVERDUE = uncertain("bump_overdue")
CLOCK_UNSURE = uncertain("clock_unsure")
STALE = bad("stale")
REPEATED = uncertain("repeated")

_TIME_ZONES = 86_400 * SECOND  # ns: a day has begun elsewhere before it begins in UTC
_ROUNDING = 1 + 1e-9  # a step of exactly max_rate is possible, whatever binary fractions make of it


class Due(NamedTuple):
    """When a point's next calibration and bump test are due (Unix ns), None where nobody asks for one; and when the last were done."""

    calibration_ns: int | None = None
    bump_ns: int | None = None
    calibrated_ns: int = 0
    bumped_ns: int = 0


def within_range(reading: Reading, declaration: PointDeclaration | None) -> Reading:
    """The reading, ``uncertain:out_of_range`` where its value lies outside the declared range."""
    if declaration is None or declaration.range is None or reading.value is None:
        return reading
    low, high = declaration.range
    if low <= reading.value <= high:
        return reading
    return Reading(reading.point, reading.time_ns, reading.value, worst(reading.quality, OUT_OF_RANGE))


class Movement:
    """Whether a value lives: it must have moved by more than ``noise``, from its lowest to its highest, within ``stuck_after`` seconds."""

    def __init__(self, stuck_after: float, noise: float) -> None:
        self._limit = round(stuck_after * SECOND)
        self._noise = noise
        self._low = self._high = 0.0
        self._since: int | None = None
        self._last = 0

    def stuck(self, value: float, steady_ns: int) -> bool:
        low, high = min(self._low, value), max(self._high, value)
        if self._since is None or steady_ns - self._last >= self._limit or high - low > self._noise:
            # A silence as long as the limit proves nothing: the time begins anew.
            self._since, low, high = steady_ns, value, value
        self._low, self._high, self._last = low, high, steady_ns
        return steady_ns - self._since >= self._limit


class Steps:
    """Whether a value could have come this far in this time: at most ``max_rate`` a second.

    A jump is impossible until ``confirm`` further readings have agreed with it, each with the one before, or until one agrees again with the
    last that was possible.
    """

    def __init__(self, max_rate: float, confirm: int) -> None:
        self._max_rate = max_rate
        self._confirm = confirm
        self._possible: tuple[float, int] | None = None
        self._jump: tuple[float, int] | None = None
        self._agreed = 0

    def impossible(self, value: float, time_ns: int) -> bool:
        here = value, time_ns
        if self._possible is None or self._reachable(self._possible, here):
            self._possible, self._jump = here, None
            return False
        self._agreed = self._agreed + 1 if self._jump is not None and self._reachable(self._jump, here) else 0
        self._jump = here
        if self._agreed < self._confirm:
            return True
        self._possible, self._jump = here, None
        return False

    def _reachable(self, start: tuple[float, int], end: tuple[float, int]) -> bool:
        """A clock that was set back says nothing of the time between: then the step alone is taken for one second's."""
        elapsed = (end[1] - start[1]) / SECOND if end[1] > start[1] else 1.0
        return abs(end[0] - start[0]) <= self._max_rate * elapsed * _ROUNDING + 1e-12 * max(abs(end[0]), abs(start[0]))


class _Watch:
    """What is remembered of one point."""

    def __init__(self, settings: TrustSettings, analog: bool, now: Instant) -> None:
        self.needs_clock = settings.needs_clock
        self.movement = Movement(settings.stuck_after, settings.noise) if analog and settings.stuck_after is not None else None
        self.steps = Steps(settings.max_rate, settings.confirm) if analog and settings.max_rate is not None else None
        self.stale_after = None if settings.stale_after is None else round(settings.stale_after * SECOND)
        self.fresh_at = now.steady_ns
        self.newest: tuple[int, float, Quality] | None = None  # the last measurement as its source told it
        self.lost = False  # its last reading was bad, or it has been told stale
        self.stale = False


class Trust:
    """All points of a node. ``points`` gives the ranges, ``settings`` what else is asked of a point.

    ``clock_point`` names the reading, 1 or 0, that says whether the node's clock is synchronised; before it has come the clock is believed.
    """

    def __init__(
        self, points: Mapping[str, PointDeclaration], settings: Mapping[str, TrustSettings], now: Instant, *, clock_point: str = ""
    ) -> None:
        self._points = points
        self._watched = {
            name: _Watch(one, name in points and points[name].kind in ("analog", "score"), now) for name, one in settings.items()
        }
        self._timed = [(name, watch) for name, watch in self._watched.items() if watch.stale_after is not None]
        self._due: Mapping[str, Due] = {}
        self._clock_point = clock_point
        self._clock_unsure = False

    def know(self, due: Mapping[str, Due]) -> None:
        """Takes the dates of calibrations and bump tests, at the start and after each that was recorded."""
        self._due = due

    def judge(self, reading: Reading, now: Instant) -> Reading | None:
        """The reading with the quality it deserves; None for one that was told before and so says nothing.

        After something bad the last measurement again is what the source still believes; it is told, and it is not good.
        """
        if reading.point == self._clock_point and reading.value is not None:
            self._clock_unsure = reading.value == 0.0
        reading = within_range(reading, self._points.get(reading.point))
        watch = self._watched.get(reading.point)
        if watch is None:
            watch = self._watched[reading.point] = _Watch(TrustSettings(), False, now)
        value = reading.value
        if value is None or reading.quality.level is Level.BAD:
            watch.lost = True
            return reading
        told = reading.time_ns, value, reading.quality
        if told == watch.newest:  # the same one again: nothing was measured
            if watch.stale or not watch.lost:
                return None
            watch.lost = False
            return Reading(reading.point, reading.time_ns, value, worst(reading.quality, REPEATED))
        watch.newest, watch.fresh_at, watch.lost, watch.stale = told, now.steady_ns, False, False
        quality = reading.quality
        if watch.steps is not None and watch.steps.impossible(value, reading.time_ns):
            quality = worst(quality, IMPOSSIBLE_RATE)
        if watch.movement is not None and watch.movement.stuck(value, now.steady_ns):
            quality = worst(quality, STUCK)
        due = self._due.get(reading.point)
        if due is not None and quality.good:
            if self._overdue(due.calibrated_ns, due.calibration_ns, now.wall_ns):
                quality = CALIBRATION_OVERDUE
            elif self._overdue(due.bumped_ns, due.bump_ns, now.wall_ns):
                quality = BUMP_OVERDUE
        if watch.needs_clock and self._clock_unsure:
            quality = worst(quality, CLOCK_UNSURE)
        return reading if quality is reading.quality else Reading(reading.point, reading.time_ns, value, quality)

    def _overdue(self, done_ns: int, due_ns: int | None, wall_ns: int) -> bool:
        """Work of a day to come was not done: a slip of the pen must not keep a sensor valid for decades. Without a clock it is believed."""
        if due_ns is None:
            return False
        return wall_ns >= due_ns or (wall_ns < done_ns - _TIME_ZONES and not self._clock_unsure)

    def tick(self, now: Instant) -> list[Reading]:
        """One ``bad:stale`` without a value for each point that has just been without a fresh value for too long.

        A point that is bad already keeps the reason its source gave.
        """
        told = []
        for name, watch in self._timed:
            assert watch.stale_after is not None  # noqa: S101 - _timed holds no other
            if not watch.lost and now.steady_ns - watch.fresh_at >= watch.stale_after:
                watch.lost = watch.stale = True
                told.append(Reading(name, now.wall_ns, None, STALE))
        return told
