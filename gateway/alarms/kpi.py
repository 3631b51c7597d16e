"""How well an operator can live with the alarms of a time: the figures of ISA-18.2 and EEMUA 191. Pure.

Targets and their sources: EEMUA 191 and ISA-18.2 as cited in docs/shift.md; they are habits of the process industry, not measured on mines.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from contract.alarms import Priority

SECOND = 1_000_000_000
SLOT_NS = 600 * SECOND
FLOOD_BEGINS, FLOOD_ENDS = 10, 5  # alarms in ten minutes: more than the first begins a flood, fewer than the second ends it
CHATTER, CHATTER_NS = 3, 60 * SECOND  # as many within so long
STALE_NS = 86_400 * SECOND
BAD_ACTORS = 10


class Raised(NamedTuple):
    """One alarm that came: Unix ns; None for what has not happened (by the end of the time that is looked at)."""

    key: str
    priority: Priority
    at_ns: int
    returned_ns: int | None
    acknowledged_ns: int | None


class Actor(NamedTuple):
    key: str
    alarms: int
    share: float  # of all, 0 to 1


class Flood(NamedTuple):
    start_ns: int
    end_ns: int
    alarms: int


class Figures(NamedTuple):
    """``slots`` are alarms in each ten minutes, the last one may be shorter. Times in seconds, shares from 0 to 1, None without alarms."""

    alarms: int
    slots: list[int]
    mean_rate: float  # alarms in ten minutes
    peak_rate: int
    flood_share: float  # of the slots
    floods: list[Flood]
    chattering: list[Actor]
    stale: list[str]
    bad_actors: list[Actor]
    bad_actor_share: float | None
    priorities: dict[Priority, float] | None
    acknowledge_median: float | None
    acknowledge_p90: float | None
    unacknowledged: int


def figures(raised: Iterable[Raised], standing: Iterable[Raised], start_ns: int, end_ns: int) -> Figures:
    """Of the alarms that came from ``start_ns`` to ``end_ns`` (outside); ``standing`` are those that hold at the end, whenever they came."""
    alarms = sorted((one for one in raised if start_ns <= one.at_ns < end_ns), key=lambda one: one.at_ns)
    slots = [0] * max(1, -(-(end_ns - start_ns) // SLOT_NS))
    for one in alarms:
        slots[(one.at_ns - start_ns) // SLOT_NS] += 1
    counts = Counter(one.key for one in alarms)
    worst = [Actor(key, count, count / len(alarms)) for key, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    waits = sorted((one.acknowledged_ns - one.at_ns) / SECOND for one in alarms if one.acknowledged_ns is not None)
    total = len(alarms)
    return Figures(
        alarms=total,
        slots=slots,
        mean_rate=total * SLOT_NS / max(1, end_ns - start_ns),
        peak_rate=max(slots),
        flood_share=sum(count > FLOOD_BEGINS for count in slots) / len(slots),
        floods=_floods(slots, start_ns, end_ns),
        chattering=[actor for actor in worst if _chatters([one.at_ns for one in alarms if one.key == actor.key])],
        stale=sorted({one.key for one in standing if end_ns - one.at_ns > STALE_NS}),
        bad_actors=worst[:BAD_ACTORS],
        bad_actor_share=sum(actor.alarms for actor in worst[:BAD_ACTORS]) / total if total else None,
        priorities={priority: sum(one.priority is priority for one in alarms) / total for priority in Priority} if total else None,
        acknowledge_median=_quantile(waits, 0.5),
        acknowledge_p90=_quantile(waits, 0.9),
        unacknowledged=sum(one.acknowledged_ns is None for one in alarms),
    )


def _floods(slots: Sequence[int], start_ns: int, end_ns: int) -> list[Flood]:
    floods: list[Flood] = []
    begun: int | None = None
    for place, count in enumerate([*slots, 0]):
        if begun is None and count > FLOOD_BEGINS:
            begun = place
        elif begun is not None and (count < FLOOD_ENDS or place == len(slots)):
            floods.append(Flood(start_ns + begun * SLOT_NS, min(end_ns, start_ns + place * SLOT_NS), sum(slots[begun:place])))
            begun = None
    return floods


def _chatters(times: Sequence[int]) -> bool:
    return any(last - first < CHATTER_NS for first, last in zip(times, times[CHATTER - 1 :], strict=False))


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest that at least this share does not exceed."""
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1))] if ordered else None
