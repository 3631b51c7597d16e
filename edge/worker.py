"""One thread for all processors: computing never delays a reading, and a result that tells nothing never wakes the event loop.

A processor that is at one item for a minute is taken for stalled: it is a malfunction, and the others get a thread of their own. If its
call never ends the watchdog restarts the node, because nothing else can end it.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count

from contract.values import Reading, bad
from edge import clock
from edge.bench import FIRST_BACKOFF, Bench, subject
from edge.config import ConfiguredProcessor
from edge.health import ModuleStatus
from edge.items import Item
from edge.processing import Remembering
from edge.progress import Mark

log = logging.getLogger("muki.edge.worker")

LONGEST_BACKOFF = 30.0  # s between attempts to start a processor
STALLED = 60.0  # s at one item, or at its start: the slowest model on the slowest board needs a tenth of it
MEMORY_PERIOD = 60.0  # s between two states kept of one processor
_LOOK = 1.0  # s between two looks for a call that does not come back
_NOBODY = -1


class Worker:
    """Runs the processors until cancelled. ``deliver`` gets the readings, on the event loop; set it before `run`."""

    def __init__(self, entries: Sequence[ConfiguredProcessor], node: str, *, stalled: float = STALLED) -> None:
        """``stalled``: seconds at one item after which a processor is a malfunction."""
        self._stalled = stalled
        self._benches = [Bench(entry, node) for entry in entries]
        self._by_subject: dict[str, list[Bench]] = {}
        for bench in self._benches:
            for wanted in bench.processor.wants():
                self._by_subject.setdefault(wanted, []).append(bench)
        self.wanted = frozenset(self._by_subject)
        self.deliver: Callable[[Sequence[Reading]], None] = lambda _: None
        self.shed = 0
        self._states: dict[str, str] = {}
        self._work = threading.Condition()  # its lock guards the benches and what follows
        self._on_duty = _NOBODY  # number of the thread that works; one that stalled finds another number when it comes back
        self._turn = 0  # the bench whose turn it is
        self._numbers = count()
        self._failure: asyncio.Future[None] | None = None  # of `deliver`

    def restore(self, states: Mapping[str, str]) -> None:
        """What processors knew before the restart, by name; call it before `run`. A state that makes no sense is left, and the log says so."""
        for bench in self._benches:
            if isinstance(bench.processor, Remembering) and bench.name in states:
                try:
                    bench.processor.restore(states[bench.name])
                except Exception as error:  # whatever a processor raises, the node goes on
                    log.warning("processor=%s begins anew, its state cannot be read: %s", bench.name, explain(error))

    def take_states(self) -> dict[str, str]:
        """What is to be kept since the last call, by name."""
        states, self._states = self._states, {}
        return states

    def offer(self, item: Item) -> None:
        benches = self._by_subject.get(subject(item))
        if benches:
            with self._work:
                self.shed += sum(bench.offer(item) for bench in benches)
                self._work.notify()

    def statuses(self) -> list[ModuleStatus]:
        return [bench.status for bench in self._benches]

    @property
    def marks(self) -> list[Mark]:
        return [bench.mark for bench in self._benches]

    async def run(self) -> None:
        """Raises what ``deliver`` raises."""
        if not self._benches:
            return
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        self._relieve(loop)
        try:
            while not self._failure.done():
                await asyncio.wait([self._failure], timeout=min(_LOOK, self._stalled / 4))
                self._look_for_stalls(loop)
            self._failure.result()
        finally:
            with self._work:
                self._on_duty = _NOBODY
                self._work.notify_all()

    # --- on the event loop ---

    def _relieve(self, loop: asyncio.AbstractEventLoop) -> None:
        """A new thread takes over."""
        self._on_duty = next(self._numbers)
        threading.Thread(target=self._serve, args=(self._on_duty, loop), name="processing", daemon=True).start()

    def _look_for_stalls(self, loop: asyncio.AbstractEventLoop) -> None:
        for bench in self._benches:
            with self._work:
                since = bench.mark.since
                if bench.stalled or since is None or time.monotonic() - since < self._stalled:
                    continue
                bench.stalled, bench.well = True, False
                self._relieve(loop)
            self._failed(bench, f"Stalled: its call does not come back since {self._stalled:g} s; the other processors go on")

    def _take(self, bench: Bench, readings: Sequence[Reading], state: str | None) -> None:
        """What a processor made of an item."""
        if state is not None:
            self._states[bench.name] = state
        if bench.complaint:
            log.info("processor=%s runs again", bench.name)
            bench.complaint = ""
        self._hand_on([*bench.status.change(True, clock.now().wall_ns), *readings])

    def _failed(self, bench: Bench, why: str) -> None:
        if why != bench.complaint:
            log.warning("processor=%s %s", bench.name, why)
            bench.complaint = why
        now = clock.now().wall_ns
        news = bench.status.change(False, now)
        if news:
            self._hand_on([*news, *(Reading(point, now, None, bad("processor_fault")) for point in bench.processor.points())])

    def _hand_on(self, readings: Sequence[Reading]) -> None:
        try:
            self.deliver(readings)
        except Exception as error:  # a callback of the loop has no caller: `run` raises it
            if self._failure is not None and not self._failure.done():
                self._failure.set_exception(error)

    # --- in the thread ---

    def _serve(self, me: int, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._job(me)) is not None:
            bench, item = job
            error: BaseException | None = None
            told: Callable[[], None] | None = None
            try:
                if item is None:
                    bench.processor.start()
                else:
                    told = self._process(bench, item)
            except BaseException as raised:  # whatever a processor raises, the node goes on
                error = raised
                told = partial(self._failed, bench, f"{'does not start: ' if item is None else ''}{explain(raised)}")
            with self._work:
                bench.mark.rest()
                if item is None:
                    _started(bench, error)
                if error is not None:
                    bench.well = False
                if bench.stalled:  # what such a call brings is too old to be told
                    bench.stalled = False
                    log.warning("processor=%s came back from its call%s and goes on", bench.name, ", which failed," if error else "")
                    self._work.notify()
                    continue
                if self._on_duty != me:
                    return
            if told is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                    loop.call_soon_threadsafe(told)

    def _job(self, me: int) -> tuple[Bench, Item | None] | None:
        """The next bench with its item, or with None to be started; None when this thread is off duty. A turn each: a camera starves no bearing."""
        with self._work:
            while self._on_duty == me:
                now, soonest = time.monotonic(), math.inf
                for step in range(len(self._benches)):
                    index = (self._turn + step) % len(self._benches)
                    bench = self._benches[index]
                    if bench.stalled or (bench.started and not bench.waiting):
                        continue
                    if bench.started or now >= bench.start_at:
                        self._turn = index + 1
                        bench.mark.turn()
                        return bench, bench.waiting.popleft() if bench.started else None
                    soonest = min(soonest, bench.start_at)
                self._work.wait(None if soonest == math.inf else soonest - now)
        return None

    def _process(self, bench: Bench, item: Item) -> Callable[[], None] | None:
        """What the loop is to do with the result; None when it tells nothing. The state is taken in one go with the item it follows."""
        readings, state = bench.processor.process(item), None
        if isinstance(bench.processor, Remembering) and time.monotonic() >= bench.remembered_at + MEMORY_PERIOD:
            state, bench.remembered_at = bench.processor.state(), time.monotonic()
        if bench.well and not readings and state is None:
            return None
        bench.well = True
        return partial(self._take, bench, readings, state)


def _started(bench: Bench, error: BaseException | None) -> None:
    if error is None:
        bench.started, bench.backoff = True, FIRST_BACKOFF
    else:
        bench.start_at = time.monotonic() + bench.backoff
        bench.backoff = min(2 * bench.backoff, LONGEST_BACKOFF)


def explain(error: BaseException) -> str:
    """One line for a log: the text of an expected error, with its type where it is a surprise."""
    return f"{type(error).__name__.lstrip('_')}: {error}".splitlines()[0]
