"""The live bus: what has just happened, to everyone who is watching. Bounded, and never a brake on the ingest."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

Kind = Literal["readings", "alarm", "node"]


class LiveEvent(NamedTuple):
    """``data`` is ready for JSON. ``alarm`` carries an alarm view, ``readings`` one node's newest values, ``node`` a node's state."""

    kind: Kind
    data: dict[str, object]


class Subscription:
    """One watcher's queue. When it is full, readings are shed and counted; an alarm that finds no room marks the watcher as lagging.

    A lagging watcher must read the whole state again: that is what ``lagging`` tells it.
    """

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[LiveEvent] = asyncio.Queue(size)
        self.shed = 0
        self.lagging = False

    def offer(self, event: LiveEvent) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.shed += 1
            if event.kind != "readings":
                self.lagging = True

    async def next(self) -> LiveEvent:
        return await self._queue.get()


class LiveBus:
    """Publishes to every subscription from the event loop's thread."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, event: LiveEvent) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)

    @contextmanager
    def subscribe(self, size: int = 1000) -> Iterator[Subscription]:
        subscription = Subscription(size)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)
