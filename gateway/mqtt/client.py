"""One MQTT session on asyncio: connected, subscribed, read until it is lost. Coming back is for whoever uses it."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, TypeVar, cast

from gateway.mqtt import MalformedPacket, MqttError, WrongVersion, packets
from gateway.mqtt.packets import CONNACK, DISCONNECT, FAILED, PINGRESP, PUBACK, SUBACK, V5, Answer, Will, reason
from gateway.mqtt.reader import Message, Reader

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0  # for a CONNACK or a SUBACK
CONFIRM_SECONDS = 10.0  # for a PUBACK
MISSED = 1.5  # keep-alive periods without a sign of the broker

_T = TypeVar("_T")


class Login(NamedTuple):
    """Where to, as whom. ``keepalive`` in seconds; ``tls`` None for a connection in the clear."""

    host: str
    port: int
    client: str
    keepalive: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    will: Will | None = None


@contextlib.asynccontextmanager
async def connected(login: Login, version: int, message: Message) -> "AsyncIterator[Client]":
    """A session with a clean start; ``message(topic, payload, retained)`` is called for each message as it is read, and its PUBACK follows.

    Raises OSError, MqttError that says why there is no session, or WrongVersion.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            _, client = await loop.create_connection(lambda: Client(version, message), login.host, login.port, ssl=login.tls)
    except TimeoutError:
        raise MqttError("it does not answer") from None
    keeper: asyncio.Task[None] | None = None
    try:
        keepalive = await client.greet(login)
        keeper = asyncio.create_task(client.keep_alive(keepalive), name="mqtt-keepalive") if keepalive else None
        yield client
    finally:
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        client.close()


