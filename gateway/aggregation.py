"""Keeps the figures of shifts, days and hours up: the running ones each minute, and those that ended again for what arrived behind.

They are series of the gateway itself (`_gateway`), one reading for each period, stamped with its beginning: written again it overwrites.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from contract.messages import Birth, PointDeclaration
from contract.values import bad
from gateway.aggregates import SECOND, Aggregate, Figure, Over, Tally, combined
from gateway.malfunctions import GATEWAY_NODE
from gateway.site_rules import split
from gateway.store import Series, StoreFrame, StoreRefused, StoreUnavailable, TimeSeriesStore
from rules.shifts import Shifts

log = logging.getLogger(__name__)

EVERY = 60.0  # s between two looks
PAGE = 10_000  # samples read at once
AGAIN = (600, 3600, 86_400)  # s after its end that a period is counted again: an outage's readings arrive behind
_UNKNOWN, _WRONG_UNIT = bad("unknown_point"), bad("wrong_unit")
_HOURS = tuple(f"{hour:02}:00" for hour in range(24))


def periods(shifts: Sequence[str], time_zone: str) -> dict[Over, Shifts]:
    """When each kind of period begins, in the site's time."""
    zone = ZoneInfo(time_zone)
    starts: dict[Over, Sequence[str]] = {"hour": _HOURS, "shift": shifts, "day": ("00:00",)}
    return {over: Shifts.of(begins, 0.0, zone.key) for over, begins in starts.items()}


class Aggregation:
    """``unit_of`` says in which unit a node declared a point, None where it is not known; ``told`` hears of running figures.

    `look` blocks; `run` calls it in a thread.
    """

    def __init__(
        self,
        aggregates: Sequence[Aggregate],
        store: TimeSeriesStore,
        begins: dict[Over, Shifts],
        unit_of: Callable[[Series], str | None],
        *,
        told: Callable[[StoreFrame], None] = lambda _: None,
    ) -> None:
        self._aggregates = list(aggregates)
        self._store = store
        self._begins = begins
        self._unit_of = unit_of
        self._told = told
        self._tallies: dict[tuple[str, int], Tally] = {}  # of running periods, by point and beginning
        self._looked_ns: int | None = None
        self._complaints: dict[str, str] = {}

    @property
    def birth(self) -> Birth | None:
        """What the figures are, as a node would say it; None without any."""
        if not self._aggregates:
            return None

        def declared(one: Aggregate) -> PointDeclaration:
            return PointDeclaration(one.unit, "analog", None, one.point.partition("/")[0], one.title.model_dump())

        points = {one.point: declared(one) for one in self._aggregates}
        return Birth("", "", 1, points, 0.0)

    async def run(self) -> None:
        """Until cancelled."""
        while self._aggregates:
            try:
                for frame in await asyncio.to_thread(self.look, time.time_ns()):
                    self._told(frame)
            except (StoreUnavailable, StoreRefused) as error:
                log.warning("figures wait for the store: %s", error)
            await asyncio.sleep(EVERY)
        await asyncio.Event().wait()

    def look(self, now_ns: int) -> list[StoreFrame]:
        """Writes the running figures, which it returns, and those that are due to be counted again. Raises StoreUnavailable: nothing is lost."""
        due = sorted({(over, start) for over in {one.over for one in self._aggregates} for start in self._due(self._begins[over], now_ns)})
        frames = [frame for over, start in due if (frame := self._frame(over, start, now_ns)) is not None]
        if frames:
            self._store.write(frames)
        running = {(over, self._begins[over].began(now_ns)) for over in self._begins}
        kinds = {one.point: one.over for one in self._aggregates}
        self._tallies = {key: tally for key, tally in self._tallies.items() if (kinds[key[0]], key[1]) in running}
        self._looked_ns = now_ns
        return [frame for frame in frames if (frame.time_ns in {start for _, start in running})]

    def _due(self, begins: Shifts, now_ns: int) -> list[int]:
        """The beginnings of the running period and of those that are to be counted again: the last two at the first look."""
        end, before_ns = begins.began(now_ns), self._looked_ns
        found = [end]
        while len(found) < 3 if before_ns is None else end + AGAIN[-1] * SECOND > before_ns:
            start = begins.began(end - 1)
            if before_ns is None or any(before_ns < end + after * SECOND <= now_ns for after in (0, *AGAIN)):
                found.append(start)
            end = start
        return found

    def _frame(self, over: Over, start: int, now_ns: int) -> StoreFrame | None:
        end = self._begins[over].ends(start)
        figures: dict[str, Figure] = {}
        for one in (one for one in self._aggregates if one.over == over):
            figures[one.point] = self._measured(one, start, end, now_ns) if one.of is not None else combined(one, figures)
        if all(figure.value is None for figure in figures.values()):
            return None  # a gateway that was not there then: nothing is claimed of it
        values = {point: figure.value for point, figure in figures.items() if figure.value is not None}
        quality = {point: str(figure.quality) for point, figure in figures.items() if str(figure.quality) != "good"}
        return StoreFrame(GATEWAY_NODE, start, values, quality)

    def _measured(self, one: Aggregate, start: int, end: int, now_ns: int) -> Figure:
        series, ended = split(one.of or ""), end <= now_ns
        tally = Tally(one.longest_gap) if ended else self._tallies.setdefault((one.point, start), Tally(one.longest_gap))
        since = start if tally.seen_ns is None else tally.seen_ns + 1
        while samples := self._store.raw(series, since, min(end, now_ns), PAGE) if since < min(end, now_ns) else []:
            tally.add(samples)
            since = samples[-1].time_ns + 1
            if len(samples) < PAGE:
                break
        source = self._unit_of(series)
        if source is None:
            return Figure(None, _UNKNOWN)
        try:
            return tally.figure(one.take or "mean", source, one.unit, elapsed=(min(end, now_ns) - start) / SECOND, over=ended)
        except ValueError as error:
            if self._complaints.get(one.point) != str(error):
                self._complaints[one.point] = str(error)
                log.warning("figure %s: %s", one.point, error)
            return Figure(None, _WRONG_UNIT)
