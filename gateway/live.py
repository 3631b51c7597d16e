"""The live bus: what has just happened, to everyone who is watching. Bounded, and never a brake on the ingest."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

Kind = Literal["readings", "alarm", "node"]


class LiveEvent(NamedTuple):
    """``data`` is ready for JSON. ``alarm`` carries an alarm view, ``readings`` one node's newest values, ``node`` a node's state."""

    kind: Kind
    data: dict[str, Any]


class Subscription:
    """What one watcher has not taken yet: alarms and nodes first, in order; of readings, the newest of each point.

    A watcher for whom too much waits is ``lagging``: it has missed something and must read the whole state again.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._first: deque[LiveEvent] = deque()
        self._readings: dict[str, dict[str, Any]] = {}  # by node
        self._wake = asyncio.Event()
        self.lagging = False

    def offer(self, event: LiveEvent) -> None:
        if event.kind != "readings":
            if len(self._first) < self._size:
                self._first.append(event)
            else:
                self.lagging = True
        else:
            node = str(event.data["node"])
            waiting = self._readings.get(node)
            if waiting is not None:
                self._readings[node] = merged(waiting, event.data)
            elif len(self._readings) < self._size:
                self._readings[node] = event.data
            else:
                self.lagging = True
        self._wake.set()

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._first or self._readings)

    async def next(self) -> LiveEvent:
        while not self.waiting:
            self._wake.clear()
            await self._wake.wait()
        if self._first:
            return self._first.popleft()
        node = next(iter(self._readings))
        return LiveEvent("readings", self._readings.pop(node))


def merged(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """Readings of one node as if they had come together: of each point what was said last, its quality with it."""
    values, quality = dict(older["values"]), dict(older["quality"])
    for point in newer["values"]:
        quality.pop(point, None)
    for point in newer["quality"].keys() - newer["values"].keys():
        values.pop(point, None)
    return {**newer, "values": values | newer["values"], "quality": quality | newer["quality"]}


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
