"""Evidence: pictures of alarm events, received, kept for the site's term, seen and judged by people whose name stands beside it."""

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, Row, String, Table, Text, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway import audit
from gateway.alarms import remarks
from gateway.alarms.remarks import VERDICTS
from gateway.alarms.tables import EVENT
from gateway.database import METADATA, reading
from gateway.metrics import Metrics

log = logging.getLogger(__name__)

LARGEST = 256 << 10  # bytes
WAITING = 64  # pictures in memory: 16 MiB
MIN_FREE = 256 << 20  # bytes of the disk that are left to the journal
_EXPIRE_EVERY = 3600.0  # s
_DAY_NS = 86_400_000_000_000
_LONGEST_SIDE = 8192  # pixels
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, ITU-T T.81 table B.1
_GATEWAY = "gateway"

EVIDENCE = Table(
    "evidence",
    METADATA,
    Column("node", String(32), primary_key=True),
    Column("event", String(64), primary_key=True),
    Column("received_ns", BigInteger, nullable=False, index=True),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("deleted_ns", BigInteger),
    Column("verdict", String(16)),
    Column("note", Text),
    Column("reviewed_by", String(200)),
    Column("reviewed_ns", BigInteger),
)

# Who looked, who judged, what was deleted. Rows are added, never removed.
EVIDENCE_LOG = Table(
    "evidence_log",
    METADATA,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("node", String(32), nullable=False),
    Column("event", String(64), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("act", String(16), nullable=False),  # viewed, deleted, or the verdict
    Column("who", String(200), nullable=False),
    Column("note", Text, nullable=False),
)


class Picture(NamedTuple):
    node: str
    event: str
    received_ns: int
    data: bytes


class Act(NamedTuple):
    """A line of the log."""

    what: str
    who: str
    note: str = ""


class UnknownEvidence(KeyError):
    """There is no such picture, or it is deleted."""


def check_jpeg(data: bytes) -> None:
    """Raises ValueError that says why these bytes are no whole JPEG of a usable size. Nothing is decoded: a decoder is what an attacker is after."""
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes: a picture has at most {LARGEST}")
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("it does not begin as a JPEG does (FF D8)")
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("it does not end as a JPEG does (FF D9): it is cut off")
    at, framed = 2, False
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or length < 2:
            break
        if marker == 0xDA:
            if framed:
                return
            break
        if marker in _FRAMES:
            height, width = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if not (1 <= width <= _LONGEST_SIDE and 1 <= height <= _LONGEST_SIDE):
                raise ValueError(f"{width} x {height} pixels: a side has 1 to {_LONGEST_SIDE}")
            framed = True
        at += 2 + length
    raise ValueError("its segments are broken: no frame and scan follow the first bytes")


class Evidence:
    """`offer`, `run` belong to the event loop; the other methods block: call them in a worker thread."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        metrics: Metrics,
        *,
        days: float,
        acknowledge: Callable[[str, str], None],
        refused: Callable[[Picture, str], None],
    ) -> None:
        """``acknowledge`` (node, event) and ``refused`` (picture, why) are called on the event loop."""
        self._engine = engine
        self._folder = folder
        self._metrics = metrics
        self._days = days
        self._acknowledge = acknowledge
        self._refused = refused
        self._queue: asyncio.Queue[Picture] = asyncio.Queue(WAITING)

    def offer(self, picture: Picture) -> None:
        """Never blocks. What is no picture is refused; what finds no room is dropped, and the node sends it again."""
        try:
            check_jpeg(picture.data)
        except ValueError as error:
            self._metrics.evidence.labels("refused").inc()
            self._refused(picture, str(error))
            return
        try:
            self._queue.put_nowait(picture)
        except asyncio.QueueFull:
            self._metrics.dropped.inc()

    async def run(self) -> None:
        expired = float("-inf")
        while True:
            if time.monotonic() - expired > _EXPIRE_EVERY:
                expired = time.monotonic()
                try:
                    await asyncio.to_thread(self.expire, time.time_ns())
                except (OSError, SQLAlchemyError) as error:
                    log.warning("old evidence cannot be deleted now: %s", error)
            with contextlib.suppress(TimeoutError):
                picture = await asyncio.wait_for(self._queue.get(), 60)
                try:
                    outcome = await asyncio.to_thread(self.keep, picture)
                except (OSError, SQLAlchemyError) as error:
                    log.warning("evidence of %s/%s is not kept now, the node sends it again: %s", picture.node, picture.event, error)
                    outcome = "failed"
                self._metrics.evidence.labels(outcome).inc()
                if outcome in {"kept", "duplicate"}:
                    self._acknowledge(picture.node, picture.event)

    def keep(self, picture: Picture) -> str:
        """``kept``, ``duplicate``, ``unknown_event`` (its event may still be on the way: not acknowledged) or ``no_room``."""
        node, event = picture.node, picture.event
        with reading(self._engine) as connection:
            if connection.execute(select(EVIDENCE.c.node).where(EVIDENCE.c.node == node, EVIDENCE.c.event == event)).first():
                return "duplicate"
            if not connection.execute(select(EVENT.c.id).where(EVENT.c.node == node, EVENT.c.id == event)).first():
                return "unknown_event"
        file = self._file(node, event)
        file.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(file.parent).free < MIN_FREE + len(picture.data):
            log.error("evidence of %s/%s is not kept: the disk has less than %d bytes left", node, event, MIN_FREE)
            return "no_room"
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            out.write(picture.data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
        row = {"received_ns": picture.received_ns, "size": len(picture.data), "sha256": hashlib.sha256(picture.data).hexdigest()}
        with self._engine.begin() as connection:
            connection.execute(insert(EVIDENCE).values(node=node, event=event, **row))
            what = {"sha256": row["sha256"], "size": row["size"]}
            audit.record(connection, audit.Entry(picture.received_ns, "evidence.kept", node, f"{node}/{event}", what))
        return "kept"

    def expire(self, now_ns: int) -> int:
        """Deletes what is older than the term, each with a line in the log; how many."""
        old = EVIDENCE.c.received_ns < now_ns - int(self._days * _DAY_NS)
        with reading(self._engine) as connection:
            rows = connection.execute(select(EVIDENCE.c.node, EVIDENCE.c.event).where(EVIDENCE.c.deleted_ns.is_(None), old)).all()
        for node, event in rows:
            self._file(node, event).unlink(missing_ok=True)
            with self._engine.begin() as connection:
                connection.execute(update(EVIDENCE).where(EVIDENCE.c.node == node, EVIDENCE.c.event == event).values(deleted_ns=now_ns))
                _log(connection, (node, event), now_ns, Act("deleted", _GATEWAY, f"older than {self._days:g} days"))
        return len(rows)

    def pictures(self, *, unreviewed: bool, limit: int, key: str | None = None) -> list[dict[str, Any]]:
        """Pictures with their events, the newest first; of one alarm with ``key``."""
        joined = EVIDENCE.join(EVENT, (EVIDENCE.c.node == EVENT.c.node) & (EVIDENCE.c.event == EVENT.c.id))
        query = select(EVIDENCE, EVENT.c.definition, EVENT.c.point, EVENT.c.at_ns, EVENT.c.value).select_from(joined)
        if unreviewed:
            query = query.where(EVIDENCE.c.verdict.is_(None), EVIDENCE.c.deleted_ns.is_(None))
        if key is not None:
            query = query.where(EVENT.c.key == key)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(EVENT.c.at_ns.desc(), EVIDENCE.c.event).limit(limit)).mappings().all()
        return [dict(row) for row in rows]

    def figures(self, days: float, *, now_ns: int) -> list[dict[str, Any]]:
        """Of each camera (the first part of the point) in the last days: pictures by verdict, and false ones a day.

        A camera counts from its first picture on, so that one of yesterday is not judged by a month.
        """
        since_ns = now_ns - int(days * _DAY_NS)
        joined = EVIDENCE.join(EVENT, (EVIDENCE.c.node == EVENT.c.node) & (EVIDENCE.c.event == EVENT.c.id))
        query = select(EVIDENCE.c.node, EVENT.c.point, EVENT.c.at_ns, EVIDENCE.c.verdict).select_from(joined)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(EVENT.c.at_ns)).all()
        cameras: dict[tuple[str, str], dict[str, Any]] = {}
        for node, point, at_ns, verdict in rows:
            camera = point.partition("/")[0]
            watched = min(days, max(1.0, (now_ns - at_ns) / _DAY_NS))
            empty = {"node": node, "camera": camera, "days": watched, **dict.fromkeys((*VERDICTS, "unreviewed"), 0)}
            counted = cameras.setdefault((node, camera), empty)
            if at_ns >= since_ns:
                counted[verdict or "unreviewed"] += 1
        for counted in cameras.values():
            counted["false_per_day"] = (counted["false"] + counted["nuisance"]) / counted["days"]
        return list(cameras.values())

    def of_alarm(self, key: str, limit: int) -> list[tuple[str, str]]:
        """(node, event) of the alarm's pictures that are still there, newest first."""
        joined = EVIDENCE.join(EVENT, (EVIDENCE.c.node == EVENT.c.node) & (EVIDENCE.c.event == EVENT.c.id))
        query = select(EVIDENCE.c.node, EVIDENCE.c.event).select_from(joined).where(EVENT.c.key == key, EVIDENCE.c.deleted_ns.is_(None))
        with reading(self._engine) as connection:
            return [(row.node, row.event) for row in connection.execute(query.order_by(EVENT.c.at_ns.desc()).limit(limit))]

    def view(self, node: str, event: str, *, who: str, now_ns: int) -> bytes:
        """The picture; that somebody saw it is in the log before they do. Raises UnknownEvidence."""
        with self._engine.begin() as connection:
            row = self._row(connection, node, event)
            _log(connection, (node, event), now_ns, Act("viewed", who))
        data = self._file(node, event).read_bytes() if self._file(node, event).is_file() else b""
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise UnknownEvidence(f"{node}/{event}: the file is missing or was changed")
        return data

    def judge(self, node: str, event: str, verdict: str, *, who: str, note: str, now_ns: int) -> None:
        """Raises UnknownEvidence. A later verdict replaces the earlier, which stays in the log."""
        with self._engine.begin() as connection:
            self._row(connection, node, event)
            said = {"verdict": verdict, "note": note, "reviewed_by": who, "reviewed_ns": now_ns}
            connection.execute(update(EVIDENCE).where(EVIDENCE.c.node == node, EVIDENCE.c.event == event).values(**said))
            _log(connection, (node, event), now_ns, Act(verdict, who, note))
            for key in connection.execute(select(EVENT.c.key).where(EVENT.c.node == node, EVENT.c.id == event)).scalars().all():
                remarks.add(connection, remarks.Remark(key, event, now_ns, who, verdict, note=note))

    def _row(self, connection: Connection, node: str, event: str) -> Row[Any]:
        row = connection.execute(select(EVIDENCE).where(EVIDENCE.c.node == node, EVIDENCE.c.event == event)).one_or_none()
        if row is None or row.deleted_ns is not None:
            raise UnknownEvidence(f"{node}/{event}: " + ("there is no such picture" if row is None else "deleted at the end of its term"))
        return row

    def _file(self, node: str, event: str) -> Path:
        return self._folder / node / f"{event}.jpg"  # both as the topic's grammar lets them be: no dot, no slash


def _log(connection: Connection, which: tuple[str, str], at_ns: int, act: Act) -> None:
    row = {"node": which[0], "event": which[1], "at_ns": at_ns, "act": act.what, "who": act.who, "note": act.note}
    connection.execute(insert(EVIDENCE_LOG).values(**row))
    audit.record(connection, audit.Entry(at_ns, f"evidence.{act.what}", act.who, f"{which[0]}/{which[1]}", {"note": act.note}))
