"""From items to the disk: what is shed and counted, what waits for a full disk, and who computes what."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Transition
from contract.frames import frames_of, readings_of
from contract.messages import Data, PointDeclaration, decode, encode
from contract.values import GOOD, Reading, bad, uncertain
from edge import clock
from edge.bench import DEPTH_READINGS, DEPTH_WAVEFORMS
from edge.config import ConfiguredProcessor, ConfiguredSource
from edge.disk import Disk
from edge.errors import Misconfigured, Retry
from edge.health import Counters, Health, ModuleStatus, health_points, rss_bytes
from edge.host import Host
from edge.items import Frame, Item, Waveform
from edge.memory_line import ALARMS_WAITING, DATA_WAITING
from edge.outbox import Outbox
from edge.pipeline import FLUSH_READINGS, MAX_EVENTS, MAX_WAITING, Pipeline, presentable
from edge.processing import ProcessorContext, ProcessorSettings
from edge.sources import SourceContext, SourceSettings
from edge.stored import Stored
from edge.supervisor import SourceSupervisor, quiet_limit
from edge.worker import Worker
from rules.engine import AlarmRules
from tests.rig.standin import until

POINTS = {"a/b": PointDeclaration("1"), "a/c": PointDeclaration("1")}
HIGH = AlarmDefinition("high", "a/b", Condition(ConditionKind.ABOVE, 10), Priority.HIGH)


def reading(value: float, point: str = "a/b", time_ns: int = 1_764_000_000_000_000_000) -> Reading:
    return Reading(point, time_ns, value)


class Line:
    """A pipeline with its disk; ``stored`` collects what was committed."""

    def __init__(self, folder: Path, *, max_pages: int | None = None, processors: Sequence[ConfiguredProcessor] = ()) -> None:
        self.stored: list[Stored] = []
        self.disk = Disk(Outbox(folder, max_pages=max_pages))
        self.worker = Worker(processors, "n")
        rules = AlarmRules([HIGH], "n", {})
        self.pipeline = Pipeline("n", POINTS, rules, worker=self.worker, disk=self.disk, stored=self.stored.extend, flush_every=0.05)
        self.worker.deliver = self.pipeline.handle


@contextlib.asynccontextmanager
async def running(line: Line) -> AsyncIterator[Line]:
    tasks = [asyncio.create_task(line.pipeline.write()), asyncio.create_task(line.worker.run())]
    try:
        yield line
    finally:
        line.pipeline.close()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await line.disk.close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Reading("a/b", 1_000_000, 1.0), Reading("a/b", 1_000_000, 1.0)),
        (Reading("a/b", 1_000_001, 1.0), Reading("a/b", 1_000_000, 1.0)),
        (Reading("a/b", 0, float("nan")), Reading("a/b", 0, None, bad("not_finite"))),
        (Reading("a/b", 0, float("inf"), uncertain("x")), Reading("a/b", 0, None, bad("not_finite"))),
        (Reading("a/b", 0, None), Reading("a/b", 0, None, bad("no_value"))),
        (Reading("a/b", 0, None, bad("wire_break")), Reading("a/b", 0, None, bad("wire_break"))),
        (Reading("a/b", 0, 1.5, bad("Wire Break!")), Reading("a/b", 0, 1.5, bad("unnamed"))),
        (Reading("a/b", 0, True), Reading("a/b", 0, 1.0)),
        (Reading("a/b", 0, np.float32(0.5)), Reading("a/b", 0, 0.5)),  # type: ignore[arg-type] # what a careless source does
        (Reading("a/b", -1, 1.0), Reading("a/b", 7_000_000, 1.0, uncertain("clock_unsure"))),
        (Reading("a/b", 10**30, 1.0, bad("stuck")), Reading("a/b", 7_000_000, 1.0, bad("stuck"))),
    ],
)
def test_readings_are_made_presentable(given: Reading, expected: Reading) -> None:
    found = presentable(given, 7_000_000)
    assert found == expected
    assert found.value is None or type(found.value) is float
    (frame,) = frames_of([found])
    message = decode(encode(Data("B", 1, [frame])), Data)
    assert readings_of(message.frames[0]) == [expected]


async def test_readings_wait_a_moment_and_an_alarm_does_not(tmp_path: Path) -> None:
    line = Line(tmp_path)
    async with running(line):
        line.pipeline.handle([reading(1.0), reading(2.0, "a/c")])
        assert line.stored == []
        await until(lambda: line.stored, seconds=2)
        assert len(line.stored) == 1, "one message for what came together"
        line.pipeline.handle([reading(11.0)])
        await until(lambda: len(line.stored) == 3, seconds=2)
        assert [message.kind for message in line.stored[1:]] == [1, 0], "the event and the reading that raised it, in one commit"
        assert line.disk.outbox.known().standing.keys() == {"high"}


async def test_a_large_batch_is_several_messages_of_one_commit(tmp_path: Path) -> None:
    line = Line(tmp_path)
    async with running(line):
        line.pipeline.handle([reading(1.0, time_ns=number * 1_000_000) for number in range(2 * FLUSH_READINGS + 1)])
        await until(lambda: line.stored, seconds=2)
        assert len(line.stored) == 3


async def test_an_undeclared_point_is_shed_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = Line(tmp_path)
    async with running(line):
        line.pipeline.handle([reading(1.0, "a/typo"), reading(1.0, "a/typo"), reading(1.0)])
        await until(lambda: line.stored, seconds=2)
    assert line.pipeline.shed == 2
    assert caplog.text.count("a/typo") == 1


async def test_while_the_disk_is_full_messages_have_their_numbers_from_memory_and_are_written_down_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="muki.edge")
    line = Line(tmp_path, max_pages=320)
    async with running(line):
        number = 0
        while "the disk is full" not in caplog.text:
            number += 100
            line.pipeline.handle([reading(1.0, time_ns=(number + index) * 1_000_000) for index in range(100)])
            await asyncio.sleep(0.01)
        line.pipeline.handle([reading(99.0, time_ns=10**12)])
        await until(lambda: any(message.kind == 1 for message in line.stored), describe="the alarm event")
        own = [message for message in line.stored if message.boot == line.disk.boot]
        kept = [message for message in line.stored if message.boot == line.disk.memory.boot]
        assert kept == await line.disk.take(own[-1].id, 1000), "they are there to be sent, behind those of the file"
        assert [message.seq for message in kept] == list(range(1, len(kept) + 1))
        assert caplog.text.count("the disk is full") == 1
        line.disk.done(line.disk.boot, [(1, len(own))])
        await until(lambda: not line.disk.refusal, describe="room again")
        written = await line.disk.take(None, 1000)
        assert [message[1:] for message in written[: len(kept)]] == [message[1:] for message in kept], "with the numbers that they had"
        assert line.disk.outbox.known().standing.keys() == {"high"}
        line.pipeline.handle([reading(2.0, time_ns=10**13)])
        await until(lambda: line.stored[-1].boot == line.disk.boot and line.stored[-1].seq > len(own))
        assert [message.seq for message in line.stored if message.boot == line.disk.boot] == list(range(1, line.stored[-1].seq + 1))
        assert "written again" in caplog.text
        assert line.pipeline.shed == 0


async def test_memory_is_bounded_while_neither_disk_nor_gateway_takes_anything(tmp_path: Path) -> None:
    line = Line(tmp_path, max_pages=128)
    async with running(line):
        line.pipeline.handle([reading(1.0, time_ns=index * 1_000_000) for index in range(FLUSH_READINGS * DATA_WAITING)])
        await until(lambda: line.disk.memory.data_room == 0, describe="memory to be full")
        line.pipeline.handle([reading(1.0, time_ns=0)] * (MAX_WAITING + 700))
        await until(lambda: line.pipeline.shed >= 700, describe="shed")
        assert len(line.disk.memory) == DATA_WAITING


async def test_alarm_events_have_room_in_memory_when_readings_have_none(tmp_path: Path) -> None:
    disk = Disk(None, refusal="it is not there")
    pipeline = Pipeline(
        "n", POINTS, AlarmRules([HIGH], "n", {}), worker=Worker([], "n"), disk=disk, stored=lambda _: None, flush_every=0.05
    )
    await disk.put([[]] * (DATA_WAITING + 5))
    assert disk.room == 0
    flood = [AlarmEvent(f"E{number}", "high", "n", "a/b", 0, Transition.ACTIVE) for number in range(ALARMS_WAITING + MAX_EVENTS + 3)]
    pipeline.raise_events(flood)
    await pipeline.flush()
    assert len(disk.memory) == DATA_WAITING + ALARMS_WAITING
    assert pipeline.shed == 3, "above both limits the oldest go, and are counted"
    await disk.close()


class Recorder:
    """Keeps what it was given; waits while its gate is closed."""

    Settings: ClassVar[type[ProcessorSettings]] = ProcessorSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        self.given: list[Item] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.refusals = 0
        self._input = settings.input

    def wants(self) -> frozenset[str]:
        return frozenset({self._input, "a/c"})

    def points(self) -> Mapping[str, PointDeclaration]:
        return {"a/b": PointDeclaration("1")}

    def start(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Misconfigured("no such model")

    def process(self, item: Item) -> Sequence[Reading]:
        assert self.gate.wait(5)
        self.threads.add(threading.current_thread().name)
        self.given.append(item)
        return [reading(float(len(self.given)))]


def recorder(name: str = "one") -> tuple[Recorder, ConfiguredProcessor]:
    settings = ProcessorSettings(name=name, type="recorder", input="a/vibration")
    processor = Recorder(settings, ProcessorContext("n", Path()))
    return processor, ConfiguredProcessor(settings, processor)


def waveform(start: int) -> Waveform:
    return Waveform("a/vibration", start, 1000.0, np.zeros(10, np.float32))


async def test_the_newest_waveforms_win_and_what_was_shed_is_counted(tmp_path: Path) -> None:
    processor, entry = recorder()
    line = Line(tmp_path, processors=[entry])
    async with running(line):
        line.pipeline.handle([waveform(0)])
        await asyncio.sleep(0.1)
        line.pipeline.handle([waveform(number) for number in range(1, 11)])
        line.pipeline.handle([reading(0.0, "a/c")])
        processor.gate.set()
        await until(lambda: len(processor.given) == 2 + DEPTH_WAVEFORMS)
        starts = [item.start_ns for item in processor.given if isinstance(item, Waveform)]
        assert starts == [0, 7, 8, 9, 10]
        assert line.worker.shed == 6
        assert len(processor.threads) == 1
        await until(lambda: len(line.stored) > 0)


async def test_of_pictures_only_the_newest_waits_and_readings_wait_by_the_hundred() -> None:
    settings = ProcessorSettings(name="cam", type="recorder", input="gate-cam")
    worker = Worker([ConfiguredProcessor(settings, Recorder(settings, ProcessorContext("n", Path())))], "n")
    for number in range(5):
        worker.offer(Frame("gate-cam", number, np.zeros((2, 2, 3), np.uint8)))
        worker.offer(Frame("unknown-cam", number, np.zeros((2, 2, 3), np.uint8)))
    assert worker.shed == 4
    for number in range(DEPTH_READINGS + 3):
        worker.offer(reading(float(number), "a/c"))
    assert worker.shed == 7


async def test_a_processor_that_does_not_start_is_a_malfunction_until_it_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    processor, entry = recorder()
    processor.refusals = 2
    processor.gate.set()
    line = Line(tmp_path, processors=[entry])
    delivered: list[Reading] = []
    line.worker.deliver = delivered.extend
    task = asyncio.create_task(line.worker.run())
    await until(lambda: delivered)
    assert delivered == [
        Reading("n/processor/one", delivered[0].time_ns, 0.0, bad("processor_fault")),
        Reading("a/b", delivered[0].time_ns, None, bad("processor_fault")),
    ]
    line.worker.offer(reading(1.0, "a/c"))
    await until(lambda: len(delivered) == 4)
    assert delivered[2] == Reading("n/processor/one", delivered[2].time_ns, 1.0, GOOD)
    assert "processor=one does not start: Misconfigured: no such model" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await line.disk.close()


class Hanging:
    """Says one thing, and then nothing more."""

    Settings: ClassVar[type[SourceSettings]] = SourceSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        self.opened = self.closed = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {"a/b": PointDeclaration("1", period=1.0)}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        self.opened += 1
        try:
            yield [reading(1.0)]
            await asyncio.Event().wait()
        finally:
            self.closed += 1


def test_only_a_source_that_declares_its_pace_can_be_found_hanging() -> None:
    assert quiet_limit({"a/b": PointDeclaration("1", period=1.0)}) == 30.0
    assert quiet_limit({"a/b": PointDeclaration("1", period=60.0), "a/c": PointDeclaration("1", period=600.0)}) == 600.0
    assert quiet_limit({"a/b": PointDeclaration("1", period=1.0), "a/c": PointDeclaration("1")}) is None
    assert quiet_limit({}) is None


async def test_a_hanging_source_is_closed_reported_and_opened_again() -> None:
    settings = SourceSettings(name="mute", type="hanging")
    source = Hanging(settings, SourceContext("n", Path()))
    delivered: list[Item] = []
    supervisor = SourceSupervisor(ConfiguredSource(settings, source), "n", delivered.extend, quiet=0.2)
    task = asyncio.create_task(supervisor.run())
    await until(lambda: source.opened == 2, seconds=5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert source.closed == source.opened
    said = [(item.point, item.value, str(item.quality)) for item in delivered if isinstance(item, Reading)]
    assert said[:4] == [
        ("n/source/mute", 1.0, "good"),
        ("a/b", 1.0, "good"),
        ("n/source/mute", 0.0, "bad:source_fault"),
        ("a/b", None, "bad:source_fault"),
    ]


def test_a_status_is_news_only_when_it_changes() -> None:
    status = ModuleStatus("n/source/x", "source_fault")
    assert status.current(1) == []
    assert status.change(True, 1) == [Reading("n/source/x", 1, 1.0, GOOD)]
    assert status.change(True, 2) == []
    assert status.change(False, 3) == [Reading("n/source/x", 3, 0.0, bad("source_fault"))]
    assert status.current(4) == [Reading("n/source/x", 4, 0.0, bad("source_fault"))]


def test_health_says_everything_it_declares() -> None:
    counters = Counters(depth=3, oldest=1.5, bytes=100, thinned=0, free=None, shed=7, malformed_acks=0)
    found = {each.point: each for each in Health("n").readings(counters, clock.Synchronisation(None, None), Host(Path()).look(), 5)}
    assert found.keys() == health_points("n").keys()
    assert found["n/outbox/depth"].value == 3
    assert found["n/agent/shed"].value == 7
    assert 5e6 < rss_bytes() < 5e9
    assert found["n/clock/synchronised"] == Reading("n/clock/synchronised", 5, None, bad("not_available"))
    assert all(set(point.description) == {"es", "en"} for point in health_points("n").values())


def test_the_clock_stamps_whole_milliseconds_and_asks_the_kernel() -> None:
    now = clock.now()
    assert now.wall_ns % clock.MS == 0
    assert clock.whole_ms(1_999_999) == 1_000_000
    answer = clock.synchronisation()
    assert answer.synchronised in {True, False, None}
    assert (answer.offset_ms is None) or answer.synchronised


async def test_a_retry_of_the_disk_reaches_the_caller(tmp_path: Path) -> None:
    disk = Disk(Outbox(tmp_path, max_pages=64))
    with pytest.raises(Retry, match="the disk is full"):
        await disk.remember({"one": "x" * 100_000})
    await disk.close()
