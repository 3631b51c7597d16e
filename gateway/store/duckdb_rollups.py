# ruff: noqa: S608 - every number and name in these queries is our own
"""Minutes and hours of every series beside the samples, and what retention has dropped: made in the background, exact at every instant.

Below ``rolled_to`` every minute is there or stands in the table ``stale``. A write that brings something below the *fence* marks its minutes in
its own transaction; the fence is raised while no write is under way, and before the rollup looks at the samples. So a sample is either seen by
the rollup or marks its minute, whatever is killed when.
"""

import threading
import time
from typing import Any

import numpy as np
import pyarrow as pa

from gateway.store import Retention
from gateway.store.duckdb_newest import Batch
from gateway.store.rollup import HOUR, LAG_NS, MINUTE, UNITS_NS, Kept, ceil_to, floor_to, grid, pieces

TABLES = """
CREATE TABLE IF NOT EXISTS minute (
  series INTEGER NOT NULL, start BIGINT NOT NULL, low DOUBLE, high DOUBLE, total DOUBLE, samples BIGINT, last DOUBLE, worst TINYINT
);
CREATE TABLE IF NOT EXISTS hour (
  series INTEGER NOT NULL, start BIGINT NOT NULL, low DOUBLE, high DOUBLE, total DOUBLE, samples BIGINT, last DOUBLE, worst TINYINT
);
CREATE TABLE IF NOT EXISTS stale (series INTEGER NOT NULL, start BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS kept (rolled_to BIGINT NOT NULL, raw_from BIGINT NOT NULL, minute_from BIGINT NOT NULL, hour_from BIGINT NOT NULL);
INSERT INTO kept SELECT 0, 0, 0, 0 WHERE NOT EXISTS (FROM kept);
"""

_M, _H = UNITS_NS[MINUTE], UNITS_NS[HOUR]
_DRAWN = "value IS NOT NULL AND quality >= 0"
_WORST = "max(CASE WHEN quality < 0 THEN 2 WHEN quality > 0 THEN 1 ELSE 0 END)"
_OF_SAMPLES = (
    f"min(value) FILTER ({_DRAWN}), max(value) FILTER ({_DRAWN}), sum(value) FILTER ({_DRAWN}), count(*) FILTER ({_DRAWN}),"
    f" arg_max(value, time) FILTER ({_DRAWN}), {_WORST}"
)
_OF_CELLS = "min(low), max(high), sum(total), sum(samples), arg_max(last, start) FILTER (samples > 0), max(worst)"
_STALE_AT_ONCE = 20_000
_STALE_SPAN_NS = 6 * _H
_SHORT_S, _LONG_S = 0.3, 1.0


