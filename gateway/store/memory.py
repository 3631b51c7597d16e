"""The in-memory store: a real implementation for tests, demonstrations and gateways that keep their history elsewhere."""

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway.store import Bucket, Retention, Sample, Series, StoreFrame, StoreHealth
from gateway.store.intake import Checker
from gateway.store.rollup import MINUTE, Kept, floor_to, grid
from gateway.store.slots import check_limit, check_range
from gateway.store.summary import summarised

MAX_SAMPLES_A_SERIES = 100_000
"""A series that grows beyond this loses its oldest samples: a memory is finite."""


class _History:
    """One series: the samples by time, and their times in order."""

    __slots__ = ("samples", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.samples: dict[int, Sample] = {}

    def put(self, sample: Sample) -> None:
        if sample.time_ns not in self.samples:
            insort(self.times, sample.time_ns)
        self.samples[sample.time_ns] = sample
        if len(self.times) > MAX_SAMPLES_A_SERIES:
            oldest = self.times[: MAX_SAMPLES_A_SERIES // 10]
            del self.times[: len(oldest)]
            for time_ns in oldest:
                del self.samples[time_ns]

    def remove(self, start_ns: int, end_ns: int) -> int:
        first, last = bisect_left(self.times, start_ns), bisect_left(self.times, end_ns)
        for time_ns in self.times[first:last]:
            del self.samples[time_ns]
        del self.times[first:last]
        return last - first

    def between(self, start_ns: int, end_ns: int, limit: int | None = None) -> list[Sample]:
        first, last = bisect_left(self.times, start_ns), bisect_left(self.times, end_ns)
        if limit is not None:
            last = min(last, first + limit)
        return [self.samples[time_ns] for time_ns in self.times[first:last]]


class MemoryStore:
    """Keeps times to the nanosecond. Nothing is durable: what the process held is gone with it.

    It has no rollups: what retention drops is gone, and a series whose readings are all gone is as if it had never been.
    """

    class Settings(BaseModel):
        """Nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or self.Settings()
        self._lock = threading.Lock()
        self._histories: dict[Series, _History] = {}
        self._checker = Checker()
        self._raw_from = 0

    def write(self, frames: Sequence[StoreFrame]) -> None:
        intake = self._checker.accept(frames)
        with self._lock:
            for node, time_ns, values, quality in intake.recent(self._raw_from):
                for point, value in values.items():
                    self._put(Series(node, point), Sample(time_ns, float(value), quality.get(point, "good")))
                for point in quality.keys() - values.keys():
                    self._put(Series(node, point), Sample(time_ns, None, quality[point]))
        intake.raise_refused()

    def _put(self, series: Series, sample: Sample) -> None:
        history = self._histories.get(series)
        if history is None:
            history = self._histories[series] = _History()
        history.put(sample)

    def latest(self, series: Sequence[Series] | None = None) -> dict[Series, Sample]:
        with self._lock:
            wanted = self._histories if series is None else [one for one in series if one in self._histories]
            return {one: self._histories[one].samples[self._histories[one].times[-1]] for one in wanted}

    def raw(self, series: Series, start_ns: int, end_ns: int, limit: int = 10_000) -> list[Sample]:
        check_range(start_ns, end_ns)
        check_limit(limit)
        return self._between(series, start_ns, end_ns, limit)

    def buckets(self, series: Series, start_ns: int, end_ns: int, count: int) -> list[Bucket]:
        slots = grid(start_ns, end_ns, count, Kept())
        return summarised(self._between(series, start_ns, end_ns, None), slots.start_ns, slots.width_ns)

    def kept(self) -> Kept:
        return Kept(raw_from_ns=self._raw_from)

    def maintain(self, now_ns: int, retention: Retention) -> bool:
        if retention.raw_ns is not None:
            self._raw_from = max(self._raw_from, floor_to(MINUTE, now_ns - retention.raw_ns))
            with self._lock:
                self._remove(list(self._histories), 0, self._raw_from)
        return False

    def delete(self, series: Series, start_ns: int, end_ns: int) -> int:
        check_range(start_ns, end_ns)
        with self._lock:
            return self._remove([series], start_ns, end_ns)

    def _remove(self, series: Sequence[Series], start_ns: int, end_ns: int) -> int:
        removed = 0
        for one in series:
            if history := self._histories.get(one):
                removed += history.remove(start_ns, end_ns)
                if not history.times:
                    del self._histories[one]
        return removed

    def scan(self, start_ns: int, end_ns: int, series: Sequence[Series] | None = None) -> Iterator[Any]:
        from gateway.store.scan import slices, table_of

        check_range(start_ns, end_ns)

        def rows(low: int, high: int) -> list[tuple[Series, Sample]]:
            chosen = self.series() if series is None else series
            return [(one, sample) for one in chosen for sample in self._between(one, low, high, None)]

        def begin(low: int, high: int) -> int | None:
            chosen = self.series() if series is None else series
            return min((sample.time_ns for one in chosen for sample in self._between(one, low, high, 1)), default=None)

        return slices(start_ns, end_ns, begin, lambda low, high: table_of(rows(low, high)))

    def _between(self, series: Series, start_ns: int, end_ns: int, limit: int | None) -> list[Sample]:
        with self._lock:
            history = self._histories.get(series)
            return history.between(start_ns, end_ns, limit) if history else []

    def series(self) -> list[Series]:
        with self._lock:
            return sorted(self._histories)

    def health(self) -> StoreHealth:
        return StoreHealth(ok=True, name="memory", detail="nothing is kept across a restart")

    def close(self) -> None:
        """Nothing is held."""
