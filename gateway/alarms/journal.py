"""The alarm journal: every event and every action, kept in SQL, and the state that they lead to."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from contract.alarms import AlarmDefinition, AlarmEvent, State, Transition, Trigger, alarm_key, step
from contract.frames import to_ns
from contract.messages import Standing
from gateway import audit
from gateway.alarms import folding
from gateway.alarms.history import Found, HistoryReader
from gateway.alarms.lifecycle import Fold, Happening, follow
from gateway.alarms.tables import ACTION, DEFINITION, EVENT, STATE
from gateway.alarms.view import URGENCY, AlarmView, Entry, Recorded, undeclared
from gateway.database import reading

MAX_SHELVED_NS = 24 * 3_600_000_000_000
SYSTEM = "muki"  # the author of what the gateway does by itself

_definition = msgspec.json.Decoder(AlarmDefinition)


class UnknownAlarm(LookupError):
    """There is no alarm of that key."""


class NotPossible(Exception):
    """The alarm is not in a state that allows the action. ``reason`` is one word, from the state machine or this module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Arrived(NamedTuple):
    """An event, when the gateway got it, and whether it is history that arrives behind."""

    event: AlarmEvent
    received_ns: int
    late: bool


class _Locked(NamedTuple):
    """An alarm whose row is held by the transaction."""

    fold: Fold
    version: int


