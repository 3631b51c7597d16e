"""The gateway's MQTT session: it reads, publishes, comes back after every loss, and says when it is up. The seam behind which the client sits."""

import asyncio
import logging
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from contract.messages import Ack, encode
from contract.topics import from_nodes_filter, node_topic
from gateway.config import BrokerConfig
from gateway.ledger import Entry, Range, add
from gateway.mqtt import MqttError, WrongVersion
from gateway.mqtt.client import Client, Login, connected
from gateway.mqtt.packets import FAILED, V5, V311, reason

log = logging.getLogger(__name__)

OUTBOX = 10_000
AT_ONCE = 100  # messages published before the first of them is confirmed
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
        self._version = V5
        self._refused = False
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
                async with connected(self._login(), self._version, self._take) as client:
                    await client.subscribe(from_nodes_filter(self._site), qos=1)
                    backoff = 0.1
                    log.info("connected to the broker %s:%d", self._broker.host, self._broker.effective_port)
                    self._tell(up=True)
                    await self._serve(client)
            except WrongVersion:
                if self._version == V5:  # the embedded broker, old PLC gateways
                    self._version = V311
                    continue
                log.warning("broker %s:%d speaks neither MQTT 5 nor MQTT 3.1.1", self._broker.host, self._broker.effective_port)
                self._version = V5
            except (MqttError, OSError) as error:
                log.warning("broker %s:%d: %s; trying again in %.1f s", self._broker.host, self._broker.effective_port, error, backoff)
            finally:
                self._tell(up=False)
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, MAX_BACKOFF)

    def _login(self) -> Login:
        return Login(
            self._broker.host,
            self._broker.effective_port,
            f"muki-gateway-{self._site}-{secrets.token_hex(4)}",
            self._broker.keepalive,
            self._broker.username,
            self._broker.password(),
            ssl.create_default_context(cafile=str(self._broker.tls_ca)) if self._broker.tls_ca else None,
        )

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            self._handle(Incoming(topic, payload, retained, time.time_ns()))
        except Exception:
            log.exception("a message on %s could not be handled", topic)

    async def _serve(self, client: Client) -> None:
        sender = asyncio.create_task(self._send(client), name="mqtt-sender")
        try:
            await asyncio.wait({sender, client.lost}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (sender, client.lost):
                if ended.done():
                    ended.result()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, client: Client) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._acks or self._outbox:
                await self._send_acks(client)
                await self._send_some(client)
            self._idle.set()

    async def _send_some(self, client: Client) -> None:
        """The oldest of the outbox; what the broker does not confirm stays in it."""
        sent = [self._outbox.popleft() for _ in range(min(AT_ONCE, len(self._outbox)))]
        try:
            for future in [await client.publish(one.topic, one.payload, retain=one.retain) for one in sent]:
                self._confirmed(await client.confirmed(future))
            sent.clear()
        finally:
            room = OUTBOX - len(self._outbox)
            self._outbox.extendleft(reversed(sent[-room:] if room else []))

    async def _send_acks(self, client: Client) -> None:
        acks, self._acks = self._acks, {}
        waiting = []
        for (node, boot), seqs in acks.items():
            ranges: list[Range] = add((), seqs)
            waiting.append(await client.publish(node_topic(self._site, node, "ack"), encode(Ack(boot, ranges))))
        for future in waiting:
            self._confirmed(await client.confirmed(future))

    def _confirmed(self, code: int) -> None:
        if code >= FAILED and not self._refused:
            self._refused = True
            log.error(
                "the broker refuses what the gateway publishes (%s): its account must be allowed to write acks and alarms", reason(code)
            )

    def _tell(self, *, up: bool) -> None:
        if self.up != up:
            self.up = up
            if up and (self._outbox or self._acks):
                self._wake.set()
            self._connected(up)
