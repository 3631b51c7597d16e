"""An alarm's state out of what happened to it: a fold over its events and actions in the order of their own times, kept beside each of them."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Table, and_, or_, select, update

from contract.alarms import AlarmEvent, Transition, Trigger, alarm_key
from gateway.alarms.lifecycle import Fold, Happening, follow, trigger_of
from gateway.alarms.tables import ACTION, EVENT, STATE

PIECE = 50  # rows

decode = msgspec.json.Decoder(Fold).decode
_strings = msgspec.json.Decoder(tuple[str, ...])


def encode(fold: Fold) -> str:
    return msgspec.json.encode(fold).decode()


def refold(connection: Connection, event: AlarmEvent, since_ns: int, before: Fold, *, latching: bool) -> Fold:
    """Folds from a time on: usually the newest event's, so that this is one step; behind a late one, until what follows is as it was."""
    key = alarm_key(event.node, event.definition)
    first = event.id if since_ns == event.time_ns else ""
    earlier = and_(EVENT.c.key == key, EVENT.c.at_ns <= since_ns, or_(EVENT.c.at_ns < since_ns, EVENT.c.id < first))
    event_before = _last(connection, EVENT, earlier)
    action_before = _last(connection, ACTION, and_(ACTION.c.key == key, ACTION.c.at_ns < since_ns))
    past = max((row for row in (event_before, action_before) if row is not None), key=_place, default=None)
    fold = decode(past.after) if past is not None else Fold()
    passed, newest_ns = False, since_ns
    for row in _later(connection, key, since_ns, first):
        fold = follow(fold, _happening(row), latching=latching)
        after = encode(fold)
        if passed and after == row.after:
            return before
        table = EVENT if _is_event(row) else ACTION
        this = and_(EVENT.c.key == key, EVENT.c.id == row.id) if table is EVENT else ACTION.c.id == row.id
        connection.execute(update(table).where(this).values(after=after))
        passed = passed or (table is EVENT and row.id == event.id)
        newest_ns = row.at_ns
    save(connection, key, fold, newest_ns)
    return fold


def save(connection: Connection, key: str, fold: Fold, newest_ns: int) -> None:
    """As the alarm's state; its version is one more."""
    connection.execute(
        update(STATE)
        .where(STATE.c.key == key)
        .values(
            state=fold.state.value,
            version=STATE.c.version + 1,
            newest_ns=newest_ns,
            shelved_until_ns=fold.shelved_until_ns,
            after=encode(fold),
        )
    )


def _is_event(row: Row[Any]) -> bool:
    return "transition" in row._fields


def _place(row: Row[Any]) -> tuple[int, int, str | int]:
    """The order of happenings: by time, then events before actions, then by id. Ids of the two kinds never meet."""
    return (row.at_ns, 0 if _is_event(row) else 1, row.id)


def _last(connection: Connection, table: Table, condition: Any) -> Row[Any] | None:
    return connection.execute(select(table).where(condition).order_by(table.c.at_ns.desc(), table.c.id.desc()).limit(1)).one_or_none()


def _later(connection: Connection, key: str, since_ns: int, first: str) -> Iterator[Row[Any]]:
    """What happened to an alarm from a time on, of that time from the id ``first`` on, in order, read in pieces: mostly the first one is enough."""
    mine = select(ACTION).where(ACTION.c.key == key, ACTION.c.at_ns >= since_ns).order_by(ACTION.c.at_ns, ACTION.c.id)
    actions = deque(connection.execute(mine).all())
    behind = or_(EVENT.c.at_ns > since_ns, and_(EVENT.c.at_ns == since_ns, EVENT.c.id >= first))
    at_ns = since_ns
    while True:
        events = connection.execute(
            select(EVENT).where(EVENT.c.key == key, EVENT.c.at_ns >= at_ns, behind).order_by(EVENT.c.at_ns, EVENT.c.id).limit(PIECE)
        ).all()
        for event in events:
            while actions and _place(actions[0]) < _place(event):
                yield actions.popleft()
            yield event
        if len(events) < PIECE:
            break
        at_ns = events[-1].at_ns
        behind = or_(EVENT.c.at_ns > at_ns, and_(EVENT.c.at_ns == at_ns, EVENT.c.id > events[-1].id))
    yield from actions


def _happening(row: Row[Any]) -> Happening:
    if not _is_event(row):
        return Happening(row.at_ns, row.id, Trigger(row.trigger), who=row.who, note=row.note, until_ns=row.until_ns)
    transition = Transition(row.transition)
    return Happening(
        row.at_ns,
        row.id,
        trigger_of(transition),
        transition,
        row.value,
        row.quality,
        _strings.decode(row.evidence),
        late=row.late,
        first_up=bool(row.first_up),
    )
