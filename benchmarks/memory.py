"""The gateway's memory over a long time: 1,000 nodes with 20 points each, a message a second from every one, on Mosquitto and DuckDB.

    python -m benchmarks.memory [--minutes 60] [--nodes 1000] [--points 20] [--json]

RSS is read every five seconds. The slope is that of a straight line through the second half, in MB an hour with its standard error: what is flat has
one that cannot be told from 0, or less than 1 % of the memory in an hour. The peer, on the same broker and the same messages, is a paho subscriber
that decodes each message and keeps nothing at all.
"""

import json
import sys
import textwrap
import time
from contextlib import ExitStack
from typing import Any

import click
import numpy as np
import psutil

from benchmarks.ingest_beside import load, site
from benchmarks.table import report
from tests.rig.processes import Child
from tests.rig.site import SITE

LIMIT_MB = 300.0
EVERY = 5.0  # seconds
WARM = 120.0  # seconds that belong to the births
PEER = textwrap.dedent(
    """
    import json, sys
    import paho.mqtt.client as mqtt
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, _, received: json.loads(received.payload)
    client.connect("127.0.0.1", int(sys.argv[2]))
    client.subscribe(f"muki/v1/{sys.argv[1]}/+/data", qos=0)
    client.loop_forever()
    """
)


def slope(times: list[float], megabytes: list[float]) -> tuple[float, float]:
    """MB an hour and its standard error, of a line through the second half."""
    half = len(times) // 2
    x, y = np.array(times[half:]) / 3600, np.array(megabytes[half:])
    (rise, _), covariance = np.polyfit(x, y, 1, cov=True)
    return float(rise), float(np.sqrt(covariance[0, 0]))


def row(what: str, times: list[float], found: list[float], limit: float | None) -> dict[str, Any]:
    rise, error = slope(times, found)
    flat = abs(rise) <= max(2 * error, 0.01 * found[-1])
    return {
        "what": what,
        "RSS MB warm": found[0],
        "highest": max(found),
        "end": found[-1],
        "MB/h": rise,
        "± MB/h": error,
        "limit": limit,
        "within limit": "" if limit is None else "yes" if max(found) <= limit and flat else "NO",
    }


@click.command()
@click.option("--minutes", default=60.0)
@click.option("--nodes", default=1_000)
@click.option("--points", default=20)
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, nodes: int, points: int, as_json: bool) -> None:
    """RSS of the gateway while many nodes report for a long time."""
    seconds = 60 * minutes
    with ExitStack() as stack:
        folder, broker, gateway = stack.enter_context(site())
        beside = stack.enter_context(Child([sys.executable, "-c", PEER, SITE, str(broker.port)], folder / "peer.log"))
        log = folder / "load.log"
        child = stack.enter_context(Child(load(broker.port, nodes=nodes, points=points, seconds=seconds, rate=nodes, window=20), log))
        processes = {"gateway": psutil.Process(gateway.pid), "peer": psutil.Process(beside.pid)}
        times: list[float] = []
        found: dict[str, list[float]] = {name: [] for name in processes}
        begun = time.monotonic()
        time.sleep(min(WARM, seconds / 4))
        cpu = sum(processes["gateway"].cpu_times()[:2])
        warm = time.monotonic()
        while child.running and time.monotonic() - begun < seconds:
            times.append(time.monotonic() - begun)
            for name, process in processes.items():
                found[name].append(process.memory_info().rss / 1e6)
            time.sleep(min(EVERY, seconds / 100))
        cores = (sum(processes["gateway"].cpu_times()[:2]) - cpu) / (time.monotonic() - warm)
        while child.running:
            time.sleep(0.2)
        told = json.loads(log.read_text().splitlines()[-1])
        gateway.wait_ready()
    rows = [row(f"gateway: {nodes} x {points} points at 1 Hz, {minutes:g} min", times, found["gateway"], LIMIT_MB)]
    rows.append(row("peer: paho, json, keeps nothing", times, found["peer"], None))
    notes = [
        f"{told['values_per_s']:.0f} values/s, {told['unacknowledged']} messages not acknowledged at the end; gateway {cores:.2f} cores",
        f"durable p99 {told['durable_p99_ms']:.0f} ms",
    ]
    report("memory", rows, as_json=as_json, notes=notes)


if __name__ == "__main__":
    main()
