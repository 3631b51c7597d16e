"""What was sent to whom, and when: it outlives the process, so that nobody is called twice for the same, and everybody at least once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Float, String, Table, delete, insert, select

from gateway.database import METADATA, reading
from gateway.notify.due import Notice

KEPT_NS = 90 * 86_400 * 1_000_000_000

_SENT = Table(
    "notification",
    METADATA,
    Column("key", String(128), primary_key=True),
    Column("event", String(64), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("after", Float(53), primary_key=True),
    Column("sent_ns", BigInteger, nullable=False),
)


class Receipt(NamedTuple):
    notice: Notice
    sent_ns: int


class Receipts:
    """Every method blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sent(self, events: Sequence[str]) -> set[Notice]:
        """What went out for these events."""
        found: set[Notice] = set()
        with reading(self._engine) as connection:
            for start in range(0, len(events), 500):  # SQLite takes a bounded number of parameters
                chosen = _SENT.c.event.in_(events[start : start + 500])
                for row in connection.execute(select(_SENT).where(chosen)):
                    found.add(Notice(row.key, row.event, row.channel, row.after))
        return found

    def keep(self, notices: Iterable[Notice], *, now_ns: int) -> None:
        rows = [{**notice._asdict(), "sent_ns": now_ns} for notice in notices]
        with self._engine.begin() as connection:
            connection.execute(delete(_SENT).where(_SENT.c.sent_ns < now_ns - KEPT_NS))
            connection.execute(insert(_SENT), rows)

    def of(self, key: str) -> list[Receipt]:
        """Who was told of an alarm, newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_SENT).where(_SENT.c.key == key).order_by(_SENT.c.sent_ns.desc()).limit(200)).all()
        return [Receipt(Notice(row.key, row.event, row.channel, row.after), row.sent_ns) for row in rows]
