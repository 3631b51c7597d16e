"""Whether alarms come faster than one person can take them in: the flood of ISA-18.2 and EEMUA 191, as it happens. Pure."""

from collections import deque
from typing import NamedTuple

from gateway.alarms.kpi import FLOOD_BEGINS, FLOOD_ENDS, SLOT_NS


class Flooding(NamedTuple):
    """A flood that is going on: since when (Unix ns), and how many alarms came in the last ten minutes."""

    since_ns: int
    alarms: int


class FloodWatch:
    """Begins with more than ten alarms in ten minutes and ends with fewer than five."""

    def __init__(self) -> None:
        self._came: deque[int] = deque()
        self._since_ns: int | None = None

    def came(self, at_ns: int) -> None:
        """An alarm was announced."""
        self._came.append(at_ns)

    def now(self, now_ns: int) -> Flooding | None:
        while self._came and self._came[0] <= now_ns - SLOT_NS:
            self._came.popleft()
        count = len(self._came)
        if self._since_ns is None and count > FLOOD_BEGINS:
            self._since_ns = self._came[0]
        elif count < FLOOD_ENDS:
            self._since_ns = None
        return None if self._since_ns is None else Flooding(self._since_ns, count)
