"""From a register that crosses its limit to the alarm on the page: real Modbus, agent, Mosquitto, gateway and Chromium.

    python -m benchmarks.latency [--alarms 20] [--rounds 10] [--json]

The slave notes when a register crossed and when the crossing was first read; the page notes when the row is there. So the wait for the next
poll (1 s polling: 0 to 1 s by itself) and the way from the read to the eye are measured apart. Limit: 99 % of the ways under 1 s. The peer
is the least that anyone could write, in the same run: a loop that polls and publishes, and a subscriber that notes the time; no page.
"""

import asyncio
import random
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import click
import numpy as np
from playwright.async_api import Page, async_playwright
from pymodbus.client import AsyncModbusTcpClient

from benchmarks.table import report
from simulators.field.modbus_pdu import Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node

LIMIT_S = 1.0
POLL = 1.0
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# Notes, for each alarm, the moment (Unix ms) at which its row turned active. It runs before the page's own scripts.
OBSERVER = """
window.seen = {};
const look = () => {
  for (const row of document.querySelectorAll("#alarm-rows tr[data-key]")) {
    const active = row.dataset.active === "true";
    const was = window.seen[row.dataset.key];
    if (active && !was) window.seen[row.dataset.key] = performance.timeOrigin + performance.now();
    if (!active) delete window.seen[row.dataset.key];
  }
};
document.addEventListener("DOMContentLoaded", () =>
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true }));
"""


class Register:
    """One register: when it crossed, and when a crossing was first read; Unix s."""

    def __init__(self) -> None:
        self.high = False
        self.crossed = 0.0
        self.read_at = 0.0

    def set(self, high: bool) -> None:
        self.high, self.crossed, self.read_at = high, time.time(), 0.0

    def read(self) -> list[int]:
        if self.high and not self.read_at:
            self.read_at = time.time()
        return [80 if self.high else 10]


def configuration(address: str, alarms: int) -> dict[str, Any]:
    points = {
        f"tank-{i}/level": {"table": "holding", "register": i, "type": "uint16", "unit": "%", "range": [0, 100]} for i in range(alarms)
    }
    definitions = [
        {
            "id": f"high-{i}",
            "point": f"tank-{i}/level",
            "condition": {"kind": "above", "limit": 50},
            "priority": "high",
            "title": {"es": f"Nivel alto {i}", "en": f"High level {i}"},
        }
        for i in range(alarms)
    ]
    return {"sources": [{"name": "plc", "type": "modbus", "tcp": address, "every": POLL, "units": {1: points}}], "alarms": definitions}


class Watch:
    """What the page notes, asked for once for all alarms: a question for each one would load the browser more than the alarms do."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}  # Unix ms at which the row turned active

    async def run(self, page: Page) -> None:
        while True:
            self.seen = await page.evaluate("window.seen")
            await asyncio.sleep(0.2)

    async def until(self, key: str, *, active: bool, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while (key in self.seen) is not active:
            if time.monotonic() > deadline:
                raise click.ClickException(f"{key}: nothing was seen for {seconds:.0f} s")
            await asyncio.sleep(0.02)


async def crossings(watch: Watch, key: str, register: Register, rounds: int, samples: list[tuple[float, float]]) -> None:
    """(wait for the poll, way from the read to the page) in s, for each round."""
    for _ in range(rounds):
        await asyncio.sleep(random.uniform(0.2, 1.5))
        register.set(True)
        await watch.until(key, active=True)
        samples.append((register.read_at - register.crossed, watch.seen[key] / 1000 - register.read_at))
        register.set(False)
        await watch.until(key, active=False)


async def bare(address: str, broker_port: int, register: Register, rounds: int) -> list[float]:
    """The peer: poll, publish when high, note the arrival; s from the read to the subscriber."""
    arrivals: asyncio.Queue[float] = asyncio.Queue()
    host, _, port = address.partition(":")

    async def poll(publisher: aiomqtt.Client) -> None:
        slave = AsyncModbusTcpClient(host, port=int(port))
        await slave.connect()
        try:
            while True:
                answer = await slave.read_holding_registers(0, count=1, device_id=1)
                if answer.registers[0] > 50:
                    await publisher.publish("bare/alarm", b"high", qos=1)
                await asyncio.sleep(0.1)
        finally:
            slave.close()

    async def listen(subscriber: aiomqtt.Client) -> None:
        async for _ in subscriber.messages:
            arrivals.put_nowait(time.time())

    ways = []
    async with aiomqtt.Client("127.0.0.1", broker_port) as publisher, aiomqtt.Client("127.0.0.1", broker_port) as subscriber:
        await subscriber.subscribe("bare/#", qos=1)
        tasks = [asyncio.create_task(poll(publisher)), asyncio.create_task(listen(subscriber))]
        for _ in range(rounds):
            await asyncio.sleep(random.uniform(0.1, 0.3))
            while not arrivals.empty():
                arrivals.get_nowait()
            register.set(True)
            arrived = await arrivals.get()
            ways.append(arrived - register.read_at)
            register.set(False)
            await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return ways


async def run(alarms: int, rounds: int) -> list[dict[str, Any]]:
    registers = [Register() for _ in range(alarms)]
    unit = Unit()
    for index, register in enumerate(registers):
        unit.holding.compute(index, 1, register.read)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        peer = await bare(slave.address, broker.port, registers[0], 30)
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(gateway.wait_ready)
        stack.enter_context(Node(folder / "node", "bench", broker.port, **configuration(slave.address, alarms)))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        await page.add_init_script(OBSERVER)
        await page.goto(gateway.url)
        await page.locator('#connection[data-state="live"]').wait_for(timeout=30_000)
        samples: list[tuple[float, float]] = []
        watch = Watch()
        watcher = asyncio.create_task(watch.run(page))
        async with asyncio.TaskGroup() as group:
            for index, register in enumerate(registers):
                group.create_task(crossings(watch, f"bench.high-{index}", register, rounds, samples))
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await browser.close()
    waits, ways = zip(*samples, strict=True)
    return [
        row("wait for the poll", waits, peer, 0),
        row("read to page", ways, peer, LIMIT_S),
        row("bare: read to subscriber (peer)", peer, peer, 0),
    ]


def row(what: str, seconds: tuple[float, ...] | list[float], peer: list[float], limit: float) -> dict[str, Any]:
    p50, p95, p99 = (float(np.percentile(seconds, q)) for q in (50, 95, 99))
    verdict = ("yes" if p99 < limit else "NO") if limit else ""
    ratio = p50 / float(np.median(peer))
    figures = {"p50 ms": 1e3 * p50, "p95 ms": 1e3 * p95, "p99 ms": 1e3 * p99, "max ms": 1e3 * max(seconds)}
    return {"what": what, "n": len(seconds), **figures, "p50 ÷ peer": ratio, "p99 under 1 s": verdict}


@click.command()
@click.option("--alarms", default=20, help="Registers that cross independently.")
@click.option("--rounds", default=10, help="Crossings of each.")
@click.option("--json", "as_json", is_flag=True)
def main(alarms: int, rounds: int, as_json: bool) -> None:
    """Register to page, in milliseconds."""
    report(
        "alarm latency", asyncio.run(run(alarms, rounds)), as_json=as_json, notes=[f"{POLL:.0f} s polling; limit {LIMIT_S:.0f} s at p99"]
    )


if __name__ == "__main__":
    main()
