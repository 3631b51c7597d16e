"""Nothing lost: the agent, the gateway, a real Mosquitto and a real InfluxDB are killed in turn, thirty times, at random moments under load.

The mine is a Modbus slave that hands out each number once and keeps a list of what it handed out. A number that is missing in the store
must have been on its way between the wire and the agent's outbox at the very moment the agent was killed, or the agent must have stored that
it got no answer in time; everything that a look into the killed agent's outbox shows, and everything else, must be there once. Beside it, a
fleet that implements the contract by code of its own keeps a list of what was acknowledged, and the store must hold just that. The alarm
events must be just those that the stored readings imply.
"""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.store import Series, TimeSeriesStore
from gateway.store.opening import open_store
from simulators.field.modbus_pdu import Counter, FaultKind, Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.processes import MUKI, Child, wait_for
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import SITE, Gateway, Node

KILLS = 30  # of all together
EVERY = 0.05  # seconds between two polls
FLUSH = 0.25  # seconds that a reading may wait in the agent's memory
SLACK = 0.75  # seconds that a busy machine may add to it
TIMEOUT = 0.5  # seconds after which the agent gives an answer up
RESTART = 0.5  # seconds that a killed agent needs at the least before it polls again
LIMIT = 50.0
HALF_PERIOD = 12  # polls between two transitions of the alarm
FILLERS = 20  # further points in each reading: load


class Kill(NamedTuple):
    what: str
    time_ns: int


def mine() -> tuple[Unit, Counter]:
    """A slave whose level follows its counter, so that one can be checked against the other."""
    unit, counter = Unit(), Counter()
    counter.place(unit.holding, 0)
    unit.holding.compute(2, 1, lambda: [level(len(counter.handed_out))])
    unit.holding.put(3, *range(100, 100 + FILLERS))
    return unit, counter


def level(number: int) -> int:
    return 80 if number // HALF_PERIOD % 2 else 10


def node(folder: Path, broker: Mosquitto, slave: TcpSlave) -> Node:
    registers: dict[str, Any] = {
        "probe-1/counter": {"table": "holding", "register": 0, "type": "uint32", "unit": "1", "kind": "counter"},
        "probe-1/level": {"table": "holding", "register": 2, "type": "uint16", "unit": "%", "range": [0, 100]},
    }
    for index in range(FILLERS):
        registers[f"probe-1/filler/f{index}"] = {"table": "holding", "register": 3 + index, "type": "uint16", "unit": "1"}
    source = {"name": "plc", "type": "modbus", "tcp": slave.address, "every": EVERY, "timeout": TIMEOUT, "units": {1: registers}}
    alarm = {
        "id": "level-high",
        "point": "probe-1/level",
        "condition": {"kind": "above", "limit": LIMIT},
        "priority": "high",
        "title": {"es": "Nivel alto", "en": "High level"},
    }
    return Node(folder, "probe-1", broker.port, sources=[source], alarms=[alarm], outbox={"flush_every": FLUSH})


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["duckdb", "influx"])
async def test_thirty_kills_lose_nothing(kind: str, tmp_path: Path) -> None:
    random.seed(20260101)
    unit, counter = mine()
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        settings: dict[str, Any] = {"type": "duckdb", "path": "history.duckdb"}
        influx = stack.enter_context(Influx(tmp_path / "influx")) if kind == "influx" else None
        if influx is not None:
            settings = {"type": "influx", "url": influx.url, "database": "muki"}
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        gateway = stack.enter_context(Gateway(tmp_path / "gateway", broker.port, settings))
        await asyncio.to_thread(gateway.wait_ready)
        agent = stack.enter_context(node(tmp_path / "node", broker, slave))
        await asyncio.to_thread(wait_for, lambda: len(counter.handed_out) > 20, seconds=30, describe="polls", log=agent)

        fleet = stack.enter_context(Child([*MUKI, "simulate", "fleet", *load(broker, tmp_path)], tmp_path / "fleet.log"))
        kills, taken = await asyncio.to_thread(kill_in_turn, agent, gateway, broker, influx)
        unit.inject(FaultKind.DEAD)
        await asyncio.to_thread(settle, agent, gateway)
        await asyncio.to_thread(wait_for, lambda: not fleet.running, seconds=90, every=0.5, describe="the fleet to be acknowledged")
        history = await asyncio.to_thread(all_events, gateway)
        ledger = await asyncio.to_thread(gateway.get, "/api/v1/ledger")
        agent.stop()
        gateway.stop()
        store_settings = {**settings, "path": str(tmp_path / "gateway" / "history.duckdb")} if kind == "duckdb" else settings
        stored, unread = await asyncio.to_thread(read_all, store_settings)
        await asyncio.to_thread(check_fleet, store_settings, tmp_path)

    check_readings(counter, kills, taken, stored, unread)
    check_events(stored, history)
    check_ledger(ledger)


def load(broker: Mosquitto, folder: Path) -> list[str]:
    """Three nodes of the fleet, which speaks the contract by code of its own: 1,800 values a second beside the agent."""
    where = ["--host", "127.0.0.1", "--port", str(broker.port), "--site", SITE]
    return [
        *where,
        "--nodes",
        "3",
        "--points",
        "30",
        "--rate",
        "20",
        "--seconds",
        "45",
        "--drain",
        "60",
        "--journal",
        str(folder / "fleet"),
    ]


