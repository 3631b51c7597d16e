"""What the gateway refused: said aloud on the reject topic, counted, and kept in SQL so that somebody can look at the payload."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, String, Table, Text, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from contract.frames import to_ms
from contract.messages import Reject, encode
from contract.topics import reject_topic
from gateway.database import METADATA, reading
from gateway.ledger import Entry, Ledger
from gateway.metrics import Metrics
from gateway.turns import Pace

log = logging.getLogger(__name__)

KEPT_BYTES = 64 << 10  # of a payload
KEPT_PER_NODE = 100  # rows
KEPT = 2_000  # rows of all nodes together: names of nodes can be invented
WAITING = 2_000  # refusals between the ingest and SQL
BURST = 10
PER_SECOND = 1.0
KEPT_BURST, KEPT_PER_SECOND = KEPT_PER_NODE, 10.0  # of a node: whoever floods fills its rows once, and does not hold the database

_REFUSED = Table(
    "refused",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("node", String(32), nullable=False, index=True),
    Column("topic", Text, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("place", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("boot", String(64), nullable=True),
    Column("seq", BigInteger, nullable=True),
    Column("payload", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
)


class Refused(NamedTuple):
    """A message or part of one that was refused. ``whole``: nothing of it was stored, so it is acknowledged lest it comes for ever."""

    node: str
    topic: str
    reason: str
    where: str
    detail: str
    received_ns: int
    payload: bytes
    boot: str | None = None
    seq: int | None = None
    whole: bool = False


@dataclass(slots=True)
class Throttle:
    """A token bucket: ``BURST`` at once, then ``PER_SECOND``. Counts what it held back."""

    tokens: float = BURST
    last_ns: int = 0
    held_back: int = 0

    def allow(self, now_ns: int) -> bool:
        self.tokens = min(float(BURST), self.tokens + max(0, now_ns - self.last_ns) / 1e9 * PER_SECOND)
        self.last_ns = now_ns
        if self.tokens < 1:
            self.held_back += 1
            return False
        self.tokens -= 1
        return True


class Rejects:
    """``refuse`` never blocks; ``run`` writes in a worker thread, commits to the ledger, and only then acknowledges."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        metrics: Metrics,
        *,
        site: str,
        publish: Callable[[str, bytes], None],
        acknowledge: Callable[[Entry], None],
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._metrics = metrics
        self._topic = reject_topic(site)
        self._publish = publish
        self.acknowledge = acknowledge
        self._waiting: deque[tuple[Refused, bool]] = deque()  # with whether its payload is kept
        self._pace = Pace(KEPT_BURST, KEPT_PER_SECOND)
        self._throttles: dict[str, Throttle] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def refuse(self, refused: Refused) -> None:
        self._metrics.rejects.labels(refused.reason).inc()
        self._say(refused)
        keep = self._pace.allows(refused.node, refused.received_ns)
        if not keep and _entry(refused) is None:
            return
        if len(self._waiting) < WAITING:
            self._waiting.append((refused, keep))
            self._idle.clear()
            self._wake.set()
        else:
            self._metrics.dropped.inc()

    def _say(self, refused: Refused) -> None:
        if len(self._throttles) > 10_000:  # invented names
            self._throttles.clear()
        throttle = self._throttles.setdefault(refused.node, Throttle())
        if not throttle.allow(refused.received_ns):
            self._metrics.rejects_unsaid.inc()
            return
        detail = refused.detail[:500]
        if throttle.held_back:
            detail += f" ({throttle.held_back} more of this node were refused and not published since the last one)"
            throttle.held_back = 0
        received = to_ms(refused.received_ns)
        message = Reject(refused.topic[:200], refused.reason, refused.where[:200], detail, received, refused.boot, refused.seq)
        self._publish(self._topic, encode(message))

    async def run(self) -> None:
        """Until cancelled. A database that takes nothing is tried again; what waits is bounded."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = list(self._waiting)[:200]
                try:
                    settled = await asyncio.to_thread(self._keep, batch)
                except SQLAlchemyError as error:
                    log.warning("refused messages cannot be kept now: %s", error)
                    await asyncio.sleep(1)
                    continue
                for _ in batch:
                    self._waiting.popleft()
                for entry in settled:
                    self.acknowledge(entry)
            self._idle.set()

    async def drained(self) -> None:
        await self._idle.wait()

    def _keep(self, batch: list[tuple[Refused, bool]]) -> list[Entry]:
        rows = [
            {
                "node": refused.node[:32],
                "topic": refused.topic[:1000],
                "reason": refused.reason,
                "place": refused.where[:500],
                "detail": refused.detail[:1000],
                "received_ns": refused.received_ns,
                "boot": refused.boot,
                "seq": refused.seq,
                "payload": refused.payload[:KEPT_BYTES],
                "size": len(refused.payload),
            }
            for refused, keep in batch
            if keep
        ]
        if rows:
            self._insert(rows)
        settled = [entry for refused, _ in batch if (entry := _entry(refused)) is not None]
        self._ledger.commit(settled)
        return settled

    def _insert(self, rows: Sequence[Mapping[str, object]]) -> None:
        with self._engine.begin() as connection:
            connection.execute(insert(_REFUSED), rows)
            for node in {str(row["node"]) for row in rows}:
                mine = _REFUSED.c.node == node
                oldest = select(_REFUSED.c.id).where(mine).order_by(_REFUSED.c.id.desc()).offset(KEPT_PER_NODE).limit(1)
                connection.execute(delete(_REFUSED).where(mine, _REFUSED.c.id <= oldest.scalar_subquery()))
            oldest = select(_REFUSED.c.id).order_by(_REFUSED.c.id.desc()).offset(KEPT).limit(1)
            connection.execute(delete(_REFUSED).where(_REFUSED.c.id <= oldest.scalar_subquery()))

    def recent(self, *, node: str | None = None, limit: int = 100) -> list[Refused]:
        """The newest refusals, newest first. Blocks."""
        query = select(_REFUSED).order_by(_REFUSED.c.id.desc()).limit(limit)
        if node is not None:
            query = query.where(_REFUSED.c.node == node)
        with reading(self._engine) as connection:
            return [
                Refused(
                    row["node"],
                    row["topic"],
                    row["reason"],
                    row["place"],
                    row["detail"],
                    row["received_ns"],
                    row["payload"],
                    row["boot"],
                    row["seq"],
                )
                for row in connection.execute(query).mappings()
            ]


def _entry(refused: Refused) -> Entry | None:
    """What its node must hear to stop sending it; None for a part of a message, or one without a number."""
    if not refused.whole or refused.boot is None or refused.seq is None:
        return None
    return Entry(refused.node, refused.boot, refused.seq)
