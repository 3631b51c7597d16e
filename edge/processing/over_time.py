"""How fast a value changes, and what it adds up to. Pure; time comes with the readings."""

from typing import Any

from rules.shifts import Shifts


class Rate:
    """Change per second between the two latest readings; None after a gap, or where a value is missing."""

    def __init__(self, max_gap_ns: int) -> None:
        self._max_gap = max_gap_ns
        self._last: tuple[int, float] | None = None
        self.per_second: float | None = None

    def add(self, time_ns: int, value: float | None) -> None:
        last = self._last
        if last is not None and time_ns == last[0]:
            return  # the same reading again
        self._last = None if value is None else (time_ns, value)
        self.per_second = None
        if last is not None and value is not None and 0 < time_ns - last[0] <= self._max_gap:
            self.per_second = (value - last[1]) / (time_ns - last[0]) * 1e9


class Integral:
    """The sum of value times seconds by the trapezoidal rule, since the last reset.

    ``complete`` is false after a gap, which adds nothing, and until the first reset that was seen from before.
    """

    def __init__(self, max_gap_ns: int, resets: Shifts | None) -> None:
        self._max_gap = max_gap_ns
        self._resets = resets
        self._began: int | None = None  # the reset that the total is counted from
        self._last: tuple[int, float | None] | None = None
        self.total = 0.0
        self.complete = resets is None

    def add(self, time_ns: int, value: float | None) -> None:
        last, self._last = self._last, (time_ns, value)
        if last is not None and time_ns < last[0]:
            self.complete = False  # the clock was set back
            return
        gap = last is None or last[1] is None or value is None or time_ns - last[0] > self._max_gap
        began = self._resets.began(time_ns) if self._resets is not None else None
        if began is not None and began != self._began:
            self._began = began
            self._begin_anew(began, last, (time_ns, value), gap)
            return
        if not gap and last is not None and last[1] is not None and value is not None:
            self.total += (last[1] + value) / 2 * (time_ns - last[0]) / 1e9
        elif last is not None:
            self.complete = False

    def _begin_anew(self, began: int, last: tuple[int, float | None] | None, now: tuple[int, float | None], gap: bool) -> None:
        """The part of the trapezoid after the reset is the first of the new total."""
        self.total, self.complete = 0.0, not gap
        if not gap and last is not None and last[1] is not None and now[1] is not None and now[0] > last[0]:
            part = (now[0] - began) / (now[0] - last[0])
            at_reset = now[1] + (last[1] - now[1]) * part
            self.total = (at_reset + now[1]) / 2 * (now[0] - began) / 1e9

    def state(self) -> dict[str, Any]:
        return {"total": self.total, "began": self._began, "time": None if self._last is None else self._last[0], "complete": self.complete}

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave: the time until the next reading is a gap."""
        began, time_ns = state["began"], state["time"]
        total, complete = float(state["total"]), bool(state["complete"])
        self._began = None if began is None else int(began)
        self._last = None if time_ns is None else (int(time_ns), None)
        self.total, self.complete = total, complete
