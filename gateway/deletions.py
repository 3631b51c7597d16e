"""Readings that somebody had deleted: who, why and what stays in the database, written before the first reading goes."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table, Text, insert, select, update

from gateway import audit
from gateway.database import METADATA, reading
from gateway.store import Series, TimeSeriesStore

_DELETION = Table(
    "deletion",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("node", String(32), nullable=False),
    Column("point", String(256), nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("end_ns", BigInteger, nullable=False),
    Column("readings", BigInteger, nullable=True),  # NULL: begun, and nobody knows how far it came
)


class Deletion(NamedTuple):
    """Times in Unix ns, the end outside; ``readings`` is None where the gateway stopped in between."""

    at_ns: int
    who: str
    reason: str
    node: str
    point: str
    start_ns: int
    end_ns: int
    readings: int | None


def delete(
    engine: Engine, store: TimeSeriesStore, series: Series, start_ns: int, end_ns: int, *, who: str, reason: str, now_ns: int
) -> Deletion:
    """Blocks. Raises StoreUnavailable; the record stays, without a number."""
    begun = Deletion(now_ns, who, reason, series.node, series.point, start_ns, end_ns, None)
    with engine.begin() as connection:
        (number,) = connection.execute(insert(_DELETION).values(begun._asdict())).inserted_primary_key or (0,)
        what = {"reason": reason, "start_ns": start_ns, "end_ns": end_ns}
        audit.record(connection, audit.Entry(now_ns, "readings.delete", who, f"{series.node}/{series.point}", what))
    readings = store.delete(series, start_ns, end_ns)
    with engine.begin() as connection:
        connection.execute(update(_DELETION).where(_DELETION.c.id == number).values(readings=readings))
    return begun._replace(readings=readings)


def deletions(engine: Engine, limit: int) -> list[Deletion]:
    """Newest first. Blocks."""
    columns = [_DELETION.c[name] for name in Deletion._fields]
    with reading(engine) as connection:
        return [Deletion(*row) for row in connection.execute(select(*columns).order_by(_DELETION.c.id.desc()).limit(limit))]
