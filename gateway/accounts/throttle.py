"""How often a password may be tried. Pure; the clock is passed in."""

from collections import OrderedDict

TRIES = 5  # wrong ones in a row before it takes longer
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0  # s
KNOWN = 1000  # names and addresses remembered; beyond it the oldest go


class Throttle:
    """By whatever is tried: a name, an address. A right password clears it. A control room is never locked out for longer than LONGEST_WAIT."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how often, and until when it waits

    def wait(self, key: str, now: float) -> float:
        """Seconds until the next try is listened to; 0 for now."""
        _, until = self._failed.get(key, (0, 0.0))
        return max(0.0, until - now)

    def failed(self, key: str, now: float) -> None:
        times = self._failed.pop(key, (0, 0.0))[0] + 1
        pause = 0.0 if times < TRIES else min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (times - TRIES))
        self._failed[key] = times, now + pause
        while len(self._failed) > KNOWN:
            self._failed.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._failed.pop(key, None)
