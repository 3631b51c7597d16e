"""From items to the disk: each reading meets its alarm rules and processors, then waits, a quarter of a second at most, for the next commit."""

import asyncio
import contextlib
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence

from contract.alarms import AlarmEvent
from contract.frames import frames_of
from contract.messages import PointDeclaration
from contract.values import GOOD, Level, Quality, Reading, bad, uncertain, worst
from edge import clock
from edge.alarm_panel import AlarmPanel
from edge.disk import Disk
from edge.health import ModuleStatus
from edge.items import Item
from edge.lateness import Lateness
from edge.progress import Mark
from edge.stored import DATA, Stored
from edge.trust import Trust, within_range
from edge.worker import Worker
from rules.engine import AlarmRules

log = logging.getLogger("muki.edge.pipeline")

FLUSH_READINGS = 500  # readings in a message, and waiting before a flush happens at once
MAX_WAITING = 20_000  # readings kept in memory while neither the disk nor the gateway takes any; above it the oldest are shed
MAX_EVENTS = 10_000  # alarm events likewise, beyond those that already have a number in memory
_LOOK_AGAIN = 1.0  # s
TICK = 0.25  # s: how finely delays and silence are watched
WRITE_LIMIT = 200.0  # s that something may wait without an attempt to write it: more than `flush_every` and a call on the disk may take
TICK_LIMIT = 30.0  # s that nobody may look at delays and silence
_END_NS = 253402300799999 * clock.MS  # the year 9999: the contract's last instant
_REASON = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Pipeline:
    """One node's readings and events on their way to the outbox. Everything but the disk happens on the event loop."""

    def __init__(
        self,
        node: str,
        points: Mapping[str, PointDeclaration],
        rules: AlarmRules,
        *,
        worker: Worker,
        disk: Disk,
        stored: Callable[[list[Stored]], None],
        flush_every: float = 0.25,
        panel: AlarmPanel | None = None,
        trust: Trust | None = None,
        disk_status: ModuleStatus | None = None,
        evidence: Callable[[Sequence[AlarmEvent]], None] | None = None,
    ) -> None:
        self._node = node
        self._points = points
        self._rules = rules
        self._worker = worker
        self._disk = disk
        self._stored = stored
        self._flush_every = flush_every
        self._panel = panel
        self._disk_status = disk_status
        self._evidence = evidence
        self._trust = trust or Trust(points, {}, clock.now())
        self._lateness = Lateness()
        self._readings: list[Reading] = []
        self._events: list[AlarmEvent] = []
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = asyncio.Event()
        self._undeclared: set[str] = set()
        self._complaint = ""
        self.shed = 0
        self._write_mark = Mark("the writer of the outbox", WRITE_LIMIT)
        self._tick_mark = Mark("the watch over delays and silence", TICK_LIMIT)
        self.marks = (self._write_mark, self._tick_mark)

    def handle(self, items: Sequence[Item]) -> None:
        """Takes a batch from a source or a processor."""
        now = clock.now()
        for item in items:
            if isinstance(item, Reading):
                self._reading(item, now)
            else:
                self._worker.offer(item)
        if len(self._readings) >= FLUSH_READINGS and not self._disk.refusal:
            self._urgent.set()

    def _reading(self, reading: Reading, now: clock.Instant) -> None:
        if reading.point not in self._points:
            self._refuse(reading.point)
            return
        told = presentable(reading, now.wall_ns)
        if self._lateness.late(told, now):
            self._keep(within_range(told, self._points[told.point]))
            return
        judged = self._trust.judge(told, now)
        if judged is not None:
            self._pass_on(judged, now)

    def _pass_on(self, reading: Reading, now: clock.Instant) -> None:
        events = self._rules.update(reading, now)
        if events:
            self.raise_events(events)
        if self._panel is not None and reading.point == self._panel.silence_point:
            self._panel.read(reading)
        if reading.point in self._worker.wanted:
            self._worker.offer(reading)
        self._keep(reading)

    def _keep(self, reading: Reading) -> None:
        self._readings.append(reading)
        self._something.set()

    def _refuse(self, point: str) -> None:
        """The birth does not declare it, so the gateway would refuse the whole message."""
        self.shed += 1
        if point not in self._undeclared and len(self._undeclared) < 100:
            self._undeclared.add(point)
            log.error("node=%s point=%s is not declared by its source and is not sent: its points() must name it", self._node, point)

    def raise_events(self, events: Sequence[AlarmEvent]) -> None:
        """Events reach the local outputs now, and the disk at once, before the readings that wait with them."""
        if self._panel is not None:
            self._panel.take(events)
        if self._evidence is not None:
            self._evidence(events)
        for event in events:
            log.info("node=%s alarm=%s %s value=%s quality=%s", self._node, event.definition, event.transition, event.value, event.quality)
        self._events += events
        self._something.set()
        self._urgent.set()

    async def watch_time(self) -> None:
        """Delays that end and points that fall silent."""
        while True:
            self._tick_mark.turn()
            await asyncio.sleep(TICK)
            now = clock.now()
            for stale in self._trust.tick(now):
                self._pass_on(stale, now)
            events = self._rules.tick(now)
            if events:
                self.raise_events(events)

    async def write(self) -> None:
        """Commits what has gathered until `close`, four times a second at most. Raises Fatal when the outbox is damaged."""
        while not self._closing.is_set():
            self._write_mark.rest()
            if self._disk.refusal:  # looked at again even when there is nothing new
                await _within(_LOOK_AGAIN, self._something)
            else:
                await self._something.wait()
            self._write_mark.turn()
            await _within(self._flush_every, self._urgent)
            await self.flush()
            self._look_at_the_disk()
        await self.flush()

    def close(self) -> None:
        """Lets `write` commit what is left and return."""
        self._closing.set()
        self._something.set()
        self._urgent.set()

    def _look_at_the_disk(self) -> None:
        """One line when the disk begins to refuse, one when it takes again; and a reading each time, which an alarm watches."""
        refusal = self._disk.refusal
        if refusal and refusal != self._complaint:
            log.error("node=%s outbox: %s; what it cannot keep is sent from memory", self._node, refusal)
        elif self._complaint and not refusal:
            log.info("node=%s outbox: written again", self._node)
        self._complaint = refusal
        if self._disk_status is not None:
            self.handle(self._disk_status.change(not refusal, clock.now().wall_ns))

    async def flush(self) -> None:
        """One commit of what waits. What neither disk nor memory takes waits on, in order."""
        self._something.clear()
        self._urgent.clear()
        if not self._readings and not self._events and not self._disk.refusal:
            return
        count = min(len(self._readings), self._disk.room * FLUSH_READINGS)
        readings, self._readings = self._readings[:count], self._readings[count:]
        events, self._events = self._events, []
        data = [frames_of(readings[start : start + FLUSH_READINGS]) for start in range(0, len(readings), FLUSH_READINGS)]
        try:
            stored = await self._disk.put(data, events)
        except BaseException:
            self._put_back(readings, events)
            raise
        taken = sum(message.kind == DATA for message in stored)
        self._put_back(readings[taken * FLUSH_READINGS :], events[len(stored) - taken :])
        self._stored(stored)

    def _put_back(self, readings: list[Reading], events: list[AlarmEvent]) -> None:
        """For a later commit; above the limits the oldest go."""
        self._events = events + self._events
        self._readings = readings + self._readings
        excess, lost = max(0, len(self._readings) - MAX_WAITING), max(0, len(self._events) - MAX_EVENTS)
        del self._readings[:excess], self._events[:lost]
        self.shed += excess + lost
        if lost:
            log.error(
                "node=%s %d alarm events are lost: the disk takes none, the gateway is away, and memory is at its limit", self._node, lost
            )
        if self._readings or self._events:
            self._something.set()


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def presentable(reading: Reading, now_ns: int) -> Reading:
    """The reading as the gateway takes it, because it refuses a whole message for one value that is none.

    A float and finite, or no value and a bad quality that says why; whole milliseconds, and of this age of the world: a device with an
    absurd clock is stamped with ``now_ns`` and uncertain:clock_unsure; a reason in the form of the contract.
    """
    time_ns, value, quality = reading.time_ns, reading.value, reading.quality
    if type(value) is float and math.isfinite(value) and quality is GOOD and time_ns % clock.MS == 0 and 0 <= time_ns < _END_NS:
        return reading  # nearly all of them
    if not 0 <= time_ns < _END_NS:
        time_ns, quality = now_ns, worst(quality, uncertain("clock_unsure"))
    if not quality.good and not _REASON.fullmatch(quality.reason):
        quality = Quality(quality.level, "unnamed")
    if value is not None:
        value = float(value)  # NumPy's scalars and bool are no JSON numbers
        if not math.isfinite(value):
            value, quality = None, bad("not_finite")
    elif quality.level is not Level.BAD:
        quality = bad("no_value")
    return Reading(reading.point, clock.whole_ms(time_ns), value, quality)
