"""The sign of life is progress: what stands still stops it and is named; what is dead, absent or full does not."""

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.alarms import AlarmEvent, Transition
from contract.messages import Birth, PointDeclaration
from contract.values import Reading, bad
from edge.config import ConfiguredProcessor, ConfiguredSource
from edge.disk import CALL_LIMIT, Disk
from edge.errors import Misconfigured, Retry
from edge.items import Item
from edge.node_document import BrokerSettings
from edge.outbox import Outbox
from edge.pipeline import WRITE_LIMIT, Pipeline
from edge.processing import ProcessorSettings
from edge.progress import Mark, Standstill, standing_still
from edge.publisher import LONGEST_BACKOFF, SESSION_LIMIT, Publisher
from edge.sources import SourceSettings
from edge.stored import Level
from edge.supervisor import LETTING_GO, SourceSupervisor
from edge.watchdog import Watchdog
from edge.worker import Worker
from rules.engine import AlarmRules
from tests.rig.edge_node import write_config
from tests.rig.processes import Child, free_port
from tests.rig.standin import until

# --- the decision ---


def test_a_part_stands_still_when_its_work_is_older_than_its_limit() -> None:
    now = [100.0]
    writer, model = Mark("the writer", 10, lambda: now[0]), Mark("the model", 60, lambda: now[0])
    assert standing_still([writer, model], 1e9) == []  # neither has anything to do
    writer.turn()
    now[0] = 105
    model.turn()
    assert standing_still([writer, model], 110.0) == []
    assert standing_still([writer, model], 110.5) == [Standstill("the writer", 10.5)]
    assert [still.part for still in standing_still([model, writer], 200)] == ["the writer", "the model"]
    assert str(standing_still([writer], 125)[0]) == "the writer stands still for 25 s"
    now[0] = 199
    writer.turn()
    model.rest()
    assert standing_still([writer, model], 200) == []


@given(st.lists(st.sampled_from(["turn", "rest"])), st.integers(0, 1000), st.integers(1, 100))
def test_only_the_last_word_of_a_part_counts(words: list[str], later: int, limit: int) -> None:
    now = [0.0]
    mark = Mark("x", limit, lambda: now[0])
    for word in words:
        now[0] += 1000
        getattr(mark, word)()
    assert bool(standing_still([mark], now[0] + later)) is (bool(words) and words[-1] == "turn" and later > limit)


# --- with systemd's socket ---


class Systemd:
    """What arrives on a real notification socket."""

    def __init__(self, connection: socket.socket, name: Path) -> None:
        self._socket = connection
        self.environment = {"NOTIFY_SOCKET": str(name), "WATCHDOG_USEC": "200000"}

    def heard(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(100))
            except BlockingIOError:
                return found

    async def signs(self, seconds: float) -> int:
        """How many signs of life come within a time, from now on."""
        self.heard()
        await asyncio.sleep(seconds)
        return self.heard().count(b"WATCHDOG=1")

    async def falls_silent(self) -> None:
        async with asyncio.timeout(20):
            while await self.signs(0.4):
                pass

    async def lives(self) -> None:
        async with asyncio.timeout(20):
            while not await self.signs(0.4):
                pass


@contextmanager
def systemd(folder: Path) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.setblocking(False)
        yield Systemd(listening, folder / "notify")


