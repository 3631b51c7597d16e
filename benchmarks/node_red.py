"""The gateway beside the flows that a plant would draw in Node-RED: the same load, broker and InfluxDB, in one run.

    python -m benchmarks.node_red [--seconds 20] [--only TEXT] [--cache FOLDER] [--json]

``join``: mqtt in (QoS 1, our data topic, parsed as JSON) -> function (a point for each frame: all its values as fields, the node as a tag) -> join
(an array of BATCHES points, or what there is after FLUSH) -> influxdb batch, precision ms. ``function``: the same, but the function keeps the batch
itself, which saves a message for each point and is the fastest flow that we found. ``plain``: without a join, a write for each message, as it is
drawn first. No debug nodes, no editor, context in memory; of several batch sizes the best. Mosquitto may queue more than its thousand messages, for
everyone alike: with fewer it drops some on the way to Node-RED.

All are loaded by `ingest_load` in a closed loop with the same windows. Node-RED acknowledges nothing, so the load asks InfluxDB four times a second
for the newest value of each node and takes that for its acknowledgement: no flow is asked for more than it can store, and the question costs
InfluxDB a few hundredths of a core. After each row the store is asked how many values it holds. The rate is that number by the time from the first
message to the last acknowledgement, warm-up and the last batch included. What is not there in the end is lost.

Node-RED is installed with npm at the first call, outside of the repository. CPU is of each process, in seconds for a million values stored;
``others, cores`` is what programs that do not belong to the row took meanwhile: where it is not near zero, look at the CPU and not at the rate.
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import duckdb

from benchmarks.ingest import NODES, Row, measured
from benchmarks.table import report
from tests.rig.processes import Child, wait_for
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import SITE, Gateway

PACKAGES = ("node-red", "node-red-contrib-influxdb")
FLOWS = ("plain", "join", "function")
STORES = ("duckdb", "influx")
DATABASE = "bench"
HUNDRED, TEN = "100 values a message", "10 values a message"
# Points, and unacknowledged messages of a node: twice those of `ingest`, or the windows are what limits Node-RED.
LOADS = {HUNDRED: (100, 80), TEN: (10, 400)}
BATCHES = {HUNDRED: 500, TEN: 3000}  # points a write
FLUSH = 0.25  # seconds that a point waits at most for its batch
LIMITS = {("duckdb", HUNDRED): 8.0, ("influx", HUNDRED): 4.0, ("duckdb", TEN): 3.0, ("influx", TEN): 3.0}  # times the flow with join

POINTS = """
const name = msg.topic.split("/")[3];
const made = msg.payload.frames.map(frame => ({measurement: "readings", tags: {node: name}, fields: frame.v, timestamp: frame.t}));
"""
PLAIN = POINTS + "return {payload: made};"
ONE_EACH = POINTS + "return [made.map(point => ({payload: point}))];"
BATCHED = f"""{POINTS}
const points = context.get("points");
points.push(...made);
if (points.length < BATCH) return null;
context.set("points", []);
return {{payload: points}};
"""
BATCHED_START = """
context.set("points", []);
setInterval(() => {
    const points = context.get("points");
    if (!points.length) return;
    context.set("points", []);
    node.send({payload: points});
}, FLUSH_MS);
"""


def install(cache: Path) -> str:
    """Installs what is missing in the folder and returns the versions. Raises ClickException that says what to do."""
    for program, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(program) is None:
            raise click.ClickException(f"{program} is not installed: apt-get install {package}")
    cards = [cache / "node_modules" / name / "package.json" for name in PACKAGES]
    if not all(card.exists() for card in cards):
        cache.mkdir(parents=True, exist_ok=True)
        click.echo(f"npm install of {' and '.join(PACKAGES)} into {cache}", err=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), *PACKAGES]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise click.ClickException(f"npm install ended with {done.returncode}:\n{done.stderr[-1000:]}")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = [f"{name} {json.loads(card.read_text())['version']}" for name, card in zip(PACKAGES, cards, strict=True)]
    return ", ".join([*versions, f"node {node}"])


def flow(kind: str, broker: Mosquitto, server: Influx, batch: int) -> list[dict[str, Any]]:
    """What the editor would export."""
    topic = f"muki/v1/{SITE}/+/data"
    made: list[dict[str, Any]] = [
        {"id": "f1", "type": "tab", "label": "ingest"},
        {"id": "c1", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(broker.port), "protocolVersion": "4", "cleansession": True},
        {"id": "c2", "type": "influxdb", "hostname": "127.0.0.1", "port": str(server.port), "database": DATABASE, "influxdbVersion": "1.x"},
        {"id": "n1", "z": "f1", "type": "mqtt in", "topic": topic, "qos": "1", "datatype": "json", "broker": "c1", "wires": [["n2"]]},
        {"id": "n4", "z": "f1", "type": "influxdb batch", "influxdb": "c2", "precision": "ms", "wires": []},
    ]
    function: dict[str, Any] = {"id": "n2", "z": "f1", "type": "function", "outputs": 1}
    if kind == "function":
        code = BATCHED.replace("BATCH", str(batch))
        start = BATCHED_START.replace("FLUSH_MS", f"{1000 * FLUSH:.0f}")
        return [*made, {**function, "func": code, "initialize": start, "wires": [["n4"]]}]
    if kind == "plain":
        return [*made, {**function, "func": PLAIN, "wires": [["n4"]]}]
    join: dict[str, Any] = {"id": "n3", "z": "f1", "type": "join", "mode": "custom", "build": "array", "propertyType": "msg"}
    join |= {"property": "payload", "count": str(batch), "timeout": str(FLUSH), "useparts": False}
    return [*made, {**function, "func": ONE_EACH, "wires": [["n3"]]}, {**join, "wires": [["n4"]]}]


class NodeRed(Child):
    """Node-RED as it comes, without its editor, with one flow."""

    def __init__(self, folder: Path, cache: Path, nodes: list[dict[str, Any]]) -> None:
        folder.mkdir(parents=True)
        (folder / "flows.json").write_text(json.dumps(nodes))
        (folder / "settings.js").write_text(
            'module.exports = {flowFile: "flows.json", httpAdminRoot: false, httpNodeRoot: false, uiHost: "127.0.0.1", uiPort: 0,'
            ' credentialSecret: false, telemetry: {enabled: false}, logging: {console: {level: "info"}}};'
        )
        program = cache / "node_modules" / "node-red" / "red.js"
        super().__init__(
            ["node", str(program), "--userDir", str(folder), "--settings", str(folder / "settings.js")], folder / "node-red.log"
        )

    def start(self) -> None:
        super().start()
        wait_for(lambda: "Connected to broker" in self.log.read_text(), seconds=60, describe="Node-RED", log=self)


def influxql(server: Influx, query: str) -> list[dict[str, Any]]:
    """The series of the answer."""
    text = urllib.parse.urlencode({"db": DATABASE, "q": query}).encode()
    with urllib.request.urlopen(f"{server.url}/query", text, timeout=60) as answer:  # noqa: S310 - a loopback address of our own
        found: list[dict[str, Any]] = json.loads(answer.read())["results"][0].get("series", [])
    return found


def in_influx(server: Influx) -> int:
    """Values, by a query."""
    return sum(sum(value for value in series["values"][0][1:]) for series in influxql(server, "SELECT count(*) FROM readings"))


def in_duckdb(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        row = connection.execute("SELECT count(value) FROM reading").fetchone()
    return int(row[0]) if row else 0


def run_one(receiver: str, name: str, seconds: float, cache: Path) -> tuple[Row, int]:
    """One receiver under one load, with a broker and a store of its own: what was measured, and how many values the store holds after it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker", extra="max_queued_messages 100000"))
        if receiver == "duckdb":
            gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
            gateway.wait_ready()
            row = measured(gateway, broker, None, LOADS[name], seconds)
            gateway.stop()  # nobody else can open the file before
            return row, in_duckdb(folder / "gateway" / "history.duckdb")
        server = stack.enter_context(Influx(folder / "influx"))
        if receiver == "influx":
            settings = {"type": "influx", "url": server.url, "database": DATABASE}
            gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, settings))
            gateway.wait_ready()
            row = measured(gateway, broker, server, LOADS[name], seconds)
        else:
            influxql(server, f"CREATE DATABASE {DATABASE}")
            nodes = flow(receiver, broker, server, BATCHES[name])
            peer = stack.enter_context(NodeRed(folder / "node-red", cache, nodes))
            row = measured(peer, broker, server, LOADS[name], seconds, "--influx", server.url)
        return row, in_influx(server)


