"""What else must hold while readings pour in: alarms get through, commits stay soon, nodes cost what they say, a hostile one costs nobody.

    python -m benchmarks.ingest_beside [--seconds 20] [--only TEXT] [--json]

``alarm``: an alarm event every 50 ms through the same broker, from its publishing to the live stream (which follows the journal), while 50 nodes
send as fast as they are acknowledged; the peer is the same alarm through the same broker to a bare subscriber under the same load.
``70 %``: sent to durable, open loop at 70 % of the highest rate just measured. ``nodes``: the same values a second from more and more nodes.
``hostile``: the durable p99 of 49 good nodes beside one that sends what it can think of, 5,000 messages a second.
"""

import asyncio
import gzip
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import click
import httpx
import psutil

from benchmarks.ingest import NODES
from benchmarks.table import report
from tests.rig.processes import ROOT, Child
from tests.rig.servers import Mosquitto
from tests.rig.site import SITE, Gateway

ALARM_EVERY = 0.05  # seconds
LIMIT_ALARM_MS = 100.0
LIMIT_DURABLE_MS = 1500.0
HOSTILE_PER_SECOND = 5_000
WARM_UP = 6.0  # seconds of the load in which births are still looked at


@contextmanager
def site() -> Iterator[tuple[Path, Mosquitto, Gateway]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        gateway.wait_ready()
        yield folder, broker, gateway


def load(port: int, *, nodes: int = NODES, points: int = 100, window: int = 40, seconds: float, rate: float = 0.0) -> list[str]:
    words = [sys.executable, "-m", "benchmarks.ingest_load", "--site", SITE, "--port", str(port), "--nodes", str(nodes)]
    return [*words, "--points", str(points), "--seconds", str(seconds), "--window", str(window), "--rate", str(rate)]


def told(command: list[str], seconds: float) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=seconds + 180)
    if done.returncode:
        raise RuntimeError(f"the load ended with {done.returncode}: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def alarms(port: int, url: str, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds from the publishing of an alarm event to the live stream, and to a bare subscriber."""
    sent: dict[str, float] = {}
    ours: list[float] = []
    bare: list[float] = []
    boot = f"alarms-{time.time_ns()}"
    count = int((seconds - 6) / ALARM_EVERY)

    async def stream() -> None:
        async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client, client.stream("GET", f"{url}/api/v1/events") as answer:
            kind = ""
            async for line in answer.aiter_lines():
                now = time.monotonic()
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:") and kind == "alarm":
                    event = json.loads(line[5:]).get("event", "")
                    if event in sent:
                        ours.append(1e3 * (now - sent[event]))

    async def subscriber() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe(f"muki/v1/{SITE}/alarmer/alarm", qos=1)
            async for message in client.messages:
                bare.append(1e3 * (time.monotonic() - sent[json.loads(bytes(message.payload))["event"]["id"]]))

    tasks = [asyncio.create_task(stream()), asyncio.create_task(subscriber())]
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        definitions = [
            {"id": f"high-{place}", "point": "tank-1/level", "condition": {"kind": "above", "limit": 50}, "priority": "high"}
            for place in range(count)
        ]
        birth = {
            "boot": boot,
            "software": "bench",
            "contract": 1,
            "points": {"tank-1/level": {"unit": "%"}},
            "sent": _ms(),
            "alarms": definitions,
        }
        await client.publish(f"muki/v1/{SITE}/alarmer/birth", json.dumps(birth), qos=1, retain=True)
        await asyncio.sleep(4.0)
        for seq in range(1, count + 1):
            name = f"{boot}-{seq}"
            event = {"id": name, "definition": f"high-{seq - 1}", "point": "tank-1/level", "t": _ms(), "value": 60.0}
            event["transition"] = "active"
            sent[name] = time.monotonic()
            await client.publish(
                f"muki/v1/{SITE}/alarmer/alarm", json.dumps({"boot": boot, "seq": seq, "sent": _ms(), "event": event}), qos=1
            )
            await asyncio.sleep(ALARM_EVERY)
        for _ in range(150):
            if len(ours) >= len(sent):
                break
            await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if len(ours) < len(sent):
        raise RuntimeError(f"{len(sent) - len(ours)} of {len(sent)} alarm events did not reach the live stream")
    return ours, bare


def _ms() -> int:
    return time.time_ns() // 1_000_000


def alarm_row(seconds: float) -> dict[str, Any]:
    with site() as (folder, broker, gateway), Child(load(broker.port, seconds=seconds), folder / "load.log") as child:
        ours, bare = asyncio.run(alarms(broker.port, gateway.url, seconds))
        while child.running:
            time.sleep(0.2)
        rate = json.loads((folder / "load.log").read_text().splitlines()[-1])["values_per_s"]
    p99 = percentile(ours, 0.99)
    return {
        "what": "alarm: published to journal and live stream, under load",
        "n": len(ours),
        "values/s beside": rate,
        "p50 ms": percentile(ours, 0.5),
        "p99 ms": p99,
        "peer p50 ms": percentile(bare, 0.5),
        "peer p99 ms": percentile(bare, 0.99),
        "÷ peer": p99 / percentile(bare, 0.99),
        "limit": LIMIT_ALARM_MS,
        "within limit": "yes" if p99 <= LIMIT_ALARM_MS else "NO",
    }


def open_row(seconds: float) -> dict[str, Any]:
    with site() as (_, broker, _gateway):
        highest = told(load(broker.port, seconds=seconds), seconds)["messages_per_s"]
    with site() as (_, broker, _gateway):
        found = told(load(broker.port, seconds=seconds, rate=0.7 * highest, window=1000), seconds)
    p99 = found["durable_p99_ms"]
    return {
        "what": "70 %: sent to durable, open loop",
        "values/s beside": found["values_per_s"],
        "p50 ms": found["durable_p50_ms"],
        "p99 ms": p99,
        "not acknowledged": found["unacknowledged"],
        "limit": LIMIT_DURABLE_MS,
        "within limit": "yes" if p99 <= LIMIT_DURABLE_MS and not found["unacknowledged"] else "NO",
    }


def node_rows(seconds: float) -> Iterator[dict[str, Any]]:
    """Ten values a message, 2,000 messages a second from all nodes together: 20 points a node at 1,000 nodes is one message each half second."""
    first = None
    for nodes in (100, 300, 1_000, 3_000):
        with site() as (folder, broker, gateway):
            process = psutil.Process(gateway.pid)
            begin = sum(process.cpu_times()[:2])
            with Child(load(broker.port, nodes=nodes, points=20, seconds=seconds, rate=2_000, window=20), folder / "load.log") as child:
                while "ready" not in (folder / "load.log").read_text():
                    time.sleep(0.05)
                time.sleep(WARM_UP)
                before, then = sum(process.cpu_times()[:2]), time.monotonic()
                time.sleep(seconds - WARM_UP - 1)
                cpu = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - then)
                while child.running:
                    time.sleep(0.2)
            found = json.loads((folder / "load.log").read_text().splitlines()[-1])
            births = (sum(process.cpu_times()[:2]) - begin) - cpu * seconds
            rss = process.memory_info().rss / 1e6
        per_million = cpu / (2_000 * 20 / 1e6)
        first = first or per_million
        yield {
            "what": f"nodes: {nodes} x 20 points, 2,000 messages/s",
            "values/s beside": found["values_per_s"],
            "p50 ms": found["durable_p50_ms"],
            "p99 ms": found["durable_p99_ms"],
            "not acknowledged": found["unacknowledged"],
            "CPU s/1e6 values": per_million,
            "÷ 100 nodes": per_million / first,
            "CPU ms a birth": 1e3 * births / nodes,
            "rss MB": rss,
        }