class Client(asyncio.Protocol):
    """Use it through `connected`. ``lost`` is done, with an MqttError or OSError, as soon as the session is over."""

    def __init__(self, version: int, message: Message) -> None:
        loop = asyncio.get_running_loop()
        self.version = version
        self.lost: asyncio.Future[None] = loop.create_future()
        self.lost.add_done_callback(lambda lost: lost.cancelled() or lost.exception())  # somebody may be waiting for something else
        self._reader = Reader(version, message=message, other=self._other)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] = loop.create_future()
        self._subscriptions: dict[int, asyncio.Future[int]] = {}
        self._unconfirmed: dict[int, asyncio.Future[int]] = {}
        self._limits = Answer(0)
        self._room: asyncio.Future[None] = loop.create_future()
        self._writable = True
        self._next_id = 0
        self._heard = self._told = loop.time()

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            acknowledgements = self._reader.feed(data)
        except MalformedPacket as error:
            self._write(packets.goodbye(self.version, 0x81))
            self._end(MalformedPacket(f"it sent what is no MQTT: {error}"))
            return
        if acknowledgements:
            self._write(acknowledgements)

    def eof_received(self) -> None:
        self._end(MqttError("it closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc if isinstance(exc, OSError) else MqttError(f"the connection is lost{f': {exc}' if exc else ''}"))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        _settle(self._room, None)

    # --- for the session

    async def greet(self, login: Login) -> int:
        """CONNECT and its answer; returns the keep-alive in seconds that counts."""
        self._write(
            packets.connect(
                self.version,
                login.client,
                keepalive=login.keepalive,
                username=login.username,
                password=login.password,
                will=login.will,
            )
        )
        answer = await self._until(self._answer, ANSWER_SECONDS, "no answer to CONNECT: is this an MQTT broker?")
        if answer.code in packets.NOT_THE_VERSION:
            raise WrongVersion(reason(answer.code))
        if answer.code:
            raise MqttError(f"it refuses us: {reason(answer.code)}{f' ({answer.said})' if answer.said else ''}")
        self._limits = answer
        return login.keepalive if answer.keepalive is None else answer.keepalive

    async def subscribe(self, topic: str, qos: int) -> None:
        """Raises MqttError when the broker refuses."""
        packet_id = self._packet_id()
        granted = self._subscriptions[packet_id] = asyncio.get_running_loop().create_future()
        self._write(packets.subscribe(self.version, packet_id, topic, qos))
        code = await self._until(granted, ANSWER_SECONDS, f"no answer to the subscription to {topic}")
        if code >= FAILED:
            raise MqttError(f"it refuses the subscription to {topic}: {reason(code)}; the gateway's account must be allowed to read that")

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> "asyncio.Future[int] | None":
        """Sends at QoS 1 and returns the future of the broker's reason code; None where nothing is to be waited for.

        Waits only for room: in the socket, and in the number of messages that the broker takes before it has confirmed one. Raises MqttError.
        """
        while not self._has_room():
            self._room = asyncio.get_running_loop().create_future()
            await self._until(self._room, CONFIRM_SECONDS, "it confirms nothing of what we publish")
        self._check()
        packet_id = self._packet_id() if self._limits.maximum_qos else None
        packet = packets.publish(self.version, topic, payload, retain=retain and self._limits.retains, packet_id=packet_id)
        if len(packet) > self._limits.maximum_packet:
            log.warning("%s: %d bytes, the broker takes at most %d: not sent", topic, len(packet), self._limits.maximum_packet)
            return None
        self._write(packet)
        if packet_id is None:
            return None
        self._unconfirmed[packet_id] = confirmed = asyncio.get_running_loop().create_future()
        return confirmed

    async def confirmed(self, future: "asyncio.Future[int] | None") -> int:
        """The reason code of what `publish` returned. Raises MqttError when none comes."""
        return 0 if future is None else await self._until(future, CONFIRM_SECONDS, "it confirms nothing of what we publish")

    async def keep_alive(self, seconds: int) -> None:
        """Pings when nothing else was sent, and ends the session when nothing comes back."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(seconds / 4)
            if loop.time() - self._heard > MISSED * seconds:
                self._end(MqttError(f"no sign of life for {MISSED * seconds:g} s"))
                return
            if loop.time() - min(self._told, self._heard) >= seconds / 2:
                self._write(packets.PINGREQ)

    def close(self) -> None:
        """Says goodbye if there is still somebody, and lets the socket go."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(packets.goodbye(self.version))
        self._end(MqttError("closed"))

    # --- within

    def _has_room(self) -> bool:
        return self._writable and len(self._unconfirmed) < self._limits.receive_maximum

    def _write(self, packet: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._told = asyncio.get_running_loop().time()
            self._transport.write(packet)

    def _packet_id(self) -> int:
        while True:
            self._next_id = self._next_id % 65_535 + 1
            if self._next_id not in self._unconfirmed and self._next_id not in self._subscriptions:
                return self._next_id

    async def _until(self, future: "asyncio.Future[_T]", seconds: float, otherwise: str) -> _T:
        """The result of the future, MqttError(``otherwise``) when the time is over, or what ended the session."""
        if not future.done():
            waiting: set[asyncio.Future[Any]] = {future, self.lost}
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        self._check()
        raise MqttError(otherwise)

    def _check(self) -> None:
        if self.lost.done() and (error := self.lost.exception()) is not None:
            raise error

    def _other(self, kind: int, _flags: int, body: bytes) -> None:
        try:
            self._answered(kind, body)
        except MalformedPacket as error:
            self._end(MalformedPacket(f"it sent what is no MQTT: {error}"))

    def _answered(self, kind: int, body: bytes) -> None:
        if kind == PUBACK:
            packet_id, code = packets.answered(self.version, body)
            _settle(self._unconfirmed.pop(packet_id, None), code)
            _settle(self._room, None)
        elif kind == SUBACK:
            packet_id, code = packets.subscribed(self.version, body)
            _settle(self._subscriptions.pop(packet_id, None), code)
        elif kind == CONNACK:
            _settle(self._answer, packets.connack(self.version, body))
        elif kind == DISCONNECT and self.version == V5:
            self._end(MqttError(f"it ended the session: {packets.farewell(self.version, body)}"))
        elif kind != PINGRESP:
            raise MalformedPacket(f"a packet of type {kind}, which no broker sends to us")

    def _end(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)
        if self._transport is not None:
            self._transport.close()


def _settle(future: "asyncio.Future[_T] | None", result: _T) -> None:
    if future is not None and not future.done():
        future.set_result(result)
