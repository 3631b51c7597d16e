"""The gateway at speed: Mosquitto, a load of 50 nodes, `muki gateway run` and its store on this machine; every message acknowledged after its commit.

    python -m benchmarks.ingest [--seconds 30] [--only TEXT] [--json]

Each row is a closed loop: every node sends as soon as its window has room. The peer is the least that anyone could write: a paho subscriber that
reads each message with json and acknowledges it, and stores nothing; it gets the same load through the same broker. CPU is of each process, in
seconds for a million values: wall time on a shared machine says less.
"""

import json
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from benchmarks.table import report
from tests.rig.processes import ROOT, Child
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import SITE, Gateway

NODES = 50
LOADS = {"100 values a message": (100, 40), "10 values a message": (10, 200)}
LIMITS = {
    ("duckdb", "100 values a message"): 800_000,
    ("influx", "100 values a message"): 400_000,
    ("duckdb", "10 values a message"): 120_000,
    ("influx", "10 values a message"): 120_000,
}

PEER = textwrap.dedent(
    """
    import json, sys
    import paho.mqtt.client as mqtt
    site, port = sys.argv[1:]
    def message(client, _, received):
        data = json.loads(received.payload)
        topic = received.topic.rsplit("/", 1)[0] + "/ack"
        client.publish(topic, json.dumps({"boot": data["boot"], "ranges": [[data["seq"], data["seq"]]]}))
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = message
    client.connect("127.0.0.1", int(port))
    client.subscribe(f"muki/v1/{site}/+/data", qos=0)
    client.loop_forever()
    """
)


class Row(NamedTuple):
    """One run: what the load said, the CPU seconds of the receiver, the broker and the store's server, and the cores that all others took."""

    told: dict[str, Any]
    receiver: float
    broker: float
    server: float
    rss_mb: float
    others: float


def run_load(port: int, points: int, window: int, seconds: float, *more: str) -> dict[str, Any]:
    """The load generator in a process of its own. Raises RuntimeError with its last words."""
    command = [sys.executable, "-m", "benchmarks.ingest_load", "--site", SITE, "--port", str(port), "--nodes", str(NODES)]
    command += ["--points", str(points), "--seconds", str(seconds), "--window", str(window), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=seconds + 180)
    if done.returncode:
        raise RuntimeError(f"the load ended with {done.returncode}: {done.stderr[-500:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@contextmanager
def peer(folder: Path, port: int) -> Iterator[Child]:
    with Child([sys.executable, "-c", PEER, SITE, str(port)], folder / "peer.log") as child:
        yield child


def measured(receiver: Child, broker: Mosquitto, server: Influx | None, load: tuple[int, int], seconds: float, *more: str) -> Row:
    pids = [receiver.pid, broker.pid, *([server.pid] if server is not None else [])]
    before, machine, begun = [_cpu(pid) for pid in pids], _busy(), time.monotonic()
    told = run_load(broker.port, *load, seconds, *more)
    used = [_cpu(pid) - then for pid, then in zip(pids, before, strict=True)]
    others = (_busy() - machine - sum(used) - told["cpu_s"]) / (time.monotonic() - begun)
    rss_mb = psutil.Process(receiver.pid).memory_info().rss / 1e6
    return Row(told, used[0], used[1], used[2] if server is not None else 0.0, rss_mb, others)


def _busy() -> float:
    """CPU seconds of everything on this machine since it started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def rows(seconds: float, only: str) -> Iterator[dict[str, Any]]:
    for name, load in LOADS.items():
        if only not in f"peer {name}" and not any(only in f"{store} {name}" for store in ("duckdb", "influx")):
            continue
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            broker = stack.enter_context(Mosquitto(folder / "broker"))
            beside = measured(stack.enter_context(peer(folder, broker.port)), broker, None, load, min(seconds, 15.0))
        yield _row(f"peer (paho, json, no store): {name}", beside, beside, None)
        for store in ("duckdb", "influx"):
            if only in f"{store} {name}" or only in f"peer {name}":
                yield _row(f"{store}: {name}", _gateway(store, load, seconds), beside, LIMITS[store, name])


def _gateway(store: str, load: tuple[int, int], seconds: float) -> Row:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        server = stack.enter_context(Influx(folder / "influx")) if store == "influx" else None
        settings = (
            {"type": "duckdb", "path": "history.duckdb"} if server is None else {"type": "influx", "url": server.url, "database": "bench"}
        )
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, settings))
        gateway.wait_ready()
        return measured(gateway, broker, server, load, seconds)


def _row(what: str, row: Row, beside: Row, limit: int | None) -> dict[str, Any]:
    told, received = row.told, row.told["sent"] * row.told["points"] / 1e6
    per_second = told["values_per_s"]
    return {
        "what": what,
        "values/s": per_second,
        "÷ peer": per_second / beside.told["values_per_s"],
        "messages/s": told["messages_per_s"],
        "durable p99 ms": told["durable_p99_ms"],
        "not acknowledged": told["unacknowledged"],
        "CPU s/1e6 values": row.receiver / received,
        "broker": row.broker / received,
        "server": row.server / received,
        "load": told["cpu_s"] / received,
        "rss MB": row.rss_mb,
        "limit": limit,
        "within limit": "" if limit is None else "yes" if per_second >= limit and not told["unacknowledged"] else "NO",
    }


@click.command()
@click.option("--seconds", default=30.0, help="How long each row is loaded.")
@click.option("--only", default="", help="The rows whose name has this text, for example duckdb or 'peer 10'.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, as_json: bool) -> None:
    """Values a second from fifty nodes to acknowledged commits, beside the least that anyone could write."""
    notes = ["closed loop, 50 nodes; the load generator shares the two cores with all the rest"]
    report("ingest", list(rows(seconds, only)), as_json=as_json, notes=notes)


if __name__ == "__main__":
    main()