HOSTILE = [
    (
        "birth",
        json.dumps(
            {"boot": "h", "software": "x", "contract": 1, "sent": 1, "points": {f"a/{n}": {"unit": "1"} for n in range(10_000)}}
        ).encode(),
    ),
    ("data", b'{"boot":"h","seq":1,"sent":1,"frames":' + b"[" * 100_000),
    ("data", gzip.compress(b"0" * (64 << 20))),
    ("data", b'{"boot":"h","seq":2,"sent":1,"frames":[{"t":NaN,"v":{"a/1":Infinity}}]}'),
    ("data", b'\xff\xfe{"boot":'),
    ("data", b'{"boot":"h","seq":%d,"sent":1,"frames":[{"t":5,"v":{"a/1":1}},{"t":4102444800000,"v":{"a/1":1}}]}'),
    ("alarm", b'{"boot":"h","seq":%d,"sent":1,"event":{"id":"e%d","definition":"x","point":"a/1","t":5,"transition":"active"}}'),
    ("telemetry", b"{}"),
]
FLOOD = """
import asyncio, pickle, sys, time
import aiomqtt
async def main(port, root, site, per_second, seconds, kinds):
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        end, seq = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            begun = time.monotonic()
            for _ in range(per_second // 50):
                seq += 1
                big = seq % 200 == 0
                kind, payload = kinds[seq // 200 % len(kinds)] if big else kinds[5 + seq % 3]
                payload = payload.replace(b"%d", b"%d" % seq)
                node = "hostile" if seq % 50 else "victim"
                await client.publish(f"{root}/{site}/{node}/{kind}", payload, qos=0)
            await asyncio.sleep(max(0, 0.02 - (time.monotonic() - begun)))
        print("sent", seq)
asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), pickle.loads(sys.stdin.buffer.read())))
"""