def kill_in_turn(agent: Node, gateway: Gateway, broker: Mosquitto, server: Influx | None) -> tuple[list[Kill], set[int]]:
    """The kills, and the numbers that the agent's outbox held right after each of its own."""
    kills: list[Kill] = []
    taken: set[int] = set()
    victims: list[tuple[str, Child]] = [("agent", agent), ("gateway", gateway), ("broker", broker)]
    if server is not None:
        victims.append(("store", server))
    for _ in range(-(-KILLS // len(victims))):
        for name, victim in victims:
            time.sleep(random.uniform(0.3, 2.2))
            victim.kill()
            kills.append(Kill(name, time.time_ns()))
            if victim is agent:
                taken |= numbers_in(agent)
            time.sleep(random.uniform(0.0, 0.5))
            victim.start()
    return kills, taken


def numbers_in(agent: Node) -> set[int]:
    return {int(frame["v"]["probe-1/counter"]) for frame in agent.waiting_frames() if "probe-1/counter" in frame.get("v", {})}


def settle(agent: Node, gateway: Gateway) -> None:
    """Until everything that the agent has taken so far is committed by the gateway."""
    time.sleep(1.0)
    last = agent.last_seq()

    def committed() -> bool:
        boots = [entry for entry in gateway.get("/api/v1/ledger") if entry["node"] == agent.name]
        return any(entry["last"] >= last and entry["missing"] == 0 for entry in boots)

    wait_for(committed, seconds=90, every=0.2, describe=f"seq {last} at the gateway", log=gateway)


def all_events(gateway: Gateway) -> list[dict[str, Any]]:
    """Every journaled node event of the alarm, oldest first."""
    found: list[dict[str, Any]] = []
    before = None
    while True:
        page = gateway.get("/api/v1/alarms/history", key="probe-1.level-high", before=before, limit=100)
        found += page["entries"]
        before = page.get("next")
        if not before:
            return [entry for entry in reversed(found) if entry["what"] in ("active", "normal")]


def read_all(settings: dict[str, Any]) -> tuple[dict[str, dict[int, float]], list[int]]:
    """Time (ns) to value of the counter and of the level, straight from the store; and when the agent said that it could not read."""
    arguments = {key: value for key, value in settings.items() if key != "type"}
    store: TimeSeriesStore = open_store(settings["type"], arguments)
    try:
        found: dict[str, dict[int, float]] = {}
        unread: list[int] = []
        for point in ("probe-1/counter", "probe-1/level"):
            samples = store.raw(Series("probe-1", point), 0, time.time_ns(), limit=10_000)
            assert len(samples) < 10_000
            unread += [sample.time_ns for sample in samples if sample.value is None]
            found[point] = {sample.time_ns: sample.value for sample in samples if sample.value is not None}
        return found, unread
    finally:
        store.close()


def check_fleet(settings: dict[str, Any], folder: Path) -> None:
    """What the fleet was told is on the gateway's disk is there, with the value that it sent, and nothing else."""
    acknowledged: dict[tuple[str, str], dict[int, float]] = {}
    for line in (folder / "fleet").read_text().splitlines():
        entry = json.loads(line)
        acknowledged.setdefault((entry["node"], entry["point"]), {})[entry["time_ns"]] = entry["value"]
    assert sum(len(samples) for samples in acknowledged.values()) > 20_000, (folder / "fleet.log").read_text()[-2000:]
    store = open_store(settings["type"], {key: value for key, value in settings.items() if key != "type"})
    try:
        for (name, point), samples in acknowledged.items():
            found = {sample.time_ns: sample.value for sample in store.raw(Series(name, point), 0, time.time_ns(), limit=100_000)}
            assert found == samples, f"{name} {point}: acknowledged and stored differ"
    finally:
        store.close()


def check_readings(counter: Counter, kills: list[Kill], taken: set[int], stored: dict[str, dict[int, float]], unread: list[int]) -> None:
    numbers = [int(value) for value in stored["probe-1/counter"].values()]
    assert len(numbers) == len(set(numbers)), "a reading is stored twice"
    assert len(numbers) > 300, f"only {len(numbers)} readings: no load"
    assert taken - set(numbers) == set(), "the killed agent's outbox held readings that never reached the store"
    missing = [(number, given) for number, given in counter.handed_out if number not in set(numbers)]
    deaths = [kill.time_ns for kill in kills if kill.what == "agent"]

    def explained(given: int) -> bool:
        """Handed out to an agent that died, or was dead before it could ask again, or that said aloud that it got no answer in time."""
        died = any(death - (FLUSH + SLACK) * 1e9 <= given <= death + RESTART * 1e9 for death in deaths)
        return died or any(given <= at <= given + (TIMEOUT + SLACK) * 1e9 for at in unread)

    lost = [(number, given) for number, given in missing if not explained(given)]
    assert not lost, f"{len(lost)} of {len(counter.handed_out)} readings lost with nothing to explain it: {lost[:5]}; kills {kills}"
    for time_ns, value in stored["probe-1/counter"].items():
        assert stored["probe-1/level"][time_ns] == level(int(value)), f"level and counter of one poll differ at {time_ns}"


def check_events(stored: dict[str, dict[int, float]], history: list[dict[str, Any]]) -> None:
    """The alarm has no delay and no deadband: its events follow from the stored levels."""
    expected: list[tuple[int, str]] = []
    above = False
    for time_ns, value in sorted(stored["probe-1/level"].items()):
        if (value > LIMIT) != above:
            above = value > LIMIT
            expected.append((time_ns // 1_000_000, "active" if above else "normal"))
    found = [(int(entry["at"]), entry["what"]) for entry in history]
    assert len(expected) > 20, "the alarm hardly ever moved"
    assert found == expected


def check_ledger(ledger: list[dict[str, Any]]) -> None:
    lines = [entry for entry in ledger if entry["node"] == "probe-1"]
    assert len(lines) == 1, "a restarted agent must resume its line of sequence numbers"
    assert lines[0]["missing"] == 0
