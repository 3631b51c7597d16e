"""The gateway beside the flow that a plant would draw in Node-RED: the same load, broker and InfluxDB, one run.

    python -m benchmarks.node_red [--seconds 20] [--only TEXT] [--cache FOLDER] [--json]

The flow: ``mqtt in`` (QoS 1, our data topic, parsed as JSON) -> ``function`` (one point a frame, all its values as fields, the node as a tag) ->
``join`` (an array of so many points, or what there is after a quarter of a second) -> ``influxdb batch``, precision ms. No debug nodes, no editor, no
context that is kept. The batch is the best of those tried (see BATCHES).

Closed loop for everyone: `ingest_load` with the windows of `benchmarks.ingest`. Node-RED acknowledges nothing, so somebody else does it on its
behalf: four times a second this process asks InfluxDB how many messages of each node it holds and tells the load. So the flow is never asked for
more than it can store, and pays for the window with a small query only. At the end every store is asked how many values it holds; the rate is
these values by the time from the first message to the last acknowledgement.

Node-RED is installed with npm at the first call, outside of the repository. CPU is of each process, in seconds for a million values stored.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import duckdb
import paho.mqtt.client as mqtt

from benchmarks.ingest import LOADS, NODES, Row, measured
from benchmarks.table import report
from tests.rig.processes import Child, wait_for
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import SITE, Gateway

PACKAGES = ("node-red", "node-red-contrib-influxdb")
RECEIVERS = ("node-red", "duckdb", "influx")
DATABASE = "bench"
# Points a write.
BATCHES = {"100 values a message": 200, "10 values a message": 1000}
LIMITS = {
    ("duckdb", "100 values a message"): 8.0,
    ("influx", "100 values a message"): 4.0,
    ("duckdb", "10 values a message"): 3.0,
    ("influx", "10 values a message"): 3.0,
}
EVERY = 0.25  # seconds: how often InfluxDB is asked, and how long a point waits for its batch

FUNCTION = """
const node_name = msg.topic.split("/")[3];
return [msg.payload.frames.map(frame => ({
    payload: {measurement: "readings", tags: {node: node_name}, fields: frame.v, timestamp: frame.t},
}))];
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
    return ", ".join([*(f"{name} {json.loads(card.read_text())['version']}" for name, card in zip(PACKAGES, cards, strict=True)), f"node {node}"])


