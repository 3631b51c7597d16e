"""The annunciator: alarm events and births go to the journal in the order they came, and what changed goes to everyone who watches.

It is a line of its own, so that alarms go on when the store of values is slow or gone.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from contract.alarms import AlarmDefinition, AlarmEvent, SignalClass, State
from contract.messages import Standing, encode
from contract.topics import gateway_alarm_topic
from gateway.alarms.flood import FloodWatch
from gateway.alarms.journal import Arrived, Journal
from gateway.alarms.view import AlarmView
from gateway.ledger import Entry, Ledger
from gateway.live import LiveBus, LiveEvent
from gateway.metrics import Metrics
from gateway.turns import Turns

log = logging.getLogger(__name__)

WAITING = 20_000  # beyond this an event is not taken: unacknowledged, it stays in its node's outbox
OF_ONE = 100  # what a node may have waiting even then
BATCH = 100
TOGETHER = 16  # events that share a transaction at most: one, then two, then four, so that the first of a burst waits for nobody
FIRST_SECONDS = 0.05  # how long others wait for the journal at once
MAX_BACKOFF = 5.0


class Happened(NamedTuple):
    """An alarm event; ``entry`` is acknowledged when it is journaled, None for the gateway's own malfunctions."""

    event: AlarmEvent
    received_ns: int
    late: bool
    entry: Entry | None


class Declared(NamedTuple):
    """What a birth says about alarms; ``standing`` None changes only the definitions."""

    node: str
    definitions: Sequence[AlarmDefinition]
    standing: Sequence[Standing] | None
    now_ns: int


class Tick(NamedTuple):
    """Shelving may have run out."""

    now_ns: int


Job = Happened | Declared | Tick


class Outcome(NamedTuple):
    """``settled``: what may be acknowledged. ``failed``: the job nobody can ever journal. ``retry``: why the rest has to wait."""

    done: int
    settled: list[Entry]
    duplicates: int
    failed: tuple[Job, str] | None
    retry: str | None


