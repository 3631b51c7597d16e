"""The MQTT session: TLS with a password, a broker that refuses, and a broker that dies."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig
from gateway.ledger import Entry
from gateway.session import OUTBOX, Incoming, Session
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.servers import Mosquitto


def secured(folder: Path) -> tuple[str, Path]:
    """The settings of a Mosquitto with TLS that lets in `gateway` with the password `right`, and the certificate to trust."""
    pem, key, passwords = folder / "server.pem", folder / "server.key", folder / "passwords"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    passwords.write_text("gateway:right\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    # Started as root, Mosquitto would become a user that cannot read the test's folder; for others the setting says nothing.
    return f"user root\nallow_anonymous false\ncertfile {pem}\nkeyfile {key}\npassword_file {passwords}", pem


@pytest.mark.parametrize("password", ["right", "wrong"])
async def test_tls_and_a_password(password: str, tmp_path: Path) -> None:
    extra, pem = secured(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text(f"{password}\n")
    with Mosquitto(tmp_path / "broker", extra=extra) as broker:
        where = BrokerConfig(host="127.0.0.1", port=broker.port, username="gateway", password_file=secret, tls_ca=pem)
        config = GatewayConfig(site=SITE, data_dir=tmp_path / "gateway", broker=where)
        async with Gateway(config, store=MemoryStore()) as gateway:
            if password == "right":
                await until(lambda: gateway.session.up)
            else:
                await until(lambda: "not authorised" in broker.log.read_text())
                assert not gateway.session.up


async def test_a_broker_that_dies_is_found_again_and_what_was_to_be_said_is_said(tmp_path: Path) -> None:
    heard: list[Incoming] = []
    told: list[bool] = []
    with Mosquitto(tmp_path / "broker", extra="log_type all") as broker:
        session = Session(BrokerConfig(port=broker.port), SITE, handle=heard.append, connected=told.append)
        task = asyncio.create_task(session.run(), name="session")
        try:
            await until(lambda: session.up)
            broker.kill()
            await until(lambda: not session.up)
            session.acknowledge(Entry("pump-3", "b1", 1))
            session.acknowledge(Entry("pump-3", "b1", 2))
            session.acknowledge(Entry("pump-3", "b1", 5))
            session.publish("muki/v1/test/_gateway/alarms/a.b", b"{}", retain=True)
            assert not await session.drained(0.1)
            broker.start()
            await until(lambda: session.up)
            async with device(broker.port) as one:
                await until(lambda: one.retained_alarms() == {"a.b": {}})
                session.acknowledge(Entry("pump-3", "b1", 6))
                await until(lambda: 6 in one.acked())
            waited = b'{"boot":"b1","ranges":[[1,2],[5,5]]}'
            assert f"'muki/v1/test/pump-3/ack', ... ({len(waited)} bytes)" in broker.log.read_text()
            assert not [incoming for incoming in heard if incoming.topic.endswith("/ack")], "what we publish comes back to us"
            assert told == [True, False, True]
            assert await session.drained(1.0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_rejects_never_push_out_the_state_of_an_alarm() -> None:
    session = Session(BrokerConfig(port=1), SITE, handle=lambda _: None, connected=lambda _: None)
    session.publish("alarm", b"{}", retain=True)
    for _ in range(2 * OUTBOX):
        session.publish("reject", b"{}")
    waiting = [message.topic for message in session._outbox]
    assert waiting[0] == "alarm"
    assert len(waiting) < OUTBOX
