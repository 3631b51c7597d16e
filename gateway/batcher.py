"""The batcher: admitted readings wait here, bounded, and are committed together: store, then ledger, then acknowledgement."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.dead_letters import DeadLetters, Letter
from gateway.ledger import Entry, Ledger
from gateway.metrics import Metrics
from gateway.store import StoreFrame, StoreRefused, StoreUnavailable, TimeSeriesStore

log = logging.getLogger(__name__)

COMMIT_VALUES = 5_000  # a batch this large does not wait
BATCH_VALUES = 50_000  # what one write takes at most, when much has piled up
WAITING_VALUES = 500_000  # some 100 MB; beyond it data is dropped unacknowledged and comes again
MAX_BACKOFF = 5.0
ROOM_SECONDS = 0.5


class Pending(NamedTuple):
    """One data message on its way to the store; ``letters`` are what of it goes to the dead letters instead."""

    entry: Entry
    frames: Sequence[StoreFrame]
    values: int
    letters: Sequence[Letter]
    since: float  # monotonic seconds


class Batcher:
    """``offer`` and ``holds`` are called on the event loop and never block; ``run`` writes in a worker thread, one batch at a time."""

    def __init__(
        self,
        store: TimeSeriesStore,
        ledger: Ledger,
        metrics: Metrics,
        *,
        commit_every: float,
        dead_letters: DeadLetters,
        alarms_first: Callable[[], Awaitable[None]],
        acknowledge: Callable[[Entry], None],
        refused: Callable[[Sequence[StoreFrame], str], None],
        store_up: Callable[[bool], None],
        waiting_values: int = WAITING_VALUES,
    ) -> None:
        """``alarms_first`` is waited for before each write; ``refused`` hears of frames that the store will never take; ``store_up`` of every
        change of whether it takes any.
        """
        self._store = store
        self._ledger = ledger
        self._metrics = metrics
        self._commit_every = commit_every
        self._dead_letters = dead_letters
        self._alarms_first = alarms_first
        self._acknowledge = acknowledge
        self._refused = refused
        self._store_up = store_up
        self._waiting_values = waiting_values
        self._queue: deque[Pending] = deque()
        self._values = 0
        self._held: set[tuple[str, str, int]] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._hurry = False
        self._up = True
        metrics.store_up.set(1)

    def offer(self, entry: Entry, frames: Sequence[StoreFrame], values: int, letters: Sequence[Letter] = ()) -> bool:
        """Takes a message; False when the queue is full, and then the message must stay unacknowledged."""
        if self._values >= self._waiting_values:
            return False
        self._queue.append(Pending(entry, frames, values, letters, time.monotonic()))
        self._held.add(entry[:3])
        self._values += max(values, 1)
        self._idle.clear()
        self._wake.set()
        return True

    async def room(self) -> None:
        """Waits a moment while the store is slower than what comes; a store that takes nothing is no reason to wait: what is live goes on."""
        if self._values >= self._waiting_values and self._up:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), ROOM_SECONDS)

    def holds(self, entry: Entry) -> bool:
        """Whether this message waits here already."""
        return entry[:3] in self._held

    async def drained(self) -> None:
        """Waits until everything is committed, without waiting for a batch to fill."""
        self._hurry = True
        self._wake.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._gather()
                self._metrics.queue_values.set(self._values)
                await self._write_until_done(self._take())
            self._idle.set()

    async def _gather(self) -> None:
        deadline = self._queue[0].since + self._commit_every
        while not self._hurry and self._values < COMMIT_VALUES and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._wake.wait(), left)
            except TimeoutError:
                return
            self._wake.clear()

    def _take(self) -> list[Pending]:
        batch: list[Pending] = []
        values = 0
        while self._queue and values < BATCH_VALUES:
            batch.append(self._queue.popleft())
            values += max(batch[-1].values, 1)
        return batch

    async def _write_until_done(self, batch: list[Pending]) -> None:
        frames = [frame for pending in batch for frame in pending.frames]
        letters = [letter for pending in batch for letter in pending.letters]
        backoff = 0.1
        while True:
            await self._alarms_first()
            begun = time.monotonic()
            try:
                refusal = await asyncio.to_thread(self._write, frames, letters, [pending.entry for pending in batch])
            except Exception as error:
                if not isinstance(error, StoreUnavailable):
                    log.exception("writing %d frames failed in a way nobody foresaw", len(frames))
                self._metrics.store_errors.inc()
                self._say_up(up=False)
                log.warning("the store takes nothing: %s; trying again in %.1f s", error, backoff)
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, MAX_BACKOFF)
                continue
            break
        self._metrics.commit_seconds.observe(time.monotonic() - begun)
        self._say_up(up=True)
        self._metrics.dead_letters.inc(len(letters) + (len(refusal.frames) if refusal is not None else 0))
        if refusal is not None:
            self._refused(refusal.frames, refusal.reason)
        self._conclude(batch)

    def _write(self, frames: list[StoreFrame], letters: list[Letter], entries: list[Entry]) -> StoreRefused | None:
        refusal: StoreRefused | None = None
        if frames:
            try:
                self._store.write(frames)
            except StoreRefused as refused:
                refusal = refused
                now_ns = time.time_ns()
                letters = [*letters, *(_letter(frame, refused.reason, now_ns) for frame in refused.frames)]
        if letters:
            self._metrics.dead_letters_lost.inc(self._dead_letters.bury(letters))
        self._ledger.commit(entries)
        return refusal

    def _conclude(self, batch: list[Pending]) -> None:
        values = 0
        for pending in batch:
            self._held.discard(pending.entry[:3])
            self._values -= max(pending.values, 1)
            values += pending.values
            self._acknowledge(pending.entry)
        self._room.set()
        self._metrics.values.inc(values)
        self._metrics.queue_values.set(self._values)
        self._room.set()

    def _say_up(self, *, up: bool) -> None:
        if up != self._up:
            self._up = up
            self._metrics.store_up.set(up)
            self._store_up(up)


def _letter(frame: StoreFrame, reason: str, now_ns: int) -> Letter:
    return Letter(reason, frame.node, frame.time_ns, dict(frame.values), dict(frame.quality), now_ns)
