"""What the agent costs: CPU and memory of `muki edge run`, on a real Mosquitto and a real gateway, beside a bare loop that only polls and publishes.

    python -m benchmarks.edge_cost [--seconds 60] [--only TEXT] [--json]

Each case has its own limit. (a) 100 Modbus points at 1 Hz: 5 % of one core and 90 MB. (b) The same and 4 vibration channels at 25.6 kHz,
1 s of each every 10 s: 15 % and 130 MB. (c) The same and one
camera with a detector: see edge_camera.py. CPU is counted from 10 s after the start, so that starting is not in it. The bare loop is the
least that anyone could write: pymodbus, paho, no outbox, no alarms.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import edge_camera
from benchmarks.table import report
from simulators.field.modbus_pdu import Unit
from simulators.field.modbus_slave import TcpSlave
from simulators.field.rtsp_server import RtspCamera
from simulators.field.vibration_stream import VibrationStream
from tests.rig.processes import ROOT, Child
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node

POINTS = 100
WARM_UP = 10.0
CHANNELS = ("pump-de", "pump-nde", "motor-de", "motor-nde")
RATE_HZ = 25_600
NOTES = (
    "(c) is measured beside its bare loop and a node of (b), all at the same time; each figure is the median of windows of 20 s.",
    "Its limit holds for what the camera adds, (c) - (b): polling and vibration, limited by (a) and (b), are no part of the bare loop.",
)


class Case(NamedTuple):
    """One configuration of a node, and what it may cost; ``forbidden`` are the libraries that it must not load."""

    title: str
    settings: dict[str, Any]
    cpu_percent: float  # of one core
    rss_mb: float
    forbidden: tuple[str, ...] = ("cv2", "onnxruntime", "scipy")


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


def modbus_case(address: str) -> Case:
    return Case(f"(a) {POINTS} Modbus points at 1 Hz", {"sources": [modbus_source(address)]}, 5.0, 90.0)


def vibration_case(address: str, logger: str) -> Case:
    """Every channel with its velocity, shape, bands, ISO zone and the bearing's lines in the envelope spectrum."""
    points = {channel: f"bench-1/vibration/{channel}" for channel in CHANNELS}
    source = {"name": "accelerometers", "type": "waveform", "tcp": logger, "points": points, "snapshot": 1.0, "every": 10.0}
    processing = [
        {
            "name": f"vibration-{channel}",
            "type": "vibration",
            "input": point,
            "rpm": 1480,
            "bearing": {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04},
            "zone": "iso10816_7_cat2_le200",
            "bands": {"low": [10, 1000], "gear": [1000, 4000], "high": [4000, 10000]},
        }
        for channel, point in points.items()
    ]
    title = f"(b) (a) and {len(CHANNELS)} vibration channels at {RATE_HZ / 1000:g} kHz, 1 s each 10 s"
    return Case(title, {"sources": [modbus_source(address), source], "processing": processing}, 15.0, 130.0)


def machine(size: int) -> NDArray[np.float32]:
    """The next samples of all channels, g: noise is as dear to compute as a real signal."""
    return np.random.default_rng().normal(0, 0.5, (size, len(CHANNELS))).astype(np.float32)


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


def mapped(pid: int, libraries: Sequence[str]) -> list[str]:
    """Which of the libraries the process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in libraries if f"/{name}/" in maps]


@contextmanager
def bare_loop(address: str, broker_port: int, log: Path) -> Iterator[Child]:
    with Child([sys.executable, "-c", BARE_LOOP, address, str(broker_port)], log) as child:
        yield child


async def run(seconds: float, only: str) -> list[dict[str, Any]]:
    unit = Unit()
    unit.holding.compute(0, POINTS, lambda: [(int(time.time() * 10) + index) % 1000 for index in range(POINTS)])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(gateway.wait_ready)
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        logger = await stack.enter_async_context(VibrationStream(machine, channels=CHANNELS, rate_hz=RATE_HZ))
        cases = [modbus_case(slave.address), vibration_case(slave.address, logger.address)]

        with bare_loop(slave.address, broker.port, folder / "bare.log") as child:
            bare = await asyncio.to_thread(measure, child.pid, seconds)
        rows = [row("bare loop: poll and publish (peer)", bare, bare)]
        for index, case in enumerate(case for case in cases if only in case.title):
            with Node(folder / f"node-{index}", f"bench-{index}", broker.port, **case.settings) as node:
                figures = await asyncio.to_thread(measure, node.pid, seconds)
                rows.append(row(case.title, figures, bare, case, mapped(node.pid, case.forbidden)))
        if only in edge_camera.TITLE:
            camera = await stack.enter_async_context(RtspCamera(fps=edge_camera.FPS))
            without = vibration_case(slave.address, logger.address).settings
            settings = edge_camera.with_camera(without, camera.url)
            with (
                edge_camera.bare_loop(camera.url, folder / "bare-camera.log") as bare_camera,
                Node(folder / "node-without", "bench-without", broker.port, **without) as one,
                Node(folder / "node-camera", "bench-camera", broker.port, **settings) as other,
            ):
                pids = {"bare": bare_camera.pid, "without": one.pid, "node": other.pid}
                rows += edge_camera.rows(**await asyncio.to_thread(edge_camera.measure_together, pids, seconds))
    return rows


def row(
    title: str, figures: dict[str, float], bare: dict[str, float], case: Case | None = None, loaded: Sequence[str] = ()
) -> dict[str, Any]:
    within = case is None or (figures["cpu %"] <= case.cpu_percent and figures["rss MB"] <= case.rss_mb and not loaded)
    ratio = {"cpu ÷ bare": figures["cpu %"] / bare["cpu %"] if bare["cpu %"] else None, "rss ÷ bare": figures["rss MB"] / bare["rss MB"]}
    limit = f"{case.cpu_percent:g} %, {case.rss_mb:g} MB" if case is not None else ""
    kept = ("yes" if within else "NO") if case is not None else ""
    return {"what": title, **figures, **ratio, "heavy imports": ", ".join(loaded) or "none", "limit": limit, "within limit": kept}


@click.command()
@click.option("--seconds", default=60.0, help="How long each row is measured.")
@click.option("--only", default="", help="The cases whose title has this text, for example (b).")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, as_json: bool) -> None:
    """CPU and memory of the agent, against the limit of each case and beside a bare loop."""
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    rows = asyncio.run(run(seconds, only))
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    report("edge cost", rows, as_json=as_json, notes=[f"revision {revision or 'unknown'}; load average at the end {load}", *NOTES])


if __name__ == "__main__":
    main()
