"""The history of alarms, newest first, in pages."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, select, tuple_

from contract.alarms import AlarmDefinition, State
from gateway.alarms.lifecycle import Fold
from gateway.alarms.search import folded, hold
from gateway.alarms.tables import ACTION, DEFINITION, EVENT, STATE
from gateway.alarms.view import Entry, undeclared
from gateway.database import reading

MAX_PAGE = 1000
MOST_LOOKED_AT = 20_000  # entries that one search goes through; its cursor leads on from there
_definition = msgspec.json.Decoder(AlarmDefinition)
_fold = msgspec.json.Decoder(Fold)
_strings = msgspec.json.Decoder(tuple[str, ...])
_CURSOR = re.compile(r"(?P<at>[0-9]{1,18}|[1-8][0-9]{18})~(?P<rank>[01])~(?P<id>[^~]{1,64})~(?P<key>.{1,128})")
_Place = tuple[int, int, str | int, str]  # time, 0 event or 1 action, id, key


class Found(NamedTuple):
    """Entries that hold the words; ``next`` is the cursor behind all that was looked at, None at the end of the history."""

    entries: list[Entry]
    next: str | None


class HistoryReader:
    """Reads events and actions as one line of time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, *, key: str | None, node: str | None, before: str | None, limit: int) -> list[Entry]:
        """The newest ``limit`` (1 to 1,000) entries behind the cursor. Raises ValueError for a cursor or limit that is none."""
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit {limit}: write 1 to {MAX_PAGE}")
        place = _parse(before) if before else None
        with reading(self._engine) as connection:
            rows = [
                *_page(connection, EVENT, _behind_events(place), key=key, node=node, limit=limit),
                *_page(connection, ACTION, _behind_actions(place), key=key, node=node, limit=limit),
            ]
            rows = sorted(rows, key=_place, reverse=True)[:limit]
            keys = {row.key for row in rows}
            bodies = connection.execute(select(DEFINITION.c.key, DEFINITION.c.body).where(DEFINITION.c.key.in_(keys)))
            definitions = {row.key: _definition.decode(row.body) for row in bodies}
            points = connection.execute(select(STATE.c.key, STATE.c.point).where(STATE.c.key.in_(keys)))
            point_of = {row.key: row.point for row in points}
        return [_entry(row, definitions.get(row.key), point_of.get(row.key, "")) for row in rows]

    def search(self, wanted: Sequence[str], *, key: str | None, node: str | None, before: str | None, limit: int) -> Found:
        """The newest entries behind the cursor that hold every word in title, point, node, definition, name or note. Bounded: see ``next``."""
        found: list[Entry] = []
        for _ in range(MOST_LOOKED_AT // MAX_PAGE):
            page = self.read(key=key, node=node, before=before, limit=MAX_PAGE)
            for entry in page:
                before = entry.cursor
                if hold(wanted, _texts(entry)):
                    found.append(entry)
                    if len(found) == limit:
                        return Found(found, before)
            if len(page) < MAX_PAGE:
                return Found(found, None)
        return Found(found, before)


def _texts(entry: Entry) -> Iterator[str]:
    yield from map(folded, entry.title.values())
    yield from map(folded, (entry.point, entry.node, entry.definition, entry.who or "", entry.note))


def _page(
    connection: Connection, table: Table, behind: ColumnElement[bool] | None, *, key: str | None, node: str | None, limit: int
) -> list[Row[Any]]:
    query = select(table).order_by(table.c.at_ns.desc(), table.c.id.desc(), table.c.key.desc()).limit(limit)
    if behind is not None:
        query = query.where(behind)
    if key is not None:
        query = query.where(table.c.key == key)
    if node is not None:
        query = query.where(table.c.node == node)
    return list(connection.execute(query).all())


def _behind_events(place: _Place | None) -> ColumnElement[bool] | None:
    if place is None:
        return None
    at_ns, rank, tie, key = place
    if rank == 1:  # an action: all events of its instant are behind it
        return EVENT.c.at_ns <= at_ns
    return tuple_(EVENT.c.at_ns, EVENT.c.id, EVENT.c.key) < tuple_(at_ns, tie, key)


def _behind_actions(place: _Place | None) -> ColumnElement[bool] | None:
    if place is None:
        return None
    at_ns, rank, tie, _ = place
    if rank == 0:
        return ACTION.c.at_ns < at_ns
    return tuple_(ACTION.c.at_ns, ACTION.c.id) < tuple_(at_ns, tie)


def _place(row: Row[Any]) -> _Place:
    return (row.at_ns, 0 if "transition" in row._fields else 1, row.id, row.key)


def _cursor(place: _Place) -> str:
    return "~".join(str(part) for part in place)


def _parse(cursor: str) -> _Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None or (match["rank"] == "1" and not match["id"].isdecimal()):
        raise ValueError(f"cursor {cursor!r}: give the cursor of an entry of the page before")
    rank = int(match["rank"])
    return (int(match["at"]), rank, int(match["id"]) if rank else match["id"], match["key"])


def _entry(row: Row[Any], definition: AlarmDefinition | None, point: str) -> Entry:
    declared = definition or undeclared(row.definition, point)
    common = (row.key, row.node, row.definition)
    state: State = _fold.decode(row.after).state
    means = (declared.title, declared.priority, declared.signal_class)
    cursor = _cursor(_place(row))
    if "transition" in row._fields:
        return Entry(
            cursor,
            *common,
            row.point or point,
            row.at_ns,
            row.received_ns,
            row.transition,
            state,
            *means,
            value=row.value,
            quality=row.quality,
            late=row.late,
            event=row.id,
            evidence=_strings.decode(row.evidence),
            shadow=declared.shadow,
        )
    return Entry(
        cursor,
        *common,
        point,
        row.at_ns,
        row.done_ns,
        row.trigger,
        state,
        *means,
        who=row.who,
        note=row.note,
        until_ns=row.until_ns,
        shadow=declared.shadow,
    )
