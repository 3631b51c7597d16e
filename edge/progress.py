"""Whether the node gets on with its work: each part says when it began what it is at, and one function says who stands still.

A part that has nothing to do, or whose failure is known (a dead sensor, an absent broker, a disk that refuses), rests: nothing is wrong
with it. A part stands still when one piece of work takes longer than anything that can still end well.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Mark:
    """One part's sign of progress. ``limit``: seconds that one piece of its work may take. Any thread may ask."""

    def __init__(self, part: str, limit: float, steady: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        self.limit = limit
        self.since: float | None = None  # steady s at which the work at hand began
        self._steady = steady

    def turn(self) -> None:
        """A piece of work is done, and the next one begins."""
        self.since = self._steady()

    def rest(self) -> None:
        """There is nothing to do, or what failed is known."""
        self.since = None


class Standstill(NamedTuple):
    part: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.part} stands still for {self.seconds:.0f} s"


def standing_still(marks: Iterable[Mark], now: float) -> list[Standstill]:
    """The parts whose work at hand is older than their limit at ``now`` (steady s), the longest first."""
    found = []
    for mark in marks:
        since = mark.since  # read once: another thread may rest it meanwhile
        if since is not None and now - since > mark.limit:
            found.append(Standstill(mark.part, now - since))
    return sorted(found, key=lambda still: -still.seconds)
