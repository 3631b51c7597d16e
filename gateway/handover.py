"""The shift's own book: notes that operators write, and handovers that two of them signed. Rows are added, never changed."""

import hashlib
import json
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table, Text, insert, select

from gateway import audit
from gateway.database import METADATA, reading

_NOTE = Table(
    "shift_note",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False, index=True),
    Column("who", String(200), nullable=False),
    Column("text", Text, nullable=False),
)
_HANDOVER = Table(
    "shift_handover",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("start_ns", BigInteger, nullable=False, index=True),
    Column("end_ns", BigInteger, nullable=False),
    Column("outgoing", String(200), nullable=False),
    Column("incoming", String(200), nullable=False),
    Column("report", Text, nullable=False),  # JSON, as it was when it was signed
    Column("sha256", String(64), nullable=False),
)


class Note(NamedTuple):
    at_ns: int
    who: str
    text: str


class Handover(NamedTuple):
    """``sha256`` is of ``report``, JSON as UTF-8."""

    number: int
    at_ns: int
    start_ns: int
    end_ns: int
    outgoing: str
    incoming: str
    report: str
    sha256: str

    @property
    def untouched(self) -> bool:
        """Whether the report is the one that was signed."""
        return hashlib.sha256(self.report.encode()).hexdigest() == self.sha256


def write_note(engine: Engine, note: Note) -> None:
    """Durable on return. Blocks."""
    with engine.begin() as connection:
        connection.execute(insert(_NOTE).values(note._asdict()))
        audit.record(connection, audit.Entry(note.at_ns, "shift.note", note.who, "shift", {"text": note.text}))


def notes(engine: Engine, start_ns: int, end_ns: int, limit: int = 1000) -> list[Note]:
    """Oldest first. Blocks."""
    query = select(_NOTE.c.at_ns, _NOTE.c.who, _NOTE.c.text).where(_NOTE.c.at_ns >= start_ns, _NOTE.c.at_ns < end_ns)
    with reading(engine) as connection:
        return [Note(*row) for row in connection.execute(query.order_by(_NOTE.c.at_ns, _NOTE.c.id).limit(limit))]


def sign(engine: Engine, report: dict[str, Any], *, start_ns: int, end_ns: int, outgoing: str, incoming: str, now_ns: int) -> Handover:
    """Keeps the report as it is. Blocks. Raises ValueError where one person signs for both."""
    if outgoing.strip().casefold() == incoming.strip().casefold():
        raise ValueError("the one who leaves and the one who takes over are two people")
    text = json.dumps(report, ensure_ascii=False, sort_keys=True)
    row = {
        "at_ns": now_ns,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "outgoing": outgoing.strip(),
        "incoming": incoming.strip(),
        "report": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    with engine.begin() as connection:
        (number,) = connection.execute(insert(_HANDOVER).values(row)).inserted_primary_key or (0,)
        what = {"incoming": row["incoming"], "start_ns": start_ns, "sha256": row["sha256"]}
        audit.record(connection, audit.Entry(now_ns, "shift.sign", outgoing.strip(), "shift", what))
    return Handover(number, *row.values())  # type: ignore[arg-type]  # in the order of the fields


def handovers(engine: Engine, *, number: int | None = None, limit: int = 50) -> list[Handover]:
    """Newest first, or the one of that number. Blocks."""
    query = select(_HANDOVER.c.id, *(_HANDOVER.c[name] for name in Handover._fields[1:])).order_by(_HANDOVER.c.id.desc()).limit(limit)
    if number is not None:
        query = query.where(_HANDOVER.c.id == number)
    with reading(engine) as connection:
        return [Handover(*row) for row in connection.execute(query)]
