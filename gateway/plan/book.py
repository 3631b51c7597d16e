"""Which plan counts: the newest that somebody saved, else the configuration's. Every one that was saved stays, with a name."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, String, Table, Text, insert, select

from gateway import audit
from gateway.database import METADATA, reading
from gateway.plan.settings import Marker, PlanConfig, media_type

PLAN = Table(
    "site_plan",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("markers", Text, nullable=False),  # JSON
    Column("picture", String(64), nullable=False),  # SHA-256 of its file, empty for none
)


class Plan(NamedTuple):
    """``picture`` is the SHA-256 of the picture, empty for none; ``who`` empty for the configuration's."""

    markers: tuple[Marker, ...]
    picture: str
    at_ns: int = 0
    who: str = ""


class PlanBook:
    """Everything blocks."""

    def __init__(self, engine: Engine, folder: Path, config: PlanConfig) -> None:
        """``folder`` keeps the pictures."""
        self._engine = engine
        self._folder = folder
        self._config = config

    def now(self) -> Plan:
        query = select(PLAN).order_by(PLAN.c.id.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is not None:
            return Plan(tuple(Marker.model_validate(one) for one in json.loads(row.markers)), row.picture, row.at_ns, row.who)
        path = self._config.picture
        return Plan(tuple(self._config.markers), hashlib.sha256(path.read_bytes()).hexdigest() if path else "")

    def picture(self) -> tuple[bytes, str] | None:
        """The picture that counts, and its media type. Raises ValueError for one that was changed behind the gateway's back."""
        wanted = self.now().picture
        if not wanted:
            return None
        path = self._folder / wanted
        data = path.read_bytes() if path.is_file() else self._config.picture.read_bytes() if self._config.picture else b""
        if hashlib.sha256(data).hexdigest() != wanted:
            raise ValueError("the picture of the plan is missing or was changed")
        return data, media_type(data)

    def place(self, markers: Sequence[Marker], *, who: str, now_ns: int) -> Plan:
        """Puts the markers where they are now."""
        return self._save(Plan(tuple(markers), self.now().picture, now_ns, who))

    def draw(self, data: bytes, *, who: str, now_ns: int) -> Plan:
        """Takes another picture; the markers stay. Raises ValueError for what is none."""
        media_type(data)
        name = hashlib.sha256(data).hexdigest()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{name}.part"
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(self._folder / name)
        return self._save(Plan(self.now().markers, name, now_ns, who))

    def _save(self, plan: Plan) -> Plan:
        markers = [marker.model_dump() for marker in plan.markers]
        with self._engine.begin() as connection:
            row = {"at_ns": plan.at_ns, "who": plan.who, "markers": json.dumps(markers), "picture": plan.picture}
            connection.execute(insert(PLAN).values(row))
            what = {"markers": len(markers), "picture": plan.picture}
            audit.record(connection, audit.Entry(plan.at_ns, "site.plan", plan.who, "plan", what))
        return plan
