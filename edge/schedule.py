"""What to send next: a decision apart from any I/O, with the clock passed in.

Live first: what was put since the connection began goes at once, alarm events before data. The history from before goes oldest first behind
it, at a bounded rate and in at most half of the window. What the gateway has not acknowledged in time is sent again, later and later. A
window bounds what is in flight; alarm events have a reserve beyond it, so that a gateway that stopped acknowledging data still hears them.
When live data find no room they wait; of more than a window of them the oldest become history, and so do alarm events far above it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edge.clock import SECOND
from edge.stored import ALARM, Stored

WINDOW = 200  # messages in flight
ALARMS = 1000  # alarm events that wait in memory; the oldest above it are fetched from the disk when their turn comes
RESERVE = 50  # alarm events beyond the window
HISTORY_RATE = 200.0  # messages/s
HISTORY_AFTER = 3.0  # s into a connection at the latest; sooner once a live message has gone out
FIRST_TIMEOUT = 2.0  # s
LONGEST_TIMEOUT = 60.0  # s
_JITTER = 0.25  # of each timeout, so that many nodes do not come back in step
_FETCH = 100  # history messages asked for at a time


class Choice(NamedTuple):
    """``send`` in this order; ``fetch`` more history messages would have room; nothing else to do before ``wake_ns`` (None: wait to be told)."""

    send: list[Stored]
    fetch: int
    wake_ns: int | None


class _InFlight:
    __slots__ = ("attempts", "due_ns", "history", "message", "sent_ns")

    def __init__(self, message: Stored, history: bool) -> None:
        self.message = message
        self.history = history
        self.attempts = 0
        self.sent_ns = 0
        self.due_ns = 0


class Schedule:
    """The messages of one connection. Times are steady ns; ``random`` gives 0 to 1."""

    def __init__(self, now_ns: int, random: Callable[[], float], *, window: int = WINDOW, history_rate: float = HISTORY_RATE) -> None:
        self._random = random
        self._window = window
        self._rate = history_rate
        self._in_flight: dict[int, _InFlight] = {}
        self._alarms: deque[Stored] = deque()
        self._live: deque[Stored] = deque()
        self._history: deque[Stored] = deque()
        self._waiting: set[int] = set()  # ids in the three queues
        self._exhausted = False
        self._tokens = 0.0
        self._tokens_ns = now_ns
        self._hold_ns = now_ns + round(HISTORY_AFTER * SECOND)  # no history before: the first word is a live one
        self._delay: float | None = None  # s, smoothed time to an acknowledgement
        self._spread = 0.0
        self.cursor: int | None = None  # the last id of the history that was looked at

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def timeout(self) -> float:
        """Seconds before a message is sent again, from the acknowledgements seen (RFC 6298: smoothed delay and four deviations)."""
        if self._delay is None:
            return FIRST_TIMEOUT
        return min(max(FIRST_TIMEOUT, self._delay + 4 * self._spread), LONGEST_TIMEOUT)

    def put(self, messages: Iterable[Stored]) -> None:
        """New messages, on disk already."""
        for message in messages:
            if message.id not in self._waiting and message.id not in self._in_flight:
                self._waiting.add(message.id)
                (self._alarms if message.kind == ALARM else self._live).append(message)
        for queue, most in ((self._live, self._window), (self._alarms, ALARMS)):
            while len(queue) > most:
                spilled = queue.popleft()
                self._waiting.discard(spilled.id)
                self._exhausted = False
                if self.cursor is not None:
                    self.cursor = min(self.cursor, spilled.id - 1)

    def found(self, messages: list[Stored], asked: int) -> None:
        """The history after ``cursor``, as the outbox gave it; fewer than ``asked`` means that there is no more."""
        for message in messages:
            if message.id not in self._waiting and message.id not in self._in_flight:
                self._waiting.add(message.id)
                self._history.append(message)
        if messages:
            self.cursor = messages[-1].id
        self._exhausted = len(messages) < asked

    def rewind(self) -> None:
        """The history is to be looked through again from its beginning: messages have come into it. What is known of it stays known."""
        self.cursor = None
        self._exhausted = False

    def choose(self, now_ns: int) -> Choice:
        """What to send now. Changes nothing: tell `sent` of each message that went out."""
        due = sorted((entry for entry in self._in_flight.values() if entry.due_ns <= now_ns), key=lambda entry: entry.message.id)
        room = max(0, self._window - len(self._in_flight))
        alarms = list(self._alarms)[: max(0, self._window + RESERVE - len(self._in_flight))]
        room = max(0, room - len(alarms))
        live = list(self._live)[:room]
        room -= len(live)
        share = max(0, self._window // 2 - sum(entry.history for entry in self._in_flight.values()))
        tokens = self._tokens_at(now_ns)
        held = now_ns < self._hold_ns
        history = [] if held else list(self._history)[: min(room, share, int(tokens))]
        send = [
            *alarms,
            *(entry.message for entry in due if entry.message.kind == ALARM),
            *live,
            *(entry.message for entry in due if entry.message.kind != ALARM),
            *history,
        ]
        fetch = _FETCH if not self._exhausted and not self._history and min(room, share) > 0 else 0
        wakes = [entry.due_ns for entry in self._in_flight.values() if entry.due_ns > now_ns]
        if held:
            wakes.append(self._hold_ns)
        elif len(self._history) > len(history) and min(room, share) > len(history):
            wakes.append(now_ns + round((1 - tokens % 1) * SECOND / self._rate))
        return Choice(send, fetch, min(wakes, default=None))

    def sent(self, message: Stored, now_ns: int) -> None:
        """A message went out: the first time it enters the window; each time its next due time is set."""
        entry = self._in_flight.get(message.id)
        if entry is None:
            history = bool(self._history) and self._history[0].id == message.id
            queue = self._history if history else self._alarms if message.kind == ALARM else self._live
            if not queue or queue[0].id != message.id:
                return  # acknowledged or spilled while it was being written
            queue.popleft()
            self._waiting.discard(message.id)
            if history:
                self._tokens, self._tokens_ns = self._tokens_at(now_ns) - 1, now_ns
            else:
                self._hold_ns = min(self._hold_ns, now_ns)
            entry = self._in_flight[message.id] = _InFlight(message, history)
        entry.attempts += 1
        entry.sent_ns = now_ns
        seconds = min(self.timeout * 2 ** (entry.attempts - 1), LONGEST_TIMEOUT)
        entry.due_ns = now_ns + round(seconds * (1 + _JITTER * self._random()) * SECOND)

    def acknowledged(self, boot: str, ranges: list[tuple[int, int]], now_ns: int) -> int:
        """The gateway has these. Returns how many were in flight; the delay of those sent once adjusts the timeout."""

        def covered(message: Stored) -> bool:
            return message.boot == boot and any(low <= message.seq <= high for low, high in ranges)

        gone = [entry for entry in self._in_flight.values() if covered(entry.message)]
        for entry in gone:
            del self._in_flight[entry.message.id]
            if entry.attempts == 1:  # a repeated one's delay is ambiguous (Karn's algorithm)
                self._measure((now_ns - entry.sent_ns) / SECOND)
        for queue in (self._alarms, self._live, self._history):
            for message in [message for message in queue if covered(message)]:
                queue.remove(message)
                self._waiting.discard(message.id)
        if gone:  # the gateway is alive: what had backed off for long is tried soon
            soon = now_ns + round(self.timeout * SECOND)
            for entry in self._in_flight.values():
                entry.due_ns = min(entry.due_ns, soon) if entry.attempts > 1 else entry.due_ns
        return len(gone)

    def _measure(self, delay: float) -> None:
        if self._delay is None:
            self._delay, self._spread = delay, delay / 2
        else:
            self._spread += (abs(delay - self._delay) - self._spread) / 4
            self._delay += (delay - self._delay) / 8

    def _tokens_at(self, now_ns: int) -> float:
        """Messages of history that may go now; at most a tenth of a second's worth is saved up."""
        grown = self._tokens + (now_ns - self._tokens_ns) / SECOND * self._rate
        return min(grown, max(1.0, self._rate / 10))
