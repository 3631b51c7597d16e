"""The outbox behind one thread of its own: a commit waits for the flash, and nothing else on the node may wait for a commit.

While the disk takes nothing, messages get their numbers in memory (`edge.memory_line`) and are sent from there. When it takes again, what the
gateway has not acknowledged by then goes to the file. A node that starts on such a disk begins without its file and opens it later.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contract.alarms import AlarmEvent
from contract.messages import ReadingFrame
from edge.errors import Misconfigured, Retry
from edge.memory_line import MemoryLine
from edge.outbox import Outbox
from edge.progress import Mark
from edge.stored import Level, Stored

log = logging.getLogger("muki.edge.disk")

FIRST_BACKOFF = 1.0  # s between two attempts to write to a disk that refuses
LONGEST_BACKOFF = 30.0
_WITHOUT_LIMIT = 1 << 30

_T = TypeVar("_T")
CALL_LIMIT = 120.0  # s that one call may take: a worn card waits for tens of seconds, one that hangs waits for ever


class Disk:
    """The outbox's methods as coroutines, one after the other. Errors are those of `Outbox`.

    ``refusal`` says in words why the disk takes nothing, and is empty while it does. ``changed`` is called on the event loop when messages
    have moved from memory to the file, or the file was opened.
    """

    def __init__(self, outbox: Outbox | None, *, opening: Callable[[], Outbox] | None = None, refusal: str = "") -> None:
        """Without an ``outbox``, ``opening`` is tried until it gives one."""
        self.file = outbox
        self.memory = MemoryLine()
        self.refusal = refusal
        self.changed: Callable[[], None] = lambda: None
        self._opening = opening
        self._backoff = FIRST_BACKOFF
        self._retry_at = time.monotonic() + FIRST_BACKOFF if refusal else 0.0
        self._thread = ThreadPoolExecutor(1, "outbox")
        self.mark = Mark("the outbox on disk", CALL_LIMIT)

    @property
    def outbox(self) -> Outbox:
        """The file. Raises Retry while there is none."""
        if self.file is None:
            raise Retry(self.refusal)
        return self.file

    @property
    def boot(self) -> str:
        """The line of numbers that this node says it is on: of its file, or of its memory while there is none."""
        return self.file.boot if self.file is not None else self.memory.boot

    def knows(self, boot: str) -> bool:
        return boot == self.memory.boot or (self.file is not None and boot in self.file.boots)

    def last_seq(self, boot: str) -> int | None:
        """The highest number given out in a boot that is still being counted; None for an older one."""
        if boot == self.memory.boot:
            return self.memory.last_seq
        return self.file.last_seq if self.file is not None and boot == self.file.boot else None

    @property
    def room(self) -> int:
        """Messages with readings that `put` would take; the others are better kept together."""
        return self.memory.data_room if self.refusal and time.monotonic() < self._retry_at else _WITHOUT_LIMIT

    async def put(self, data: Sequence[Sequence[ReadingFrame]], events: Sequence[AlarmEvent] = ()) -> list[Stored]:
        """Events, then data, each with a number: all of them, on the disk; or while it takes nothing the first ones, in memory.

        Raises Fatal when the file is damaged.
        """
        stored, moved = await self._call(lambda: self._put(data, events))
        if moved:
            self.changed()
        return stored

    def _put(self, data: Sequence[Sequence[ReadingFrame]], events: Sequence[AlarmEvent]) -> tuple[list[Stored], bool]:
        if self.refusal and time.monotonic() < self._retry_at:
            return self.memory.put(data, events), False
        try:
            opened = self._open()
            rescued = self.memory.messages()
            stored = self.outbox.put(data, events, rescued=rescued, happened=self.memory.happened())
        except (Retry, Misconfigured) as error:
            self._backoff = min(2 * self._backoff, LONGEST_BACKOFF) if self.refusal else FIRST_BACKOFF
            self._retry_at = time.monotonic() + self._backoff
            self.refusal = str(error)
            return self.memory.put(data, events), False
        self.memory.clear()
        self.refusal = ""
        return stored, opened or bool(rescued)

    def _open(self) -> bool:
        if self.file is not None:
            return False
        if self._opening is None:
            raise Retry(self.refusal)
        self.file = self._opening()
        if self.file.recovered:
            log.error("outbox: %s", self.file.recovered)
        return True

    async def take(self, after: int | None, limit: int) -> list[Stored]:
        """At most ``limit`` messages that are not acknowledged, oldest first: those of the file, then those in memory."""

        def both() -> list[Stored]:
            found = self.file.take(after, limit) if self.file is not None else []
            return found + self.memory.take(after, limit - len(found))

        return await self._call(both)

    def done(self, boot: str, ranges: Iterable[tuple[int, int]]) -> None:
        """The gateway has these committed."""
        ranges = list(ranges)
        if boot == self.memory.boot:
            self.memory.done(ranges)
        if self.file is not None:
            self.file.done(boot, ranges)

    async def level(self) -> Level:
        """Of the file. Raises Retry while there is none."""
        level = await self._call(lambda: self.outbox.level())  # noqa: PLW0108 - the file may be opened while this waits its turn
        return level._replace(depth=level.depth + len(self.memory))

    async def remember(self, states: Mapping[str, str]) -> None:
        await self._call(lambda: self.outbox.remember(states))

    async def close(self) -> None:
        """Writes what memory holds if the disk takes it now, and closes the file."""

        def end() -> None:
            if len(self.memory):
                self._retry_at = 0.0
                self._put([], [])
            if self.file is not None:
                self.file.close()

        try:
            await self._call(end)
        finally:
            self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._working, function)
        except sqlite3.Error as error:  # put explains its own
            if self.file is None:
                raise Retry(str(error)) from None
            raise self.file.explain(error) from None

    def _working(self, function: Callable[[], _T]) -> _T:
        """In the thread: what it returns or raises is progress either way, and a caller that was cancelled does not end the call."""
        self.mark.turn()
        try:
            return function()
        finally:
            self.mark.rest()
