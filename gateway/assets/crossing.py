"""Since when a point that moves in steps, such as an ISO zone, has its value. A bounded number of reads, however long the history is."""

from typing import NamedTuple

from gateway.store import Series, TimeSeriesStore
from gateway.store.rollup import grid

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
BACK = (1, 7, 30, 366)  # days
SLOTS = 500


class Crossed(NamedTuple):
    """``since_ns`` to the minute, or the slot where retention left no more; ``before`` what it was, None where the history begins with the value."""

    since_ns: int
    before: float | None


def crossed(store: TimeSeriesStore, series: Series, value: float, now_ns: int) -> Crossed | None:
    """None where there is no reading within a year. Blocks. Raises StoreUnavailable."""
    found: Crossed | None = None
    for days in BACK:
        start_ns, end_ns = now_ns - days * DAY_NS, now_ns + 1
        found = _last_change(store, series, value, start_ns, end_ns)
        if found is not None and found.before is not None:
            return found
    return found


def _last_change(store: TimeSeriesStore, series: Series, value: float, start_ns: int, end_ns: int) -> Crossed | None:
    """Looks ever closer at the last slot that holds another value."""
    first_ns: int | None = None
    while True:
        slots = store.buckets(series, start_ns, end_ns, SLOTS)
        width = grid(start_ns, end_ns, SLOTS, store.kept()).width_ns
        if not slots:
            return None if first_ns is None else Crossed(first_ns, None)
        other = next(
            (place for place in range(len(slots) - 1, -1, -1) if slots[place].minimum != value or slots[place].maximum != value), None
        )
        if other is None:
            return Crossed(slots[0].start_ns if first_ns is None else first_ns, None)
        slot = slots[other]
        following = slots[other + 1].start_ns if other + 1 < len(slots) else slot.start_ns + width
        if width <= MINUTE_NS or (slot.minimum == slot.maximum and other + 1 < len(slots)):
            # A slot of one other value alone: the change lies between it and the next.
            before = slot.last if slot.last != value else slot.minimum if slot.minimum != value else slot.maximum
            return Crossed(following if slot.last != value else slot.start_ns, before)
        closer = (slot.start_ns, min(end_ns, slot.start_ns + width))
        if closer == (start_ns, end_ns):
            return Crossed(following, slot.minimum if slot.minimum != value else slot.maximum)
        first_ns, (start_ns, end_ns) = following, closer
