"""The MQTT session: birth, state, messages out of the outbox, acknowledgements back; reconnects for ever.

MQTT 3.1.1. Data go at QoS 0: a message leaves the outbox only when the gateway has acknowledged it, so the broker's PUBACK would add a
packet for each message and no safety, and a broker that queues QoS 1 for an absent gateway only fills its queue with what is sent again
anyway. Alarm events go at QoS 1, so that the broker hands them on to every subscriber with a session, not only to our gateway.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from contract.messages import Ack, Birth, ContractError, NodeState, decode, deflate, encode
from contract.topics import node_topic
from edge.clock import MS, SECOND, now, synchronisation
from edge.disk import Disk
from edge.errors import Retry
from edge.evidence import Spool
from edge.node_document import BrokerSettings
from edge.progress import Mark
from edge.schedule import Choice, Schedule
from edge.stored import ALARM, Stored

log = logging.getLogger("muki.edge.publisher")

FIRST_BACKOFF = 1.0  # s
LONGEST_BACKOFF = 30.0  # s
_STEADY = 10.0  # s: a session that lasted this long was a good one
_TURN = 20  # messages before the schedule is asked again, so that an alarm never waits behind a full window
_GOODBYE = 1.5  # s
_LOOK_AROUND = 5.0  # s between looks at what the session itself has to tell (clock)
_EVIDENCE_EVERY = 1.0  # s between looks for pictures to send
_EVIDENCE_AGAIN = 20.0  # s after which one that the gateway did not acknowledge is sent again
SESSION_LIMIT = 300.0  # s: connecting, subscribing and each turn of sending have shorter limits of their own
_COMPRESSED_ABOVE = 256 << 10  # bytes of a birth


class Publisher:
    """Runs until cancelled. `stored` takes what was just committed; ``birth`` is called at each connection."""

    def __init__(
        self, site: str, node: str, broker: BrokerSettings, disk: Disk, birth: Callable[[], Birth], *, evidence: Spool | None = None
    ) -> None:
        self._node = node
        self._broker = broker
        self._disk = disk
        self._birth = birth
        self._topics = {kind: node_topic(site, node, kind) for kind in ("birth", "state", "data", "alarm", "ack")}
        self._identifier = f"muki-{site}-{node}"
        self._evidence = evidence
        self._evidence_topic = partial(node_topic, site, node, "evidence")
        self._schedule: Schedule | None = None
        self._wake = asyncio.Event()
        self._complaint = ""
        self._last_ack_error = ""
        self.malformed_acks = 0
        self.mark = Mark("the publisher", SESSION_LIMIT)

    def stored(self, messages: Iterable[Stored]) -> None:
        """New messages on disk: sent at once while connected, part of the history otherwise."""
        if self._schedule is not None:
            self._schedule.put(messages)
            self._wake.set()

    def rewind(self) -> None:
        """Messages have come into the history from elsewhere than `stored`."""
        if self._schedule is not None:
            self._schedule.rewind()
            self._wake.set()

    async def run(self) -> None:
        backoff = FIRST_BACKOFF
        while True:
            began = time.monotonic()
            self.mark.turn()
            try:
                await self._session()
            except (aiomqtt.MqttError, OSError, Retry) as error:
                if time.monotonic() - began > _STEADY:
                    backoff = FIRST_BACKOFF
                self._complain(error)
            await asyncio.sleep(backoff * random.uniform(0.7, 1.3))
            backoff = min(2 * backoff, LONGEST_BACKOFF)

    def _complain(self, error: Exception) -> None:
        """One line for each kind of trouble, not one for each attempt."""
        text = f"broker {self._broker.host}:{self._broker.effective_port}: {_explain(error)}; trying again"
        log.log(logging.DEBUG if text == self._complaint else logging.WARNING, "node=%s %s", self._node, text)
        self._complaint = text

    def _client(self) -> aiomqtt.Client:
        broker = self._broker
        tls = aiomqtt.TLSParameters(ca_certs=str(broker.tls_ca)) if broker.tls_ca else None
        return aiomqtt.Client(
            broker.host,
            broker.effective_port,
            username=broker.username,
            password=_password(broker.password_file),
            tls_params=tls,
            identifier=self._identifier,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=broker.keepalive,
            will=aiomqtt.Will(self._topics["state"], self._state(online=False), qos=1, retain=True),
            max_queued_incoming_messages=1000,
        )

    async def _session(self) -> None:
        """One connection from CONNECT to its loss (raises MqttError) or to cancellation (says goodbye)."""
        told = _cancellations()  # an earlier session may have left its own
        client = self._client()
        client.pending_calls_threshold = 1000  # several alarm events wait for their PUBACK at once: that is no trouble
        try:
            await client.__aenter__()
            try:
                boot = await self._greet(client)
                _heed_cancellation(told)
                await self._serve(client, boot)
            finally:
                await self._say_goodbye(client)
        finally:
            await _release(client)

    async def _greet(self, client: aiomqtt.Client) -> str:
        """Says who is here; returns the boot that it named."""
        await client.subscribe(self._topics["ack"], qos=1)
        boot, birth = self._disk.boot, encode(self._birth())
        await client.publish(self._topics["birth"], deflate(birth) if len(birth) > _COMPRESSED_ABOVE else birth, qos=1, retain=True)
        await self._publish_state(client)
        log.info("node=%s connected to %s:%d", self._node, self._broker.host, self._broker.effective_port)
        self._complaint = ""
        return boot

    async def _serve(self, client: aiomqtt.Client, boot: str) -> None:
        schedule = self._schedule = Schedule(time.monotonic_ns(), random.random)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(client, schedule), name="publisher-receive")
                group.create_task(self._send(client, schedule, boot), name="publisher-send")
                if self._evidence is not None:
                    group.create_task(self._send_evidence(client, self._evidence), name="publisher-evidence")
        except BaseExceptionGroup as errors:
            leaf = _first(errors)
            if isinstance(leaf, aiomqtt.MqttError | Retry):
                raise aiomqtt.MqttError(str(leaf)) from None
            raise
        finally:
            self._schedule = None

    async def _send(self, client: aiomqtt.Client, schedule: Schedule, boot: str) -> None:
        looked = time.monotonic()
        clock = synchronisation().synchronised
        while True:
            _heed_cancellation(0)
            self.mark.turn()
            if self._disk.boot != boot:  # birth and will name another
                raise Retry("the outbox is open now: a new session says so")
            self._wake.clear()
            choice = schedule.choose(time.monotonic_ns())
            if choice.send:
                await self._publish(client, schedule, choice.send[:_TURN])
            elif choice.fetch:
                schedule.found(await self._disk.take(schedule.cursor, choice.fetch), choice.fetch)
            else:
                await self._sleep(choice)
            if time.monotonic() - looked > _LOOK_AROUND:
                looked = time.monotonic()
                found = synchronisation().synchronised
                if found is not clock:
                    clock = found
                    await self._publish_state(client)

    async def _send_evidence(self, client: aiomqtt.Client, spool: Spool) -> None:
        """Each picture, again and again until the gateway says that it keeps it: the broker's word is not the gateway's."""
        sent: dict[str, float] = {}
        while True:
            await asyncio.sleep(_EVIDENCE_EVERY)
            waiting = await asyncio.to_thread(spool.waiting)
            sent = {event: when for event, when in sent.items() if event in waiting}
            for event in waiting:
                if time.monotonic() - sent.get(event, -_EVIDENCE_AGAIN) < _EVIDENCE_AGAIN:
                    continue
                data = await asyncio.to_thread(spool.read, event)
                if data is not None:
                    await client.publish(self._evidence_topic(event), data, qos=1)
                    sent[event] = time.monotonic()

    async def _sleep(self, choice: Choice) -> None:
        seconds = _LOOK_AROUND
        if choice.wake_ns is not None:
            seconds = min(seconds, max(0.0, (choice.wake_ns - time.monotonic_ns()) / SECOND))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _publish(self, client: aiomqtt.Client, schedule: Schedule, messages: list[Stored]) -> None:
        sent_ms = now().wall_ns // MS
        events = [message for message in messages if message.kind == ALARM]
        for message in events:
            schedule.sent(message, time.monotonic_ns())
        if events:  # together: one round trip for all of them
            await asyncio.gather(*(client.publish(self._topics["alarm"], message.wire(sent_ms), qos=1) for message in events))
        for message in messages:
            if message.kind != ALARM:
                schedule.sent(message, time.monotonic_ns())
                await client.publish(self._topics["data"], message.wire(sent_ms), qos=0)

    async def _receive(self, client: aiomqtt.Client, schedule: Schedule) -> None:
        async for message in client.messages:
            if message.topic.value != self._topics["ack"]:
                continue  # a broker that hands out every retained message, whatever was subscribed to
            try:
                ack = read_ack(message.payload if isinstance(message.payload, bytes) else b"", self._disk.last_seq)
            except ContractError as error:
                self.malformed_acks += 1
                level = logging.DEBUG if str(error) == self._last_ack_error else logging.WARNING
                log.log(level, "node=%s acknowledgement ignored: %s", self._node, error)
                self._last_ack_error = str(error)
                continue
            if ack.evidence and self._evidence is not None:
                await asyncio.to_thread(self._evidence.done, ack.evidence)
            if self._disk.knows(ack.boot):  # another boot's: of a file that is gone
                self._disk.done(ack.boot, ack.ranges)
                schedule.acknowledged(ack.boot, ack.ranges, time.monotonic_ns())
                self._wake.set()

    def _state(self, *, online: bool) -> bytes:
        moment = now().wall_ns // MS
        return encode(NodeState(online, self._disk.boot, moment, synchronisation().synchronised))

    async def _publish_state(self, client: aiomqtt.Client) -> None:
        await client.publish(self._topics["state"], self._state(online=True), qos=1, retain=True)

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await client.publish(self._topics["state"], self._state(online=False), qos=1, retain=True)
                await client.__aexit__(None, None, None)


async def _release(client: aiomqtt.Client) -> None:
    """Closes what aiomqtt leaves open when a connection attempt is cancelled or times out: the socket, its keep-alive task, its future."""
    client._client.on_disconnect = None
    client._client._sock_close()
    if client._misc_task is not None:
        client._misc_task.cancel()
        await asyncio.gather(client._misc_task, return_exceptions=True)
    if client._disconnected.done() and not client._disconnected.cancelled():
        client._disconnected.exception()  # else asyncio reports it as never retrieved


def read_ack(payload: bytes, last_seq: Callable[[str], int | None]) -> Ack:
    """The acknowledgement. Raises ContractError for one that is malformed or that speaks of messages which were never sent."""
    ack = decode(payload, Ack)
    last = last_seq(ack.boot)
    for index, (low, high) in enumerate(ack.ranges):
        if not 1 <= low <= high:
            raise ContractError("wrong_shape", f"$.ranges[{index}]", f"[{low}, {high}]: write [first, last], from 1")
        if last is not None and high > last:
            raise ContractError("wrong_shape", f"$.ranges[{index}]", f"[{low}, {high}]: the last message is {last}")
    return ack


def _password(path: Path | None) -> str | None:
    """The first line of the file. Raises Retry when it cannot be read: whoever provisions the node may still be writing it."""
    if path is None:
        return None
    try:
        return path.read_text("utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Retry(f"password_file {path}: {error}") from None


def _cancellations() -> int:
    """How often the task at hand has been told to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _heed_cancellation(told: int) -> None:
    """Raises CancelledError where the task was told to end since there were ``told`` `_cancellations`, and the word got lost.

    Before Python 3.12 `asyncio.wait_for`, in which aiomqtt waits for the broker's answer, swallows a cancellation that comes together with
    the answer (python/cpython#86296).
    """
    if _cancellations() > told:
        raise asyncio.CancelledError


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


def _explain(error: Exception) -> str:
    text = str(error)
    if isinstance(error, MqttConnectError):
        return f"the broker refuses this node ({text}): check username and password_file"
    if "Name or service not known" in text or "name resolution" in text:
        return f"the name is not known here ({text}): check broker.host and the network"
    if "Operation timed out" in text:
        return "no answer in time"
    return text or type(error).__name__
