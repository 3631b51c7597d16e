"""Many nodes at once: a third-party implementation of the wire contract, written from it and not from our agent, for load and acceptance."""

import asyncio
import contextlib
import json
import math
import time
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

import aiomqtt

from contract import CONTRACT_VERSION
from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, Transition
from contract.messages import Ack, Alarm, Birth, Data, NodeState, PointDeclaration, ReadingFrame, WireEvent, decode, encode
from contract.topics import node_topic

WINDOW = 200  # messages sent and not yet acknowledged
LONGEST_TIMEOUT = 30.0  # seconds; the time until a message is sent again doubles up to this
RECONNECT = 0.3  # seconds
LIMIT = 90.0  # degC; every alarm_every-th message goes beyond it, and the next comes back
ALARM = "temperature-high"


class Load(NamedTuple):
    """``rate``: messages per second and node; each carries one reading of every point. ``alarm_every``: messages between alarms, 0 for none."""

    host: str
    port: int
    site: str = "fleet"
    nodes: int = 1
    points: int = 10
    rate: float = 1.0
    seconds: float = 10.0
    drain: float = 30.0  # seconds to wait for the last acknowledgements
    alarm_every: int = 50
    resend_after: float = 3.0  # seconds without an acknowledgement; doubles each time
    username: str | None = None
    password: str | None = None


class Totals(NamedTuple):
    """What became of the messages; ``lost`` were never acknowledged."""

    sent: int
    acknowledged: int
    resent: int
    lost: int
    readings: int
    alarms: int


class _Pending:
    """One message on its way."""

    __slots__ = ("attempts", "due", "message")

    def __init__(self, message: Data | Alarm) -> None:
        self.message = message
        self.attempts = 0
        self.due = 0.0  # monotonic seconds; 0: at once


