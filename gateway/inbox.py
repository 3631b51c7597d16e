"""What waits to be decoded: bounded in bytes, one line for each node, served in turn, so that a node that floods or sends bombs waits for itself."""

from collections import deque
from typing import NamedTuple

from contract.payload import MAX_INFLATED_BYTES
from contract.topics import Topic
from gateway.session import Incoming

WAITING_BYTES = 64 << 20  # of all nodes
BATCH = 48  # messages that are decoded together
BATCH_BYTES = 48 << 10  # and bytes, unpacked: who comes next waits that long
TURN_MESSAGES = 8
TURN_BYTES = 64 << 10
DEBT_BYTES = 4 << 20  # the most that a node owes: it is passed over for as many turns as that is times TURN_BYTES

BUDGET_BYTES = 1 << 20  # of what is decoded at once: births, states, alarms
BUDGET_PER_SECOND = 128 << 10
SMALLEST = 1024  # what a message costs at least: an alarm event is written to the journal by itself
KNOWN_NODES = 10_000
PACKED = 50  # how much larger a gzip payload may become; the bound of `contract.payload` holds anyway


def unpacked(payload: bytes) -> int:
    """At most about how many bytes it will be."""
    return min(MAX_INFLATED_BYTES, len(payload) * PACKED) if payload[:2] == b"\x1f\x8b" else len(payload)


class Arrival(NamedTuple):
    """A message and whose it is."""

    topic: Topic
    incoming: Incoming


class _Line:
    """One node's messages in their order, and their bytes. ``owed``: bytes that it had decoded beyond its turns; ``others``: no data messages."""

    __slots__ = ("arrivals", "others", "owed", "size")

    def __init__(self) -> None:
        self.arrivals: deque[Arrival] = deque()
        self.size = 0
        self.owed = 0
        self.others = 0


class Inbox:
    """Used on the event loop alone."""

    def __init__(self, waiting_bytes: int = WAITING_BYTES) -> None:
        self._waiting_bytes = waiting_bytes
        self._lines: dict[str, _Line] = {}
        self._turns: deque[str] = deque()  # of every line once
        self._size = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def others_wait(self, node: str) -> bool:
        """Whether something of the node other than data waits here: what comes after it must not overtake it."""
        line = self._lines.get(node)
        return line is not None and line.others > 0

    def put(self, arrival: Arrival) -> int:
        """Takes a message; returns how many had to be dropped for it: the newest ones of whoever holds the most."""
        size = len(arrival.incoming.payload)
        line = self._line(arrival.topic.node)
        line.arrivals.append(arrival)
        line.size += size
        line.others += arrival.topic.kind != "data"
        self._size += size
        self._count += 1
        return self._make_room() if self._size > self._waiting_bytes else 0

    def _line(self, node: str) -> _Line:
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = _Line()
            self._turns.append(node)
        return line

    def _make_room(self) -> int:
        """Halves the longest line. What is dropped is not acknowledged, and comes again."""
        line = max(self._lines.values(), key=lambda line: line.size)
        kept, before = line.size // 2, self._count
        while line.arrivals and line.size > kept:
            arrival = line.arrivals.pop()
            self._took(line, 1, len(arrival.incoming.payload), arrival.topic.kind != "data")
        return before - self._count

    def _took(self, line: _Line, count: int, size: int, others: int) -> None:
        line.others -= others
        line.size -= size
        self._size -= size
        self._count -= count

    def take(self) -> list[Arrival]:
        """The next batch, a turn for each node after the other. Who owes is passed over as long as others have something."""
        batch: list[Arrival] = []
        left = BATCH_BYTES
        while self._count and len(batch) < BATCH and left > 0:
            before = len(batch)
            for _ in range(len(self._turns)):
                left -= self._turn(batch)
                if len(batch) >= BATCH or left <= 0:
                    break
            if before == len(batch) > 0:
                break  # only debtors are left, and the others need not wait for them
        return batch

    def _turn(self, batch: list[Arrival]) -> int:
        """Returns about how many bytes it will be once unpacked."""
        cost = 0
        node = self._turns.popleft()
        line = self._lines[node]
        if line.owed:
            line.owed = max(0, line.owed - TURN_BYTES)
        else:
            size = others = 0
            before = len(batch)
            for _ in range(min(TURN_MESSAGES, len(line.arrivals))):
                batch.append(arrival := line.arrivals.popleft())
                payload = arrival.incoming.payload
                size += len(payload)
                others += arrival.topic.kind != "data"
                cost += unpacked(payload)
                if cost >= TURN_BYTES:
                    break
            self._took(line, len(batch) - before, size, others)
        if line.arrivals or line.owed:
            self._turns.append(node)
        else:
            del self._lines[node]
        return cost

    def charge(self, node: str, size: int) -> None:
        """What a message was once it was unpacked, in bytes: for more than a turn is worth its node is passed over."""
        if size > TURN_BYTES:
            line = self._line(node)
            line.owed = min(DEBT_BYTES, line.owed + size - TURN_BYTES)


class Budget:
    """What a node may have decoded at once, outside its turns: `BUDGET_BYTES`, and `BUDGET_PER_SECOND` more every second."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, int]] = {}

    def allows(self, incoming: Incoming, node: str) -> bool:
        size = max(SMALLEST, unpacked(incoming.payload))
        left, since_ns = self._left.get(node, (float(BUDGET_BYTES), incoming.received_ns))
        left = min(float(BUDGET_BYTES), left + max(0, incoming.received_ns - since_ns) / 1e9 * BUDGET_PER_SECOND)
        if left <= 0:
            self._left[node] = (left, incoming.received_ns)
            return False
        if len(self._left) > KNOWN_NODES:  # invented names
            self._left.clear()
        self._left[node] = (left - size, incoming.received_ns)
        return True
