"""One thread for all processors: computing never delays a reading. What waits is bounded, and the newest picture or waveform wins.

A processor that is at one item for a minute is taken for stalled: it is a malfunction, and the others get a thread of their own. If its
call never ends the watchdog restarts the node, because nothing else can end it.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from contract.values import Reading, bad
from edge import clock
from edge.config import ConfiguredProcessor
from edge.health import ModuleStatus, module_point
from edge.items import Frame, Item, Waveform
from edge.processing import Processor, Remembering
from edge.progress import Mark

log = logging.getLogger("muki.edge.worker")

DEPTH_READINGS = 100  # that may wait for one processor, by point
DEPTH_WAVEFORMS = 4  # a few, so that a processor that averages blocks rarely sees a gap
DEPTH_FRAMES = 1
FIRST_BACKOFF = 0.5  # s between attempts to start a processor
LONGEST_BACKOFF = 30.0
STALLED = 60.0  # s at one item, or at its start: the slowest model on the slowest board needs a tenth of it
CALL_LIMIT = 300.0  # s after which such a call is taken to hang for ever
MEMORY_PERIOD = 60.0  # s between two states kept of one processor


class _Bench:
    """One processor, what waits for it, and how it fares."""

    def __init__(self, entry: ConfiguredProcessor, node: str) -> None:
        self.name = entry.settings.name
        self.processor = entry.processor
        self.status = ModuleStatus(module_point(node, "processor", self.name), "processor_fault")
        self.waiting: deque[Item] = deque()
        self.started = False
        self.start_at = 0.0  # steady s
        self.backoff = FIRST_BACKOFF
        self.complaint = ""
        self.remembered_at = -math.inf  # steady s
        self.stalled = False  # its call has not come back: it is not called again before
        self.mark = Mark(f"processor {self.name}", CALL_LIMIT)

    def offer(self, item: Item) -> int:
        """Queues the item; returns how many were shed for it (0 or 1)."""
        key, depth = subject(item), _depth(item)
        same = [waiting for waiting in self.waiting if type(waiting) is type(item) and subject(waiting) == key]
        self.waiting.append(item)
        if len(same) < depth:
            return 0
        for index, waiting in enumerate(self.waiting):
            if waiting is same[0]:
                del self.waiting[index]
                break
        return 1


class _Stalled(Exception):
    """A processor whose call does not come back."""


class Worker:
    """Runs the processors until cancelled. ``deliver`` gets the readings, on the event loop; set it before `run`."""

    def __init__(self, entries: Sequence[ConfiguredProcessor], node: str, *, stalled: float = STALLED) -> None:
        """``stalled``: seconds at one item after which a processor is a malfunction."""
        self._stalled = stalled
        self._thread = ThreadPoolExecutor(1, "processing")
        self._benches = [_Bench(entry, node) for entry in entries]
        self._by_subject: dict[str, list[_Bench]] = {}
        for bench in self._benches:
            for wanted in bench.processor.wants():
                self._by_subject.setdefault(wanted, []).append(bench)
        self._wake = asyncio.Event()
        self.wanted = frozenset(self._by_subject)
        self.deliver: Callable[[Sequence[Reading]], None] = lambda _: None
        self.shed = 0
        self._states: dict[str, str] = {}

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
        for bench in self._by_subject.get(subject(item), ()):
            self.shed += bench.offer(item)
            self._wake.set()

    def statuses(self) -> list[ModuleStatus]:
        return [bench.status for bench in self._benches]

    @property
    def marks(self) -> list[Mark]:
        return [bench.mark for bench in self._benches]

    async def run(self) -> None:
        if not self._benches:
            return
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                worked = False
                for bench in self._benches:  # a turn each, so that a fast camera does not starve a bearing
                    if bench.stalled:
                        continue
                    if not bench.started and loop.time() >= bench.start_at:
                        await self._start(bench)
                    if bench.started and bench.waiting and not bench.stalled:
                        await self._process(bench, bench.waiting.popleft())
                        worked = True
                if not worked:
                    await self._rest(loop.time())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _rest(self, now: float) -> None:
        """Until an item comes, or a processor is due to be started again."""
        starts = [bench.start_at for bench in self._benches if not bench.started and not bench.stalled]
        try:
            async with asyncio.timeout(max(0.0, min(starts) - now) if starts else None):
                await self._wake.wait()
            if starts:
                await asyncio.sleep(0.01)  # items for a processor that does not start must not make the loop spin
        except TimeoutError:
            pass

    async def _call(self, bench: _Bench, function: Callable[[], Any]) -> Any:
        """What the processor returns or raises. Raises `_Stalled` when that takes too long; its thread is then left to it."""
        bench.mark.turn()
        call = asyncio.get_running_loop().run_in_executor(self._thread, function)
        try:
            done, _ = await asyncio.wait([call], timeout=self._stalled)
        except asyncio.CancelledError:
            call.cancel()
            raise
        if done:
            bench.mark.rest()
            return call.result()
        bench.stalled = True
        call.add_done_callback(partial(self._came_back, bench))
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, "processing")
        raise _Stalled(f"its call does not come back since {self._stalled:g} s; the other processors go on")

    def _came_back(self, bench: _Bench, call: "asyncio.Future[Any]") -> None:
        """What a stalled call brings is too old to be told."""
        bench.mark.rest()
        bench.stalled = False
        failed = not call.cancelled() and call.exception() is not None
        log.warning("processor=%s came back from its call%s and goes on", bench.name, ", which failed," if failed else "")
        self._wake.set()

    async def _start(self, bench: _Bench) -> None:
        try:
            await self._call(bench, bench.processor.start)
        except Exception as error:  # whatever a processor raises, the node goes on
            bench.start_at = asyncio.get_running_loop().time() + bench.backoff
            bench.backoff = min(2 * bench.backoff, LONGEST_BACKOFF)
            self._failed(bench, f"does not start: {explain(error)}")
        else:
            bench.started = True
            bench.backoff = FIRST_BACKOFF

    async def _process(self, bench: _Bench, item: Item) -> None:
        try:
            loop = asyncio.get_running_loop()
            due = isinstance(bench.processor, Remembering) and loop.time() >= bench.remembered_at + MEMORY_PERIOD
            readings, state = await self._call(bench, partial(_work, bench.processor, item, due))
            if state is not None:
                bench.remembered_at = loop.time()
                self._states[bench.name] = state
        except Exception as error:  # whatever a processor raises, the node goes on
            self._failed(bench, explain(error))
        else:
            news = bench.status.change(True, clock.now().wall_ns)
            if bench.complaint:
                log.info("processor=%s runs again", bench.name)
                bench.complaint = ""
            self.deliver([*news, *readings])

    def _failed(self, bench: _Bench, why: str) -> None:
        if why != bench.complaint:
            log.warning("processor=%s %s", bench.name, why)
            bench.complaint = why
        now = clock.now().wall_ns
        news = bench.status.change(False, now)
        if news:
            self.deliver([*news, *(Reading(point, now, None, bad("processor_fault")) for point in bench.processor.points())])


def _work(processor: Processor, item: Item, due: bool) -> tuple[Sequence[Reading], str | None]:
    """The readings of an item, and where it is ``due`` the state after it: in one go, so that nothing is computed between the two."""
    readings = processor.process(item)
    return readings, processor.state() if due and isinstance(processor, Remembering) else None


def subject(item: Item) -> str:
    """What an item is of: its point or its camera."""
    return item.camera if isinstance(item, Frame) else item.point


def _depth(item: Item) -> int:
    return DEPTH_WAVEFORMS if isinstance(item, Waveform) else DEPTH_FRAMES if isinstance(item, Frame) else DEPTH_READINGS


def explain(error: BaseException) -> str:
    """One line for a log: the text of an expected error, with its type where it is a surprise."""
    return f"{type(error).__name__.lstrip('_')}: {error}".splitlines()[0]
