"""Messages that get their numbers in memory while the disk takes nothing: they are sent all the same, and written down when it does.

They have a boot of their own, made with this process. The file's numbers cannot be used for them: what the gateway has acknowledged must
never be given out again, and a node that loses its power before the disk takes anything would do just that.

Bounded. Readings get numbers only while few messages wait for their acknowledgement, so that memory holds no history; the others wait in
the pipeline, which sheds by its own rule. Alarm events have far more room.
"""

import threading
from collections.abc import Iterable, Sequence

import msgspec

from contract.alarms import AlarmEvent, Transition
from contract.frames import event_to_wire
from contract.messages import ReadingFrame
from edge.clock import MS, now
from edge.stored import ALARM, DATA, Stored
from rules.identifiers import ulid

DATA_WAITING = 200  # messages with readings: what the publisher has in flight at most
ALARMS_WAITING = 10_000  # some 5 MB
_FIRST_ID = 1 << 62  # behind everything in the file

_encoder = msgspec.json.Encoder()


class MemoryLine:
    """One line of numbers for the life of the process. `put`, `take` and `clear` come from one thread, `done` from any."""

    def __init__(self) -> None:
        self.boot = ulid(now().wall_ns)
        self.last_seq = 0
        self._messages: dict[int, Stored] = {}  # by seq, which is their order
        self._alarms = 0
        self._happened: dict[tuple[str, bool], AlarmEvent] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def data_room(self) -> int:
        """Messages with readings that it would take now."""
        return max(0, DATA_WAITING - (len(self._messages) - self._alarms))

    @property
    def alarm_room(self) -> int:
        return max(0, ALARMS_WAITING - self._alarms)

    def put(self, data: Sequence[Sequence[ReadingFrame]], events: Sequence[AlarmEvent] = ()) -> list[Stored]:
        """The first of the events, then the first of the data, as many as there is room for."""
        time_ms = now().wall_ns // MS
        with self._lock:
            taken = list(events[: self.alarm_room])
            stored = [self._number(ALARM, time_ms, _encoder.encode(event_to_wire(event))) for event in taken]
            self._alarms += len(stored)
            for event in taken:
                self._happened[event.definition, event.transition in (Transition.ACTIVE, Transition.NORMAL)] = event
            stored += [self._number(DATA, time_ms, _encoder.encode(frames)) for frames in data[: self.data_room]]
        return stored

    def _number(self, kind: int, time_ms: int, payload: bytes) -> Stored:
        self.last_seq += 1
        message = self._messages[self.last_seq] = Stored(_FIRST_ID + self.last_seq, self.boot, self.last_seq, kind, time_ms, payload)
        return message

    def take(self, after: int | None, limit: int) -> list[Stored]:
        """At most ``limit`` messages that are not acknowledged, oldest first, with an id above ``after``."""
        return [message for message in self.messages() if after is None or message.id > after][:limit]

    def messages(self) -> list[Stored]:
        """All that are not acknowledged, oldest first."""
        with self._lock:
            return list(self._messages.values())

    def happened(self) -> list[AlarmEvent]:
        """The last event of each alarm since `clear`, acknowledged or not: what stands, and what is suppressed."""
        with self._lock:
            return list(self._happened.values())

    def done(self, ranges: Iterable[tuple[int, int]]) -> None:
        """The gateway has these committed."""
        with self._lock:
            for low, high in ranges:
                for seq in [seq for seq in self._messages if low <= seq <= high]:
                    self._alarms -= self._messages.pop(seq).kind == ALARM

    def clear(self) -> None:
        """All of it is in the file now. The numbers go on."""
        with self._lock:
            self._messages.clear()
            self._happened.clear()
            self._alarms = 0