def rows(seconds: float, only: str, cache: Path) -> Iterator[dict[str, Any]]:
    for name in (name for name in LOADS if only in name):
        rates: dict[str, float] = {}
        for receiver in (*FLOWS, *STORES):
            row, stored = run_one(receiver, name, seconds, cache)
            sent = row.told["sent"] * row.told["points"]
            if not stored:
                raise RuntimeError(f"{receiver}: nothing of {sent} values was stored")
            rates[receiver] = stored / row.told["until_durable_s"]
            limit = LIMITS.get((receiver, name))
            met = limit is not None and rates[receiver] >= limit * rates["join"] and stored == sent
            cpu = [1e6 * used / stored for used in (row.receiver, row.server, row.broker)]
            yield {
                "what": f"{'Node-RED' if receiver in FLOWS else 'gateway'}, {receiver}: {name}",
                "values/s": rates[receiver],
                **{f"÷ {kind}": rates[receiver] / rates[kind] if kind in rates else None for kind in FLOWS},
                "stored": stored,
                "lost": sent - stored,
                "CPU s/1e6 values": cpu[0],
                "server": cpu[1],
                "broker": cpu[2],
                "all three": sum(cpu),
                "rss MB": row.rss_mb,
                "others, cores": row.others,
                "limit": limit,
                "within limit": "" if limit is None else "yes" if met else "NO",
            }


@click.command()
@click.option("--seconds", default=20.0, type=click.FloatRange(5), help="How long each row is loaded.")
@click.option("--only", default="", help="The loads whose name has this text, for example '100 values'.")
@click.option(
    "--cache", type=click.Path(path_type=Path), default=None, help="Where npm installs; a folder in the user's cache if not given."
)
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, cache: Path | None, as_json: bool) -> None:
    """Values a second and CPU, of the gateway and of Node-RED flows that store the same."""
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muki-benchmarks" / "node-red"
    versions = install(cache)
    notes = [f"closed loop, {NODES} nodes, all on this machine; {versions}", f"load average before the first row: {os.getloadavg()[0]:.2f}"]
    report("node-red", list(rows(seconds, only, cache)), as_json=as_json, notes=notes)


if __name__ == "__main__":
    main()
