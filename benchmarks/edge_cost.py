"""What the agent costs: CPU and memory of `muki edge run`, on a real Mosquitto and a real gateway, beside a bare loop that only polls and publishes.

    python -m benchmarks.edge_cost [--seconds 60] [--json]

Limits (issue "the whole way through"): 100 Modbus points at 1 Hz with vibration in at most 90 MB and 5 % of one core. CPU is counted from 10 s
after the first reading, so that starting is not in it. The bare loop is the least that anyone could write: pymodbus, paho, no outbox, no alarms.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.table import report
from simulators.field.modbus_pdu import Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.processes import ROOT, Child
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node

POINTS = 100
WARM_UP = 10.0
LIMIT_CPU_PERCENT = 5.0
LIMIT_RSS_MB = 90.0
FORBIDDEN = ("cv2", "onnxruntime", "scipy")

BARE_LOOP = textwrap.dedent(
    """
    import json, sys, time
    import paho.mqtt.client as mqtt
    from pymodbus.client import ModbusTcpClient
    host, port = sys.argv[1].split(":")
    broker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    broker.connect("127.0.0.1", int(sys.argv[2]))
    broker.loop_start()
    slave = ModbusTcpClient(host, port=int(port))
    slave.connect()
    while True:
        registers = slave.read_holding_registers(0, count=100, device_id=1).registers
        broker.publish("bare/data", json.dumps({f"p/{i}": value for i, value in enumerate(registers)}), qos=1)
        time.sleep(1)
    """
)


def modbus_source(address: str) -> dict[str, Any]:
    points = {
        f"bench-1/value/v{index}": {"table": "holding", "register": index, "type": "uint16", "unit": "1", "range": [0, 65535]}
        for index in range(POINTS)
    }
    return {"name": "plc", "type": "modbus", "tcp": address, "every": 1.0, "units": {1: points}}


def vibration(address: str) -> dict[str, Any]:
    return {
        "sources": [
            {
                "name": "accelerometer",
                "type": "waveform",
                "tcp": address,
                "points": {"de": "bench-1/vibration/de"},
                "snapshot": 1.0,
                "every": 10.0,
            }
        ],
        "processing": [
            {
                "name": "vibration-de",
                "type": "vibration",
                "input": "bench-1/vibration/de",
                "rpm": 1480,
                "bearing": {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04},
                "zone": "iso10816_7_cat2_le200",
            }
        ],
    }


def measure(pid: int, seconds: float) -> dict[str, float]:
    """CPU in percent of one core and CPU seconds per hour over the time, and the highest RSS seen, in MB."""
    process = psutil.Process(pid)
    time.sleep(WARM_UP)
    before, begun, rss = process.cpu_times(), time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        time.sleep(1)
        rss = max(rss, process.memory_info().rss)
    after = process.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    took = time.monotonic() - begun
    return {"cpu %": 100 * used / took, "cpu s/h": 3600 * used / took, "rss MB": rss / 1e6}


def mapped(pid: int) -> list[str]:
    """Which of the forbidden libraries the process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in FORBIDDEN if f"/{name}/" in maps]


@contextmanager
def bare_loop(address: str, broker_port: int, log: Path) -> Iterator[Child]:
    with Child([sys.executable, "-c", BARE_LOOP, address, str(broker_port)], log) as child:
        yield child


async def run(seconds: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    unit = Unit()
    unit.holding.compute(0, POINTS, lambda: [(int(time.time() * 10) + index) % 1000 for index in range(POINTS)])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(gateway.wait_ready)
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        mine = folder / "mine"
        stack.enter_context(
            Child([sys.executable, "-m", "muki", "simulate", "run", "first-shift", "--dir", str(mine)], folder / "mine.log")
        )
        stream = await asyncio.to_thread(endpoint, mine, "pump-vibration")

        with bare_loop(slave.address, broker.port, folder / "bare.log") as child:
            bare = await asyncio.to_thread(measure, child.pid, seconds)
        rows.append(row("bare loop: poll and publish (peer)", bare, bare))
        modbus = modbus_source(slave.address)
        settings: dict[str, dict[str, Any]] = {
            f"muki: {POINTS} Modbus points at 1 Hz": {"sources": [modbus]},
            "muki: the same + vibration, 1 s of 12.8 kHz each 10 s": {
                "sources": [modbus, *vibration(stream)["sources"]],
                "processing": vibration(stream)["processing"],
            },
        }
        for index, (title, configuration) in enumerate(settings.items()):
            with Node(folder / f"node-{index}", f"bench-{index}", broker.port, **configuration) as node:
                figures = await asyncio.to_thread(measure, node.pid, seconds)
                rows.append(row(title, figures, bare, mapped(node.pid)))
    return rows


def row(title: str, figures: dict[str, float], bare: dict[str, float], loaded: list[str] | None = None) -> dict[str, Any]:
    within = figures["cpu %"] <= LIMIT_CPU_PERCENT and figures["rss MB"] <= LIMIT_RSS_MB and not loaded
    ratio = {"cpu ÷ bare": figures["cpu %"] / bare["cpu %"] if bare["cpu %"] else None, "rss ÷ bare": figures["rss MB"] / bare["rss MB"]}
    return {
        "what": title,
        **figures,
        **ratio,
        "heavy imports": ", ".join(loaded or []) or "none",
        "within limit": "yes" if within else "NO",
    }


def endpoint(mine: Path, name: str) -> str:
    deadline = time.monotonic() + 30
    while not (mine / "endpoints.json").exists():
        if time.monotonic() > deadline:
            raise click.ClickException("the simulated mine did not start")
        time.sleep(0.1)
    return str(json.loads((mine / "endpoints.json").read_text())[name])


@click.command()
@click.option("--seconds", default=60.0, help="How long each row is measured.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, as_json: bool) -> None:
    """CPU and memory of the agent, against its limit and beside a bare loop."""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    rows = asyncio.run(run(seconds))
    limits = f"limit: {LIMIT_CPU_PERCENT} % of one core and {LIMIT_RSS_MB:.0f} MB; revision {revision or 'unknown'}"
    report("edge cost", rows, as_json=as_json, notes=[limits])


if __name__ == "__main__":
    main()
