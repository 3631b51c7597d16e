"""OPC UA: values that a server reports as they change, with its own timestamps and status codes."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from contract.messages import PointDeclaration
from contract.values import Level, Quality, Reading, bad, worst
from edge.clock import SECOND, whole_ms
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext, SourceSettings
from edge.sources.device_clock import stamp
from edge.sources.inbox import Inbox
from edge.sources.measured_point import MeasuredPoint
from edge.sources.opcua_nodes import NODE_UNKNOWN, Nodes, library
from edge.sources.opcua_session import connected
from edge.sources.opcua_settings import OpcUaSettings
from edge.sources.opcua_status import CODE, overflowed, quality_of

if TYPE_CHECKING:
    from asyncua.client.client import Client
    from asyncua.common.subscription import SubEvent, Subscription

log = logging.getLogger("muki.edge.sources.opcua")

NO_CONNECTION = bad("no_connection")
NO_VALUE = bad("no_value")
NOT_A_NUMBER = bad("not_a_number")
ALIVE = 3.0  # s after which a server with nothing new says at least that it is there; half as long again, and asyncua subscribes anew
LIFETIME = 60.0  # s without a word from us after which the server may give the subscription up
WAITING = 20_000  # values that may wait to be read; the oldest go first
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OpcUaSource:
    """One OPC UA server. ``overflows`` counts the reports in which the server says that values were lost in its queue, ``bad_values``
    those with a bad status, ``dropped_values`` what came faster than it was read."""

    Settings: ClassVar[type[SourceSettings]] = OpcUaSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, OpcUaSettings):
            raise TypeError(f"OpcUaSource takes OpcUaSettings, not {type(settings).__name__}")
        self._settings = settings
        self._context = context
        self.overflows = 0
        self.bad_values = 0
        self.dropped_values = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {name: point.declaration(name) for name, point in self._settings.points.items()}

    def counters(self) -> Mapping[str, int]:
        return {"bad_values": self.bad_values, "overflows": self.overflows, "dropped_values": self.dropped_values}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """The value of each point at the start, then what the server reports: a change of value, status or source timestamp.

        A node that the server does not have comes out ``bad:node_id_unknown`` every ``missing_every`` seconds, until it is there.
        Raises Retry when the server does not answer or refuses, and when the connection or the subscription is lost, after a batch of
        ``bad:no_connection``.
        """
        settings = self._settings
        inbox: Inbox[SubEvent] = Inbox(WAITING)
        async with connected(settings, self._context.node, self._context.folder) as client:

            async def lost(error: Exception) -> None:
                inbox.end(error)

            client.connection_lost_callback = lost
            try:
                nodes, subscription = Nodes(client, settings), await _subscription(client, settings)
            except Exception as error:
                raise Retry(f"{settings.url}: does not take a subscription ({type(error).__name__}: {error})") from None
            feeder = asyncio.create_task(_feed(subscription, inbox), name=f"{settings.name} reports")
            try:
                again, dropped = time.monotonic(), 0
                while True:
                    try:
                        if nodes.missing and time.monotonic() >= again:
                            readings = await nodes.monitor(subscription)
                            again = time.monotonic() + settings.missing_every
                        else:
                            events = await inbox.take(max(0.0, again - time.monotonic()) if nodes.missing else None)
                            readings = self._readings(events, nodes.by_handle)
                            self.dropped_values, dropped = self.dropped_values + inbox.dropped - dropped, inbox.dropped
                            gone = [reading.point for reading in readings if reading.quality == NODE_UNKNOWN]
                            if gone and not nodes.missing:
                                again = time.monotonic() + settings.missing_every
                            await nodes.forget(subscription, gone)
                    except Exception as error:  # the library passes on whatever ended the connection
                        yield _all_of(settings.points, NO_CONNECTION)
                        raise Retry(f"{settings.url}: the connection was lost ({type(error).__name__}: {error})") from None
                    if readings:
                        yield readings
            finally:
                feeder.cancel()
                await asyncio.gather(feeder, return_exceptions=True)

    def _readings(self, events: "Iterable[SubEvent]", by_handle: Mapping[int, str]) -> list[Reading]:
        """The readings of what was reported, in order of time. Raises ConnectionError when the server has ended the subscription."""
        from asyncua.common.subscription import DataChangeEvent, StatusChangeEvent

        received_ns = time.time_ns()
        readings = []
        for event in events:
            if isinstance(event, StatusChangeEvent):
                status = event.notification.Status
                if not status.is_good():
                    raise ConnectionError(f"the server ended the subscription: {status.name}")
            elif isinstance(event, DataChangeEvent):
                item = event.data.monitored_item
                name = by_handle.get(item.ClientHandle)
                if name is not None:
                    reading = interpret(name, self._settings.points[name], item.Value, received_ns)
                    self.overflows += overflowed(item.Value.StatusCode.value if item.Value.StatusCode else 0)
                    self.bad_values += reading.quality.level is Level.BAD
                    readings.append(reading)
        return sorted(readings, key=lambda reading: reading.time_ns)


async def _subscription(client: "Client", settings: OpcUaSettings) -> "Subscription":
    ua = library()
    every = settings.publish_every
    keepalive = max(1, math.ceil(ALIVE / every))
    wanted = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=every * 1000,
        RequestedLifetimeCount=max(3 * keepalive, math.ceil(LIFETIME / every)),  # Part 4, 5.14.2: three times at least
        RequestedMaxKeepAliveCount=keepalive,
        MaxNotificationsPerPublish=0,
        PublishingEnabled=True,
        Priority=0,
    )
    return await client.create_subscription(wanted, queue_maxsize=WAITING)


async def _feed(subscription: "Subscription", inbox: "Inbox[SubEvent]") -> None:
    try:
        async for event in subscription:
            inbox.put(event)
    except Exception as error:  # the reader tells the runner
        inbox.end(error)


def interpret(name: str, point: MeasuredPoint, value: Any, received_ns: int) -> Reading:
    """The reading of a reported value: its source timestamp, or the server's, or the time of receipt."""
    code = value.StatusCode.value if value.StatusCode is not None else 0
    quality = quality_of(code, _name_of(code))
    time_ns, clock = stamp(_ns(value.SourceTimestamp or value.ServerTimestamp), received_ns)
    quality = worst(quality, clock)
    if quality.level is Level.BAD:
        return Reading(name, time_ns, None, quality)
    said: Any = value.Value.Value if value.Value is not None else None
    if said is None:
        return Reading(name, time_ns, None, NO_VALUE)
    if not isinstance(said, bool | int | float):
        return Reading(name, time_ns, None, NOT_A_NUMBER)
    return point.reading(name, time_ns, float(said), quality)


def _name_of(code: int) -> str:
    if code == 0:
        return "Good"
    ua = library()
    return str(ua.StatusCode(code & CODE).name)


def _ns(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000


def _all_of(points: Iterable[str], quality: Quality) -> list[Reading]:
    now = whole_ms(time.time_ns())
    return [Reading(name, now, None, quality) for name in points]
