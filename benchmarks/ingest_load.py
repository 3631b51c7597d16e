"""Many nodes in one cheap process: they publish what was encoded beforehand, keep to a window, and send again what is not acknowledged.

    python -m benchmarks.ingest_load --port 1883 --nodes 50 --points 100 --seconds 30 [--rate MESSAGES] [--window N]
        [--influx URL]

Each node has an MQTT connection of its own and speaks the wire contract. Without ``--rate`` every node sends as soon as its window has room (closed
loop), with it all together send so many messages a second (open loop). With ``--influx`` what this InfluxDB holds counts as acknowledged: for
receivers that acknowledge nothing. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import time
import urllib.parse
import urllib.request
from collections import deque
from typing import Any, NamedTuple

import msgspec

from contract.messages import Ack
from gateway.mqtt import packets
from gateway.mqtt.packets import V5, Will
from gateway.mqtt.reader import Reader

TICK = 0.004  # seconds
RESEND_AFTER = 5.0
BODIES = 16  # different sets of values
ASK_EVERY = 0.25  # seconds
_acks = msgspec.json.Decoder(Ack)


class Sent(NamedTuple):
    seq: int
    t_ms: int
    at: float  # monotonic


class Node(asyncio.Protocol):
    """One connection and its line of sequence numbers."""

    def __init__(self, site: str, number: int, points: list[str], window: int) -> None:
        self.name = f"load-{number}"
        self.boot = f"{time.time_ns()}-{number}"
        self.points = points
        self.window = window
        self.site = site
        self.seq = self.resent = self.acknowledged = 0
        self.pending: deque[Sent] = deque()
        self.early: set[int] = set()  # acknowledged before an older one
        self.latencies: list[float] = []
        self.ready = asyncio.get_running_loop().create_future()
        self._reader = Reader(V5, message=self._message, other=self._other)
        self._last_ms = 0
        bodies = [
            ",".join(f'"{point}":{(place * 7 + turn * 13) % 1000 / 10}' for place, point in enumerate(points)) for turn in range(BODIES)
        ]
        topic = f"muki/v1/{site}/{self.name}/data"
        self._templates = []
        for body in bodies:
            text = f'{{"boot":"{self.boot}","seq":%010d,"sent":%013d,"frames":[{{"t":%013d,"v":{{{body}}}}}]}}'
            size = len(text % (1, 1, 1))
            # A leading zero is no JSON: the number is preceded by spaces instead, which are.
            text = text.replace("%010d", "%10d").replace("%013d", "%13d")
            head = packets.publish(V5, topic, b"x" * size, retain=False, packet_id=None)[:-size]
            self._templates.append(head.replace(b"%", b"%%") + text.encode())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        state = f"muki/v1/{self.site}/{self.name}/state"
        gone = json.dumps({"online": False, "boot": self.boot, "since": 0}).encode()
        transport.write(packets.connect(V5, self.name, keepalive=600, will=Will(state, gone, 0, retain=True)))
        transport.write(packets.subscribe(V5, 1, f"muki/v1/{self.site}/{self.name}/ack", 0))
        points = {point: {"unit": "1", "range": [0, 100]} for point in self.points}
        birth = {"boot": self.boot, "software": "load", "contract": 1, "points": points, "sent": time.time_ns() // 1_000_000}
        topic = f"muki/v1/{self.site}/{self.name}/birth"
        transport.write(packets.publish(V5, topic, json.dumps(birth).encode(), retain=True, packet_id=None))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def _other(self, kind: int, _flags: int, _body: bytes) -> None:
        if kind == packets.SUBACK:
            self.ready.set_result(None)

    def _message(self, _topic: str, payload: bytes, _retained: bool) -> None:
        ack = _acks.decode(payload)
        if ack.boot != self.boot:
            return
        now = time.monotonic()
        for first, last in ack.ranges:
            self.early.update(range(first, last + 1))
        while self.pending and self.pending[0].seq in self.early:
            done = self.pending.popleft()
            self.early.discard(done.seq)
            self.acknowledged += 1
            self.latencies.append(now - done.at)

    def stored_until(self, t_ms: int) -> None:
        """Everything up to this time counts as acknowledged."""
        now = time.monotonic()
        while self.pending and self.pending[0].t_ms <= t_ms:
            self.latencies.append(now - self.pending.popleft().at)
            self.acknowledged += 1

    def send(self, count: int) -> int:
        """Publishes so many messages, as far as the window allows and the socket takes them; returns how many."""
        if self.transport.get_write_buffer_size() > 1 << 20:
            return 0
        count = min(count, self.window - len(self.pending))
        if count <= 0:
            return 0
        now, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        out = []
        for _ in range(count):
            self.seq += 1
            self._last_ms = max(now_ms, self._last_ms + 1)
            self.pending.append(Sent(self.seq, self._last_ms, now))
            out.append(self._templates[self.seq % BODIES] % (self.seq, now_ms, self._last_ms))
        self.transport.write(b"".join(out))
        return count

    def send_again(self) -> None:
        """What has waited too long."""
        now = time.monotonic()
        for place, one in enumerate(self.pending):
            if now - one.at < RESEND_AFTER:
                break
            if one.seq not in self.early:
                self.transport.write(self._templates[one.seq % BODIES] % (one.seq, time.time_ns() // 1_000_000, one.t_ms))
                self.resent += 1
            self.pending[place] = one._replace(at=now)


def in_turn(nodes: list[Node], credit: float) -> float:
    """Sends that many messages, each node in its turn: one that is passed over for seconds would be silent. Returns what found no room."""
    for _ in range(max(len(nodes), int(credit))):
        if credit < 1:
            break
        credit -= nodes[0].send(1)
        nodes.append(nodes.pop(0))
    return credit


async def judge(nodes: list[Node], url: str) -> None:
    """Asks InfluxDB again and again for the time of the newest value of each node: a count would cost it more with every second.

    Without a URL there is nothing to do.
    """
    query = f'SELECT last("{nodes[0].points[0]}") FROM readings GROUP BY node'  # noqa: S608 - ours
    text = urllib.parse.urlencode({"db": "bench", "epoch": "ms", "q": query})
    known = {node.name: node for node in nodes}

    def ask() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{url}/query?{text}", timeout=60) as answer:  # noqa: S310 - loopback
            series: list[dict[str, Any]] = json.loads(answer.read())["results"][0].get("series", [])
        return series

    while url:
        await asyncio.sleep(ASK_EVERY)
        for series in await asyncio.to_thread(ask):
            known[series["tags"]["node"]].stored_until(series["values"][0][0])


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Connects, waits for the line ``go`` on stdin if asked to, sends, and waits for the last acknowledgement."""
    points = [f"machine-{place // 10}/signal-{place % 10}" for place in range(arguments.points)]
    loop = asyncio.get_running_loop()
    nodes = [Node(arguments.site, number, points, arguments.window) for number in range(1, arguments.nodes + 1)]
    for node in nodes:
        await loop.create_connection(lambda node=node: node, "127.0.0.1", arguments.port)  # type: ignore[misc]
    await asyncio.gather(*(node.ready for node in nodes))
    judging = asyncio.create_task(judge(nodes, arguments.influx), name="judge")
    await asyncio.sleep(1.0)
    print("ready", flush=True)
    begun = time.monotonic()
    begun_cpu = time.process_time()
    credit, checked = 0.0, begun
    last = begun
    marks: dict[str, float] = {}
    while (now := time.monotonic()) - begun < arguments.seconds:
        if "warm" not in marks and now - begun >= arguments.warm_up:
            marks = {"warm": now, "acknowledged": float(sum(node.acknowledged for node in nodes))}
            for node in nodes:
                node.latencies.clear()
        if arguments.rate:
            credit += (now - last) * arguments.rate
            credit = in_turn(nodes, credit)
        else:
            for node in nodes:
                node.send(node.window)
        last = now
        if now - checked > 1:
            checked = now
            for node in nodes:
                node.send_again()
        await asyncio.sleep(TICK)
    ended = time.monotonic()
    acknowledged = sum(node.acknowledged for node in nodes) - marks["acknowledged"]
    latencies = sorted(latency for node in nodes for latency in node.latencies)
    cpu = time.process_time() - begun_cpu
    while any(node.pending for node in nodes) and time.monotonic() - ended < arguments.drain:
        await asyncio.sleep(0.05)
        for node in nodes:
            node.send_again()
    if judging.done():
        judging.result()  # raises what ended it
    judging.cancel()
    return {
        "points": arguments.points,
        "seconds": ended - marks["warm"],
        "until_durable_s": time.monotonic() - begun,  # from the first message to the last acknowledgement, warm-up included
        "sent": sum(node.seq for node in nodes),
        "unacknowledged": sum(len(node.pending) for node in nodes),
        "resent": sum(node.resent for node in nodes),
        "behind": credit,  # open loop: what should have been sent and was not, for want of room in the windows
        "messages_per_s": acknowledged / (ended - marks["warm"]),
        "values_per_s": acknowledged * arguments.points / (ended - marks["warm"]),
        "durable_p50_ms": 1e3 * latencies[len(latencies) // 2] if latencies else None,
        "durable_p99_ms": 1e3 * latencies[len(latencies) * 99 // 100] if latencies else None,
        "cpu_s": cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="nodes that publish what was encoded beforehand")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--site", default="bench")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds of these that are not counted")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second of all nodes together; 0: closed loop")
    parser.add_argument("--window", type=int, default=40, help="unacknowledged messages of a node")
    parser.add_argument("--influx", default="", help="URL of an InfluxDB 1.x that says what is stored, in its database bench")
    parser.add_argument("--drain", type=float, default=60.0, help="seconds to wait for the last acknowledgements")
    print(json.dumps(asyncio.run(run(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
