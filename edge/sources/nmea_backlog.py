"""Which sentences of a satellite receiver waited on their way: a gpsd or a converter that hung hands out what has queued. Pure."""

from contract.values import uncertain

LIMIT = 3.0  # s that a sentence may come later than the promptest one
SETTLED = 10.0  # s of a steady delay after which it is the receiver's clock that has changed, not the way
LATE = uncertain("late")
_DAY = 86_400.0


class Backlog:
    """Compares the time of day that sentences tell with a steady clock: what matters is how the delay changes, not which time it is."""

    def __init__(self) -> None:
        self._least: float | None = None  # s, modulo a day: steady clock minus time of day, of the promptest sentence
        self._held: tuple[float, float] | None = None  # a later delay, and since when it has been steady

    def late(self, line: bytes, now: float) -> bool | None:
        """Whether the sentence waited; None where it tells no time. ``now`` is monotonic, in seconds."""
        told = time_of_day(line)
        if told is None:
            return None
        delay = (now - told) % _DAY
        behind = _apart(delay, self._least) if self._least is not None else 0.0
        if self._least is None or behind < 0:
            self._least = delay
        if behind <= LIMIT:
            self._held = None
            return False
        if self._held is None or abs(_apart(delay, self._held[0])) > LIMIT:
            self._held = delay, now
        elif now - self._held[1] > SETTLED:
            self._least, self._held = delay, None
            return False
        return True


def time_of_day(line: bytes) -> float | None:
    """Seconds of the UTC day that GGA, GNS, RMC or ZDA tell: hhmmss.sss in their first field."""
    kind, _, rest = line.strip().partition(b",")
    text = rest.partition(b",")[0]
    if kind[-3:] not in (b"GGA", b"GNS", b"RMC", b"ZDA") or not text[:6].isdigit() or len(text) < 6:
        return None
    try:
        return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])
    except ValueError:
        return None


def _apart(one: float, other: float) -> float:
    """How much later ``one`` is, within half a day."""
    return (one - other + _DAY / 2) % _DAY - _DAY / 2
