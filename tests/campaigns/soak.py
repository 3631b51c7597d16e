"""A day of an agent's work in 24 minutes, with everything going wrong in turn: does it hold more at the end than at the beginning?

    python -m tests.campaigns.soak [--hours 24] [--speed 60] [--json]

The periods of the sources are divided by the speed, so that the agent polls, stores, sends and computes as much as in 24 hours. Each
simulated hour has its trouble; eight hours bring each of them once:

    a dead slave, a broker killed, a gateway away for an hour and a half, a covered camera, garbage and a pulled plug on a serial line,
    a disk that refuses every write, answers that are no answers, and an hour of peace.

The first eight hours are the warm-up. After them the RSS of the agent may never be more than 5 MB above the highest of the warm-up's last
hour, and in each hour of peace no kind of descriptor and no thread may be more than at any time of the warm-up: a source that waits between
two attempts holds none, so that one hour alone says little. At the end everything is acknowledged, no
number is missing at the gateway, and what the slave handed out is stored but for what the agent said it could not read.
"""

import asyncio
import itertools
import json
import resource
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.table import report
from simulators.field.camera_feed import CameraFeed
from simulators.field.camera_scene import Lens
from simulators.field.modbus_pdu import Counter, FaultKind, Unit
from simulators.field.modbus_slave import TcpSlave
from simulators.field.serial_device import LineFault, SerialDevice, xor_line
from simulators.field.vibration_stream import VibrationStream
from tests.rig.process_watch import Held, held
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node
from tests.rig.small_disk import MIB, SmallDisk, small_disk, why_not

RSS_MAY_GROW = 5.0  # MB after the warm-up
REGISTERS = 20
FASTEST = 0.02  # s: a Modbus source polls no faster, so that at 60 it makes 72,000 polls of a day's 86,400
DISK = 48 * MIB
MIN_FREE = 8 * MIB
HALF_PERIOD = 150  # polls between two transitions of an alarm
TROUBLES = ("dead slave", "broker killed", "gateway away", "camera covered", "serial garbage", "disk refuses", "modbus garbage", "peace")


class Sample(NamedTuple):
    hour: float
    held: Held


class Outcome(NamedTuple):
    samples: list[Sample]
    polls: int
    alarms: int
    refusals: int  # times that the gateway was told that the disk takes nothing
    lost: list[int]
    missing: int
    log: str

    def of_hour(self, hour: int) -> list[Held]:
        return [sample.held for sample in self.samples if hour <= sample.hour < hour + 1]

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "hour": hour,
                "trouble": TROUBLES[hour % len(TROUBLES)],
                "rss MB": held_now[-1].rss,
                "rss max MB": max(one.rss for one in held_now),
                "threads": held_now[-1].threads,
                "descriptors": held_now[-1].open,
                "of which": ", ".join(f"{kind} {count}" for kind, count in sorted(held_now[-1].descriptors.items())),
            }
            for hour in range(int(self.samples[-1].hour) + 1)
            if (held_now := self.of_hour(hour))
        ]

    def problems(self) -> list[str]:
        """What did not hold; empty when all did."""
        found = []
        warm = self.of_hour(len(TROUBLES) - 1)
        base = max(one.rss for one in warm)
        for sample in self.samples:
            if sample.hour >= len(TROUBLES) and sample.held.rss > base + RSS_MAY_GROW:
                found.append(f"hour {sample.hour:.1f}: RSS {sample.held.rss:.1f} MB, {base:.1f} MB when warm")
                break
        seen = [sample.held for sample in self.samples if sample.hour < len(TROUBLES)]
        kinds = {kind for one in seen for kind in one.descriptors}
        for hour in range(2 * len(TROUBLES) - 1, int(self.samples[-1].hour) + 1, len(TROUBLES)):
            if not (peace := self.of_hour(hour)):
                continue
            last = peace[-1]
            for kind in kinds | last.descriptors.keys():
                before = max(one.descriptors.get(kind, 0) for one in seen)
                if last.descriptors.get(kind, 0) > before:
                    found.append(f"hour {hour}: {last.descriptors[kind]} descriptors of kind {kind}, at most {before} in the warm-up")
            if last.threads > (before := max(one.threads for one in seen)):
                found.append(f"hour {hour}: {last.threads} threads, at most {before} in the warm-up")
        if not self.refusals:
            found.append("the gateway was never told that the disk takes nothing")
        if self.missing:
            found.append(f"{self.missing} numbers are missing at the gateway")
        if self.lost:
            found.append(f"{len(self.lost)} readings are lost, for example {self.lost[:5]}")
        return found


