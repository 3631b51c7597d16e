"""The live bus: what has just happened, to everyone who is watching. Bounded, and never a brake on the ingest."""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple

Kind = Literal["readings", "alarm", "node"]


class LiveEvent(NamedTuple):
    """``data`` is ready for JSON. ``alarm`` carries an alarm view, ``readings`` one node's newest values, ``node`` a node's state."""

    kind: Kind
    data: dict[str, Any]


class Subscription:
    """What one watcher has not taken yet: alarms and nodes at once, in order; of readings, every ``pause`` seconds the newest of each point.

    A watcher for whom too much waits is ``lagging``: it has missed something and must read the whole state again.
    """

    def __init__(self, size: int, pause: float) -> None:
        self._size = size
        self._pause = pause
        self._first: deque[LiveEvent] = deque()
        self._readings: dict[str, dict[str, Any]] = {}  # by node
        self._readings_from = 0.0  # on the event loop's clock
        self._wake = asyncio.Event()
        self.lagging = False

    def offer(self, event: LiveEvent) -> None:
        if event.kind == "readings":
            first = not self._readings
            self._gather(event.data)
            if not first:
                return  # whoever waits knows since the first of them until when
        elif len(self._first) < self._size:
            self._first.append(event)
        else:
            self.lagging = True
        self._wake.set()

    def _gather(self, data: dict[str, Any]) -> None:
        node = str(data["node"])
        waiting = self._readings.get(node)
        if waiting is not None:
            merge(waiting, data)
        elif len(self._readings) < self._size:
            self._readings[node] = {**data, "values": dict(data["values"]), "quality": dict(data["quality"])}
        else:
            self.lagging = True

    @property
    def waiting(self) -> bool:
        """Whether there is something that was not taken."""
        return bool(self._first or self._readings)

    async def take(self) -> list[LiveEvent]:
        """Waits for something and returns all of it, alarms and nodes first."""
        loop = asyncio.get_running_loop()
        while not self._first and not self._due(loop.time()):
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._readings_from - loop.time() if self._readings else None)
        events = list(self._first)
        self._first.clear()
        if self._due(now := loop.time()):
            self._readings_from = now + self._pause
            events += [LiveEvent("readings", data) for data in self._readings.values()]
            self._readings = {}
        return events

    def _due(self, now: float) -> bool:
        return bool(self._readings) and now >= self._readings_from


def merge(waiting: dict[str, Any], newer: Mapping[str, Any]) -> None:
    """Puts newer readings of a node to those that wait, as if they had come together: of each point what was said last, its quality with it."""
    values, quality = waiting["values"], waiting["quality"]
    for point in newer["values"]:
        quality.pop(point, None)
    for point in newer["quality"].keys() - newer["values"].keys():
        values.pop(point, None)
    values.update(newer["values"])
    quality.update(newer["quality"])
    waiting.update({name: said for name, said in newer.items() if name not in {"values", "quality"}})


class LiveBus:
    """Publishes to every subscription from the event loop's thread."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, event: LiveEvent) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)

    @contextmanager
    def subscribe(self, size: int = 1000, *, pause: float = 0.0) -> Iterator[Subscription]:
        subscription = Subscription(size, pause)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)