async def ended(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Stuck(Outbox):
    """An outbox on a card whose controller is busy for ever: asking for its level does not come back."""

    gate: threading.Event

    def level(self) -> Level:
        self.gate.wait(30)
        return super().level()


async def test_a_disk_that_hangs_stops_the_sign_of_life_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Stuck(tmp_path)
    outbox.gate = threading.Event()
    disk = Disk(outbox)
    disk.mark.limit = 0.5
    with systemd(tmp_path) as listening, caplog.at_level(logging.WARNING):
        watching = asyncio.create_task(Watchdog(listening.environment, [disk.mark]).run())
        await disk.put([[]])
        await listening.lives()
        asking = asyncio.create_task(disk.level())
        await listening.falls_silent()
        assert "the outbox on disk stands still" in caplog.text
        assert "the sign of life is withheld" in caplog.text
        outbox.gate.set()
        await asking
        await listening.lives()
        assert caplog.text.count("stands still") == 1
        assert "everything gets on again" in caplog.text
        await ended(watching)
    await disk.close()


async def test_a_loop_that_hangs_stops_the_sign_of_life_and_its_place_in_the_code_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with systemd(tmp_path) as listening, caplog.at_level(logging.WARNING):
        watching = asyncio.create_task(Watchdog(listening.environment, loop_limit=0.5).run())
        await listening.lives()
        listening.heard()
        _stand_still(2.0)
        silent = listening.heard().count(b"WATCHDOG=1")
        await listening.lives()
        await ended(watching)
    assert silent <= 8  # 0.5 s of them, not 2 s: twenty would be
    assert "the event loop stands still" in caplog.text
    assert "in _stand_still" in caplog.text


def _stand_still(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_disk_that_is_full_is_no_standstill(tmp_path: Path) -> None:
    disk = Disk(Outbox(tmp_path, max_pages=40))
    await disk.put([[]] * 5000)
    assert "the disk is full" in disk.refusal
    assert disk.mark.since is None
    line = Pipeline("n", {}, AlarmRules([], "n", {}), worker=Worker([], "n"), disk=disk, stored=lambda _: None, flush_every=0.01)
    writing = asyncio.create_task(line.write())
    mark = line.marks[0]
    line.raise_events([AlarmEvent(f"E{number}", "high", "n", "a/b", 5, Transition.ACTIVE) for number in range(5000)])
    attempts = set()

    def attempted() -> bool:
        attempts.add(mark.since)
        return len(attempts - {None}) >= 3  # begun, refused, and tried again

    await until(attempted)
    assert 60 + CALL_LIMIT < WRITE_LIMIT  # readings may wait for 60 s by the configuration, then for one call on the disk
    await ended(writing)
    await disk.close()


async def test_an_absent_broker_is_no_standstill(tmp_path: Path) -> None:
    disk = Disk(Outbox(tmp_path))
    publisher = Publisher("mine", "n", BrokerSettings(host="127.0.0.1", port=free_port()), disk, _no_birth)
    publishing = asyncio.create_task(publisher.run())
    turns = set()

    def turned() -> bool:
        turns.add(publisher.mark.since)
        return len(turns - {None}) >= 2

    await until(turned)
    assert 2 * LONGEST_BACKOFF < SESSION_LIMIT
    await ended(publishing)
    await disk.close()


def _no_birth() -> Birth:
    raise AssertionError("nobody is there to be told")


class Sensor:
    """A source that fails, hangs, or does not let go."""

    Settings: ClassVar[type[SourceSettings]] = SourceSettings

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.let_go = asyncio.Event()

    def points(self) -> Mapping[str, PointDeclaration]:
        return {"a/b": PointDeclaration("1", period=1.0)}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        try:
            yield [Reading("a/b", 1, 1.0)]
            if self.fails is not None:
                raise self.fails
            await asyncio.Event().wait()
        finally:
            if self.fails is None:
                await self.let_go.wait()


@pytest.mark.parametrize("error", [Retry("no answer"), Misconfigured("no such channel"), ZeroDivisionError()])
async def test_a_dead_sensor_is_no_standstill(error: Exception) -> None:
    sensor = Sensor()
    sensor.fails = error
    supervisor = _supervised(sensor, [])
    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor.restarted() >= 1)
    assert supervisor.mark.since is None
    await ended(running)


async def test_a_source_that_does_not_let_go_is_a_malfunction_first_and_a_standstill_then(tmp_path: Path) -> None:
    delivered: list[Item] = []
    sensor = Sensor()
    supervisor = _supervised(sensor, delivered)
    assert supervisor.mark.limit == pytest.approx(0.3 + LETTING_GO)
    supervisor.mark.limit = 1.0
    with systemd(tmp_path) as listening:
        watching = asyncio.create_task(Watchdog(listening.environment, [supervisor.mark]).run())
        running = asyncio.create_task(supervisor.run())
        await until(lambda: Reading("a/b", 0, None, bad("source_fault")) in [_undated(item) for item in delivered])
        await listening.falls_silent()
        sensor.let_go.set()
        await listening.lives()
        await ended(running, watching)


def _undated(item: Item) -> Item:
    return Reading(item.point, 0, item.value, item.quality) if isinstance(item, Reading) else item


def _supervised(sensor: Sensor, delivered: list[Item]) -> SourceSupervisor:
    settings = SourceSettings(name="gas", type="sensor")
    return SourceSupervisor(ConfiguredSource(settings, sensor), "n", delivered.extend, quiet=0.3)


# --- a processor that stalls ---


class Model:
    """A processor whose model does not come back for a value of 13 until the gate opens."""

    Settings: ClassVar[type[ProcessorSettings]] = ProcessorSettings

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = threading.Event()
        self.starts = 0
        self.at_once = 0
        self.most = 0

    def wants(self) -> frozenset[str]:
        return frozenset({"a/b"})

    def points(self) -> Mapping[str, PointDeclaration]:
        return {f"a/{self.name}": PointDeclaration("1")}

    def start(self) -> None:
        self.starts += 1
        if self.name == "slow to start":
            self.gate.wait(30)

    def process(self, item: Item) -> Sequence[Reading]:
        assert isinstance(item, Reading)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if item.value == 13 and self.name == "stuck":
                self.gate.wait(30)
            return [Reading(f"a/{self.name}", item.time_ns, item.value)]
        finally:
            self.at_once -= 1


async def test_a_model_that_stalls_is_a_malfunction_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stuck, other = Model("stuck"), Model("other")
    entries = [ConfiguredProcessor(ProcessorSettings(name=model.name, type="model", input="a/b"), model) for model in (stuck, other)]
    worker = Worker(entries, "n", stalled=0.4)
    delivered: list[Reading] = []
    worker.deliver = delivered.extend
    for mark in worker.marks:
        mark.limit = 1.5

    def said(point: str) -> list[tuple[float | None, str]]:
        return [(reading.value, str(reading.quality)) for reading in delivered if reading.point == point]

    with systemd(tmp_path) as listening, caplog.at_level(logging.WARNING):
        watching = asyncio.create_task(Watchdog(listening.environment, worker.marks).run())
        running = asyncio.create_task(worker.run())
        worker.offer(Reading("a/b", 1, 1.0))
        await until(lambda: said("a/stuck") and said("a/other"))
        worker.offer(Reading("a/b", 2, 13.0))
        await until(lambda: (None, "bad:processor_fault") in said("a/stuck"))
        assert said("n/processor/stuck") == [(1.0, "good"), (0.0, "bad:processor_fault")]
        assert "processor=stuck Stalled: its call does not come back since 0.4 s" in caplog.text
        worker.offer(Reading("a/b", 3, 3.0))
        await until(lambda: (3.0, "good") in said("a/other"))
        assert said("n/processor/other") == [(1.0, "good")]
        await listening.falls_silent()  # nothing but a restart ends such a call
        assert "processor stuck stands still" in caplog.text
        stuck.gate.set()
        await until(lambda: (3.0, "good") in said("a/stuck"))  # what waited meanwhile
        assert (13.0, "good") not in said("a/stuck"), "what came too late is not told"
        assert said("n/processor/stuck")[-1] == (1.0, "good")
        assert stuck.most == 1, "never twice at once"
        await listening.lives()
        await ended(running, watching)


async def test_a_model_that_stalls_at_its_start_is_not_started_twice_at_once() -> None:
    slow = Model("slow to start")
    worker = Worker([ConfiguredProcessor(ProcessorSettings(name="slow", type="model", input="a/b"), slow)], "n", stalled=0.2)
    delivered: list[Reading] = []
    worker.deliver = delivered.extend
    running = asyncio.create_task(worker.run())
    worker.offer(Reading("a/b", 1, 1.0))
    await until(lambda: any(reading.quality == bad("processor_fault") for reading in delivered))
    for number in range(12):  # longer than the pause before a second start, and than another stall
        worker.offer(Reading("a/b", 2 + number, 2.0))
        await asyncio.sleep(0.1)
    assert slow.starts == 1
    slow.gate.set()
    await until(lambda: Reading("a/slow to start", 13, 2.0) in delivered)
    await ended(running)


# --- a whole node ---


async def test_a_node_with_a_dead_sensor_a_hung_model_and_no_broker_lives_and_stops(tmp_path: Path) -> None:
    """systemd's view of a real agent: ready, alive, and stopping at once though a model never comes back."""
    extra = "processing:\n  - {name: twice, type: doubler, input: test/a, output: test/twice, hangs_above: 3}\n"
    configuration = write_config(tmp_path, free_port(), extra=extra)
    (tmp_path / "break").touch()
    command = [sys.executable, "-m", "tests.rig.edge_node", "run", str(configuration)]
    with systemd(tmp_path) as listening, Child(command, tmp_path / "log", environment=listening.environment) as node:
        await until(lambda: b"READY=1" in listening.heard(), describe="ready")
        assert await listening.signs(1.0) >= 3, "the dead sensor stops nothing"
        (tmp_path / "break").unlink()
        await until(lambda: "source=counter running" in node.tail())
        assert await listening.signs(1.0) >= 3
        began = time.monotonic()
        assert await asyncio.to_thread(node.stop) == 0, node.tail()
        assert time.monotonic() - began < 10
        assert b"STOPPING=1" in listening.heard()
