"""The link down for an hour of traffic: 3,600 polls taken while there is no broker.

When it is back, live values come first and the history completes behind them in order; what was raised and returned meanwhile is journaled
with its own times and never announced; what still stands is shown with the time at which it began.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest

from gateway.store import Series
from gateway.store.opening import open_store
from simulators.field.modbus_pdu import Counter, Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.processes import wait_for
from tests.rig.servers import Mosquitto
from tests.rig.site import SITE, Gateway, Node

EVERY = 0.02  # an hour of polls at 1 Hz passes in 72 s
OUTAGE = 3600  # polls
RAISED, RETURNED, STANDING = 600, 1200, 2400  # polls into the outage
LATE_AFTER = 5.0


class Level:
    """A level that follows the polls since the link went down."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.down_at: int | None = None

    def read(self) -> list[int]:
        if self.down_at is None:
            return [10]
        polls = len(self._counter.handed_out) - self.down_at
        return [80 if RAISED <= polls < RETURNED or polls >= STANDING else 10]


def node(folder: Path, broker: Mosquitto, slave: TcpSlave) -> Node:
    points = {
        "tank-1/counter": {"table": "holding", "register": 0, "type": "uint32", "unit": "1", "kind": "counter"},
        "tank-1/level": {"table": "holding", "register": 2, "type": "uint16", "unit": "%", "range": [0, 100]},
    }
    source = {"name": "plc", "type": "modbus", "tcp": slave.address, "every": EVERY, "timeout": 0.5, "units": {1: points}}
    alarm = {
        "id": "level-high",
        "point": "tank-1/level",
        "condition": {"kind": "above", "limit": 50},
        "priority": "high",
        "title": {"es": "Nivel alto", "en": "High level"},
    }
    return Node(folder, "tank-1", broker.port, sources=[source], alarms=[alarm], outbox={"flush_every": 0.25})


@asynccontextmanager
async def listening(gateway: Gateway, heard: list[dict[str, Any]]) -> AsyncIterator[None]:
    """Collects the alarm events that the page would be told of."""

    async def listen() -> None:
        async with httpx.AsyncClient(timeout=None) as client, client.stream("GET", f"{gateway.url}/api/v1/events") as answer:  # noqa: S113
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("data:") and kind == "alarm":
                    heard.append(json.loads(line.removeprefix("data:")))

    task = asyncio.create_task(listen(), name="sse")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def eavesdropping(broker: Mosquitto, frames: list[tuple[float, float]]) -> AsyncIterator[None]:
    """Collects (received, time of the reading) of each data frame with a counter, in the order of the wire; s."""

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe(f"muki/v1/{SITE}/tank-1/data")
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                for frame in json.loads(message.payload)["frames"]:
                    if "tank-1/counter" in frame.get("v", {}):
                        frames.append((time.time(), frame["t"] / 1000))

    task = asyncio.create_task(listen(), name="eavesdropper")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.long
@pytest.mark.timeout(420)
async def test_an_hour_without_the_link(tmp_path: Path) -> None:
    unit, counter = Unit(), Counter()
    counter.place(unit.holding, 0)
    level = Level(counter)
    unit.holding.compute(2, 1, level.read)
    heard: list[dict[str, Any]] = []
    frames: list[tuple[float, float]] = []
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        store = {"type": "duckdb", "path": "history.duckdb"}
        gateway = stack.enter_context(Gateway(tmp_path / "gateway", broker.port, store, late_after=LATE_AFTER))
        await asyncio.to_thread(gateway.wait_ready)
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        agent = stack.enter_context(node(tmp_path / "node", broker, slave))
        await asyncio.to_thread(wait_for, lambda: _latest(gateway) is not None, seconds=30, describe="live values", log=agent)

        broker.kill()
        level.down_at = len(counter.handed_out)
        down_ms = time.time() * 1000
        target = level.down_at + OUTAGE
        await asyncio.to_thread(wait_for, lambda: len(counter.handed_out) >= target, seconds=200, every=0.5, describe="the hour to pass")
        back = time.time()
        await stack.enter_async_context(listening(gateway, heard))
        broker.start()
        await stack.enter_async_context(eavesdropping(broker, frames))
        await asyncio.to_thread(wait_for, lambda: _complete(gateway, agent), seconds=120, every=0.5, describe="the history", log=gateway)
        history = (await asyncio.to_thread(gateway.get, "/api/v1/alarms/history", key="tank-1.level-high"))["entries"]
        standing = [alarm for alarm in await asyncio.to_thread(gateway.get, "/api/v1/alarms") if alarm["key"] == "tank-1.level-high"]
        agent.stop()
        gateway.stop()

    await asyncio.to_thread(_check_store, tmp_path / "gateway" / "history.duckdb", counter)
    _check_order(frames, back)
    transitions = [entry["what"] for entry in reversed(history)]
    assert transitions == ["active", "normal", "active"], history
    assert all(entry["late"] for entry in history)
    assert all(down_ms < entry["at"] < back * 1000 for entry in history), "history keeps its own times"
    assert [(alarm["state"], alarm["active"]) for alarm in standing] == [("unacknowledged", True)]
    assert standing[0]["since"] == history[0]["at"], "a standing alarm began when it began, not when we heard of it"
    news = [event for event in heard if event["key"] == "tank-1.level-high" and event["announce"]]
    assert news == [], "an old alarm was announced as new"


def _latest(gateway: Gateway) -> float | None:
    points = [point for point in gateway.get("/api/v1/points") if point["point"] == "tank-1/counter"]
    return points[0]["value"] if points else None


def _complete(gateway: Gateway, agent: Node) -> bool:
    lines = [line for line in gateway.get("/api/v1/ledger") if line["node"] == "tank-1"]
    return (
        len(lines) == 1
        and lines[0]["missing"] == 0
        and lines[0]["last"] >= agent.last_seq() - 20
        and lines[0]["last"] > OUTAGE * EVERY / 0.25
    )


def _check_store(path: Path, counter: Counter) -> None:
    store = open_store("duckdb", {"path": str(path)})
    try:
        samples = store.raw(Series("tank-1", "tank-1/counter"), 0, time.time_ns(), limit=20_000)
    finally:
        store.close()
    stored = [int(sample.value) for sample in samples if sample.value is not None]
    given = [number for number, _ in counter.handed_out]
    unread = set(given) - set(stored)
    assert stored == sorted(set(stored)), "stored once each, in the order of their times"
    assert unread <= set(given[-30:]), f"lost in the outage: {sorted(unread)[:10]}"  # the last polls before the agent was stopped


def _check_order(frames: list[tuple[float, float]], back: float) -> None:
    live = [at for at, (_, taken) in enumerate(frames) if taken >= back]
    old = [at for at, (_, taken) in enumerate(frames) if taken < back - 1]
    assert len(live) > 60
    assert len(old) >= OUTAGE * 0.9, "the eavesdropper heard the history"
    assert live[0] < old[0] + 60, "live values come first"
    half = old[len(old) // 2]
    heard_live = max(taken for received, taken in frames[:half])
    assert frames[half][0] - heard_live < 2.0, "live values go on while the history is sent"
    times = [frames[at][1] for at in old]
    assert sum(later < earlier for earlier, later in pairwise(times)) <= len(times) * 0.02, "history comes in order"
