"""The newest sample of every series, in memory: it tells an append from a rewrite, and answers `latest` without a scan.

Reading it back from the samples would scan the whole history at each start. So the table `newest` holds a copy, exact up to a *floor* in time:
a write that raises a series' newest at or below the floor updates the copy in its own transaction; what lies above the floor, some minutes of
samples, is scanned at the start.
"""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SAVE_EVERY_NS = 10 * 60 * 1_000_000_000
NEVER = -1

Times = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]


class Batch:
    """The rows of one write as columns of equal length; ``values`` has NaN where there is none."""

    __slots__ = ("codes", "ids", "times", "values")

    def __init__(self, ids: Ids, times: Times, values: Values, codes: Codes) -> None:
        self.ids, self.times, self.values, self.codes = ids, times, values, codes

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: Any) -> "Batch":
        """The rows of a boolean mask or an index, in its order."""
        return Batch(self.ids[mask], self.times[mask], self.values[mask], self.codes[mask])

    def arrow(self) -> Any:
        """The rows as a table series, time, value, quality; NaN becomes NULL."""
        return pa.table(
            {
                "series": self.ids,
                "time": self.times,
                "value": pa.array(self.values, from_pandas=True),
                "quality": self.codes,
            }
        )


class Newest:
    """Indexed by series id, from 0. `times` is -1 for a series without samples."""

    def __init__(self) -> None:
        self.floor = NEVER
        self.times: Times = np.full(64, NEVER, np.int64)
        self.values: Values = np.full(64, np.nan)
        self.codes: Codes = np.zeros(64, np.int16)

    def load(self, connection: Any) -> None:
        """Reads the saved copy and the samples above its floor."""
        self.floor = int(connection.execute("SELECT max(time) FROM newest_floor").fetchone()[0])
        self.reserve(int(connection.execute("SELECT coalesce(max(id), -1) FROM series").fetchone()[0]) + 1)
        for query in (
            "SELECT series, time, value, quality FROM newest",
            f"SELECT series, max(time), arg_max_null(value, time), arg_max(quality, time) FROM sample WHERE time > {self.floor} GROUP BY series",  # noqa: S608
        ):
            for series, time_ns, value, code in connection.execute(query).fetchall():
                if time_ns > self.times[series]:
                    self.times[series], self.values[series], self.codes[series] = time_ns, np.nan if value is None else value, code

    def reserve(self, count: int) -> None:
        """Room for ids below ``count``."""
        if count > len(self.times):
            more = max(count, 2 * len(self.times)) - len(self.times)
            self.times = np.concatenate([self.times, np.full(more, NEVER, np.int64)])
            self.values = np.concatenate([self.values, np.full(more, np.nan)])
            self.codes = np.concatenate([self.codes, np.zeros(more, np.int16)])

    def late(self, batch: Batch) -> Any:
        """A mask of the rows that are not newer than what their series has: these may be rewrites."""
        return batch.times <= self.times[batch.ids]

    def raised_by(self, batch: Batch) -> Batch:
        """The newest row of the batch for each series that it raises or rewrites at its newest."""
        fresh = batch.where(batch.times >= self.times[batch.ids])
        order = np.lexsort((fresh.times, fresh.ids))
        last = np.append(fresh.ids[order][1:] != fresh.ids[order][:-1], np.ones(min(1, len(order)), bool))
        return fresh.where(order[last])

    def take(self, raised: Batch) -> None:
        self.times[raised.ids], self.values[raised.ids], self.codes[raised.ids] = raised.times, raised.values, raised.codes

    def save_raised(self, connection: Any, raised: Batch) -> None:
        """Keeps the copy exact at and below the floor: within the transaction of the write, before `take`."""
        low = raised.where(raised.times <= self.floor)
        if len(low):
            connection.register("low", low.arrow())
            connection.execute("DELETE FROM newest WHERE series IN (SELECT series FROM low)")
            connection.execute("INSERT INTO newest SELECT series, time, value, quality FROM low")
            connection.unregister("low")

    def without(self, connection: Any, series: int, start_ns: int, end_ns: int) -> Batch | None:
        """After samples of a range were deleted, within that transaction: what to `take` for the series, None where nothing changes."""
        if not start_ns <= self.times[series] < end_ns:
            return None
        query = f"SELECT time, value, quality FROM sample WHERE series = {series} ORDER BY time DESC LIMIT 1"  # noqa: S608 - a number of our own
        time_ns, value, code = connection.execute(query).fetchone() or (NEVER, None, 0)
        value = np.nan if value is None else value
        again = Batch(
            np.array([series], np.int32), np.array([time_ns], np.int64), np.array([value], np.float64), np.array([code], np.int16)
        )
        connection.execute(f"DELETE FROM newest WHERE series = {series}")  # noqa: S608 - a number of our own
        if time_ns != NEVER:
            self.save_raised(connection, again)
        return again

    def due(self) -> bool:
        """Whether the floor lies far enough below the newest sample to be moved up."""
        return self._next_floor() - self.floor >= SAVE_EVERY_NS

    def save(self, connection: Any) -> None:
        """Writes the whole copy and moves the floor up; in a transaction of its own."""
        ids = np.flatnonzero(self.times != NEVER).astype(np.int32)
        floor = self._next_floor()
        connection.register("whole", Batch(ids, self.times[ids], self.values[ids], self.codes[ids]).arrow())
        connection.execute("BEGIN")
        connection.execute("DELETE FROM newest")
        connection.execute("INSERT INTO newest SELECT series, time, value, quality FROM whole")
        connection.execute("DELETE FROM newest_floor")
        connection.execute("INSERT INTO newest_floor VALUES (?)", [floor])
        connection.execute("COMMIT")
        connection.unregister("whole")
        self.floor = floor

    def _next_floor(self) -> int:
        # One sample from a clock that runs years ahead must not lift the floor over everything that will be written until then.
        return max(self.floor, min(int(self.times.max()), time.time_ns()))
