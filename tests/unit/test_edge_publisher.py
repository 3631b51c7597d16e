"""The MQTT session against a real Mosquitto: what leaves the outbox, in which order, and what an outage does to it."""

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from contract.alarms import AlarmEvent, Transition
from contract.messages import Birth, ContractError, PointDeclaration, ReadingFrame
from edge.disk import Disk
from edge.node_document import BrokerSettings
from edge.outbox import Outbox
from edge.publisher import Publisher, read_ack
from tests.rig.processes import free_port
from tests.rig.servers import Mosquitto
from tests.rig.standin import NODE, SITE, stand_in, until


class Side:
    """A publisher and its outbox, without the rest of the agent."""

    def __init__(self, folder: Path, port: int, **broker: object) -> None:
        settings = BrokerSettings.model_validate({"host": "127.0.0.1", "port": port, **broker})
        self.disk = Disk(Outbox(folder))
        self.publisher = Publisher(SITE, NODE, settings, self.disk, self.birth)
        self.count = 0

    def birth(self) -> Birth:
        return Birth(self.disk.outbox.boot, "test", 1, {"a/b": PointDeclaration("1")}, 1.0)

    async def put(self, messages: int, events: int = 0) -> None:
        for _ in range(messages):
            self.count += 1
            self.publisher.stored(await self.disk.put([[ReadingFrame(self.count, {"a/b": float(self.count)})]]))
        for _ in range(events):
            self.count += 1
            event = AlarmEvent(f"E{self.count}", "hot", NODE, "a/b", 1_000_000, Transition.ACTIVE)
            self.publisher.stored(await self.disk.put([], [event]))

    async def empty(self) -> bool:
        return not await self.disk.take(None, 1)


@contextlib.asynccontextmanager
async def running(side: Side) -> AsyncIterator[Side]:
    task = asyncio.create_task(side.publisher.run(), name="publisher")
    try:
        yield side
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def closing(side: Side) -> AsyncIterator[Side]:
    try:
        yield side
    finally:
        await side.disk.close()


async def test_birth_and_state_are_retained_and_an_end_says_offline(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path, broker.port)) as side:
            async with stand_in(broker.port) as gateway, running(side):
                await until(lambda: gateway.of("state"))
                assert gateway.of("birth")[0]["points"] == {"a/b": {"unit": "1"}}
                assert gateway.of("state")[0]["online"] is True
                assert gateway.of("state")[0]["boot"] == side.disk.outbox.boot
            async with stand_in(broker.port) as late:
                await until(lambda: late.of("state") and late.of("birth"))
                assert late.of("state")[0]["online"] is False
                assert all(arrival.retained for arrival in late.arrivals)


async def test_an_acknowledgement_deletes_and_its_lack_repeats(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path, broker.port)) as side, stand_in(broker.port) as gateway:
            gateway.acknowledging = False
            async with running(side):
                await until(lambda: gateway.of("state"))
                await side.put(3, events=1)
                await until(lambda: len(gateway.numbered()) == 4, seconds=1.5, describe="live messages at once")
                await until(lambda: len(gateway.numbered()) >= 8, describe="the same again")
                assert sorted(gateway.seqs()) == [1, 1, 2, 2, 3, 3, 4, 4]
                assert not await side.empty()
                await gateway.acknowledge(side.disk.outbox.boot, (1, 2), (4, 4))
                await asyncio.sleep(0.3)
                assert [message.seq for message in await side.disk.take(None, 10)] == [3]
                await gateway.acknowledge(side.disk.outbox.boot, (3, 3))
                await asyncio.sleep(0.3)
                assert await side.empty()
                await side.put(1)
                assert side.disk.outbox.level().depth == 1


async def test_malformed_acknowledgements_are_counted_and_ignored(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path, broker.port)) as side, stand_in(broker.port) as gateway, running(side):
            gateway.acknowledging = False
            await until(lambda: gateway.of("state"))
            await side.put(2)
            boot = side.disk.outbox.boot
            for payload in (b"\xff\x00", b"{}", b"[]", b'{"boot":"x","ranges":[[1]]}', b'{"boot":"x","ranges":[[0,5]]}'):
                await gateway.send(payload)
            await gateway.acknowledge(boot, (2, 1))
            await gateway.acknowledge(boot, (1, 1000))
            await until(lambda: side.publisher.malformed_acks == 7)
            await gateway.acknowledge("01ANOTHERBOOT", (1, 2))
            await asyncio.sleep(0.2)
            assert side.publisher.malformed_acks == 7
            assert len(await side.disk.take(None, 10)) == 2


