"""What of a message is refused, and how much of that a node may cost: between the ingest, which judges, and the rejects, which tell."""

from collections.abc import Sequence
from typing import NamedTuple

from contract.topics import VERSION, Topic
from gateway.admission import Refusal
from gateway.ledger import Entry, Ledger
from gateway.metrics import Metrics
from gateway.rejects import Refused, Rejects
from gateway.session import Incoming
from gateway.turns import Pace

SAID_PER_MESSAGE = 20  # parts of one message that are refused one by one; the rest is told as a number
REFUSED_PER_SECOND = 100.0  # messages of a node of which something is refused: beyond it, the rest stay in its outbox


class Origin(NamedTuple):
    """Whose message it is, for whoever refuses a part of it."""

    topic: Topic
    incoming: Incoming
    boot: str | None = None
    seq: int | None = None


class Refuser:
    """Used on the event loop alone."""

    def __init__(self, ledger: Ledger, rejects: Rejects, metrics: Metrics) -> None:
        self._ledger = ledger
        self._rejects = rejects
        self._metrics = metrics
        self._pace = Pace(per_second=REFUSED_PER_SECOND)

    def spent(self, node: str, now_ns: int) -> bool:
        """Whether so much of the node was refused that its next message has to wait; "" for topics that are nobody's."""
        return self._pace.spent(node, now_ns)

    def duplicate(self, entry: Entry) -> bool:
        """Whether the message is committed; then it is acknowledged again at once: its acknowledgement was lost."""
        if self._ledger.known(entry.node, entry.boot, entry.seq):
            self._rejects.acknowledge(entry)
            return True
        return False

    def parts(self, origin: Origin, refusals: Sequence[Refusal]) -> None:
        """Of a message whose rest is taken."""
        if refusals:
            self._pace.allows(origin.topic.node, origin.incoming.received_ns)
        for refusal in refusals[:SAID_PER_MESSAGE]:
            self.part(origin, refusal)
        if (more := len(refusals) - SAID_PER_MESSAGE) > 0:
            self.part(origin, Refusal(refusals[-1].reason, "$.frames", f"and {more} more parts of this message"))

    def part(self, origin: Origin, refusal: Refusal) -> None:
        self._tell(origin, refusal, whole=False)

    def whole(self, origin: Origin, refusal: Refusal) -> None:
        """It is acknowledged lest it comes for ever, where it says who and which it is."""
        topic, incoming, boot, seq = origin
        self._pace.allows(topic.node, incoming.received_ns)
        if boot is not None and seq is not None and self.duplicate(Entry(topic.node, boot, seq)):
            self._metrics.duplicates.inc()
            return
        self._tell(origin, refusal, whole=topic.version == VERSION)

    def _tell(self, origin: Origin, refusal: Refusal, *, whole: bool) -> None:
        topic, incoming, boot, seq = origin
        said = (refusal.reason, refusal.where, refusal.detail)
        self._rejects.refuse(Refused(topic.node, incoming.topic, *said, incoming.received_ns, incoming.payload, boot, seq, whole))
