"""A state of pictures that one picture neither begins nor ends. Pure."""

from collections import deque


class Hold:
    """A state that begins when k of the last n observations show it, and ends when n - k or fewer do."""

    def __init__(self, k: int, n: int) -> None:
        self._k = k
        self._seen: deque[bool] = deque(maxlen=n)
        self.active = False

    def update(self, observed: bool) -> bool:
        self._seen.append(observed)
        count = sum(self._seen)
        if self.active:
            self.active = count > len(self._seen) - self._k
        else:
            self.active = count >= self._k
        return self.active


def check_hold(hold: tuple[int, int], key: str) -> tuple[int, int]:
    """The pair [k, n] if it makes sense. Raises ValueError naming ``key`` and what would be right."""
    k, n = hold
    if not 1 <= k <= n <= 1000 or 2 * k <= n:
        raise ValueError(f"{key} {list(hold)}: write [k, n] with k more than half of n, for example [4, 5]")
    return hold