async def test_after_an_outage_of_the_broker_live_goes_first_and_nothing_is_missing(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path, broker.port)) as side, stand_in(broker.port) as gateway, running(side):
            await until(lambda: gateway.of("state"))
            await side.put(5)
            await until(lambda: len(set(gateway.seqs())) == 5)
            broker.kill()
            await until(lambda: not gateway.connected.is_set())
            await side.put(600)
            births = len(gateway.of("birth"))
            broker.start()
            await until(lambda: len(gateway.of("birth")) > births, describe="the node is back")
            mark = time.monotonic()
            await side.put(10, events=1)
            await until(lambda: set(gateway.seqs()) == set(range(1, 617)), seconds=20, describe="everything")
            live = [arrival for arrival in gateway.arrivals if arrival.kind in {"data", "alarm"} and arrival.content["seq"] > 605]
            assert all(arrival.at - mark < 1.0 for arrival in live[:11]), "live messages waited behind the history"
            history = [arrival for arrival in gateway.arrivals if arrival.kind == "data" and 5 < arrival.content["seq"] <= 605]
            assert history[-1].at - history[0].at > 2.0, "600 messages of history at 200 a second take three seconds"
            first_seen = list(dict.fromkeys(arrival.content["seq"] for arrival in history))
            assert first_seen == sorted(first_seen), "oldest first"
            await asyncio.sleep(0.5)
            assert await side.empty()


async def test_a_gateway_that_was_away_gets_alarms_past_a_full_window(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path, broker.port)) as side, stand_in(broker.port) as gateway, running(side):
            gateway.acknowledging = False
            await until(lambda: gateway.of("state"))
            await side.put(250)
            await until(lambda: len(set(gateway.seqs())) == 200)
            await side.put(0, events=1)
            await until(lambda: len(gateway.of("alarm")) == 1, seconds=1.5)
            gateway.acknowledging = True
            await until(lambda: set(gateway.seqs()) == set(range(1, 252)))
            await until(lambda: side.disk.outbox.take(None, 1) == [], describe="all acknowledged as they come again")


async def test_messages_of_an_older_boot_keep_their_boot(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with closing(Side(tmp_path / "node", broker.port)) as side:
            await side.put(300)
            old = side.disk.outbox.boot
        path = tmp_path / "node" / "outbox.db"
        content = bytearray(path.read_bytes())
        content[-4096:] = b"\xa5" * 4096
        path.write_bytes(content)
        async with closing(Side(tmp_path / "node", broker.port)) as side, stand_in(broker.port) as gateway:
            new = side.disk.outbox.boot
            assert new != old
            async with running(side):
                await side.put(3)
                await until(lambda: set(gateway.seqs(new)) == {1, 2, 3} and len(set(gateway.seqs(old))) > 100)
                await until(lambda: side.disk.outbox.take(None, 1) == [], describe="acknowledged, both boots")


async def test_refused_credentials_are_one_clear_line_and_mended_ones_work(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    passwords = tmp_path / "passwords"
    # gas-1:secret as mosquitto_passwd writes it (PBKDF2-SHA512, 101 rounds)
    passwords.write_text(f"gas-1:{hashed('secret')}\n")
    passwords.chmod(0o600)
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    with Mosquitto(tmp_path / "broker", extra=f"password_file {passwords}\nuser root") as broker:
        broker_configuration = tmp_path / "broker" / "mosquitto.conf"
        broker.stop()
        broker_configuration.write_text(broker_configuration.read_text().replace("allow_anonymous true", "allow_anonymous false"))
        broker.start()
        side = Side(tmp_path / "node", broker.port, username="gas-1", password_file=secret)
        with caplog.at_level(logging.WARNING, logger="muki.edge.publisher"):
            async with closing(side), running(side):
                await until(lambda: "refuses this node" in caplog.text, describe="the complaint")
                assert "check username and password_file" in caplog.text
                secret.write_text("secret\n")
                async with aiomqtt.Client("127.0.0.1", broker.port, username="gas-1", password="secret") as eye:
                    await eye.subscribe(f"muki/v1/{SITE}/{NODE}/state")
                    message = await asyncio.wait_for(anext(aiter(eye.messages)), 15)
                    assert json.loads(message.payload)["online"] is True


def hashed(password: str) -> str:
    import base64
    import hashlib

    salt = b"twelve bytes"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("broker", "complaint"),
    [
        ({"host": "no-such-host.invalid"}, "check broker.host"),
        ({}, "refused"),
        ({"username": "x", "password_file": "/nowhere/password"}, "password_file /nowhere/password"),
    ],
)
async def test_an_unreachable_broker_is_one_line_and_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broker: dict[str, object], complaint: str
) -> None:
    side = Side(tmp_path, free_port(), **broker)
    with caplog.at_level(logging.DEBUG, logger="muki.edge.publisher"):
        async with closing(side), running(side):
            await until(lambda: caplog.text.count("trying again") >= 2, seconds=60, describe=caplog.text)
    assert complaint in caplog.text
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


async def test_a_broker_that_never_answers_does_not_hold_back_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        side = Side(tmp_path, mute.getsockname()[1])
        async with closing(side):
            began = time.monotonic()
            async with running(side):
                await asyncio.sleep(0.5)
            assert time.monotonic() - began < 3


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    last_seq = {"B": 5}.get
    assert read_ack(b'{"boot":"B","ranges":[[1,3],[5,5]]}', last_seq).ranges == [(1, 3), (5, 5)]
    assert read_ack(b'{"boot":"A","ranges":[[1,9]]}', last_seq).boot == "A"
    with pytest.raises(ContractError, match="the last message is 5"):
        read_ack(b'{"boot":"B","ranges":[[1,6]]}', last_seq)
