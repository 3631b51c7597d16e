"""Which numbers of which boot the gateway has: ranges that grow together, so that a long wait for the disk costs no memory."""

from collections.abc import Iterable

from edge.stored import Stored

Range = tuple[int, int]


class Acknowledged:
    """Ranges with both ends included, by boot. Not changed once made: `with_more` gives a new one, so that two threads may look."""

    def __init__(self, ranges: dict[str, list[Range]] | None = None) -> None:
        self._ranges = ranges or {}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def with_more(self, boot: str, ranges: Iterable[Range]) -> "Acknowledged":
        return Acknowledged({**self._ranges, boot: joined([*self._ranges.get(boot, ()), *ranges])})

    def plus(self, other: "Acknowledged") -> "Acknowledged":
        both = self
        for boot, ranges in other._ranges.items():
            both = both.with_more(boot, ranges)
        return both

    def covers(self, message: Stored) -> bool:
        return any(low <= message.seq <= high for low, high in self._ranges.get(message.boot, ()))

    def all(self) -> list[tuple[str, int, int]]:
        return [(boot, low, high) for boot, ranges in self._ranges.items() for low, high in ranges]


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as there can be, in order."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