class Annunciator:
    """Everything here is called on the event loop and never blocks; the journal is written in a worker thread by ``run``."""

    def __init__(
        self,
        site: str,
        journal: Journal,
        ledger: Ledger,
        bus: LiveBus,
        metrics: Metrics,
        *,
        publish: Callable[[str, bytes], None],
        acknowledge: Callable[[Entry], None],
        unjournalable: Callable[[AlarmEvent, Entry | None, str], None],
    ) -> None:
        """``publish`` sends a retained message; ``unjournalable`` hears of an event that the database refuses for what it is."""
        self._site = site
        self._journal = journal
        self._ledger = ledger
        self._bus = bus
        self._metrics = metrics
        self._publish = publish
        self._acknowledge = acknowledge
        self._unjournalable = unjournalable
        self._jobs: Turns[Job] = Turns()
        self._held: set[tuple[str, str, int]] = set()
        self.trouble = ""  # why the journal takes nothing now; empty while it does
        self.flood = FloodWatch()
        self._standing: dict[str, AlarmView] = {}
        self._versions: dict[str, int] = {}  # of what was announced last, normal ones included
        self._patient_from = 0.0  # when somebody may wait for the journal again
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def load(self) -> list[AlarmView]:
        """Reads what stands. Blocks: called once, before the loop has anything to do."""
        views = self._journal.standing()
        self._standing = {view.key: view for view in views}
        self._metrics.alarms_standing.set(len(views))
        for since_ns in sorted(view.now.since_ns for view in views if view.definition.signal_class is not SignalClass.MALFUNCTION):
            self.flood.came(since_ns)  # what came and went before the start is not counted: a flood is said a little late at worst
        return views

    def standing(self) -> list[AlarmView]:
        """Every alarm that is not normal."""
        return list(self._standing.values())

    def happened(self, event: AlarmEvent, *, received_ns: int, late: bool, entry: Entry | None) -> bool:
        """Takes an event for the journal; False when the line is full, then the node sends it again."""
        if entry is not None and len(self._jobs) >= WAITING and (self._jobs.held(event.node) >= OF_ONE or len(self._jobs) >= 2 * WAITING):
            return False
        if entry is not None:
            self._held.add(entry[:3])
        self._put(event.node, Happened(event, received_ns, late, entry))
        return True

    def holds(self, entry: Entry) -> bool:
        """Whether this message is on its way to the journal already."""
        return entry[:3] in self._held

    def declared(self, node: str, definitions: Sequence[AlarmDefinition], standing: Sequence[Standing] | None, *, now_ns: int) -> None:
        self._put(node, Declared(node, definitions, standing, now_ns))

    def tick(self, now_ns: int) -> None:
        """Ends shelving that ran out; call it every second or so."""
        if not any(isinstance(job, Tick) for job in self._jobs):
            self._put("", Tick(now_ns))

    def announce(self, view: AlarmView, *, news: bool = False) -> None:
        """Tells the live bus and the retained topic where an alarm stands, unless it is a shadow. ``news``: sound and notify."""
        if view.definition.shadow:
            return
        if view.version < self._versions.get(view.key, 0):
            return  # somebody acted meanwhile, and that was announced already
        self._versions[view.key] = view.version
        topic = gateway_alarm_topic(self._site, view.key)
        if view.state is State.NORMAL:
            self._standing.pop(view.key, None)
            self._publish(topic, b"")
        else:
            self._standing[view.key] = view
            self._publish(topic, encode(view.gateway_alarm()))
        self._metrics.alarms_standing.set(len(self._standing))
        if news and view.definition.signal_class is not SignalClass.MALFUNCTION:
            self.flood.came(time.time_ns())
        self._bus.publish(LiveEvent("alarm", {**view.to_json(), "announce": news}))

    def republish(self) -> None:
        """Puts every standing alarm on its retained topic again: the broker may have forgotten, or never known."""
        for view in self._standing.values():
            self._publish(gateway_alarm_topic(self._site, view.key), encode(view.gateway_alarm()))

    def found_retained(self, key: str) -> None:
        """The broker keeps this alarm; if it is normal by now, the retained message is cleared."""
        if key not in self._standing:
            self._publish(gateway_alarm_topic(self._site, key), b"")

    def _put(self, node: str, job: Job) -> None:
        self._jobs.put(node, job)
        self._metrics.alarm_queue.set(len(self._jobs))
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        await self._idle.wait()

    async def first(self) -> None:
        """Waits for the journal, for a moment and at most half of the time: whoever has much to compute calls this before each piece of it.

        A transaction asks for the interpreter fifty times, and beside somebody busy it takes ten times as long as alone.
        """
        now = time.monotonic()
        if now >= self._patient_from and not self._idle.is_set() and not self.trouble:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), FIRST_SECONDS)
            self._patient_from = 2 * time.monotonic() - now

    async def run(self) -> None:
        """Until cancelled."""
        backoff = 0.1
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                jobs = self._jobs.take(BATCH)
                told = bool(self.trouble)
                outcome = await asyncio.to_thread(self._work, [job for _, job in jobs], loop)
                self._conclude(jobs, outcome)
                if outcome.retry is None:
                    backoff = 0.1
                    continue
                self._metrics.journal_errors.inc()
                log.log(logging.DEBUG if told else logging.ERROR, "the alarm journal cannot be written: %s; trying again", self.trouble)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
            self._idle.set()

    def _work(self, jobs: list[Job], loop: asyncio.AbstractEventLoop) -> Outcome:
        """Journals the jobs in order until one fails; what is journaled is committed to the ledger.

        Each alarm is announced as soon as it is journaled: in a burst the first must not wait for the last.
        """
        settled: list[Entry] = []
        duplicates = done = 0
        failed: tuple[Job, str] | None = None
        retry: str | None = None
        groups = _groups(jobs)
        while groups:
            group = groups.popleft()
            try:
                changed, known = self._journaled(group)
            except Exception as error:
                if len(group) > 1:  # one of them may be at fault: each by itself
                    groups.extendleft([job] for job in reversed(group))
                    continue
                if _may_pass(error):
                    retry = str(error)
                else:
                    log.exception("%r cannot be journaled", group[0])
                    failed = (group[0], str(error))
                break
            done += len(group)
            duplicates += known
            settled += [job.entry for job in group if isinstance(job, Happened) and job.entry is not None]
            for view, news in changed:
                loop.call_soon_threadsafe(functools.partial(self.announce, view, news=news))
        try:
            self._ledger.commit(settled)
        except Exception as error:
            if not isinstance(error, SQLAlchemyError):
                log.exception("the ledger failed in a way nobody foresaw")
            # Journaled but not in the ledger: the nodes send these again, and the journal knows their ids.
            settled, retry = [], str(error)
        return Outcome(done, settled, duplicates, failed, retry)

    def _journaled(self, group: list[Job]) -> tuple[list[tuple[AlarmView, bool]], int]:
        """What jobs of one kind changed, with whether it is news; and how many of them the journal knew already."""
        arrived = [Arrived(job.event, job.received_ns, job.late) for job in group if isinstance(job, Happened)]
        if arrived:
            recorded = self._journal.record_all(arrived)
            return [(one.view, one.announce) for one in recorded if one.view is not None], sum(one.duplicate for one in recorded)
        births = [job for job in group if isinstance(job, Declared)]
        if births:
            self._journal.declare_all({job.node: job.definitions for job in births})
            views = [view for job in births for view in self._journal.reconcile(job.node, job.standing or (), now_ns=job.now_ns)]
            return [(view, False) for view in views], 0
        return [
            (view, view.now.active) for job in group if isinstance(job, Tick) for view in self._journal.expire_shelved(now_ns=job.now_ns)
        ], 0

    def _conclude(self, jobs: list[tuple[str, Job]], outcome: Outcome) -> None:
        for _, job in jobs[: outcome.done]:
            self._release(job)
        if outcome.failed is not None:
            job = outcome.failed[0]
            self._release(job)
            if isinstance(job, Happened):
                self._unjournalable(job.event, job.entry, outcome.failed[1])
        self._jobs.give_back(jobs[outcome.done + (outcome.failed is not None) :])
        self._metrics.duplicates.inc(outcome.duplicates)
        self._metrics.alarm_queue.set(len(self._jobs))
        for entry in outcome.settled:
            self._acknowledge(entry)
        self.trouble = (outcome.retry or "").split("\n", 1)[0]

    def _release(self, job: Job) -> None:
        if isinstance(job, Happened) and job.entry is not None:
            self._held.discard(job.entry[:3])


def _groups(jobs: list[Job]) -> deque[list[Job]]:
    """Jobs of one kind in a row, so many as share a transaction. A node that was born twice is in two groups."""
    groups: deque[list[Job]] = deque()
    most = 1
    for kind, some in groupby(jobs, type):
        group: list[Job] = []
        for job in some:
            twice = isinstance(job, Declared) and any(isinstance(one, Declared) and one.node == job.node for one in group)
            if group and (twice or (kind is Happened and len(group) >= most)):
                groups.append(group)
                group = []
                most = min(2 * most, TOGETHER)
            group.append(job)
        groups.append(group)
    return groups


def _may_pass(error: Exception) -> bool:
    """Whether the same write may succeed later: the database is locked, full or gone, as opposed to a row that it will never take."""
    return isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError | ProgrammingError)