class Node:
    """One node: it numbers its messages, keeps each until the gateway has acknowledged it, and sends again what was not."""

    def __init__(self, load: Load, number: int, journal: IO[str] | None, alarm_journal: IO[str] | None) -> None:
        self.name = f"fleet-{number}"
        self.boot = f"{time.time_ns():x}-{number}"
        self.numbered = self.acknowledged = self.resent = self.readings = self.alarms = 0
        self._load = load
        self._number = number
        self._journal, self._alarm_journal = journal, alarm_journal
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._last = 0  # Unix ms of the latest readings
        self._standing = False
        self._finished = False
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._points = [f"machine-{number}/channel-{index}/temperature" for index in range(load.points)]

    def totals(self) -> Totals:
        return Totals(self.numbered, self.acknowledged, self.resent, len(self._pending), self.readings, self.alarms)

    async def run(self) -> None:
        """Produces for ``seconds``, then waits at most ``drain`` seconds until everything is acknowledged."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(), name=f"{self.name} link")
            group.create_task(self._produce(), name=f"{self.name} readings")

    async def _produce(self) -> None:
        """A full window holds production back: what could not be measured in time is not measured."""
        start = time.monotonic()
        end = start + self._load.seconds
        for count in range(math.ceil(self._load.rate * self._load.seconds)):
            await asyncio.sleep(max(start + count / self._load.rate - time.monotonic(), 0))
            if not await self._has_room(end):
                break
            self._measure(count)
        await self._has_room(end + self._load.drain, most=1)
        self._finished = True
        self._work.set()

    async def _has_room(self, deadline: float, most: int = WINDOW) -> bool:
        """Waits until fewer than ``most`` messages are on their way; False when that takes longer than the deadline."""
        while len(self._pending) >= most:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), max(deadline - time.monotonic(), 0))
            if time.monotonic() >= deadline:
                return False
        return True

    def _measure(self, count: int) -> None:
        """One frame of every point, and an alarm event where the first point passes its limit."""
        t = self._last = max(time.time_ns() // 1_000_000, self._last + 1)  # equal instants would overwrite each other in the store
        every = self._load.alarm_every
        beyond = bool(every) and count % every == every - 1
        values = {point: round(60 + 9 * math.sin(count / 7 + index), 3) for index, point in enumerate(self._points)}
        if beyond:
            values[self._points[0]] = LIMIT + 5
        self._put(Data(self.boot, self.numbered + 1, [ReadingFrame(t, values)], t))
        if beyond or self._standing:
            transition = Transition.ACTIVE if beyond else Transition.NORMAL
            self._standing = beyond
            event = WireEvent(f"{self.boot}-{count}", ALARM, self._points[0], t, transition, values[self._points[0]])
            self._put(Alarm(self.boot, self.numbered + 1, event, t))

    def _put(self, message: Data | Alarm) -> None:
        self.numbered = message.seq
        self._pending[message.seq] = _Pending(message)
        self._work.set()

    async def _stay_connected(self) -> None:
        """Connects, and again after every loss of the broker: the same boot, and what was not acknowledged from the oldest on."""
        state = node_topic(self._load.site, self.name, "state")
        since = time.time_ns() // 1_000_000
        will = aiomqtt.Will(state, encode(NodeState(online=False, boot=self.boot, since=since)), qos=1, retain=True)
        while not self._finished:
            try:
                async with aiomqtt.Client(
                    self._load.host,
                    self._load.port,
                    identifier=f"{self._load.site}-{self.name}",
                    username=self._load.username,
                    password=self._load.password,
                    will=will,
                ) as client:
                    await client.subscribe(node_topic(self._load.site, self.name, "ack"), qos=1)
                    await client.publish(node_topic(self._load.site, self.name, "birth"), encode(self._birth()), qos=1, retain=True)
                    await client.publish(state, encode(NodeState(online=True, boot=self.boot, since=since)), qos=1, retain=True)
                    for pending in self._pending.values():
                        pending.due = 0.0
                    await self._converse(client)
                    await client.publish(state, encode(NodeState(online=False, boot=self.boot, since=since)), qos=1, retain=True)
            except aiomqtt.MqttError:
                await asyncio.sleep(RECONNECT)

    async def _converse(self, client: aiomqtt.Client) -> None:
        """Sends and listens until all is done or one of them fails: a lost broker shows first to the listener."""
        tasks = [asyncio.create_task(self._send(client)), asyncio.create_task(self._listen(client))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # raises what ended it

    async def _send(self, client: aiomqtt.Client) -> None:
        while not self._finished:
            await self._send_due(client)
            self._work.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), 0.2)

    async def _send_due(self, client: aiomqtt.Client) -> None:
        for seq in list(self._pending):
            pending = self._pending.get(seq)
            now = time.monotonic()
            if pending is None or pending.due > now:
                continue
            self.resent += pending.attempts > 0
            pending.due = now + min(self._load.resend_after * 2**pending.attempts, LONGEST_TIMEOUT)
            pending.attempts += 1
            kind = "alarm" if isinstance(pending.message, Alarm) else "data"
            await client.publish(node_topic(self._load.site, self.name, kind), encode(pending.message), qos=1)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)  # noqa: S101 - what aiomqtt delivers
            ack = decode(message.payload, Ack)
            if ack.boot == self.boot:
                for first, last in ack.ranges:
                    for seq in [seq for seq in self._pending if first <= seq <= last]:
                        self._done(self._pending.pop(seq).message)
                self._room.set()

    def _done(self, message: Data | Alarm) -> None:
        """Acknowledged: the gateway says that this is on its disk, so it goes into the journal."""
        self.acknowledged += 1
        head: dict[str, Any] = {"node": self.name, "boot": self.boot, "seq": message.seq}
        if isinstance(message, Alarm):
            self.alarms += 1
            event = message.event
            line = {
                **head,
                "event": event.id,
                "definition": event.definition,
                "transition": event.transition,
                "time_ns": int(event.t) * 1_000_000,
            }
            _append(self._alarm_journal, line)
            return
        for frame in message.frames:
            for point, value in frame.v.items():
                self.readings += 1
                _append(self._journal, {**head, "point": point, "time_ns": int(frame.t) * 1_000_000, "value": value})

    def _birth(self) -> Birth:
        asset = f"machine-{self._number}"
        description = {"es": "Temperatura simulada", "en": "Simulated temperature"}
        points = {
            point: PointDeclaration("degC", "analog", (0.0, 120.0), asset, description, 1 / self._load.rate) for point in self._points
        }
        definition = AlarmDefinition(
            ALARM,
            self._points[0],
            Condition(ConditionKind.ABOVE, LIMIT),
            Priority.MEDIUM,
            title={"es": "Temperatura alta", "en": "High temperature"},
            source="load generator",
        )
        return Birth(self.boot, "muki-fleet/1", CONTRACT_VERSION, points, time.time_ns() // 1_000_000, [definition])


def _append(journal: IO[str] | None, line: dict[str, Any]) -> None:
    if journal is not None:
        journal.write(json.dumps(line) + "\n")


async def run_fleet(load: Load, journal: Path | None = None) -> Totals:
    """Runs the nodes side by side. ``journal`` gets a JSON line for every acknowledged reading, and ``journal``.alarms one for every alarm event."""
    with contextlib.ExitStack() as files:
        readings = files.enter_context(journal.open("a")) if journal else None
        alarms = files.enter_context(journal.with_name(journal.name + ".alarms").open("a")) if journal else None
        nodes = [Node(load, number, readings, alarms) for number in range(1, load.nodes + 1)]
        await asyncio.gather(*(node.run() for node in nodes))
    return Totals(*(sum(column) for column in zip(*(node.totals() for node in nodes), strict=True)))
