"""A device that speaks the wire contract by hand, right or wrong, and remembers what the gateway says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt

SITE = "test"


class Device:
    """One MQTT connection; ``heard`` is every message of the site that came back to it, by topic."""

    def __init__(self, client: aiomqtt.Client, node: str, boot: str) -> None:
        self.client = client
        self.node = node
        self.boot = boot
        self.seq = 0
        self.clock_off = 0  # milliseconds that this device's clock is ahead
        self.heard: list[tuple[str, bytes, bool]] = []

    def topic(self, kind: str) -> str:
        return f"muki/v1/{SITE}/{self.node}/{kind}"

    def now(self) -> int:
        """Unix milliseconds by this device's clock."""
        return now_ms() + self.clock_off

    async def send(self, kind: str, payload: bytes | dict[str, Any], *, retain: bool = False, topic: str | None = None) -> None:
        text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self.client.publish(topic or self.topic(kind), text, qos=1, retain=retain)

    async def birth(self, points: dict[str, Any], *, alarms: list[Any] | None = None, standing: list[Any] | None = None) -> None:
        body = {"boot": self.boot, "software": "device 1", "contract": 1, "points": points, "sent": self.now()}
        await self.send("birth", {**body, "alarms": alarms or [], "standing": standing or []}, retain=True)

    async def state(self, *, online: bool = True, **more: Any) -> None:
        await self.send("state", {"online": online, "boot": self.boot, "since": self.now(), **more}, retain=True)

    async def data(
        self, values: dict[str, float], *, t: float | None = None, sent: float | None = None, quality: dict[str, str] | None = None
    ) -> int:
        """Sends one frame and returns its seq."""
        self.seq += 1
        frame = {"t": t or self.now(), "v": values, "q": quality or {}}
        await self.send("data", {"boot": self.boot, "seq": self.seq, "sent": sent or self.now(), "frames": [frame]})
        return self.seq

    async def alarm(self, definition: str, transition: str, *, event: str, t: float | None = None, sent: float | None = None) -> int:
        self.seq += 1
        body = {"id": event, "definition": definition, "point": "gas-2/co", "t": t or self.now(), "transition": transition, "value": 40.0}
        await self.send("alarm", {"boot": self.boot, "seq": self.seq, "sent": sent or self.now(), "event": body})
        return self.seq

    def acked(self) -> set[int]:
        """Every seq of this boot that the gateway has acknowledged to this node."""
        ranges = [
            entry
            for topic, payload, _ in self.heard
            if topic == self.topic("ack") and (ack := json.loads(payload))["boot"] == self.boot
            for entry in ack["ranges"]
        ]
        return {seq for first, last in ranges for seq in range(first, last + 1)}

    def rejects(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload, _ in self.heard if topic == f"muki/v1/{SITE}/_gateway/reject"]

    def retained_alarms(self) -> dict[str, dict[str, Any]]:
        """What stands on the gateway's alarm topics by now."""
        found: dict[str, dict[str, Any]] = {}
        for topic, payload, _ in self.heard:
            if topic.startswith(f"muki/v1/{SITE}/_gateway/alarms/"):
                key = topic.rsplit("/", 1)[1]
                if payload:
                    found[key] = json.loads(payload)
                else:
                    found.pop(key, None)
        return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def device(port: int, node: str = "pump-3", *, boot: str = "b1") -> AsyncIterator[Device]:
    """A connected device that listens to the whole site."""
    async with aiomqtt.Client("127.0.0.1", port, identifier=f"device-{node}-{boot}") as client:
        one = Device(client, node, boot)
        await client.subscribe(f"muki/v1/{SITE}/#", qos=1)
        listener = asyncio.create_task(_listen(one), name="device-listener")
        try:
            yield one
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)


async def _listen(one: Device) -> None:
    with suppress(aiomqtt.MqttError):
        async for message in one.client.messages:
            payload = message.payload
            assert isinstance(payload, bytes)
            one.heard.append((str(message.topic), payload, message.retain))


async def until(what: Callable[[], object], *, seconds: float = 15.0, describe: str = "") -> None:
    """Waits on the event loop until the callable is true. Raises AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited {seconds} s for {describe or what}"
        await asyncio.sleep(0.02)