class Rollups:
    """``lock`` is the store's lock of writing. One upkeep at a time."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self.fence = 0
        self.raw_from = 0
        self._rolling_ns = _H
        self._dropping_ns = _H

    def load(self, connection: Any) -> None:
        kept = read_kept(connection)
        self.fence, self.raw_from = kept.rolled_to_ns, kept.raw_from_ns

    def mark(self, connection: Any, batch: Batch) -> None:
        """Within the transaction of a write: the minutes below the fence that it touches are stale."""
        below = batch.times < self.fence
        if below.any():
            marks = np.unique(np.column_stack([batch.ids[below].astype(np.int64), batch.times[below] // _M]), axis=0)
            connection.register("marks", pa.table({"series": marks[:, 0], "start": marks[:, 1] * _M}))
            connection.execute("INSERT INTO stale SELECT series, start FROM marks")
            connection.unregister("marks")

    # --- upkeep, each step on a connection of its own

    def advance(self, cursor: Any, now_ns: int) -> bool:
        """Rolls up the next span of time, as long as it takes about a second."""
        target = floor_to(MINUTE, now_ns - LAG_NS)
        rolled_to = read_kept(cursor).rolled_to_ns
        first = _one(cursor, f"SELECT min(time) FROM sample WHERE time >= {rolled_to} AND time < {target}")
        if first is None:
            return False
        first = floor_to(MINUTE, first)
        stop = min(first + self._rolling_ns, target)
        begun = time.monotonic()
        with self._lock:
            self.fence = max(self.fence, stop)
            _begin(cursor)
        cursor.execute(
            f"INSERT INTO minute SELECT series, time - time % {_M} AS start, {_OF_SAMPLES} FROM sample"
            f" WHERE time >= {first} AND time < {stop} GROUP BY ALL ORDER BY series, start"
        )
        hours_from, hours_to = floor_to(HOUR, rolled_to), floor_to(HOUR, stop)
        if hours_from < hours_to:
            cursor.execute(
                f"INSERT INTO hour SELECT series, start - start % {_H} AS start, {_OF_CELLS} FROM minute"
                f" WHERE minute.start >= {hours_from} AND minute.start < {hours_to} GROUP BY series, minute.start - minute.start % {_H}"
            )
        cursor.execute(f"UPDATE kept SET rolled_to = {stop}")
        cursor.execute("COMMIT")
        self._rolling_ns = _paced(self._rolling_ns, time.monotonic() - begun)
        return stop < target

    def refresh(self, cursor: Any) -> bool:
        """Makes some of the stale minutes and their hours again."""
        _begin(cursor)
        rolled_to = read_kept(cursor).rolled_to_ns
        first = _one(cursor, f"SELECT min(start) FROM stale WHERE start < {rolled_to}")
        if first is None:
            cursor.execute("ROLLBACK")
            return False
        stop = min(first + _STALE_SPAN_NS, rolled_to)
        query = f"SELECT DISTINCT series, start FROM stale WHERE start < {stop} ORDER BY start, series LIMIT {_STALE_AT_ONCE}"
        marks = pa.table(dict(cursor.execute(query).fetchnumpy()))
        last = int(marks["start"][-1].as_py())
        self._again(cursor, marks, first, last + _M, rolled_to)
        cursor.register("done", marks)
        cursor.execute(
            f"DELETE FROM stale USING done WHERE stale.series = done.series AND stale.start = done.start AND stale.start <= {last}"
        )
        cursor.unregister("done")
        cursor.execute("COMMIT")
        return True

    def _again(self, connection: Any, marks: Any, low: int, high: int, rolled_to: int) -> None:
        connection.register("marks", marks)
        connection.execute(
            f"DELETE FROM minute USING marks WHERE minute.series = marks.series AND minute.start = marks.start"
            f" AND minute.start >= {low} AND minute.start < {high}"
        )
        connection.execute(
            f"INSERT INTO minute SELECT s.series, s.time - s.time % {_M} AS start, {_OF_SAMPLES} FROM sample s"
            f" JOIN marks ON marks.series = s.series AND marks.start = s.time - s.time % {_M}"
            f" WHERE s.time >= {low} AND s.time < {high} GROUP BY ALL"
        )
        self._hours_again(connection, "marks", floor_to(HOUR, low), min(ceil_to(HOUR, high), floor_to(HOUR, rolled_to)))
        connection.unregister("marks")

    def _hours_again(self, connection: Any, marks: str, low: int, high: int) -> None:
        hours = f"(SELECT DISTINCT series, start - start % {_H} AS start FROM {marks}) marked"
        connection.execute(
            f"DELETE FROM hour USING {hours} WHERE hour.series = marked.series AND hour.start = marked.start"
            f" AND hour.start >= {low} AND hour.start < {high}"
        )
        connection.execute(
            f"INSERT INTO hour SELECT m.series, m.start - m.start % {_H} AS start, min(m.low), max(m.high), sum(m.total), sum(m.samples),"
            f" arg_max(m.last, m.start) FILTER (m.samples > 0), max(m.worst) FROM minute m"
            f" JOIN {hours} ON marked.series = m.series AND marked.start = m.start - m.start % {_H}"
            f" WHERE m.start >= {low} AND m.start < {high} GROUP BY m.series, m.start - m.start % {_H}"
        )

    def drop(self, cursor: Any, now_ns: int, retention: Retention) -> bool:
        """Drops some of what is too old and is in the level above."""
        kept = read_kept(cursor)
        more = False
        if retention.raw_ns is not None:
            cutoff = min(floor_to(HOUR, now_ns - retention.raw_ns), floor_to(HOUR, kept.rolled_to_ns))
            more = self._drop_raw(cursor, cutoff, kept)
        kept = read_kept(cursor)
        for table, column, age, limit in (
            ("minute", "minute_from", retention.minute_ns, kept.raw_from_ns),
            ("hour", "hour_from", retention.hour_ns, kept.minute_from_ns),
        ):
            cutoff = 0 if age is None else min(floor_to(HOUR, now_ns - age), floor_to(HOUR, limit))
            before = kept.minute_from_ns if table == "minute" else kept.hour_from_ns
            if cutoff > before:
                _begin(cursor)
                cursor.execute(f"DELETE FROM {table} WHERE start < {cutoff}")
                cursor.execute(f"UPDATE kept SET {column} = {cutoff}")
                cursor.execute("COMMIT")
                kept = read_kept(cursor)
        return more

    def _drop_raw(self, cursor: Any, cutoff: int, kept: Kept) -> bool:
        if cutoff <= kept.raw_from_ns:
            return False
        first = _one(cursor, f"SELECT min(time) FROM sample WHERE time < {cutoff}")
        stop = cutoff if first is None else min(floor_to(MINUTE, first) + self._dropping_ns, cutoff)
        begun = time.monotonic()
        with self._lock:
            self.raw_from = stop  # writes refuse what is older, from here on
            _begin(cursor)
        if _one(cursor, f"SELECT min(start) FROM stale WHERE start < {stop}") is not None:
            self.raw_from = kept.raw_from_ns
            cursor.execute("ROLLBACK")
            return True
        cursor.execute(f"DELETE FROM sample WHERE time < {stop}")
        cursor.execute(f"UPDATE kept SET raw_from = {stop}")
        cursor.execute("COMMIT")
        self._dropping_ns = _paced(self._dropping_ns, time.monotonic() - begun)
        return stop < cutoff

    def delete(self, connection: Any, series: int, start_ns: int, end_ns: int) -> int:
        """Within the caller's transaction, while nobody writes: returns how many samples went."""
        kept = read_kept(connection)
        removed = int(
            connection.execute(f"DELETE FROM sample WHERE series = {series} AND time >= {start_ns} AND time < {end_ns}").fetchone()[0]
        )
        low, high = floor_to(MINUTE, start_ns), min(ceil_to(MINUTE, end_ns), max(self.fence, kept.rolled_to_ns))
        connection.execute(f"DELETE FROM minute WHERE series = {series} AND start >= {low} AND start < {high}")
        edges = {low, floor_to(MINUTE, end_ns - 1)}
        marks = [edge for edge in edges if edge >= kept.raw_from_ns and edge < high]
        if marks:
            connection.execute(f"INSERT INTO stale SELECT {series}, unnest({marks})")
        low, high = floor_to(HOUR, start_ns), ceil_to(HOUR, end_ns)
        connection.execute(f"DELETE FROM hour WHERE series = {series} AND start >= {low} AND start < {high}")
        edges = {hour for hour in (low, high - _H) if kept.minute_from_ns <= hour < floor_to(HOUR, kept.rolled_to_ns)}
        if edges:
            rows = f"(SELECT {series} AS series, unnest({sorted(edges)}) AS start)"
            self._hours_again(connection, rows, low, high)
        return removed


