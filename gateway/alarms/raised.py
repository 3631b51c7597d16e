"""The alarms of a time as their figures want them: when each came, returned and was acknowledged. Reads the journal."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, and_, select

from contract.alarms import AlarmDefinition, SignalClass, Transition, Trigger
from gateway.alarms.kpi import Raised
from gateway.alarms.tables import ACTION, DEFINITION, EVENT
from gateway.database import reading

MOST = 100_000  # events of one time
_definition = msgspec.json.Decoder(AlarmDefinition)


class Came(NamedTuple):
    """``malfunctions`` are a class of their own and no alarms; ``whole`` is False where there were more than are read."""

    alarms: list[Raised]
    malfunctions: int
    whole: bool


def raised(engine: Engine, start_ns: int, end_ns: int) -> Came:
    """What came from ``start_ns`` to ``end_ns`` (outside), shadows left out. Blocks."""
    events = (
        select(EVENT.c.key, EVENT.c.at_ns, EVENT.c.transition)
        .where(EVENT.c.at_ns >= start_ns, EVENT.c.at_ns < end_ns)
        .order_by(EVENT.c.at_ns, EVENT.c.id)
        .limit(MOST + 1)
    )
    acts = (
        select(ACTION.c.key, ACTION.c.at_ns)
        .where(and_(ACTION.c.at_ns >= start_ns, ACTION.c.at_ns < end_ns, ACTION.c.trigger == Trigger.ACKNOWLEDGE.value))
        .order_by(ACTION.c.at_ns, ACTION.c.id)
        .limit(MOST)
    )
    with reading(engine) as connection:
        rows = connection.execute(events).all()
        acknowledged: dict[str, list[int]] = {}
        for key, at_ns in connection.execute(acts):
            acknowledged.setdefault(key, []).append(at_ns)
        bodies = connection.execute(select(DEFINITION.c.key, DEFINITION.c.body)).all()
    known = {key: _definition.decode(body) for key, body in bodies}
    by_key: dict[str, list[tuple[int, str]]] = {}
    for key, at_ns, transition in rows[:MOST]:
        by_key.setdefault(key, []).append((at_ns, transition))
    alarms: list[Raised] = []
    malfunctions = 0
    for key, happened in by_key.items():
        definition = known.get(key)
        if definition is None or definition.shadow:
            continue
        came = _came(key, definition, happened, acknowledged.get(key, []))
        if definition.signal_class is SignalClass.MALFUNCTION:
            malfunctions += len(came)
        else:
            alarms += came
    return Came(sorted(alarms, key=lambda one: one.at_ns), malfunctions, len(rows) <= MOST)


def _came(key: str, definition: AlarmDefinition, happened: Sequence[tuple[int, str]], acknowledged: Sequence[int]) -> list[Raised]:
    """An event that says again what holds already is no new alarm."""
    found: list[Raised] = []
    holds = False
    for at_ns, transition in happened:
        if transition == Transition.ACTIVE.value and not holds:
            seen = next((time_ns for time_ns in acknowledged if time_ns >= at_ns), None)
            found.append(Raised(key, definition.priority, at_ns, None, seen))
            holds = True
        elif transition == Transition.NORMAL.value and holds:
            found[-1] = found[-1]._replace(returned_ns=at_ns)
            holds = False
    for place, (one, after) in enumerate(pairwise(list(found))):
        if one.acknowledged_ns is not None and one.acknowledged_ns >= after.at_ns:  # that answered the later one
            found[place] = one._replace(acknowledged_ns=None)
    return found