class Mine:
    """What surrounds the agent, and what can be done to it."""

    def __init__(self, folder: Path, hour: float) -> None:
        self.folder = folder
        self.hour = hour  # seconds of an hour
        self.unit = Unit()
        self.counter = Counter()
        self.counter.place(self.unit.holding, 0)
        self.unit.holding.compute(2, 1, lambda: [80 if len(self.counter.handed_out) // HALF_PERIOD % 2 else 10])
        self.unit.holding.compute(3, REGISTERS, lambda: [(len(self.counter.handed_out) + index) % 1000 for index in range(REGISTERS)])
        self.disk: SmallDisk | None = None

    async def build(self, stack: AsyncExitStack, speed: float) -> None:
        numbers = itertools.count()
        generator = np.random.default_rng(1)
        self.broker = stack.enter_context(Mosquitto(self.folder / "broker"))
        self.gateway = stack.enter_context(Gateway(self.folder / "gateway", self.broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(self.gateway.wait_ready)
        slave = await stack.enter_async_context(TcpSlave({1: self.unit}))
        self.serial = await stack.enter_async_context(
            SerialDevice(self.folder / "adapter", lambda: xor_line(f"CO,{next(numbers) % 100}"), every=max(0.02, 2 / speed))
        )
        self.camera = await stack.enter_async_context(CameraFeed(fps=2))
        logger = await stack.enter_async_context(
            VibrationStream(lambda count: generator.normal(0, 1, (count, 1)).astype(np.float32), rate_hz=12_800)
        )
        data = self.folder / "node" / "data"
        if reason := why_not():
            click.echo(f"the disk is never full in this run: {reason}", err=True)
        else:
            self.disk = stack.enter_context(small_disk(data, DISK))
        settings = agent(slave.address, self.serial.link, self.camera.url, logger.address, speed)
        self.node = stack.enter_context(Node(self.folder / "node", "soak-1", self.broker.port, **settings))

    async def trouble(self, number: int) -> None:
        """One hour's, begun and ended within it, but for the gateway's, which lasts half of the next one."""
        kind = TROUBLES[number % len(TROUBLES)]
        third = self.hour / 3
        if kind == "dead slave":
            self.unit.inject(FaultKind.DEAD)
            await asyncio.sleep(third)
            self.unit.heal()
        elif kind == "broker killed":
            for _ in range(3):
                self.broker.kill()
                await asyncio.sleep(third / 3)
                self.broker.start()
                await asyncio.sleep(third / 3)
        elif kind == "gateway away":
            self.gateway.kill()
            self._away = asyncio.create_task(self._come_back(1.5 * self.hour), name="gateway comes back")
        elif kind == "camera covered":
            self.camera.lens = Lens.COVERED
            await asyncio.sleep(third)
            self.camera.lens = Lens.CLEAR
        elif kind == "serial garbage":
            self.serial.next_faults([*LineFault] * 20)
            self.serial.unplug()
            await asyncio.sleep(third)
            self.serial.plug()
        elif kind == "disk refuses":
            # A full disk alone is no trouble for a file that has room in itself: the kernel refuses the agent every write as well.
            if self.disk is not None:
                await asyncio.to_thread(self.disk.fill)
            resource.prlimit(self.node.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            await asyncio.sleep(2 * third)
            resource.prlimit(self.node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if self.disk is not None:
                self.disk.clear()
        elif kind == "modbus garbage":
            self.unit.inject(FaultKind.GARBAGE, times=20)

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.gateway.start()

    def settle(self) -> int:
        """Waits until everything is acknowledged; the numbers missing at the gateway."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                lines = [line for line in self.gateway.get("/api/v1/ledger") if line["node"] == "soak-1"]
                depth = [point for point in self.gateway.get("/api/v1/points") if point["point"] == "soak-1/outbox/depth"]
                if lines and not sum(line["missing"] for line in lines) and depth and depth[0]["value"] < 50:
                    return 0
            except OSError:
                pass
            time.sleep(1)
        return sum(int(line["missing"]) for line in lines)

    def told(self, alarm: str) -> int:
        """How often the gateway was told that an alarm became active, as far as its journal shows at once."""
        entries = self.gateway.get("/api/v1/alarms/history", key=f"soak-1.{alarm}", limit=1000)["entries"]
        return sum(entry["what"] == "active" for entry in entries)

    def stored(self) -> tuple[set[int], list[int]]:
        """The numbers of the counter in the store, and when (ns) the agent said that it could not read it. The gateway must be stopped."""
        from gateway.store import Series
        from gateway.store.opening import open_store

        store = open_store("duckdb", {"path": str(self.folder / "gateway" / "history.duckdb")})
        try:
            samples = store.raw(Series("soak-1", "plc/counter"), 0, time.time_ns(), limit=1_000_000)
        finally:
            store.close()
        return {int(one.value) for one in samples if one.value is not None}, [one.time_ns for one in samples if one.value is None]


def agent(slave: str, serial: Path, camera: str, logger: str, speed: float) -> dict[str, Any]:
    registers: dict[str, Any] = {
        "plc/counter": {"table": "holding", "register": 0, "type": "uint32", "unit": "1", "kind": "counter"},
        "plc/level": {"table": "holding", "register": 2, "type": "uint16", "unit": "%", "range": [0, 100]},
    }
    for index in range(REGISTERS):
        registers[f"plc/value/v{index}"] = {"table": "holding", "register": 3 + index, "type": "uint16", "unit": "1"}
    bearing = {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04}
    lines = [{"select": "CO,", "points": {"heading-3/co": {"column": 2, "unit": "ppm", "range": [0, 200]}}}]
    checksum = {"kind": "xor", "after": "$", "before": "*"}
    title = {"es": "Nivel alto", "en": "High level"}
    return {
        "outbox": {"flush_every": 0.25, "max_bytes": 16 * MIB, "min_free": MIN_FREE},
        "sources": [
            {"name": "plc", "type": "modbus", "tcp": slave, "every": max(FASTEST, 1 / speed), "timeout": 0.5, "units": {1: registers}},
            {
                "name": "gas",
                "type": "serial-line",
                "serial": {"port": str(serial)},
                "checksum": checksum,
                "every": max(0.02, 2 / speed),
                "lines": lines,
            },
            {"name": "eye", "type": "camera", "camera": "belt-cam", "url": camera, "fps": 2},
            {
                "name": "feel",
                "type": "waveform",
                "tcp": logger,
                "points": {"de": "pump-1/vib/de"},
                "snapshot": 1.0,
                "every": max(1.5, 600 / speed),
            },
        ],
        "processing": [
            {"name": "lens", "type": "camera-check", "input": "belt-cam", "every": 1.0},
            {"name": "vibration-de", "type": "vibration", "input": "pump-1/vib/de", "rpm": 1480, "bearing": bearing},
            {"name": "bearing-de", "type": "bearing-condition", "input": "pump-1/vib/de", "rpm": 1480, "bearing": bearing},
        ],
        "alarms": [
            {"id": "level-high", "point": "plc/level", "condition": {"kind": "above", "limit": 50}, "priority": "high", "title": title},
            {
                "id": "covered",
                "point": "belt-cam/image/covered",
                "condition": {"kind": "above", "limit": 0.5},
                "priority": "low",
                "title": title,
            },
        ],
        "outputs": [{"name": "horn", "type": "log", "role": "horn"}],
    }


async def soak(folder: Path, hours: int, speed: float) -> Outcome:
    """Runs it all. ``speed``: simulated seconds in one of ours."""
    hour = 3600 / speed
    mine = Mine(folder, hour)
    samples: list[Sample] = []
    async with AsyncExitStack() as stack:
        await mine.build(stack, speed)
        await asyncio.to_thread(_until_it_works, mine)
        began = time.monotonic()
        watch = asyncio.create_task(_watch(mine.node.pid, began, hour, samples), name="watch")
        for number in range(hours):
            await mine.trouble(number)
            await asyncio.sleep(max(0.0, began + (number + 1) * hour - time.monotonic()))
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        mine.unit.inject(FaultKind.DEAD)
        asked = len(mine.counter.handed_out)
        await asyncio.sleep(2)
        missing = await asyncio.to_thread(mine.settle)
        alarms = await asyncio.to_thread(mine.told, "level-high")
        refusals = await asyncio.to_thread(mine.told, "disk-refuses")
        await asyncio.to_thread(mine.node.stop)
        await asyncio.to_thread(mine.gateway.stop, seconds=60)
        stored, unread = await asyncio.to_thread(mine.stored)
        given = mine.counter.handed_out[:asked]
    # A number that was handed out and not stored was on its way when an answer was too late, and the agent said so.
    silent = sorted(unread)
    lost = [number for number, at in given if number not in stored and not _said(silent, at)]
    return Outcome(samples, len(given), alarms, refusals, lost, missing, mine.node.tail(400))


def _said(unread: list[int], at: int) -> bool:
    from bisect import bisect_left

    place = bisect_left(unread, at - 100_000_000)
    return place < len(unread) and unread[place] <= at + 3_000_000_000


def _until_it_works(mine: Mine) -> None:
    deadline = time.monotonic() + 60
    while len(mine.counter.handed_out) < 20:
        if time.monotonic() > deadline:
            raise click.ClickException(f"the agent reads nothing:\n{mine.node.tail()}")
        time.sleep(0.2)


async def _watch(pid: int, began: float, hour: float, samples: list[Sample]) -> None:
    while True:
        samples.append(Sample((time.monotonic() - began) / hour, held(pid)))
        await asyncio.sleep(hour / 20)


@click.command()
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1), help="Simulated hours; 16 at the least judge anything.")
@click.option("--speed", default=60.0, show_default=True, help="Simulated seconds in one of ours.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep logs and files here.")
def main(hours: int, speed: float, as_json: bool, folder: Path | None) -> None:
    """What the agent holds, hour by hour. Exit status 1 when it grew or lost something."""
    with tempfile.TemporaryDirectory() as temporary:
        outcome = asyncio.run(soak((folder or Path(temporary)).absolute(), hours, speed))
    problems = outcome.problems()
    told = f"{outcome.alarms} alarms and {outcome.refusals} refusals of the disk at the gateway"
    notes = [f"{outcome.polls} polls, {told}; numbers missing: {outcome.missing}", *problems]
    report("soak", outcome.rows(), as_json=as_json, notes=notes)
    if as_json:
        click.echo(json.dumps([[sample.hour, *sample.held] for sample in outcome.samples]), err=True)
    if problems:
        click.echo(outcome.log, err=True)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