class Journal:
    """Blocking, safe from any thread, durable on return. A state and the entry that led to it are written in one transaction.

    An alarm's state is the fold of its events and actions in the order of their own times (`lifecycle`), whatever the order in which they
    arrive: an older event cannot undo what a newer one said.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._history = HistoryReader(engine)
        self._insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert

    def declare(self, node: str, definitions: Sequence[AlarmDefinition]) -> None:
        """Takes a birth's definitions as the node's whole set. Those it no longer has are retired: kept for standing alarms and history."""
        self.declare_all({node: definitions})

    def declare_all(self, births: Mapping[str, Sequence[AlarmDefinition]]) -> None:
        """The definitions of many nodes in one transaction; nodes that say what is known already cost a look."""
        told = {
            node: {alarm_key(node, definition.id): msgspec.json.encode(definition).decode() for definition in definitions}
            for node, definitions in births.items()
        }
        news = {node: bodies for node, bodies in told.items() if bodies != self._declared(node)}
        if not news:
            return
        with self._engine.begin() as connection:
            for node, bodies in news.items():
                connection.execute(update(DEFINITION).where(DEFINITION.c.node == node).values(retired=True))
                for key, body in bodies.items():
                    row = {"node": node, "retired": False, "body": body}
                    insert = self._insert(DEFINITION).values(key=key, **row)
                    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=row))

    def _declared(self, node: str) -> dict[str, str]:
        known = select(DEFINITION.c.key, DEFINITION.c.body).where(DEFINITION.c.node == node, DEFINITION.c.retired.is_(False))
        with reading(self._engine) as connection:
            return {row.key: row.body for row in connection.execute(known)}

    def record(self, event: AlarmEvent, *, received_ns: int, late: bool) -> Recorded:
        """Journals an event of a node once, by its id. ``late``: it is history that arrives behind, and announces nothing."""
        return self.record_all([Arrived(event, received_ns, late)])[0]

    def record_all(self, arrived: Sequence[Arrived]) -> list[Recorded]:
        """Many events in one transaction, in order: a commit waits for the disk."""
        recorded = []
        news = []
        with self._engine.begin() as connection:
            for event, received_ns, late in arrived:
                key = alarm_key(event.node, event.definition)
                before = self._lock(connection, key, event.node, event.definition, event.point)
                since_ns = self._put(connection, event, key, received_ns=received_ns, late=late, inferred=False)
                if since_ns is None:
                    recorded.append(Recorded(None, duplicate=True, announce=False))
                else:
                    recorded.append(self._conclude(connection, event, before, since_ns, late=late))
                    news.append(_audited(event, received_ns, late=late))
            audit.record(connection, *news)
        return recorded

    def reconcile(self, node: str, standing: Sequence[Standing], *, now_ns: int) -> list[AlarmView]:
        """Takes what a birth says is standing, and returns the alarms that this changed.

        - Stands on the node, its event unknown here: the event is journaled as inferred, with the time that the node gives, and never
          announced by this. When the event itself comes from the outbox it completes the entry with its value, and announces if it is live.
        - Stands here, not on the node: left as it is. The return is an event in the node's durable outbox and will come with its own time;
          an alarm that ended here by assumption would hide one whose return nobody has seen.
        - Known by its event: nothing. A retained birth that is read again after a restart says nothing new.
        """
        changed: list[AlarmView] = []
        if not standing:
            return changed
        with self._engine.begin() as connection:
            for one in standing:
                key = alarm_key(node, one.definition)
                found = self._define(connection, key)
                point = found.point if found else ""
                event = AlarmEvent(one.event, one.definition, node, point, to_ns(one.since), Transition.ACTIVE)
                before = self._lock(connection, key, node, one.definition, point)
                since_ns = self._put(connection, event, key, received_ns=now_ns, late=True, inferred=True)
                if since_ns is not None:
                    recorded = self._conclude(connection, event, before, since_ns, late=True)
                    changed += [recorded.view] if recorded.view else []
                    audit.record(connection, _audited(event, now_ns, late=True)._replace(kind="alarm.inferred"))
        return changed

    def act(
        self,
        key: str,
        trigger: Trigger,
        *,
        who: str,
        note: str,
        now_ns: int,
        until_ns: int | None = None,
        seen: str | None = None,
        by: str = "",
    ) -> AlarmView:
        """What a person does about an alarm; ``until_ns`` is when shelving ends, at most 24 hours ahead; ``seen`` is the event they answer for;
        ``by`` is for the audit: by what way they did it, where it is not the usual one.

        Raises UnknownAlarm, and NotPossible with the reason of the state machine, or ``who_required``, ``not_an_action``, ``until_required``,
        ``until_past``, ``until_too_far``, or ``came_again`` when the alarm is another event's by now.
        """
        self._check(trigger, who, now_ns, until_ns)
        with self._engine.begin() as connection:
            row = connection.execute(select(STATE).where(STATE.c.key == key).with_for_update()).one_or_none()
            if row is None:
                raise UnknownAlarm(key)
            definition = self._define(connection, key) or undeclared(row.definition, row.point)
            before = folding.decode(row.after)
            if seen is not None and seen != before.event:
                raise NotPossible("came_again")
            answer = step(before.status, trigger, latching=definition.latching, shelvable=definition.shelvable)
            if not answer.changed:
                raise NotPossible(answer.reason)
            # Its place is behind all that its author could see, also when a node's clock is ahead of ours.
            at_ns = max(now_ns, row.newest_ns)
            action = Happening(at_ns, 0, trigger, who=who.strip(), note=note, until_ns=until_ns)
            after = follow(before, action, latching=definition.latching)
            connection.execute(
                ACTION.insert().values(
                    key=key,
                    node=row.node,
                    definition=row.definition,
                    at_ns=at_ns,
                    done_ns=now_ns,
                    trigger=trigger.value,
                    who=action.who,
                    note=note,
                    until_ns=until_ns,
                    after=folding.encode(after),
                )
            )
            folding.save(connection, key, after, at_ns)
            what = {"note": note, "until_ns": until_ns, "at_ns": at_ns, "state": after.state.value, "event": after.event}
            told = what | ({"by": by} if by else {})
            audit.record(connection, audit.Entry(now_ns, f"alarm.{trigger.value}", action.who, key, told))
            return AlarmView(key, row.node, row.point, definition, after, row.version + 1)

    def expire_shelved(self, *, now_ns: int) -> list[AlarmView]:
        """Ends the shelving whose time is over, and returns these alarms: those whose condition holds are unacknowledged again."""
        with reading(self._engine) as connection:
            due = connection.execute(
                select(STATE.c.key).where(STATE.c.state == State.SHELVED.value, STATE.c.shelved_until_ns <= now_ns)
            ).scalars()
            keys = list(due)
        ended = []
        for key in keys:
            try:
                ended.append(self.act(key, Trigger.UNSHELVE, who=SYSTEM, note="", now_ns=now_ns))
            except NotPossible:  # somebody was faster
                continue
        return ended

    def get(self, key: str) -> AlarmView:
        """One alarm that has ever had an event. Raises UnknownAlarm."""
        views = self._views(STATE.c.key == key)
        if not views:
            raise UnknownAlarm(key)
        return views[0]

    def standing(self) -> list[AlarmView]:
        """Every alarm that is not normal and no shadow, the most urgent first, then the newest."""
        views = [view for view in self._views(STATE.c.state != State.NORMAL.value) if not view.definition.shadow]
        return sorted(views, key=lambda view: (URGENCY[view.definition.priority], -view.now.since_ns, view.key))

    def history(self, *, key: str | None = None, node: str | None = None, before: str | None = None, limit: int = 100) -> list[Entry]:
        """Newest first by their own times; ``before`` is the cursor of the last entry of the page before. Raises ValueError for a bad one."""
        return self._history.read(key=key, node=node, before=before, limit=limit)

    def search(
        self, words: Sequence[str], *, key: str | None = None, node: str | None = None, before: str | None = None, limit: int
    ) -> Found:
        """Entries that hold every one of the folded words (`search.words`). Raises ValueError for a bad cursor."""
        return self._history.search(words, key=key, node=node, before=before, limit=limit)

    @staticmethod
    def _check(trigger: Trigger, who: str, now_ns: int, until_ns: int | None) -> None:
        if not who.strip():
            raise NotPossible("who_required")
        if trigger in {Trigger.ACTIVATE, Trigger.CLEAR}:
            raise NotPossible("not_an_action")
        if trigger is Trigger.SHELVE:
            if until_ns is None:
                raise NotPossible("until_required")
            if until_ns <= now_ns:
                raise NotPossible("until_past")
            if until_ns > now_ns + MAX_SHELVED_NS:
                raise NotPossible("until_too_far")

    def _views(self, condition: Any) -> list[AlarmView]:
        joined = STATE.outerjoin(DEFINITION, DEFINITION.c.key == STATE.c.key)
        columns = (STATE.c.key, STATE.c.node, STATE.c.definition, STATE.c.point, STATE.c.after, STATE.c.version, DEFINITION.c.body)
        with reading(self._engine) as connection:
            rows = connection.execute(select(*columns).select_from(joined).where(condition)).all()
        return [
            AlarmView(
                row.key,
                row.node,
                row.point,
                _definition.decode(row.body) if row.body else undeclared(row.definition, row.point),
                folding.decode(row.after),
                row.version,
            )
            for row in rows
        ]

    @staticmethod
    def _define(connection: Connection, key: str) -> AlarmDefinition | None:
        body = connection.execute(select(DEFINITION.c.body).where(DEFINITION.c.key == key)).scalar_one_or_none()
        return _definition.decode(body) if body else None

    def _lock(self, connection: Connection, key: str, node: str, definition: str, point: str) -> _Locked:
        """The alarm's state, its row held until the transaction ends, so that two gateways take turns with one alarm."""
        asked = select(STATE.c.after, STATE.c.version, STATE.c.point).where(STATE.c.key == key).with_for_update()
        locked = connection.execute(asked).one_or_none()
        if locked is None:
            row = {"node": node, "definition": definition, "point": point, "state": State.NORMAL.value, "version": 0, "newest_ns": 0}
            connection.execute(self._insert(STATE).values(key=key, after=folding.encode(Fold()), **row).on_conflict_do_nothing())
            locked = connection.execute(asked).one()
        if point and locked.point != point:
            connection.execute(update(STATE).where(STATE.c.key == key).values(point=point))
        return _Locked(folding.decode(locked.after), locked.version)

    @staticmethod
    def _put(connection: Connection, event: AlarmEvent, key: str, *, received_ns: int, late: bool, inferred: bool) -> int | None:
        """Keeps the event and returns from when on the state follows anew; None when it is no news.

        News is what is not known, and what is known only from a birth and is now said by itself.
        """
        this = and_(EVENT.c.key == key, EVENT.c.id == event.id)
        known = connection.execute(select(EVENT.c.inferred, EVENT.c.at_ns).where(this)).one_or_none()
        if known is not None and (inferred or not known.inferred):
            return None
        row = {
            "node": event.node,
            "definition": event.definition,
            "point": event.point,
            "at_ns": event.time_ns,
            "received_ns": received_ns,
            "transition": event.transition.value,
            "value": event.value,
            "quality": str(event.quality),
            "evidence": msgspec.json.encode(event.evidence).decode(),
            "first_up": event.first_up,
            "late": late,
            "inferred": inferred,
            "after": "{}",
        }
        if known is not None:
            connection.execute(update(EVENT).where(this).values(**row))
            return min(event.time_ns, int(known.at_ns))
        connection.execute(EVENT.insert().values(key=key, id=event.id, **row))
        return event.time_ns

    def _conclude(self, connection: Connection, event: AlarmEvent, before: _Locked, since_ns: int, *, late: bool) -> Recorded:
        key = alarm_key(event.node, event.definition)
        definition = self._define(connection, key) or undeclared(event.definition, event.point)
        after = folding.refold(connection, event, since_ns, before.fold, latching=definition.latching)
        changed = after != before.fold
        view = AlarmView(key, event.node, event.point or definition.point, definition, after, before.version + 1) if changed else None
        announce = not late and after.state is State.UNACKNOWLEDGED and after.event == event.id
        return Recorded(view, duplicate=False, announce=announce)


def _audited(event: AlarmEvent, received_ns: int, *, late: bool) -> audit.Entry:
    what = {
        "event": event.id,
        "point": event.point,
        "at_ns": event.time_ns,
        "value": event.value,
        "quality": str(event.quality),
        "late": late,
    }
    return audit.Entry(received_ns, f"alarm.{event.transition.value}", event.node, alarm_key(event.node, event.definition), what)
