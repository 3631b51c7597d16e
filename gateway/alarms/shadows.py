"""How alarms in shadow did: how often each would have alerted somebody, and what people said of it when they looked. Reads the journal."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, func, select

from contract.alarms import AlarmDefinition, Transition
from gateway.alarms.remarks import REMARK, VERDICTS
from gateway.alarms.tables import DEFINITION, EVENT
from gateway.database import reading

DAY_NS = 86_400_000_000_000
_definition = msgspec.json.Decoder(AlarmDefinition)


def shadows(engine: Engine, days: float, *, now_ns: int) -> list[dict[str, Any]]:
    """Ready for JSON, the most frequent first. Blocks.

    ``days`` begin with the first time that the alarm came, one day at least: one of yesterday is not judged by a month.
    """
    with reading(engine) as connection:
        bodies = connection.execute(select(DEFINITION.c.key, DEFINITION.c.node, DEFINITION.c.body)).all()
        told = []
        for key, node, body in bodies:
            if (definition := _definition.decode(body)).shadow:
                named = {"key": key, "node": node, "definition": definition.id, "title": definition.title}
                told.append(named | _counted(connection, key, days, now_ns))
    return sorted(told, key=lambda one: (-one["came"], one["key"]))


def _counted(connection: Connection, key: str, days: float, now_ns: int) -> dict[str, Any]:
    came = (EVENT.c.key == key, EVENT.c.transition == Transition.ACTIVE.value)
    first_ns = connection.execute(select(func.min(EVENT.c.at_ns)).where(*came)).scalar_one()
    since_ns = now_ns - int(days * DAY_NS)
    events = set(connection.execute(select(EVENT.c.id).where(*came, EVENT.c.at_ns >= since_ns)).scalars())
    said = select(REMARK.c.event, REMARK.c.verdict).where(REMARK.c.key == key, REMARK.c.verdict.is_not(None)).order_by(REMARK.c.id)
    verdicts = {event: verdict for event, verdict in connection.execute(said) if event in events}  # of one event the newest counts
    counted = {verdict: sum(given == verdict for given in verdicts.values()) for verdict in VERDICTS}
    watched = days if first_ns is None else min(days, max(1.0, (now_ns - first_ns) / DAY_NS))
    judged = counted["true"] + counted["false"] + counted["nuisance"]
    return {
        "days": watched,
        "came": len(events),
        "per_day": len(events) / watched,
        **counted,
        "unreviewed": len(events) - len(verdicts),
        "share_true": counted["true"] / judged if judged else None,
    }
