"""What people say of an alarm's event afterwards: whether it was true, the work order that it led to. Added, never changed."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, String, Table, Text, insert, select

from contract.frames import to_ms
from gateway import audit
from gateway.alarms.tables import EVENT
from gateway.database import METADATA, reading

VERDICTS = ("true", "false", "nuisance", "test")
MOST = 500  # of one alarm that are read

REMARK = Table(
    "alarm_remark",
    METADATA,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("key", String(128), nullable=False),
    Column("event", String(64), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("verdict", String(16)),
    Column("work_order", Text, nullable=False),
    Column("note", Text, nullable=False),
)
Index("alarm_remark_by_key", REMARK.c.key, REMARK.c.at_ns)


class UnknownEvent(LookupError):
    """The alarm has no such event."""


class Remark(NamedTuple):
    """``verdict`` is one of VERDICTS or None; of one event the newest verdict counts. ``work_order``: its number or text, as the site writes it."""

    key: str
    event: str
    at_ns: int
    who: str
    verdict: str | None = None
    work_order: str = ""
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """For the API; ``at`` in Unix milliseconds."""
        plain: dict[str, object] = dict(self._asdict())
        plain["at"] = to_ms(self.at_ns)
        del plain["at_ns"]
        return plain


def add(connection: Connection, remark: Remark) -> None:
    """Within the caller's transaction, with its entry in the audit."""
    connection.execute(insert(REMARK).values(**remark._asdict()))
    what = {"event": remark.event, "verdict": remark.verdict, "work_order": remark.work_order, "note": remark.note}
    audit.record(connection, audit.Entry(remark.at_ns, "alarm.remark", remark.who, remark.key, what))


def write(engine: Engine, remark: Remark) -> None:
    """Blocks. Raises UnknownEvent."""
    with engine.begin() as connection:
        if connection.execute(select(EVENT.c.id).where(EVENT.c.key == remark.key, EVENT.c.id == remark.event)).first() is None:
            raise UnknownEvent(f"alarm {remark.key!r} has no event {remark.event!r}")
        add(connection, remark)


def of(engine: Engine, key: str) -> list[Remark]:
    """What was said of an alarm, the newest first, 500 at most. Blocks."""
    columns = [REMARK.c[name] for name in Remark._fields]
    with reading(engine) as connection:
        rows = connection.execute(select(*columns).where(REMARK.c.key == key).order_by(REMARK.c.id.desc()).limit(MOST)).all()
    return [Remark(*row) for row in rows]