def hostile_rows(seconds: float) -> Iterator[dict[str, Any]]:
    """Both times the same flood goes through the broker: once where nobody listens, so that only what the gateway makes of it differs."""
    alone = 0.0
    for root in ("elsewhere", "muki/v1"):
        with site() as (_, broker, _gateway):
            words = [sys.executable, "-c", FLOOD, str(broker.port), root, SITE, str(HOSTILE_PER_SECOND), str(seconds + 4)]
            flood = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert flood.stdin is not None
            flood.stdin.write(pickle.dumps(HOSTILE))
            flood.stdin.close()
            found = told(load(broker.port, nodes=49, points=20, seconds=seconds, rate=500, window=200), seconds)
            assert flood.stdout is not None
            sent = int(flood.stdout.read().split()[-1]) / (seconds + 4)
            flood.wait()
        p99 = found["durable_p99_ms"]
        beside = alone > 0
        alone = alone or p99
        yield {
            "what": f"hostile: 49 good nodes, the flood {'to the gateway' if beside else 'elsewhere'}",
            "values/s beside": found["values_per_s"],
            "hostile messages/s": sent,
            "p50 ms": found["durable_p50_ms"],
            "p99 ms": p99,
            "not acknowledged": found["unacknowledged"],
            "÷ elsewhere": p99 / alone,
            "limit": 2.0 if beside else None,
            "within limit": ("yes" if p99 <= 2 * alone and not found["unacknowledged"] else "NO") if beside else "",
        }


def rows(seconds: float, only: str) -> Iterator[dict[str, Any]]:
    if only in "alarm":
        yield alarm_row(seconds)
    if only in "70 %":
        yield open_row(seconds)
    if only in "nodes":
        yield from node_rows(seconds)
    if only in "hostile":
        yield from hostile_rows(seconds)


@click.command()
@click.option("--seconds", default=20.0, type=click.FloatRange(8), help="How long each row is loaded.")
@click.option("--only", default="", help="alarm, 70 %, nodes or hostile.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, as_json: bool) -> None:
    """Latency of alarms and commits beside a load, with many nodes, and beside a hostile one."""
    found = list(rows(seconds, only))
    columns = list(dict.fromkeys(key for row in found for key in row))
    report(
        "ingest, beside", [{key: row.get(key) for key in columns} for row in found], as_json=as_json, notes=["DuckDB; all on this machine"]
    )


if __name__ == "__main__":
    main()
