"""What a processor knows survives a restart: from the worker to the outbox's file and back."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.values import Reading
from edge.agent import Agent
from edge.config import ConfiguredProcessor, load
from edge.disk import Disk
from edge.outbox import Outbox
from edge.processing import ProcessorContext, Remembering
from edge.processing.exposure import ExposureProcessor
from edge.processing.exposure_settings import ExposureSettings
from edge.worker import Worker

SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND
GAS = "gallery-4/gas/co"
NODE = """
site: mine
node: gas-1
broker: {host: localhost}
sources:
  - name: lines
    type: serial-line
    tcp: localhost:9
    lines: [{separator: ",", points: {gallery-4/gas/co: {column: 1, unit: ppm, range: [0, 500]}}}]
processing:
  - {name: co, type: exposure, input: gallery-4/gas/co, unit: ppm}
"""


def entry() -> ConfiguredProcessor:
    settings = ExposureSettings.model_validate({"name": "co", "type": "exposure", "input": GAS, "unit": "ppm", "every": 0})
    return ConfiguredProcessor(settings, ExposureProcessor(settings, ProcessorContext("n", Path())))


async def work(worker: Worker, readings: list[Reading]) -> list[Reading]:
    """What comes out for the readings, each awaited before the next."""
    found: list[Reading] = []
    delivered = asyncio.Event()

    def deliver(outputs: Sequence[Reading]) -> None:
        found.extend(outputs)
        delivered.set()

    worker.deliver = deliver
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(30):
            for reading in readings:
                worker.offer(reading)
                while not any(output.time_ns == reading.time_ns for output in found):
                    await delivered.wait()
                    delivered.clear()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return found


async def test_a_worker_keeps_states_and_another_goes_on_with_them(tmp_path: Path) -> None:
    first = Worker([entry()], "n")
    await work(first, [Reading(GAS, START + second * SECOND, 10.0) for second in (0, 30, 60)])
    states = first.take_states()
    assert list(states) == ["co"]
    assert first.take_states() == {}, "nothing new"
    disk = Disk(Outbox(tmp_path))
    await disk.remember({**states, "other": "x"})
    await disk.close()

    disk = Disk(Outbox(tmp_path))
    assert disk.outbox.known().memories == {**states, "other": "x"}
    assert disk.outbox.known().suppressed == {}
    second = entry()
    Worker([second], "n").restore(disk.outbox.known().memories)
    assert isinstance(second.processor, Remembering)
    assert json.loads(second.processor.state()) == json.loads(states["co"])
    await disk.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"of": 1}',
        '{"of": ["gallery-4/gas/co", "ppm"], "doubt": null, "dose": {"minutes": [1]}}',
        '{"of": ["gallery-4/gas/co", "ppm"], "doubt": []}',
    ],
)
async def test_a_damaged_state_is_left_and_the_processor_begins_anew(text: str) -> None:
    one, fresh = entry(), entry()
    worker = Worker([one], "n")
    worker.restore({"co": text})
    readings = [Reading(GAS, START + second * SECOND, 10.0) for second in (0, 30)]
    found = await work(worker, readings)
    expected = [output for reading in readings for output in fresh.processor.process(reading)]
    assert [reading for reading in found if reading.point in fresh.processor.points()] == expected


async def test_the_agent_gives_back_what_the_outbox_kept(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(NODE, "utf-8")
    before = entry().processor
    assert isinstance(before, Remembering)
    for second in (0, 60):
        before.process(Reading(GAS, START + second * SECOND, 10.0))
    disk = Disk(Outbox(tmp_path / "data"))
    await disk.remember({"co": before.state()})
    await disk.close()
    config = load(tmp_path / "node.yaml", {})
    agent = Agent(config)
    stop = asyncio.Event()
    stop.set()
    await agent.run(stop)  # begins and ends, and closes the outbox
    after = config.processing[0].processor
    assert isinstance(after, Remembering)
    assert json.loads(after.state())["dose"] == json.loads(before.state())["dose"]
