"""Re-entry after a blast: a clock that begins with it and ends by measured gas only, never by time. And who said that people may go back."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Index, Integer, String, Table, Text, insert, select, update

from gateway import audit
from gateway.database import METADATA, reading
from gateway.store import Sample
from rules.exposure_limits import Breathable

BLAST = Table(
    "gas_blast",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("place", String(32), nullable=False),
    Column("at_ns", BigInteger, nullable=False),  # of the blast
    Column("who", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("opened_ns", BigInteger),  # somebody let people in again
    Column("opened_by", String(200)),
    Column("measured", Text),  # JSON: what the heads said then
)
Index("gas_blast_by_place", BLAST.c.place, BLAST.c.at_ns)


class Blast(NamedTuple):
    """``measured`` is empty until somebody opened the place again."""

    number: int
    place: str
    at_ns: int
    who: str
    note: str
    opened_ns: int | None = None
    opened_by: str | None = None
    measured: tuple[dict[str, Any], ...] = ()


class NotClear(Exception):
    """The place may not be opened; ``reasons`` by head."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = list(reasons)


def judge(samples: Sequence[Sample], limit: Breathable, *, start_ns: int, now_ns: int, longest_gap_ns: int) -> str:
    """Of one head since ``start_ns``: ``clear``, or why not: ``no_data``, ``bad`` (a doubtful reading is one), ``outside``, ``gap`` or ``too_soon``.

    ``samples`` are all readings of the range, oldest first.
    """
    if now_ns <= start_ns:
        return "too_soon"
    if not samples:
        return "no_data"
    if any(sample.value is None or sample.quality != "good" for sample in samples):
        return "bad"
    if any(not within(sample.value, limit) for sample in samples if sample.value is not None):
        return "outside"
    times = [start_ns, *(sample.time_ns for sample in samples), now_ns]
    if any(after - before > longest_gap_ns for before, after in pairwise(times)):
        return "gap"
    return "clear"


def within(value: float, limit: Breathable) -> bool:
    return (limit.least is None or value >= limit.least) and (limit.most is None or value <= limit.most)


def fired(engine: Engine, place: str, *, at_ns: int, who: str, note: str, now_ns: int) -> int:
    """Notes a blast; its number. Blocks."""
    with engine.begin() as connection:
        done = connection.execute(insert(BLAST).values(place=place, at_ns=at_ns, who=who, note=note))
        (number,) = done.inserted_primary_key or (0,)
        audit.record(connection, audit.Entry(now_ns, "gas.blast", who, place, {"blast": number, "at_ns": at_ns, "note": note}))
    return int(number)


def opened(engine: Engine, number: int, *, who: str, note: str, measured: Sequence[dict[str, Any]], now_ns: int) -> bool:
    """People may go back: who says so, with what was measured. False where somebody was faster. Blocks."""
    with engine.begin() as connection:
        values = {"opened_ns": now_ns, "opened_by": who, "measured": json.dumps(list(measured))}
        done = connection.execute(update(BLAST).where(BLAST.c.id == number, BLAST.c.opened_ns.is_(None)).values(**values))
        if done.rowcount == 0:
            return False
        audit.record(connection, audit.Entry(now_ns, "gas.reentry", who, str(number), {"note": note, "measured": list(measured)}))
    return True


def blasts(engine: Engine, *, waiting: bool = False, number: int | None = None, limit: int = 100) -> list[Blast]:
    """Newest first; only those whose place nobody has opened with ``waiting``. Blocks."""
    query = select(BLAST).order_by(BLAST.c.at_ns.desc(), BLAST.c.id.desc()).limit(limit)
    if waiting:
        query = query.where(BLAST.c.opened_ns.is_(None))
    if number is not None:
        query = query.where(BLAST.c.id == number)
    with reading(engine) as connection:
        return [
            Blast(
                row.id,
                row.place,
                row.at_ns,
                row.who,
                row.note,
                row.opened_ns,
                row.opened_by,
                tuple(json.loads(row.measured)) if row.measured else (),
            )
            for row in connection.execute(query)
        ]
