"""A stand-in for the gateway: subscribes to one node, keeps what came in order of arrival, and acknowledges while it is told to."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import aiomqtt

from contract.topics import node_topic

SITE, NODE = "test", "gas-1"


class Arrival(NamedTuple):
    kind: str
    retained: bool
    content: dict[str, Any]
    at: float  # monotonic s


class StandIn:
    """``arrivals`` of every kind; a lost broker is waited for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acknowledging = True
        self.arrivals: list[Arrival] = []
        self.connected = asyncio.Event()
        self._client: aiomqtt.Client | None = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [arrival.content for arrival in self.arrivals if arrival.kind == kind]

    def numbered(self) -> list[dict[str, Any]]:
        """Data and alarm messages in order of arrival."""
        return [arrival.content for arrival in self.arrivals if arrival.kind in {"data", "alarm"}]

    def seqs(self, boot: str | None = None) -> list[int]:
        return [content["seq"] for content in self.numbered() if boot is None or content["boot"] == boot]

    async def acknowledge(self, boot: str, *ranges: tuple[int, int]) -> None:
        await self.send(json.dumps({"boot": boot, "ranges": ranges}).encode())

    async def send(self, payload: bytes) -> None:
        assert self._client is not None
        await self._client.publish(node_topic(SITE, NODE, "ack"), payload, qos=1)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self._port, timeout=3) as client:
                    self._client = client
                    await client.subscribe(f"muki/v1/{SITE}/{NODE}/+", qos=1)
                    self.connected.set()
                    async for message in client.messages:
                        await self._arrived(message)
            self.connected.clear()
            await asyncio.sleep(0.1)

    async def _arrived(self, message: aiomqtt.Message) -> None:
        kind = message.topic.value.rsplit("/", 1)[1]
        if kind == "ack":
            return
        assert isinstance(message.payload, bytes)
        content = json.loads(message.payload)
        self.arrivals.append(Arrival(kind, message.retain, content, time.monotonic()))
        if kind in {"data", "alarm"} and self.acknowledging:
            await self.acknowledge(content["boot"], (content["seq"], content["seq"]))


@contextlib.asynccontextmanager
async def stand_in(port: int) -> AsyncIterator[StandIn]:
    """A running one, subscribed."""
    gateway = StandIn(port)
    task = asyncio.create_task(gateway.run(), name="stand-in")
    try:
        await asyncio.wait_for(gateway.connected.wait(), 10)
        yield gateway
    finally:
        while not task.done():  # the first word may get lost in a publish: before Python 3.12 `asyncio.wait_for` swallows it
            task.cancel()
            await asyncio.wait([task], timeout=0.5)


async def until(what: Callable[[], object], *, seconds: float = 15.0, describe: str = "") -> None:
    """Waits for something to be true. Raises AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited {seconds} s for {describe or what}"
        await asyncio.sleep(0.02)