def flow(broker: Mosquitto, server: Influx, batch: int) -> list[dict[str, Any]]:
    topic = f"muki/v1/{SITE}/+/data"
    return [
        {"id": "the-tab", "type": "tab", "label": "ingest"},
        {"id": "the-broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(broker.port), "protocolVersion": "4", "cleansession": True},
        {"id": "the-server", "type": "influxdb", "hostname": "127.0.0.1", "port": str(server.port), "database": DATABASE, "influxdbVersion": "1.x"},
        {"id": "the-in", "z": "the-tab", "type": "mqtt in", "topic": topic, "qos": "1", "datatype": "json", "broker": "the-broker", "wires": [["the-points"]]},
        {"id": "the-points", "z": "the-tab", "type": "function", "func": FUNCTION, "outputs": 1, "wires": [["the-join"]]},
        {
            "id": "the-join",
            "z": "the-tab",
            "type": "join",
            "mode": "custom",
            "build": "array",
            "property": "payload",
            "propertyType": "msg",
            "count": str(batch),
            "timeout": str(EVERY),
            "useparts": False,
            "wires": [["the-out"]],
        },
        {"id": "the-out", "z": "the-tab", "type": "influxdb batch", "influxdb": "the-server", "precision": "ms", "wires": []},
    ]


class NodeRed(Child):
    """Node-RED as it comes, without its editor, with one flow."""

    def __init__(self, folder: Path, cache: Path, nodes: list[dict[str, Any]]) -> None:
        folder.mkdir(parents=True)
        (folder / "flows.json").write_text(json.dumps(nodes))
        (folder / "settings.js").write_text(
            'module.exports = {flowFile: "flows.json", httpAdminRoot: false, httpNodeRoot: false, uiHost: "127.0.0.1", uiPort: 0,'
            ' credentialSecret: false, logging: {console: {level: "info"}}};'
        )
        program = cache / "node_modules" / "node-red" / "red.js"
        super().__init__(["node", str(program), "--userDir", str(folder), "--settings", str(folder / "settings.js")], folder / "node-red.log")

    def start(self) -> None:
        super().start()
        wait_for(lambda: "Connected to broker" in self.log.read_text(), seconds=60, describe="Node-RED", log=self)


def influxql(server: Influx, query: str) -> list[dict[str, Any]]:
    """The series of the answer."""
    text = urllib.parse.urlencode({"db": DATABASE, "q": query}).encode()
    with urllib.request.urlopen(f"{server.url}/query", text, timeout=60) as answer:  # noqa: S310 - a loopback address of our own
        found: list[dict[str, Any]] = json.loads(answer.read())["results"][0].get("series", [])
    return found


@contextmanager
def acknowledging(broker: Mosquitto, server: Influx) -> Iterator[None]:
    """Tells the load what InfluxDB holds. The load's first birth tells how a message is known there: by its node and its first value."""
    boots: dict[str, str] = {}
    ended = threading.Event()

    def birth(_client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        boots[message.topic.split("/")[3]] = json.loads(message.payload)["boot"]

    def tell() -> None:
        told: dict[str, int] = {}
        while not ended.wait(EVERY):
            for series in influxql(server, 'SELECT count("machine-0/signal-0") FROM readings GROUP BY node'):
                node, count = series["tags"]["node"], series["values"][0][1]
                if count > told.get(node, 0):
                    told[node] = count
                    ack = {"boot": boots[node], "ranges": [[1, count]]}
                    client.publish(f"muki/v1/{SITE}/{node}/ack", json.dumps(ack))

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = birth
    client.connect("127.0.0.1", broker.port)
    client.subscribe(f"muki/v1/{SITE}/+/birth", qos=1)
    client.loop_start()
    teller = threading.Thread(target=tell, name="acknowledging")
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
        client.disconnect()
        client.loop_stop()


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
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        server = stack.enter_context(Influx(folder / "influx")) if receiver != "duckdb" else None
        if receiver == "node-red":
            assert server is not None
            influxql(server, f"CREATE DATABASE {DATABASE}")
            peer = stack.enter_context(NodeRed(folder / "node-red", cache, flow(broker, server, BATCHES[name])))
            with acknowledging(broker, server):
                row = measured(peer, broker, server, LOADS[name], seconds)
            return row, in_influx(server)
        settings = {"type": "influx", "url": server.url, "database": DATABASE} if server else {"type": "duckdb", "path": "history.duckdb"}
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, settings))
        gateway.wait_ready()
        row = measured(gateway, broker, server, LOADS[name], seconds)
        if server is not None:
            return row, in_influx(server)
        gateway.stop()  # nobody else can open the file before
        return row, in_duckdb(folder / "gateway" / "history.duckdb")


def rows(seconds: float, only: str, cache: Path) -> Iterator[dict[str, Any]]:
    for name in LOADS:
        peer = 0.0
        for receiver in RECEIVERS:
            if only and only not in name:
                continue
            row, stored = run_one(receiver, name, seconds, cache)
            told, rate = row.told, stored / row.told["until_durable_s"]
            peer = peer or rate
            sent = told["sent"] * told["points"]
            limit = LIMITS.get((receiver, name))
            yield {
                "what": f"{receiver}: {name}",
                "values/s": rate,
                "÷ node-red": rate / peer,
                "values sent": sent,
                "stored": stored,
                "sent again": told["resent"],
                "CPU s/1e6 values": row.receiver / stored * 1e6,
                "broker": row.broker / stored * 1e6,
                "server": row.server / stored * 1e6,
                "all three": (row.receiver + row.broker + row.server) / stored * 1e6,
                "rss MB": row.rss_mb,
                "limit": limit,
                "within limit": "" if limit is None else "yes" if rate / peer >= limit and stored >= sent else "NO",
            }


@click.command()
@click.option("--seconds", default=20.0, type=click.FloatRange(5), help="How long each row is loaded.")
@click.option("--only", default="", help="The loads whose name has this text, for example '100 values'.")
@click.option("--cache", type=click.Path(path_type=Path), default=None, help="Where npm installs; by default in the user's cache folder.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, cache: Path | None, as_json: bool) -> None:
    """Values a second and CPU, of the gateway and of a Node-RED flow that does the same."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = cache or home / "muki-benchmarks" / "node-red"
    versions = install(cache)
    busy = os.getloadavg()[0]
    notes = [
        f"closed loop, {NODES} nodes, all on this machine; {versions}",
        f"one-minute load average before the first row: {busy:.2f}",
    ]
    report("node-red", list(rows(seconds, only, cache)), as_json=as_json, notes=notes)


if __name__ == "__main__":
    main()
