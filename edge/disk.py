"""The outbox behind one thread of its own: a commit waits for the flash, and nothing else on the node may wait for a commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contract.alarms import AlarmEvent
from contract.messages import ReadingFrame
from edge.outbox import Level, Outbox, Stored
from edge.progress import Mark

_T = TypeVar("_T")
CALL_LIMIT = 120.0  # s that one call may take: a worn card waits for tens of seconds, one that hangs waits for ever


class Disk:
    """The outbox's methods as coroutines, one after the other. Errors are those of `Outbox`."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._thread = ThreadPoolExecutor(1, "outbox")
        self.mark = Mark("the outbox on disk", CALL_LIMIT)

    async def put(self, data: Sequence[Sequence[ReadingFrame]], events: Sequence[AlarmEvent] = ()) -> list[Stored]:
        return await self._call(lambda: self.outbox.put(data, events))

    async def take(self, after: int | None, limit: int) -> list[Stored]:
        return await self._call(lambda: self.outbox.take(after, limit))

    async def level(self) -> Level:
        return await self._call(self.outbox.level)

    async def remember(self, states: Mapping[str, str]) -> None:
        await self._call(lambda: self.outbox.remember(states))

    async def close(self) -> None:
        try:
            await self._call(self.outbox.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._working, function)
        except sqlite3.Error as error:  # put explains its own
            raise self.outbox.explain(error) from None

    def _working(self, function: Callable[[], _T]) -> _T:
        """In the thread: what it returns or raises is progress either way, and a caller that was cancelled does not end the call."""
        self.mark.turn()
        try:
            return function()
        finally:
            self.mark.rest()
