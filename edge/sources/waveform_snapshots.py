"""Snapshots on schedule: waveforms cut from a stream of samples. Pure; no I/O."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edge.items import Waveform

MAX_SNAPSHOT = 16 << 20  # samples kept for one snapshot, all channels together
LONG_GAP = 10  # periods; parts that far apart are not joined

Samples = np.ndarray[Any, np.dtype[Any]]


class Stream(msgspec.Struct, frozen=True):
    """What is streamed: numbers of ``dtype``; ``scale`` (unit per number) and ``unit`` have one entry for each channel."""

    rate_hz: float
    channels: list[str]
    dtype: str
    scale: list[float]
    unit: list[str]


class Block(NamedTuple):
    """Samples of all channels of ``stream``, shape (n, channels), from the index ``first``, which was at ``time_ns`` (Unix)."""

    stream: Stream
    first: int
    time_ns: int
    samples: Samples


class Column(NamedTuple):
    """Where a point is found in a block, and what its numbers mean."""

    place: int
    point: str
    scale: float
    unit: str


def columns_of(stream: Stream, points: Mapping[str, str]) -> list[Column]:
    """The columns of ``points`` (waveform point by channel). Raises ValueError for a channel that is not there."""
    columns = []
    for channel, point in points.items():
        if channel not in stream.channels:
            raise ValueError(f"channel {channel!r} is not in the stream; it has {', '.join(stream.channels)}")
        index = stream.channels.index(channel)
        columns.append(Column(index, point, stream.scale[index], stream.unit[index]))
    return columns


def waveforms_of(columns: list[Column], samples: Samples, start_ns: int, rate_hz: float, dropped: int) -> list[Waveform]:
    """One waveform for each column; what they hold is theirs."""
    return [
        Waveform(
            column.point, start_ns, rate_hz, samples[:, column.place].astype(np.float32) * np.float32(column.scale), column.unit, dropped
        )
        for column in columns
    ]


def snapshot_size(stream: Stream, snapshot: float) -> int:
    """Samples of each channel in one snapshot. Raises ValueError where they would take too much memory."""
    size = max(1, round(snapshot * stream.rate_hz))
    if size * len(stream.channels) > MAX_SNAPSHOT:
        raise ValueError(f"a snapshot of {snapshot:g} s is {size} samples a channel at {stream.rate_hz:g} Hz: shorten it")
    return size


class Snapshots:
    """Cuts a snapshot of ``size`` samples out of every ``period`` samples; holds one snapshot, never more.

    Samples that the logger lost (the index jumps) are counted into the next snapshot's ``dropped``. A snapshot in which samples are
    missing is begun again once; a second gap in it is closed instead, for losses may be so frequent that none would ever be whole: better
    a waveform that says it is doubtful than none. An index that goes back means that the logger started again.
    """

    def __init__(self, stream: Stream, points: Mapping[str, str], snapshot: float, every: float) -> None:
        """``points``: waveform point by channel; ``snapshot`` and ``every`` in seconds. Raises ValueError for a channel that is not there."""
        self._columns = columns_of(stream, points)
        self._rate = stream.rate_hz
        self._size = snapshot_size(stream, snapshot)
        self._period = max(self._size, round(every * stream.rate_hz))
        self._kept = np.empty((self._size, len(stream.channels)), stream.dtype)
        self._filled = 0
        self._expected: int | None = None
        self._slot = 0  # index at which the next snapshot is to begin; they lie on a grid of the period
        self._begun_again = False
        self._start_ns = 0
        self._dropped = 0
        self.lost_samples = 0

    def feed(self, index: int, time_ns: int, block: Samples) -> list[Waveform]:
        """The waveforms that a block completes. ``block``: shape (n, channels); ``time_ns``: Unix time of its first sample."""
        self._align(index)
        size = len(block)
        self._expected = index + size
        done: list[Waveform] = []
        at = 0
        while at < size:
            if not self._filled:
                if self._slot >= index + size:
                    break
                at = max(at, self._slot - index)
                self._start_ns = time_ns + round(at / self._rate * 1e9)
            take = min(size - at, self._size - self._filled)
            self._kept[self._filled : self._filled + take] = block[at : at + take]
            self._filled += take
            at += take
            if self._filled == self._size:
                done += self._cut(index + at)
        return done

    def _align(self, index: int) -> None:
        if self._expected is None or index < self._expected:
            self._filled, self._slot, self._begun_again = 0, index, False
            return
        missing = index - self._expected
        if not missing:
            return
        self._dropped += missing
        self.lost_samples += missing
        if self._filled and (not self._begun_again or missing > LONG_GAP * self._period):
            self._filled, self._begun_again = 0, True

    def _cut(self, now: int) -> list[Waveform]:
        waveforms = waveforms_of(self._columns, self._kept, self._start_ns, self._rate, self._dropped)
        self._slot += self._period * max(1, -(-(now - self._slot) // self._period))
        self._filled, self._dropped, self._begun_again = 0, 0, False
        return waveforms
