"""Gas tests before entry (D.S. 024-2016-EM art. 246 a): what was measured by hand, with what, by whom, and who was told. Added, never changed."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table, Text, insert, select

from gateway import audit
from gateway.database import METADATA, reading
from gateway.gas.clearance import within
from rules.exposure_limits import PE_ENTRY

REQUIRED = ("O2", "CO", "CO2", "NO2")  # art. 246 a, and others that may be there
TEST = Table(
    "gas_test",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("place", String(32), nullable=False, index=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("instrument", String(200), nullable=False),
    Column("calibrated", String(10), nullable=False),  # ISO date
    Column("readings", Text, nullable=False),  # JSON: gas -> value in the unit of its limit
    Column("told", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("fit", Integer, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON
)


class EntryTest(NamedTuple):
    """``readings`` in %vol for O2 and CH4, in ppm for the rest; ``told``: who was told the result; ``reasons`` why nobody may enter."""

    place: str
    at_ns: int
    who: str
    instrument: str
    calibrated: str
    readings: dict[str, float]
    told: str
    note: str
    fit: bool = False
    reasons: tuple[str, ...] = ()
    number: int = 0


def verdict(readings: Mapping[str, float]) -> list[str]:
    """Why nobody may enter, `missing:GAS` or `outside:GAS`; empty when the place may be entered. Pure. Raises ValueError for an unknown gas."""
    for gas in readings:
        if gas not in PE_ENTRY:
            raise ValueError(f"gas {gas!r}: write one of {', '.join(PE_ENTRY)}")
    missing = [f"missing:{gas}" for gas in REQUIRED if gas not in readings]
    return missing + [f"outside:{gas}" for gas, value in readings.items() if not within(value, PE_ENTRY[gas])]


def write(engine: Engine, test: EntryTest) -> EntryTest:
    """Keeps a test with its verdict. Blocks."""
    reasons = verdict(test.readings)
    test = test._replace(fit=not reasons, reasons=tuple(reasons))
    row = {**test._asdict(), "readings": json.dumps(test.readings), "reasons": json.dumps(reasons), "fit": int(test.fit)}
    del row["number"]
    with engine.begin() as connection:
        (number,) = connection.execute(insert(TEST).values(row)).inserted_primary_key or (0,)
        what = {"test": number, "readings": test.readings, "instrument": test.instrument, "fit": test.fit, "told": test.told}
        audit.record(connection, audit.Entry(test.at_ns, "gas.test", test.who, test.place, what))
    return test._replace(number=int(number))


def kept(engine: Engine, *, number: int | None = None, limit: int = 100) -> list[EntryTest]:
    """Newest first. Blocks."""
    query = select(TEST).order_by(TEST.c.id.desc()).limit(limit)
    if number is not None:
        query = query.where(TEST.c.id == number)
    with reading(engine) as connection:
        return [
            EntryTest(
                row.place,
                row.at_ns,
                row.who,
                row.instrument,
                row.calibrated,
                json.loads(row.readings),
                row.told,
                row.note,
                bool(row.fit),
                tuple(json.loads(row.reasons)),
                row.id,
            )
            for row in connection.execute(query)
        ]
