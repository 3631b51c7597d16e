"""What a device sent by itself and nobody has read yet."""

import asyncio
import contextlib
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A bounded queue that is emptied in one go. When it is full the oldest is dropped and counted in ``dropped``."""

    def __init__(self, size: int) -> None:
        self._waiting: deque[T] = deque(maxlen=size)
        self._news = asyncio.Event()
        self._end: Exception | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(item)
        self._news.set()

    def end(self, why: Exception) -> None:
        """Nothing more will come: `take` raises ``why`` once everything has been taken. The first reason counts."""
        self._end = self._end or why
        self._news.set()

    async def take(self, seconds: float | None = None) -> list[T]:
        """Everything that waits, as soon as there is something; nothing when ``seconds`` have passed."""
        if not self._waiting and self._end is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        self._news.clear()
        if not self._waiting and self._end is not None:
            raise self._end
        taken = list(self._waiting)
        self._waiting.clear()
        return taken
