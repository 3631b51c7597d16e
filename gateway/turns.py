"""Lines that are served in turn: one for each name, in order within it, so that nobody waits behind somebody else's flood."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

_T = TypeVar("_T")
BURST = 1_000
PER_SECOND = 50.0
KNOWN = 10_000


class Turns(Generic[_T]):
    """Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[_T]] = {}
        self._order: deque[str] = deque()  # every line once
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_T]:
        for line in self._lines.values():
            yield from line

    def held(self, name: str) -> int:
        """How many of this name wait."""
        return len(self._lines.get(name, ()))

    def put(self, name: str, item: _T) -> None:
        if name not in self._lines:
            self._lines[name] = deque()
            self._order.append(name)
        self._lines[name].append(item)
        self._count += 1

    def take(self, most: int) -> list[tuple[str, _T]]:
        """One of each line after the other, at most so many."""
        taken: list[tuple[str, _T]] = []
        while self._count and len(taken) < most:
            name = self._order.popleft()
            taken.append((name, self._lines[name].popleft()))
            self._count -= 1
            if self._lines[name]:
                self._order.append(name)
            else:
                del self._lines[name]
        return taken

    def give_back(self, items: Sequence[tuple[str, _T]]) -> None:
        """The last of what was taken goes back to where it was, in the same order."""
        for name, item in reversed(items):
            if name not in self._lines:
                self._lines[name] = deque()
                self._order.appendleft(name)
            self._lines[name].appendleft(item)
            self._count += 1


class _Bucket(NamedTuple):
    left: float
    at_ns: int


class Pace:
    """How often a name may: ``burst`` at once, then ``per_second``."""

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._buckets: dict[str, _Bucket] = {}

    def spent(self, name: str, now_ns: int) -> bool:
        """Whether nothing would be allowed now."""
        bucket = self._buckets.get(name)
        return bucket is not None and bucket.left + max(0, now_ns - bucket.at_ns) / 1e9 * self._per_second < 1

    def allows(self, name: str, now_ns: int) -> bool:
        bucket = self._buckets.get(name) or _Bucket(self._burst, now_ns)
        left = min(self._burst, bucket.left + max(0, now_ns - bucket.at_ns) / 1e9 * self._per_second)
        if allowed := left >= 1:
            left -= 1
        if len(self._buckets) > KNOWN:  # invented names
            self._buckets.clear()
        self._buckets[name] = _Bucket(left, now_ns)
        return allowed
