"""Rejects: said at a bounded rate, kept in a bounded table, and acknowledged when nothing of the message is left to send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.database import open_database
from gateway.ledger import Entry, Ledger
from gateway.metrics import Metrics
from gateway.rejects import BURST, KEPT, KEPT_BYTES, KEPT_PER_NODE, Refused, Rejects

SECOND = 1_000_000_000
NOW = 1_763_870_400 * SECOND


class Running:
    def __init__(self, tmp_path: Path) -> None:
        self.engine = open_database(f"sqlite:///{tmp_path / 'rejects.db'}")
        self.ledger = Ledger(self.engine)
        self.metrics = Metrics()
        self.said: list[dict[str, Any]] = []
        self.acked: list[Entry] = []
        self.rejects = Rejects(
            self.engine,
            self.ledger,
            self.metrics,
            site="test",
            publish=lambda _, payload: self.said.append(json.loads(payload)),
            acknowledge=self.acked.append,
        )


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    one = Running(tmp_path)
    task = asyncio.create_task(one.rejects.run(), name="rejects")
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.engine.dispose()


def refused(index: int = 1, *, node: str = "pump-3", at_ns: int = NOW, payload: bytes = b"{", whole: bool = True) -> Refused:
    return Refused(node, f"muki/v1/test/{node}/data", "malformed", "byte 1", "not JSON", at_ns, payload, "b1", index, whole)


async def test_a_flood_is_said_at_a_bounded_rate_with_the_number_held_back(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        for index in range(1, 101):
            one.rejects.refuse(refused(index))
        one.rejects.refuse(refused(1, node="fan-1"))
        assert [reject["topic"].split("/")[3] for reject in one.said] == ["pump-3"] * BURST + ["fan-1"]
        one.rejects.refuse(refused(101, at_ns=NOW + 5 * SECOND))
        assert f"{100 - BURST} more of this node" in one.said[-1]["detail"]
        value = one.metrics.registry.get_sample_value
        assert value("muki_rejects_total", {"reason": "malformed"}) == 102
        assert value("muki_rejects_unsaid_total") == 100 - BURST
        await one.rejects.drained()


async def test_what_was_refused_as_a_whole_is_settled(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        one.rejects.refuse(refused(7))
        one.rejects.refuse(refused(8, whole=False))
        one.rejects.refuse(Refused("pump-3", "t", "malformed", "", "", NOW, b"", None, None, whole=True))
        await one.rejects.drained()
        assert one.acked == [Entry("pump-3", "b1", 7)]
        assert one.ledger.ranges("pump-3", "b1") == [(7, 7)]


async def test_a_flood_fills_its_rows_once_and_is_settled_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        for index in range(1, 1001):
            one.rejects.refuse(refused(index))
        await one.rejects.drained()
        assert one.ledger.ranges("pump-3", "b1") == [(1, 1000)]
        assert len(one.acked) == 1000
        assert [row.seq for row in one.rejects.recent(limit=1000)] == list(range(KEPT_PER_NODE, 0, -1))


async def test_the_table_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        for index in range(1, KEPT_PER_NODE + 51):  # one a second: faster ones are counted and settled, and their payload is not kept
            one.rejects.refuse(refused(index)._replace(received_ns=NOW + index * 1_000_000_000))
        one.rejects.refuse(refused(1, node="fan-1", payload=b"x" * (KEPT_BYTES + 1)))
        await one.rejects.drained()
        mine = one.rejects.recent(node="pump-3", limit=1000)
        assert [row.seq for row in mine] == list(range(KEPT_PER_NODE + 50, 50, -1))
        (other,) = one.rejects.recent(node="fan-1")
        assert len(other.payload) == KEPT_BYTES
        for index in range(KEPT + 100):
            one.rejects.refuse(refused(1, node=f"n{index}"))
            if index % 1000 == 999:
                await one.rejects.drained()
        await one.rejects.drained()
        assert len(one.rejects.recent(limit=10 * KEPT)) == KEPT