def read_kept(connection: Any) -> Kept:
    return Kept(*connection.execute("SELECT rolled_to, raw_from, minute_from, hour_from FROM kept").fetchone())


def chart(cursor: Any, series: int, start_ns: int, end_ns: int, count: int) -> list[tuple[Any, ...]]:
    """Rows start, low, high, total, samples, last, worst of the slots of one series that have a value."""
    cursor.execute("BEGIN")
    kept = read_kept(cursor)
    first, width, level = grid(start_ns, end_ns, count, kept)
    stale: list[int] = []
    if level:
        low, high = floor_to(HOUR, start_ns), ceil_to(HOUR, end_ns)
        rows = cursor.execute(f"SELECT DISTINCT start FROM stale WHERE series = {series} AND start >= {low} AND start < {high}").fetchall()
        stale = [row[0] for row in rows]
    arms = [_arm(piece.level, series, piece.start_ns, piece.end_ns) for piece in pieces(level, start_ns, end_ns, kept, stale)]
    if not arms:
        return []
    query = (
        f"SELECT {first} + (start - {first}) // {width} * {width} AS slot, {_OF_CELLS} FROM ({' UNION ALL '.join(arms)})"
        " GROUP BY slot HAVING sum(samples) > 0 ORDER BY slot"
    )
    found: list[tuple[Any, ...]] = cursor.execute(query).fetchall()
    return found


def _arm(level: int, series: int, start_ns: int, end_ns: int) -> str:
    if level:
        table = "minute" if level == MINUTE else "hour"
        return (
            f"SELECT start, low, high, total, samples, last, worst FROM {table}"
            f" WHERE series = {series} AND start >= {start_ns} AND start < {end_ns}"
        )
    value = f"CASE WHEN {_DRAWN} THEN value END"
    return (
        f"SELECT time AS start, {value} AS low, {value} AS high, {value} AS total, CASE WHEN {_DRAWN} THEN 1 ELSE 0 END AS samples,"
        f" {value} AS last, CASE WHEN quality < 0 THEN 2 WHEN quality > 0 THEN 1 ELSE 0 END AS worst"
        f" FROM sample WHERE series = {series} AND time >= {start_ns} AND time < {end_ns}"
    )


def _begin(cursor: Any) -> None:
    """Begins a transaction and fixes what it sees: DuckDB does that at the first look only."""
    cursor.execute("BEGIN")
    cursor.execute("SELECT rolled_to FROM kept").fetchone()


def _one(cursor: Any, query: str) -> int | None:
    found = cursor.execute(query).fetchone()
    return None if found is None or found[0] is None else int(found[0])


def _paced(span_ns: int, seconds: float) -> int:
    """The span of the next step: whole minutes, at most a day."""
    if seconds < _SHORT_S:
        return min(2 * span_ns, 24 * _H)
    if seconds > _LONG_S:
        return max(floor_to(MINUTE, span_ns // 2), _M)
    return span_ns
