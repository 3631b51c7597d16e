"""The embedded broker carries what the contract needs: retained messages, wills, QoS 1 in order, and clients that come back."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.assembly import Gateway
from gateway.broker import CannotListen, serve
from gateway.config import BrokerConfig, GatewayConfig
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.processes import free_port

STATE = f"muki/v1/{SITE}/pump-3/state"
WILL = aiomqtt.Will(STATE, b'{"online":false}', 1, True)


class Raw:
    """A node's MQTT connection whose wire can be cut."""

    def __init__(self, port: int) -> None:
        self.writer: asyncio.StreamWriter
        self.reader: asyncio.StreamReader
        self._port = port

    async def connect(self, client_id: bytes) -> None:
        """CONNECT of MQTT 3.1.1 (section 3.1): clean session, will at QoS 1 and retained, keep-alive 60 s."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = b"\x00\x04MQTT\x04" + bytes([0b0010_1110]) + (60).to_bytes(2, "big")
        for part in (client_id, STATE.encode(), b'{"online":false}'):
            body += len(part).to_bytes(2, "big") + part
        self.writer.write(b"\x10" + bytes([len(body)]) + body)
        assert await asyncio.wait_for(self.reader.readexactly(4), 5) == b"\x20\x02\x00\x00"

    async def cut(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def subscriber(port: int) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", port, identifier="subscriber") as client:
        await client.subscribe(f"muki/+/{SITE}/+/#", qos=1)
        yield client


async def heard(client: aiomqtt.Client) -> tuple[str, bytes, bool]:
    message = await asyncio.wait_for(client.messages.__anext__(), 5)
    assert isinstance(message.payload, bytes)
    return str(message.topic), message.payload, message.retain


async def test_retained_messages_outlive_the_broker(tmp_path: Path) -> None:
    port = free_port()
    birth, cleared = f"muki/v1/{SITE}/pump-3/birth", f"muki/v1/{SITE}/_gateway/alarms/a.b"
    async with serve("127.0.0.1", port, tmp_path), aiomqtt.Client("127.0.0.1", port) as node:
        await node.publish(birth, b"B" * 300_000, qos=1, retain=True)
        await node.publish(cleared, b"x", qos=1, retain=True)
        await node.publish(cleared, b"", qos=1, retain=True)
    async with serve("127.0.0.1", port, tmp_path), subscriber(port) as client:
        assert await heard(client) == (birth, b"B" * 300_000, True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.messages.__anext__(), 0.3)


async def test_a_cut_wire_publishes_the_will(tmp_path: Path) -> None:
    port = free_port()
    async with serve("127.0.0.1", port), subscriber(port) as client:
        node = Raw(port)
        await node.connect(b"pump-3")
        await node.cut()
        assert await heard(client) == (STATE, b'{"online":false}', False)
        async with subscriber(port) as late:
            assert await heard(late) == (STATE, b'{"online":false}', True)


async def test_a_client_that_comes_back_is_not_killed_by_its_own_old_will() -> None:
    """Its old connection hangs, as after a cable was pulled: the old will must come before what the new connection says."""
    port = free_port()
    async with serve("127.0.0.1", port), subscriber(port) as client:
        old = Raw(port)
        await old.connect(b"pump-3")
        async with aiomqtt.Client("127.0.0.1", port, identifier="pump-3", will=WILL) as node:
            await node.publish(STATE, b'{"online":true}', qos=1, retain=True)
            assert [(await heard(client))[1] for _ in range(2)] == [b'{"online":false}', b'{"online":true}']
            await old.cut()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.messages.__anext__(), 0.5)


async def test_a_burst_arrives_once_and_in_order() -> None:
    port = free_port()
    async with serve("127.0.0.1", port), subscriber(port) as client, aiomqtt.Client("127.0.0.1", port) as node:
        sending = asyncio.create_task(_send(node))
        numbers = [int((await heard(client))[1]) for _ in range(500)]
        await sending
        assert numbers == list(range(500))


async def _send(node: aiomqtt.Client) -> None:
    for number in range(500):
        await node.publish(f"muki/v1/{SITE}/pump-3/data", str(number), qos=1)


async def test_a_gateway_works_on_it_and_finds_it_again(tmp_path: Path) -> None:
    port = free_port()
    config = GatewayConfig(site=SITE, data_dir=tmp_path / "gateway", broker=BrokerConfig(port=port), commit_every=0.05)
    async with Gateway(config, store=MemoryStore()) as gateway:
        for boot in ("b1", "b2"):
            async with serve("127.0.0.1", port, tmp_path):
                await until(lambda: gateway.session.up)
                async with device(port, boot=boot) as one:
                    await one.birth({"gas-2/co": {"unit": "ppm"}})
                    seqs = {await one.data({"gas-2/co": 1.0}), await one.data({"gas-2/co": 2.0})}
                    await until(lambda one=one, seqs=seqs: one.acked() == seqs)  # type: ignore[misc]
            await until(lambda: not gateway.session.up)
        await until(lambda: [view.key for view in gateway.services.journal.standing()] == ["_gateway.broker-lost"])


async def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"broker on 127.0.0.1:{port}"):
            async with serve("127.0.0.1", port):
                pass
