"""CAN and J1939: engine data and active trouble codes of mobile machines, and signals of the site's DBC file. Listens, never sends."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar

from contract.messages import PointDeclaration
from contract.values import Reading, bad
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext, SourceSettings
from edge.sources.cadence import next_slot
from edge.sources.can_bus import CanListener, listening, where
from edge.sources.can_dbc import DbcSignal, find_signal, load_dbc
from edge.sources.can_points import PointTable
from edge.sources.can_settings import CanSettings

log = logging.getLogger("muki.edge.sources.can")

NO_CONNECTION = bad("no_connection")


class CanSource:
    """One CAN bus. Counted since construction: ``frames``, ``dropped_frames`` (the kernel threw them away because we were late),
    ``error_frames`` (the controller reported an error), ``unreadable_frames`` and ``lost_messages`` (transport protocol, incomplete)."""

    Settings: ClassVar[type[SourceSettings]] = CanSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, CanSettings):
            raise TypeError(f"CanSource takes CanSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self.frames = 0
        self.dropped_frames = 0
        self.error_frames = 0
        self.unreadable_frames = 0
        self.lost_messages = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {name: point.declaration(name, self._settings.every) for name, point in self._settings.points.items()}

    def counters(self) -> Mapping[str, int]:
        names = ("frames", "dropped_frames", "error_frames", "unreadable_frames", "lost_messages")
        return {name: getattr(self, name) for name in names}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """One batch for each period in which something came: the newest reading of each point.

        A point whose frames stay away comes out once as ``bad:stale``. Raises Retry when the bus cannot be opened or is lost (after one
        batch of ``bad:no_connection``), and when every point is silent; Misconfigured when the DBC file does not have what the points name.
        """
        settings = self._settings
        signals = await asyncio.to_thread(self._signals)
        table = PointTable(settings, signals, time.monotonic())
        held: list[Reading] = []  # stale ones, until a frame comes: a bus on which nobody speaks has not started
        async with listening(settings, table.filters(), lambda frame: table.accept(frame, time.monotonic())) as bus:
            counted = _Counted(self, bus, table)
            start, slot = time.monotonic(), 0
            while True:
                slot, _ = next_slot(start, settings.every, slot, time.monotonic())
                due = start + slot * settings.every
                await asyncio.wait([bus.failure], timeout=max(0.0, due - time.monotonic()))
                counted.update()
                if bus.failure.done():
                    if table.heard:
                        yield [Reading(name, _now_ns(), None, NO_CONNECTION) for name in settings.points]
                    raise bus.failure.result()
                now, now_ns = time.monotonic(), _now_ns()
                table.transport.expire(time.time_ns())
                batch = table.take()
                held += table.fell_silent(now, now_ns)
                if table.heard and (held or batch):
                    batch, held = sorted([*batch, *held], key=lambda reading: reading.time_ns), []
                    yield batch
                if table.all_silent:
                    raise Retry(self._silence(table))

    def _signals(self) -> dict[str, DbcSignal]:
        settings = self._settings
        wanted = {name: point for name, point in settings.points.items() if point.message is not None}
        if not wanted or settings.dbc is None:
            return {}
        database = load_dbc(self._folder / settings.dbc, settings.dbc)
        return {name: find_signal(database, name, point) for name, point in wanted.items()}

    def _silence(self, table: PointTable) -> str:
        settings = self._settings
        longest = max(settings.stale_limit(point) for point in settings.points.values())
        if table.frames > table.used and not table.heard:
            hint = f"{table.frames} other frames came: are source_address and the points right?"
        else:
            rate = f"the bit rate ({settings.bitrate})" if settings.bitrate else "the bit rate (250000 or 500000 on most machines)"
            hint = f"is the ignition on? Check {rate}, CAN-H and CAN-L, and source_address"
        return f"{where(settings)}: no frame of any point for {longest:g} s; {hint}"


class _Counted:
    """Carries the counts of one run over to the source, which outlives it."""

    def __init__(self, source: CanSource, bus: CanListener, table: PointTable) -> None:
        self._source, self._bus, self._table = source, bus, table
        self._before = (source.frames, source.dropped_frames, source.error_frames, source.unreadable_frames, source.lost_messages)

    def update(self) -> None:
        source, bus, table = self._source, self._bus, self._table
        was = source.dropped_frames
        frames, dropped, errors, unreadable, lost = self._before
        source.frames, source.dropped_frames = frames + table.frames, dropped + bus.dropped
        source.error_frames, source.unreadable_frames = errors + bus.error_frames, unreadable + bus.unreadable
        source.lost_messages = lost + table.transport.lost + table.transport.refused
        if source.dropped_frames > was:
            log.warning(
                "%d frames dropped by the kernel, %d in all: this computer is too busy", source.dropped_frames - was, source.dropped_frames
            )


def _now_ns() -> int:
    """Unix time in ns, whole milliseconds: what the wire carries."""
    return time.time_ns() // 1_000_000 * 1_000_000
