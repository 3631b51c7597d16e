"""Ingest: each message from the broker is decoded, judged and handed on: readings to the batcher, alarms and births to the annunciator.

Alarms, births and states are decoded as they come. Readings wait in the inbox, are decoded many at once beside the event loop, and each node
gets its turn: a flood is its own node's problem.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

import msgspec

from contract.frames import event_from_wire, to_ms, to_ns
from contract.messages import BY_KIND, Alarm, Birth, ContractError, NodeState, decode
from contract.topics import GATEWAY, ROOT, VERSION, Topic, parse
from gateway.admission import CENTURY_NS, Refusal, Skew, admit, time_event
from gateway.annunciator import Annunciator
from gateway.approvals import UNAPPROVED, Approvals
from gateway.batcher import Batcher
from gateway.dead_letters import Letter, stored_ns
from gateway.decoding import Decoder, Other, Readable, Unreadable
from gateway.evidence import Evidence, Picture
from gateway.expected import Expected
from gateway.inbox import Arrival, Budget, Inbox, unpacked
from gateway.ledger import Entry, Ledger
from gateway.live import LiveBus, LiveEvent
from gateway.malfunctions import OF_A_NODE, RESERVED, silence
from gateway.metrics import Metrics
from gateway.nodes import Nodes
from gateway.numbering import numbered
from gateway.refusing import Origin, Refuser
from gateway.rejects import Rejects
from gateway.session import Incoming
from gateway.site_rules import SiteRules
from gateway.store import StoreFrame
from gateway.turns import Pace
from rules.moment import Instant

log = logging.getLogger(__name__)

KNOWN_TOPICS = 50_000
_FROM_US = frozenset({"ack", "cmd"})
_PASSED_OVER = frozenset({"evidence", "result"})  # no documents
_NUMBERED = frozenset({"data", "alarm"})
AT_ONCE_BYTES = 64 << 10  # a larger message, or a packed one, is decoded in a worker thread; for others the way there would cost more


class Ingest:
    """``handle`` runs on the event loop for every message, in order, and never blocks; ``run`` goes on with what waits in the inbox."""

    def __init__(
        self,
        site: str,
        *,
        nodes: Nodes,
        ledger: Ledger,
        batcher: Batcher,
        annunciator: Annunciator,
        rejects: Rejects,
        rules: SiteRules,
        approvals: Approvals,
        evidence: Evidence,
        bus: LiveBus,
        metrics: Metrics,
        silence_after: float,
        late_after: float,
    ) -> None:
        self._nodes = nodes
        self._batcher = batcher
        self._annunciator = annunciator
        self._refuser = Refuser(ledger, rejects, metrics)
        self._rules = rules
        self._approvals = approvals
        self._evidence = evidence
        self._bus = bus
        self._metrics = metrics
        self._late_after = late_after
        self._silence = silence(silence_after)
        self._own = f"{ROOT}/{VERSION}/{site}/{GATEWAY}/"
        self._own_alarms = f"{self._own}alarms/"
        self._gateway_part = f"/{site}/{GATEWAY}/"
        self._topics: dict[str, Topic] = {}
        self._skews: dict[str, Skew] = {}
        self._newest: dict[str, int] = {}
        self._inbox = Inbox()
        self._budget = Budget()
        self._pace = Pace()
        self._decoder = Decoder(nodes.limits)
        self.expected = Expected(time.time_ns())
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._counted: dict[str, int] = {}  # messages by kind that the metrics have not heard of
        self.wrong_clocks: dict[str, int] = {}  # when readings with an impossible time came last, by node
        self.touched: set[str] = set()  # their registry entry changed and wants saving
        self.retired: set[str] = set()  # their retained birth was cleared
        self.closed = False  # a gateway that is stopping takes nothing more: what it leaves is sent again to the next one

    def handle(self, incoming: Incoming) -> None:
        if self.closed:
            return
        topic = self._topics.get(incoming.topic) or self._parse(incoming)
        if topic is None or topic.kind in _FROM_US:
            return
        if topic.version != VERSION:
            detail = f"the topic says contract {topic.version}: this gateway speaks {VERSION}"
            self._refuser.whole(Origin(topic, incoming), Refusal("contract_version", "topic", detail))
            return
        self._counted[topic.kind] = self._counted.get(topic.kind, 0) + 1
        if topic.kind == "evidence" and self._approvals.approved(topic.node):
            self._evidence.offer(Picture(topic.node, topic.rest, incoming.received_ns, incoming.payload))
        if topic.kind in _PASSED_OVER or self._kept_out(topic, incoming):
            return
        if topic.kind in _NUMBERED and self._refuser.spent(topic.node, incoming.received_ns):
            self._metrics.dropped.inc()
            return
        if not incoming.payload and topic.kind not in _NUMBERED:
            self._cleared(topic)
            return
        self._open(topic, incoming)

    def _open(self, topic: Topic, incoming: Incoming) -> None:
        if topic.kind == "alarm" and not self._pace.allows(topic.node, incoming.received_ns):
            self._metrics.dropped.inc()  # a node that raises alarms without end keeps the rest until its turn
            return
        if topic.kind == "data" or self._inbox.others_wait(topic.node) or not self._budget.allows(incoming, topic.node):
            if dropped := self._inbox.put(Arrival(topic, incoming)):
                self._metrics.dropped.inc(dropped)
            self._idle.clear()
            self._wake.set()
            return
        try:
            message = decode(incoming.payload, BY_KIND[topic.kind])
        except ContractError as error:
            self._unreadable(topic, incoming, error, numbered(incoming.payload, whole=error.reason != "oversized"))
            return
        self._other(topic, incoming, message)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while len(self._inbox) and not self.closed:
                await self._batcher.room()
                await self._annunciator.first()
                batch = self._inbox.take()
                little = all(unpacked(one.incoming.payload) < AT_ONCE_BYTES for one in batch)
                decoded = self._decoder.decode(batch) if little else await asyncio.to_thread(self._decoder.decode, batch)
                for one in decoded:
                    self._inbox.charge(one.arrival.topic.node, one.size)
                    try:
                        self._take(one)
                    except Exception:
                        log.exception("a message on %s could not be handled", one.arrival.incoming.topic)
                if little:
                    await asyncio.sleep(0)
            self._idle.set()

    async def drained(self) -> None:
        """Waits until nothing is in the inbox."""
        await self._idle.wait()

    def tell_counts(self) -> None:
        """To be called each second or so: a counter of the metrics costs as much as the rest of taking a message, and so hears of many at once."""
        counted, self._counted = self._counted, {}
        for kind, count in counted.items():
            self._metrics.messages.labels(kind).inc(count)

    def _take(self, one: Readable | Other | Unreadable) -> None:
        topic, incoming = one.arrival
        if self.closed:
            return
        if isinstance(one, Readable):
            self._data(one)
        elif isinstance(one, Other):
            self._other(topic, incoming, one.message)
        else:
            self._unreadable(topic, incoming, one.error, one.number)

    def _unreadable(self, topic: Topic, incoming: Incoming, error: ContractError, number: tuple[str, int] | None) -> None:
        origin = Origin(topic, incoming, *((number if topic.kind in _NUMBERED else None) or (None, None)))
        self._refuser.whole(origin, Refusal(error.reason, error.where, error.detail))

    def _other(self, topic: Topic, incoming: Incoming, message: object) -> None:
        if isinstance(message, Alarm):
            self._alarm(topic, incoming, message)
        elif isinstance(message, Birth):
            self._birth(topic, incoming, message)
        elif isinstance(message, NodeState):
            self._nodes.stated(topic.node, message, now_ns=incoming.received_ns, retained=incoming.retained)
            self.touched.add(topic.node)

    def _kept_out(self, topic: Topic, incoming: Incoming) -> bool:
        """Whether it is of a node that nobody let in. It is not acknowledged, so that it waits on the node; who it says it is, is shown."""
        if topic.kind not in _NUMBERED or self._approvals.approved(topic.node):
            return False
        self._metrics.unapproved.inc()
        self._nodes.seen(topic.node, incoming.received_ns)
        return True

    def _parse(self, incoming: Incoming) -> Topic | None:
        if incoming.topic.startswith(self._own_alarms):
            if incoming.retained and incoming.payload:
                self._annunciator.found_retained(incoming.topic.removeprefix(self._own_alarms))
            return None
        if self._gateway_part in incoming.topic:
            return None
        try:
            topic = parse(incoming.topic)
        except ValueError as error:
            if self._refuser.spent("", incoming.received_ns):
                self._metrics.rejects.labels("wrong_topic").inc()
            elif incoming.payload:
                nobody = Topic(VERSION, "", "", "")
                self._refuser.whole(Origin(nobody, incoming), Refusal("wrong_topic", "topic", str(error)))
            return None
        if len(self._topics) < KNOWN_TOPICS and topic.kind not in _PASSED_OVER:
            self._topics[incoming.topic] = topic
        return topic

    def _data(self, readable: Readable) -> None:
        (topic, incoming), message = readable.arrival, readable.data
        node, now_ns = topic.node, incoming.received_ns
        entry = Entry(node, message.boot, message.seq)
        self._heard(topic, incoming, message.sent)
        if self._refuser.duplicate(entry) or self._batcher.holds(entry):
            self._metrics.duplicates.inc()
            return
        skew = self._skews[node]
        skew_ns = skew.at(now_ns)
        shift_ns = skew.shift(now_ns) if self._nodes.clock_synchronised(node) is False else 0
        admitted = admit(node, message.frames, readable.judged, now_ns=now_ns, skew_ns=skew_ns, shift_ns=shift_ns)
        for frame, points in zip(message.frames, readable.points, strict=True):
            self.expected.heard(node, points, min(to_ns(frame.t) + skew_ns, now_ns))
        # Rules and the page go on while the store takes nothing; what comes again later changes nothing there.
        self._rules.take(node, admitted.frames, Instant(now_ns, time.monotonic_ns()))
        self._show(node, admitted.frames)
        letters = list(_letters(readable, admitted.refusals, admitted.quarantined)) if admitted.quarantined else []
        if not self._batcher.offer(Entry(*entry[:3], shift_ns), admitted.frames, admitted.values, letters):
            self._metrics.dropped.inc()
            return
        if readable.limits is None:
            self._metrics.undeclared.inc(admitted.values)
        if letters:
            self.wrong_clocks[node] = now_ns
        self._refuser.parts(Origin(topic, incoming, message.boot, message.seq), [*readable.refusals, *admitted.refusals])

    def _alarm(self, topic: Topic, incoming: Incoming, message: Alarm) -> None:
        node, now_ns = topic.node, incoming.received_ns
        entry = Entry(node, message.boot, message.seq)
        self._heard(topic, incoming, message.sent)
        if self._refuser.duplicate(entry) or self._annunciator.holds(entry):
            self._metrics.duplicates.inc()
            return
        origin = Origin(topic, incoming, message.boot, message.seq)
        try:
            event = event_from_wire(node, message.event)
        except ContractError as error:
            self._refuser.whole(origin, Refusal(error.reason, error.where, error.detail))
            return
        if event.definition in RESERVED:
            detail = f"{event.definition!r} is the gateway's own alarm about this node; give yours another id"
            self._refuser.whole(origin, Refusal("reserved_id", "$.event.definition", detail))
            return
        when = time_event(event.time_ns, event.quality, now_ns=now_ns, skew_ns=self._skews[node].at(now_ns), late_after=self._late_after)
        moved = msgspec.structs.replace(event, time_ns=when.time_ns, quality=when.quality)
        shift_ns = max(-CENTURY_NS, min(CENTURY_NS, when.time_ns - event.time_ns))
        shifted = Entry(*entry[:3], shift_ns)
        if not self._annunciator.happened(moved, received_ns=now_ns, late=when.late, entry=shifted):
            self._metrics.dropped.inc()

    def _birth(self, topic: Topic, incoming: Incoming, birth: Birth) -> None:
        node, now_ns = topic.node, incoming.received_ns
        if self._nodes.born(node, birth, now_ns=now_ns, retained=incoming.retained):
            self.expected.begin(node, now_ns)
        if not incoming.retained:
            self._skew(node).add(sent_ns=to_ns(birth.sent), received_ns=now_ns, birth=True)
        self.touched.add(node)
        self.retired.discard(node)
        if not self._approvals.approved(node):
            self._annunciator.declared(node, [self._silence, *OF_A_NODE, UNAPPROVED], None, now_ns=now_ns)
            return
        self._declare(Origin(topic, incoming, birth.boot), birth)

    def approved(self, node: str, *, now_ns: int) -> None:
        """Somebody let the node in: what its birth said about alarms counts from now on."""
        if (birth := self._nodes.birth(node)) is not None:
            self._declare(Origin(Topic(VERSION, "", node, "birth"), Incoming("", b"", False, now_ns), birth.boot), birth)

    def _declare(self, origin: Origin, birth: Birth) -> None:
        node, now_ns = origin.topic.node, origin.incoming.received_ns
        definitions = [definition for definition in birth.alarms if definition.id not in RESERVED]
        if taken := [definition.id for definition in birth.alarms if definition.id in RESERVED]:
            detail = f"{taken[0]!r} is the gateway's own alarm about this node; give yours another id"
            self._refuser.part(origin, Refusal("reserved_id", "$.alarms", detail))
        standing = [one for one in birth.standing if one.definition not in RESERVED]
        self._annunciator.declared(node, [*definitions, self._silence, *OF_A_NODE], standing, now_ns=now_ns)

    def clock_stepped(self) -> None:
        """The gateway's own clock was set: what was measured against it before says nothing now."""
        self._skews.clear()
        self._newest.clear()
        self._rules.clock_stepped()
        self.expected.begin_all(time.time_ns())

    def _cleared(self, topic: Topic) -> None:
        """Somebody removed a retained message: a node whose birth is removed is retired."""
        if topic.kind == "birth" and self._nodes.forget(topic.node):
            self.retired.add(topic.node)
            self.touched.discard(topic.node)
            self._skews.pop(topic.node, None)
            self._newest.pop(topic.node, None)
            self.expected.forget(topic.node)

    def _heard(self, topic: Topic, incoming: Incoming, sent: float | None) -> None:
        skew = self._skew(topic.node)
        if incoming.retained:
            return
        self._nodes.seen(topic.node, incoming.received_ns)
        if sent is not None:
            skew.add(sent_ns=to_ns(sent), received_ns=incoming.received_ns)
            self._nodes.measured(topic.node, skew.at(incoming.received_ns) / 1e6)

    def _skew(self, node: str) -> Skew:
        skew = self._skews.get(node)
        if skew is None:
            skew = self._skews[node] = Skew()
        return skew

    def _show(self, node: str, frames: Sequence[StoreFrame]) -> None:
        """The newest values, to whoever watches; history that arrives behind is not shown as live."""
        if not self._bus.watchers or not frames:
            return
        newest = max(frame.time_ns for frame in frames)
        if newest < self._newest.get(node, 0):
            return
        self._newest[node] = newest
        values: dict[str, float] = {}
        quality: dict[str, str] = {}
        for frame in sorted(frames, key=lambda frame: frame.time_ns):
            for point in frame.values:
                quality.pop(point, None)
            for point in frame.quality.keys() - frame.values.keys():
                values.pop(point, None)
            values.update(frame.values)
            quality.update(frame.quality)
        self._bus.publish(LiveEvent("readings", {"node": node, "time": to_ms(newest), "values": values, "quality": quality}))


def _letters(readable: Readable, refusals: Sequence[Refusal], quarantined: Sequence[int]) -> Iterator[Letter]:
    """The frames whose time cannot be, as their node told them."""
    arrival, frames = readable.arrival, readable.data.frames
    for refusal, index in zip(refusals, quarantined, strict=True):
        values, quality = readable.judged[index]
        if values or quality:
            yield Letter(refusal.reason, arrival.topic.node, stored_ns(frames[index].t), values, quality, arrival.incoming.received_ns)
