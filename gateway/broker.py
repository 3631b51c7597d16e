"""The embedded broker: amqtt on one address, for trials and demonstrations where nobody has installed Mosquitto.

MQTT 3.1.1 without authentication: loopback is the default, and a site with a network runs Mosquitto. Retained messages outlive a restart when
it is given a folder; what was queued for a client does not, which the acknowledgement of the gateway makes up for.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SAVE_EVERY = 2.0  # seconds
RETAINED_FILE = "retained.jsonl"
_PLUGINS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}

Retained = dict[str, tuple[bytes, int]]


class CannotListen(Exception):
    """The address is taken or is none."""


@contextlib.asynccontextmanager
async def serve(host: str, port: int, data_dir: Path | None = None) -> AsyncIterator[None]:
    """A broker that listens while the block runs. Raises CannotListen."""
    from amqtt.broker import BrokerContext
    from amqtt.errors import BrokerError

    _quieten()
    address = f"[{host}]" if ":" in host else host
    broker = _broker_class()({"listeners": {"default": {"type": "tcp", "bind": f"{address}:{port}"}}, "plugins": _PLUGINS})
    try:
        await broker.start()
    except (BrokerError, OSError) as error:
        raise CannotListen(f"broker on {host}:{port}: {error}; choose another --port") from error
    context: Any = BrokerContext(broker)
    keeper: asyncio.Task[None] | None = None
    if data_dir is not None:
        file = data_dir / RETAINED_FILE
        for topic, (payload, qos) in (await asyncio.to_thread(_load, file)).items():
            await context.retain_message(topic, payload, qos)
        keeper = asyncio.create_task(_keep(context, file), name="broker-retained")
    try:
        yield
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await asyncio.to_thread(_save, data_dir / RETAINED_FILE if data_dir else Path(), _retained(context))
        await broker.shutdown()


def _broker_class() -> Any:
    from amqtt.broker import Broker

    class TakingOver(Broker):  # type: ignore[misc] # amqtt has no types
        """amqtt forgets a clean session whose client connects again but leaves its old connection open: when that one times out, its will
        says that the client is offline while it is online. Here the old connection is closed at once, will and all, as MQTT 3.1.4-2 asks.
        """

        async def _delete_session(self, client_id: str) -> None:
            _, handler = self._sessions.get(client_id, (None, None))
            await super()._delete_session(client_id)
            if handler is not None:
                await handler.handle_connection_closed()

    return TakingOver


async def run(host: str, port: int, data_dir: Path | None) -> None:
    """Until SIGTERM or SIGINT. Raises CannotListen."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(host, port, data_dir):
        log.info("broker on %s:%d; anyone who reaches it may publish", host, port)
        await stop.wait()


async def _keep(context: Any, file: Path) -> None:
    saved: Retained = {}
    while True:
        await asyncio.sleep(SAVE_EVERY)
        now = _retained(context)
        if now != saved:
            try:
                await asyncio.to_thread(_save, file, now)
                saved = now
            except OSError as error:
                log.warning("%s: retained messages cannot be kept: %s", file, error.strerror)


def _retained(context: Any) -> Retained:
    return {topic: (bytes(message.data), message.qos or 0) for topic, message in context.retained_messages.items()}


def _save(file: Path, retained: Retained) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as output:
        for topic, (payload, qos) in retained.items():
            output.write(json.dumps({"topic": topic, "qos": qos, "payload": base64.b64encode(payload).decode()}) + "\n")
        output.flush()
        os.fsync(output.fileno())
    fresh.replace(file)


def _load(file: Path) -> Retained:
    retained: Retained = {}
    with contextlib.suppress(FileNotFoundError):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
                retained[entry["topic"]] = (base64.b64decode(entry["payload"]), int(entry["qos"]))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s:%d: not a retained message, left out: %s", file, number, error)
    return retained


def _quieten() -> None:
    """amqtt tells of every connection and packet; a client that goes away is no news for an operator."""
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
