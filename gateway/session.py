"""The gateway's MQTT session: it reads, publishes, comes back after every loss, and says when it is up. The seam behind which the client sits."""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import aiomqtt

from contract.messages import Ack, encode
from contract.topics import from_nodes_filter, node_topic
from gateway.config import BrokerConfig
from gateway.ledger import Entry, Range, add

log = logging.getLogger(__name__)

INBOX = 20_000  # messages between socket and handler; data beyond that is dropped unacknowledged and comes again
OUTBOX = 10_000
MAX_BACKOFF = 5.0


class Incoming(NamedTuple):
    """One message as it came. ``retained``: the broker kept it from before we subscribed."""

    topic: str
    payload: bytes
    retained: bool
    received_ns: int


class Outgoing(NamedTuple):
    topic: str
    payload: bytes
    retain: bool


class Session:
    """``handle`` is called on the event loop for each message, in order, and must not block.

    ``publish`` and ``acknowledge`` never block: what cannot be sent now waits, bounded, and the oldest goes first. Retained alarm topics are
    repaired after each connection by whoever listens to ``connected``; acknowledgements that are lost are asked for again by the nodes.
    """

    def __init__(self, broker: BrokerConfig, site: str, *, handle: Callable[[Incoming], None], connected: Callable[[bool], None]) -> None:
        self._broker = broker
        self._site = site
        self._handle = handle
        self._connected = connected
        self._outbox: deque[Outgoing] = deque(maxlen=OUTBOX)
        self._acks: dict[tuple[str, str], list[int]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.up = False

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if not retain and len(self._outbox) > OUTBOX // 2:
            return  # rejects must not push out the states of alarms
        self._outbox.append(Outgoing(topic, payload, retain))
        self._idle.clear()
        self._wake.set()

    def acknowledge(self, entry: Entry) -> None:
        """Tells the node that this message is committed. Acknowledgements that wait together travel as ranges."""
        self._acks.setdefault((entry.node, entry.boot), []).append(entry.seq)
        self._idle.clear()
        self._wake.set()

    async def drained(self, seconds: float) -> bool:
        """Waits until everything is sent; False when the time is over or there is no session."""
        if not self.up:
            return self._idle.is_set()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled."""
        backoff = 0.1
        while True:
            try:
                async with self._client() as client:
                    await client.subscribe(from_nodes_filter(self._site), qos=1)
                    backoff = 0.1
                    log.info("connected to the broker %s:%d", self._broker.host, self._broker.effective_port)
                    self._tell(up=True)
                    await self._serve(client)
            except (aiomqtt.MqttError, OSError) as error:
                log.warning("broker %s:%d: %s; trying again in %.1f s", self._broker.host, self._broker.effective_port, error, backoff)
            finally:
                self._tell(up=False)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)

    def _client(self) -> aiomqtt.Client:
        tls = aiomqtt.TLSParameters(ca_certs=str(self._broker.tls_ca)) if self._broker.tls_ca else None
        return aiomqtt.Client(
            self._broker.host,
            self._broker.effective_port,
            username=self._broker.username,
            password=self._broker.password(),
            identifier=f"muki-gateway-{self._site}-{secrets.token_hex(4)}",
            keepalive=self._broker.keepalive,
            tls_params=tls,
            queue_type=self._inbox_type(),
            timeout=5,
        )

    def _inbox_type(self) -> type["asyncio.Queue[aiomqtt.Message]"]:
        """A queue that hands each message to the handler as the socket is read: no task a message, nothing waits in memory.

        The client acknowledges to the broker after the handler, and the sockets' own buffers are the back-pressure.
        """
        handle = self._take

        class Direct(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                handle(item)

        return Direct

    def _take(self, message: aiomqtt.Message) -> None:
        payload = message.payload
        if not isinstance(payload, bytes):  # the client's types allow more than the network delivers
            payload = b"" if payload is None else str(payload).encode()
        try:
            self._handle(Incoming(str(message.topic), payload, message.retain, time.time_ns()))
        except Exception:
            log.exception("a message on %s could not be handled", message.topic)

    async def _serve(self, client: aiomqtt.Client) -> None:
        sender = asyncio.create_task(self._send(client), name="mqtt-sender")
        reader = asyncio.create_task(self._until_lost(client), name="mqtt-reader")
        try:
            done, _ = await asyncio.wait({sender, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sender, reader):
                task.cancel()
            await asyncio.gather(sender, reader, return_exceptions=True)

    @staticmethod
    async def _until_lost(client: aiomqtt.Client) -> None:
        async for _ in client.messages:  # the queue stays empty: this ends by the exception that tells of the loss
            raise AssertionError("the inbox hands everything to the handler")

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._acks or self._outbox:
                await self._send_acks(client)
                if self._outbox:
                    message = self._outbox[0]
                    await client.publish(message.topic, message.payload, qos=1, retain=message.retain)
                    if self._outbox and self._outbox[0] is message:
                        self._outbox.popleft()
            self._idle.set()

    async def _send_acks(self, client: aiomqtt.Client) -> None:
        acks, self._acks = self._acks, {}
        for (node, boot), seqs in acks.items():
            ranges: list[Range] = add((), seqs)
            await client.publish(node_topic(self._site, node, "ack"), encode(Ack(boot, ranges)), qos=1)

    def _tell(self, *, up: bool) -> None:
        if self.up != up:
            self.up = up
            if up and (self._outbox or self._acks):
                self._wake.set()
            self._connected(up)
