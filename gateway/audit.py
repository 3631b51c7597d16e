"""The audit: what happened and who did what, in the order in which it was written, each entry sealed by the hash of all before it.

An entry is written in the transaction of the change itself, so that neither is there without the other. Entries are never changed; whoever changes,
removes, adds or swaps one behind the gateway's back breaks the chain from there on. Cutting off its end and putting the head back is found by
whoever knows a later head: signed handovers keep one, and `muki gateway audit verify` prints it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, String, Table, Text, insert, select, update

from gateway.database import METADATA, reading

GENESIS = "0" * 64
SHELL = "shell"  # who: somebody who can write the gateway's files
GATEWAY = "muki"  # who: the gateway by itself
PIECE = 1000  # rows

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", String(64), nullable=False, index=True),
    Column("who", String(200), nullable=False, index=True),
    Column("subject", String(300), nullable=False, index=True),
    Column("what", Text, nullable=False),  # JSON, sorted keys
    Column("hash", String(64), nullable=False),
)
HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)


class Entry(NamedTuple):
    """``kind`` as `alarm.acknowledge`; ``subject`` is what it is about: an alarm's key, a node, a person."""

    at_ns: int
    kind: str
    who: str
    subject: str
    what: Mapping[str, Any]


class Sealed(NamedTuple):
    """An entry as it stands: ``what`` is the JSON that was hashed."""

    number: int
    at_ns: int
    kind: str
    who: str
    subject: str
    what: str
    hash: str


class Head(NamedTuple):
    number: int
    hash: str


class Verdict(NamedTuple):
    """``good`` entries stand unbroken from the first on; ``problem`` says what is wrong behind them, empty where nothing is."""

    good: int
    head: Head
    problem: str


def seal(before: str, number: int, entry: tuple[int, str, str, str, str]) -> str:
    """The hash of an entry: SHA-256 over the hash before it, its number and its five columns, as a JSON list (ASCII, no blanks)."""
    return hashlib.sha256(json.dumps([before, number, *entry], separators=(",", ":")).encode()).hexdigest()


def record(connection: Connection, *entries: Entry) -> None:
    """Adds entries in the caller's transaction, which must be one that writes."""
    if not entries:
        return
    head = connection.execute(select(HEAD.c.number, HEAD.c.hash).where(HEAD.c.id == 1).with_for_update()).one_or_none()
    if head is None:
        connection.execute(insert(HEAD).values(id=1, number=0, hash=GENESIS))
    number, before = (int(head.number), str(head.hash)) if head is not None else (0, GENESIS)
    rows = []
    for entry in entries:
        number += 1
        text = json.dumps(entry.what, sort_keys=True, separators=(",", ":"))
        sealed = (entry.at_ns, entry.kind, entry.who[:200], entry.subject[:300], text)
        before = seal(before, number, sealed)
        rows.append(Sealed(number, *sealed, before)._asdict())
    connection.execute(insert(AUDIT), rows)
    connection.execute(update(HEAD).where(HEAD.c.id == 1).values(number=number, hash=before))


def note(engine: Engine, *entries: Entry) -> None:
    """The same in a transaction of its own."""
    with engine.begin() as connection:
        record(connection, *entries)


def head(engine: Engine) -> Head:
    with reading(engine) as connection:
        row = connection.execute(select(HEAD.c.number, HEAD.c.hash).where(HEAD.c.id == 1)).one_or_none()
    return Head(int(row.number), str(row.hash)) if row is not None else Head(0, GENESIS)


def entries(
    engine: Engine, *, before: int | None = None, limit: int = 100, kind: str = "", who: str = "", subject: str = ""
) -> Sequence[Sealed]:
    """Newest first; ``kind`` is a beginning, ``who`` and ``subject`` are whole. Blocks."""
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(AUDIT.c.number < before)
    if kind:
        query = query.where(AUDIT.c.kind.startswith(kind, autoescape=True))
    if who:
        query = query.where(AUDIT.c.who == who)
    if subject:
        query = query.where(AUDIT.c.subject == subject)
    with reading(engine) as connection:
        return [Sealed(*row) for row in connection.execute(query)]


def every(engine: Engine, *, behind: int = 0) -> Iterator[Sealed]:
    """Oldest first, in pieces, from the entry that follows the number ``behind``."""
    last = behind
    while True:
        with reading(engine) as connection:
            rows = connection.execute(select(AUDIT).where(AUDIT.c.number > last).order_by(AUDIT.c.number).limit(PIECE)).all()
        yield from (Sealed(*row) for row in rows)
        if len(rows) < PIECE:
            return
        last = rows[-1].number


def verify(engine: Engine) -> Verdict:
    """Reads everything. Entries that are written meanwhile are looked at, too. Blocks."""
    before, good = GENESIS, 0
    for one in every(engine):
        if one.number != good + 1:
            return Verdict(good, head(engine), f"entry {good + 1} is missing: {one.number} comes next")
        if one.hash != seal(before, one.number, one[1:6]):
            return Verdict(
                good,
                head(engine),
                f"entry {one.number} ({one.kind}, {one.subject}) is not what was written, or one before it was taken out",
            )
        before, good = one.hash, one.number
    now = head(engine)
    if now.number < good or (now.number == good and now.hash != before):
        return Verdict(good, now, f"the head says {now.number} entries and another hash: it was put back, or entries were added by hand")
    newest = next(iter(entries(engine, limit=1)), None)
    if now.number and (newest is None or newest.number < now.number):
        return Verdict(good, now, f"the head says {now.number} entries: those behind {newest.number if newest else 0} were cut off")
    return Verdict(good, now, "")
