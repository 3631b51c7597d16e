"""Which alarm is due on which channel now. Pure; the clock is passed in.

It is decided from what stands and what was sent, not from what just happened: a gateway that was killed, a channel that failed and a roster that
changes over all come out right at the next look.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import time
from typing import NamedTuple

from contract.alarms import Priority, State
from gateway.alarms.view import AlarmView
from gateway.notify.settings import Route

SECOND = 1_000_000_000  # ns
UNACKNOWLEDGED = frozenset({State.UNACKNOWLEDGED, State.RETURNED, State.LATCHED_UNACKNOWLEDGED})


class Notice(NamedTuple):
    """One alarm to one channel. ``event`` is what raised it; ``after`` the seconds of the step: 0 is the first word, more is escalation."""

    key: str
    event: str
    channel: str
    after: float


def due(views: Iterable[AlarmView], routes: Sequence[Route], sent: Collection[Notice], *, now_ns: int, local: time) -> list[Notice]:
    """What is to be sent and was not, in the order of ``views``; a channel that several routes name is told once.

    An alarm that was raised by late events alone is history: nobody is called for it.
    """
    found: dict[Notice, None] = {}
    for view in views:
        if view.state in UNACKNOWLEDGED and view.now.event and not view.now.unseen:
            for notice in _of(view, routes, now_ns, local):
                if notice not in sent:
                    found[notice] = None
    return list(found)


def _of(view: AlarmView, routes: Sequence[Route], now_ns: int, local: time) -> Iterator[Notice]:
    critical = view.definition.priority is Priority.CRITICAL
    for route in routes:
        if not route.takes(view) or (route.hours is not None and not route.hours.hold(local)):
            continue
        if route.quiet is not None and route.quiet.hold(local) and not critical:
            continue
        for channel in route.to:
            yield Notice(view.key, view.now.event, channel, 0.0)
        for step in route.escalate:
            if now_ns - view.now.since_ns >= step.after * SECOND:
                for channel in step.to:
                    yield Notice(view.key, view.now.event, channel, step.after)
