"""The time-series store: one protocol, its registry, and the types that go in and out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from contract.values import Level
from gateway.store.rollup import Kept


class Series(NamedTuple):
    """One point of one node."""

    node: str
    point: str


class StoreFrame(NamedTuple):
    """Readings of one node at one instant. ``values`` in the points' units; ``quality`` only for those that are not good (``bad:wire_break``).

    A point in ``quality`` alone was not read: it is stored without a value.
    """

    node: str
    time_ns: int
    values: Mapping[str, float]
    quality: Mapping[str, str]


class Sample(NamedTuple):
    """One stored reading. ``quality`` is ``good`` or ``level:reason``; ``value`` is None where nothing could be read."""

    time_ns: int
    value: float | None
    quality: str


class Bucket(NamedTuple):
    """What a chart draws for one slot of time: ``start_ns`` is the slot's beginning; no bucket where there was no value.

    ``samples`` counts good and uncertain values, of which ``last`` is the newest; ``worst`` is the worst quality of all readings of the slot.
    """

    start_ns: int
    minimum: float
    maximum: float
    mean: float
    samples: int
    last: float
    worst: Level


class Retention(NamedTuple):
    """How long raw readings, minutes and hours are kept, in ns; None for ever. Nothing is dropped that the level above has not taken in."""

    raw_ns: int | None = None
    minute_ns: int | None = None
    hour_ns: int | None = None


class StoreHealth(NamedTuple):
    """Whether the store takes writes now, which it is (name and version), and what it says when it does not."""

    ok: bool
    name: str
    detail: str = ""


class StoreUnavailable(Exception):
    """The store cannot be reached or cannot write now: keep the batch and try again."""


class StoreRefused(Exception):
    """The store will never take these frames: dead-letter them with the reason; the others of the batch are written."""

    def __init__(self, frames: Sequence[StoreFrame], reason: str) -> None:
        super().__init__(reason)
        self.frames = frames
        self.reason = reason


@runtime_checkable
class TimeSeriesStore(Protocol):
    """Keeps readings. Every method blocks, may be called from any thread, and is safe to call from several at once.

    - ``write`` returns when the frames are durable: they survive SIGKILL and power loss. An equal series and timestamp overwrites, so writing
      a batch twice leaves one copy. Frames may be late and in any order.
    - times are kept to the nanosecond or at least to the millisecond (the store says which in its docstring).
    - reads give ascending time; ``start_ns`` is inside, ``end_ns`` outside the range.
    """

    def write(self, frames: Sequence[StoreFrame]) -> None:
        """Raises StoreUnavailable (nothing promised, write again) or StoreRefused (the frames it carries are not stored, the rest are)."""
        ...

    def latest(self, series: Sequence[Series] | None = None) -> dict[Series, Sample]:
        """The newest sample by time of each series, of all when None; a series without samples is left out."""
        ...

    def raw(self, series: Series, start_ns: int, end_ns: int, limit: int = 10_000) -> list[Sample]:
        """The first ``limit`` samples of the range."""
        ...

    def buckets(self, series: Series, start_ns: int, end_ns: int, count: int) -> list[Bucket]:
        """At most ``count`` (1 to 1,000) equal slots over the range, those of `rollup.grid(start_ns, end_ns, count, kept())`."""
        ...

    def kept(self) -> Kept:
        """What is rolled up, and what retention has dropped."""
        ...

    def maintain(self, now_ns: int, retention: Retention) -> bool:
        """Does a second or so of what is due: rolls up, rolls up again what came late, drops what is too old. True when there is more to do.

        Writes go on meanwhile. From then on a frame older than the raw data that are kept is refused. Raises StoreUnavailable.
        """
        ...

    def delete(self, series: Series, start_ns: int, end_ns: int) -> int:
        """Deletes the readings of the range and takes them out of the rollups; returns how many readings it were.

        Where only a rollup is left, the whole minute or hour that the range touches goes. Raises StoreUnavailable.
        """
        ...

    def scan(self, start_ns: int, end_ns: int, series: Sequence[Series] | None = None) -> Iterator[Any]:
        """Every reading of the range, of all series when None, as Arrow tables of bounded size (`gateway.store.scan`), slice after slice of time."""
        ...

    def series(self) -> list[Series]:
        """Every series that has a sample, sorted."""
        ...

    def health(self) -> StoreHealth: ...

    def close(self) -> None:
        """Releases everything; the store is not used afterwards."""
        ...


REGISTRY: dict[str, str] = {
    "duckdb": "gateway.store.duckdb:DuckDBStore",
    "influx": "gateway.store.influx:InfluxStore",
    "memory": "gateway.store.memory:MemoryStore",
}
