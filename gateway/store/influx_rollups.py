# ruff: noqa: S608 - names in these queries are identifiers that the intake let through, or our own
"""Minutes and hours beside the readings of InfluxDB 1.x, and what retention has dropped: made by the server, exact at every instant.

A cell is a line of the measurement ``minute`` or ``hour``: ``min_SIGNAL``, ``max_``, ``sum_``, ``count_``, ``last_``, as `SELECT INTO` names
them, and ``worst_SIGNAL`` where a reading was not good. Numbers that a bad reading has overwritten, or that were deleted, are still in the
server's columns: such cells are made again from the readings themselves. A cell whose ``count_`` is 0 has no value.

Below ``rolled_to`` every cell is there, or its minute stands in the measurement ``stale``. A write that brings something below the *fence* sends
the marks ahead of its lines; the fence is raised while no write is under way, and before the server looks at the readings. What was begun and not
noted in ``kept`` is done again.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.store import Retention, Sample, Series, StoreFrame, StoreUnavailable
from gateway.store.influx_cells import CELLS, cell_of, line, spans
from gateway.store.influx_lines import MEASUREMENT, QUALITY, VOID, join_point, split_point
from gateway.store.influx_server import InfluxServer, QueryRefused
from gateway.store.rollup import HOUR, LAG_NS, MINUTE, UNITS_NS, Kept, ceil_to, floor_to

_M, _H = UNITS_NS[MINUTE], UNITS_NS[HOUR]
_NUMBERS = r"/^[^.]+$|\.signal$/"
_INTO = f"SELECT min({_NUMBERS}), max({_NUMBERS}), sum({_NUMBERS}), last({_NUMBERS}), count(*)"
_STALE_AT_ONCE = 500
_SHORT_S, _LONG_S = (
    1.0,
    4.0,
)  # seconds of a step; a `SELECT INTO` of nothing takes 0.1 s, and an answer is waited for no longer than `timeout`
_MOST_SHARES = 64
Samples = Any  # (series, start_ns, end_ns) -> the readings of a series


class InfluxRollups:
    """``lock`` is the store's lock of writing; ``samples(series, start_ns, end_ns)`` reads one series. One upkeep at a time."""

    def __init__(self, server: InfluxServer, lock: threading.Lock, samples: Samples) -> None:
        self._server = server
        self._lock = lock
        self._samples = samples
        self._kept: Kept | None = None
        self.fence = 0
        self._rolling_ns = _H
        self._shares = 1  # nodes are asked for in so many groups, where a minute of all of them takes too long

    # --- what a write and a chart ask

    @property
    def built(self) -> bool:
        """Whether this server is one that can: 2.x has no SELECT INTO, 3.x no DELETE."""
        return self._server.version() < (2, 0)

    def kept(self) -> Kept:
        """Raises StoreUnavailable."""
        if self._kept is None:
            (found,) = self._server.query("SELECT rolled_to, raw_from, minute_from, hour_from FROM kept ORDER BY time DESC LIMIT 1")
            self._kept = Kept(*(int(value or 0) for value in found[0]["values"][0][1:])) if found else Kept()
            self.fence = max(self.fence, self._kept.rolled_to_ns)
        return self._kept

    def marks(self, frames: Sequence[StoreFrame]) -> bytes:
        """Lines that say which minutes a write makes stale; they go ahead of it."""
        if all(frame.time_ns >= self.fence for frame in frames):
            return b""
        touched = {
            (frame.node, split_point(point)[0], floor_to(MINUTE, frame.time_ns))
            for frame in frames
            if frame.time_ns < self.fence
            for point in (*frame.values, *frame.quality)
        }
        return "".join(f"stale,asset={asset},node={node} m=1i {minute}\n" for node, asset, minute in sorted(touched)).encode()

    def stale(self, series: Series, start_ns: int, end_ns: int) -> list[int]:
        asset = split_point(series.point)[0]
        low, high = floor_to(HOUR, start_ns), ceil_to(HOUR, end_ns)
        where = f"node = '{series.node}' AND asset = '{asset}' AND time >= {low} AND time < {high}"
        (found,) = self._server.query(f"SELECT m FROM stale WHERE {where}")
        return [int(row[0]) for one in found for row in one["values"]]

    # --- upkeep

    def maintain(self, now_ns: int, retention: Retention) -> bool:
        if not self.built:
            return False
        more = self._refresh()
        more = self._advance(now_ns) or more
        return self._drop(now_ns, retention) or more

    def _advance(self, now_ns: int) -> bool:
        target = floor_to(MINUTE, now_ns - LAG_NS)
        rolled_to = self.kept().rolled_to_ns
        first = self._first(f"time >= {rolled_to} AND time < {target}")
        if first is None:
            return False
        first = floor_to(MINUTE, first)
        stop = min(first + self._rolling_ns, target)
        begun = time.monotonic()
        with self._lock:
            self.fence = max(self.fence, stop)
        try:
            for where in self._each_share(self._shares):
                self._make(MINUTE, first, stop, where)
        except StoreUnavailable:
            self._pace(_LONG_S + 1)  # perhaps it was too much for one answer
            raise
        hours_from, hours_to = floor_to(HOUR, rolled_to), floor_to(HOUR, stop)
        if hours_from < hours_to:
            hours_from = max(hours_from, floor_to(HOUR, self.kept().raw_from_ns))
            for where in self._each_share(self._shares * max(1, _H // self._rolling_ns)):  # as much for one answer as in a step of minutes
                self._make(HOUR, hours_from, hours_to, where)
        self._keep(self.kept()._replace(rolled_to_ns=stop))
        self._pace(time.monotonic() - begun)
        return stop < target

    def _each_share(self, count: int) -> Iterator[str]:
        """Conditions that together are everything: groups of nodes, and of their assets where there are fewer nodes than groups."""
        if count == 1:
            yield ""
            return
        (found,) = self._server.query(f"SHOW TAG VALUES FROM {MEASUREMENT} WITH KEY = node")
        parts = [f"node = '{row[1]}'" for one in found for row in one["values"]]
        if len(parts) < count:
            (found,) = self._server.query(f"SHOW SERIES FROM {MEASUREMENT}")
            tags = [dict(tag.split("=", 1) for tag in row[0].split(",")[1:]) for one in found for row in one["values"]]
            parts = [f"(node = '{one['node']}' AND asset = '{one['asset']}')" for one in tags]
        for share in range(min(count, len(parts))):
            yield "(" + " OR ".join(parts[share::count]) + ")"

    def _pace(self, seconds: float) -> None:
        """The span of the next step, whole minutes and at most six hours, after one that took so long."""
        if seconds < _SHORT_S and self._shares > 1:
            self._shares //= 2
        elif seconds < _SHORT_S:
            self._rolling_ns = min(2 * self._rolling_ns, 6 * _H)
        elif seconds > _LONG_S and self._rolling_ns > _M:
            self._rolling_ns = max(floor_to(MINUTE, self._rolling_ns // 2), _M)
        elif seconds > _LONG_S:
            self._shares = min(2 * self._shares, _MOST_SHARES)

    def _refresh(self) -> bool:
        """Makes some of the stale cells again, while nobody writes: a mark that comes meanwhile would be lost with those that are done."""
        with self._lock:
            rolled_to = self.kept().rolled_to_ns
            (found,) = self._server.query(f"SELECT m FROM stale WHERE time < {rolled_to} GROUP BY node, asset LIMIT {_STALE_AT_ONCE}")
            for one in found:
                node, asset = one["tags"]["node"], one["tags"]["asset"]
                minutes = [int(row[0]) for row in one["values"]]
                where = f"node = '{node}' AND asset = '{asset}'"
                for low, high in spans(minutes, _M):
                    self._make(MINUTE, low, high, where)
                hours = sorted({floor_to(HOUR, minute) for minute in minutes})
                for low, high in spans([hour for hour in hours if hour < floor_to(HOUR, rolled_to)], _H):
                    self._make(HOUR, low, high, where)
                self._server.query(f"DELETE FROM stale WHERE {where} AND time >= {minutes[0]} AND time <= {minutes[-1]}")
            return bool(found)

    def _make(self, level: int, start_ns: int, stop_ns: int, where: str = "") -> None:
        """Cells of a level over whole cells; of one asset with ``where``. What is there is made again."""
        width, cells = UNITS_NS[level], CELLS[level]
        span = f"time >= {start_ns} AND time < {stop_ns}{' AND ' + where if where else ''}"
        grouped = f"GROUP BY time({width}ns), node, asset fill(none)"
        try:
            self._server.query(f"{_INTO} INTO {cells} FROM {MEASUREMENT} WHERE {span} {grouped}")
        except QueryRefused:  # a sum beyond all floats: the server makes the others, if at all, and we make all of them
            found = self._counts(f"SELECT count(*) FROM {MEASUREMENT} WHERE {span} {grouped}", every=True)
        else:
            found = self._counts(
                f"SELECT /^count_.*({QUALITY[1:]}|{VOID[1:]})$/ FROM {cells} WHERE {span} GROUP BY node, asset", every=False
            )
        for series, starts in found.items():
            self._again(level, series, sorted(starts))

    def _counts(self, query: str, *, every: bool) -> dict[Series, set[int]]:
        """Which cells of which series have readings, or with ``every`` false readings that were ever not good."""
        (found,) = self._server.query(query)
        cells: dict[Series, set[int]] = {}
        for one in found:
            for place, name in enumerate(one["columns"][1:], 1):
                signal = name.removeprefix("count_")
                if not every and not signal.endswith((QUALITY, VOID)):
                    continue
                signal = signal.removesuffix(QUALITY).removesuffix(VOID)
                starts = {int(row[0]) for row in one["values"] if row[place]}
                if starts:
                    series = Series(one["tags"]["node"], join_point(one["tags"]["asset"], signal))
                    cells.setdefault(series, set()).update(starts)
        return cells

    def _again(self, level: int, series: Series, starts: Sequence[int]) -> None:
        """Cells of one series from its readings."""
        width = UNITS_NS[level]
        lines = []
        for low, high in spans(starts, width):
            members: dict[int, list[Sample]] = {start: [] for start in range(low, high, width)}
            for sample in self._samples(series, low, high):
                members[floor_to(level, sample.time_ns)].append(sample)
            lines += [cell_of(level, series, start, readings) for start, readings in members.items()]
        if lines:
            self._server.write("".join(lines).encode())

    def _drop(self, now_ns: int, retention: Retention) -> bool:
        """Drops whole hours that are too old and are in the level above."""
        kept = self.kept()
        if retention.raw_ns is not None:
            cutoff = min(floor_to(HOUR, now_ns - retention.raw_ns), floor_to(HOUR, kept.rolled_to_ns))
            if cutoff > kept.raw_from_ns:
                with self._lock:
                    (waiting,) = self._server.query(f"SELECT m FROM stale WHERE time < {cutoff} LIMIT 1")
                    if waiting:
                        return True
                    self._keep(
                        kept._replace(raw_from_ns=cutoff)
                    )  # writes refuse what is older, from here on; what is left is dropped the next time
        kept = self.kept()
        limit = kept.raw_from_ns
        for column, age in (("minute_from_ns", retention.minute_ns), ("hour_from_ns", retention.hour_ns)):
            cutoff = 0 if age is None else min(floor_to(HOUR, now_ns - age), floor_to(HOUR, limit))
            if cutoff > getattr(kept, column):
                kept = kept._replace(**{column: cutoff})
                self._keep(kept)
            limit = getattr(kept, column)
        for measurement, before in ((MEASUREMENT, kept.raw_from_ns), ("minute", kept.minute_from_ns), ("hour", kept.hour_from_ns)):
            if before and self._first(f"time < {before}", measurement) is not None:
                self._server.query(f"DELETE FROM {measurement} WHERE time < {before}")
        return False

    # --- deleting

    def empty(self, series: Series, start_ns: int, end_ns: int) -> None:
        """While nobody writes, after the readings are gone: cells that held only those have no value any more, cells at the edges are stale."""
        kept = self.kept()
        asset, field = split_point(series.point)
        low, high = floor_to(MINUTE, start_ns), ceil_to(MINUTE, end_ns)
        marked = [edge for edge in {max(low, 0), floor_to(MINUTE, end_ns - 1)} if kept.raw_from_ns <= edge < self.fence]
        lines = [f"stale,asset={asset},node={series.node} m=1i {edge}\n" for edge in marked]
        for level, first, last in ((MINUTE, low, high), (HOUR, floor_to(HOUR, start_ns), ceil_to(HOUR, end_ns))):
            where = f"node = '{series.node}' AND asset = '{asset}' AND time >= {max(first, 0)} AND time < {last}"
            (found,) = self._server.query(f'SELECT "count_{field}" FROM {CELLS[level]} WHERE {where}')
            starts = [int(row[0]) for one in found for row in one["values"] if row[1]]
            lines += [f"{CELLS[level]},asset={asset},node={series.node} count_{field}=0i,worst_{field}=0i {start}\n" for start in starts]
        if lines:
            self._server.write("".join(lines).encode())
        hours = [
            hour
            for hour in (floor_to(HOUR, start_ns), floor_to(HOUR, end_ns - 1))
            if kept.minute_from_ns <= hour < floor_to(HOUR, kept.rolled_to_ns)
        ]
        for hour in sorted(set(hours)):
            if hour >= kept.raw_from_ns:
                self._again(HOUR, series, [hour])
            else:
                self._hour_of_minutes(series, hour)

    def _hour_of_minutes(self, series: Series, hour: int) -> None:
        """An hour whose readings are dropped, from its minutes."""
        asset, field = split_point(series.point)
        columns = ", ".join(f'"{name}_{field}"' for name in ("min", "max", "sum", "count", "last", "worst"))
        where = f"node = '{series.node}' AND asset = '{asset}' AND time >= {hour} AND time < {hour + _H}"
        (found,) = self._server.query(f"SELECT {columns} FROM minute WHERE {where}")
        rows = [row for one in found for row in one["values"] if row[4]]
        worst = max((int(row[6] or 0) for one in found for row in one["values"]), default=0)
        if rows:
            cell = (
                min(row[1] for row in rows),
                max(row[2] for row in rows),
                sum(row[3] for row in rows),
                sum(row[4] for row in rows),
                rows[-1][5],
            )
            self._server.write(line(HOUR, series, hour, cell, worst).encode())

    # --- the server

    def _first(self, where: str, measurement: str = MEASUREMENT) -> int | None:
        (found,) = self._server.query(f"SELECT * FROM {measurement} WHERE {where} ORDER BY time LIMIT 1")
        return int(found[0]["values"][0][0]) if found else None

    def _keep(self, kept: Kept) -> None:
        rolled_to, raw_from, minute_from, hour_from = kept
        self._server.write(
            f"kept rolled_to={rolled_to}i,raw_from={raw_from}i,minute_from={minute_from}i,hour_from={hour_from}i 0\n".encode()
        )
        self._kept = kept
