"""The stream of a vibration logger: its greeting, its blocks, and the waveforms cut from them. Pure; no I/O.

On connection the logger sends one line of JSON, ``{"rate_hz", "channels", "dtype": "int16", "scale", "unit"}`` (``scale``: unit per count,
one for each channel), then blocks: a little-endian header of magic, index of the first sample, Unix time of the first sample in ns and
samples per channel n; then n samples of each channel, int16, little-endian, interleaved.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edge.items import Waveform

HEADER = struct.Struct("<IQQI")
MAGIC = 0x4B554D57
MAX_BLOCK = 4 << 20  # bytes of samples in one block; a longer one is taken for garbage
MAX_SNAPSHOT = 16 << 20  # samples kept for one snapshot, all channels together
LONG_GAP = 10  # periods; parts that far apart are not joined
CLOCK_TOLERANCE_NS = 2_000_000_000  # a logger whose clock is further off is given ours

Counts = np.ndarray[Any, np.dtype[np.int16]]


class Greeting(msgspec.Struct, frozen=True):
    """What a logger says of itself; ``scale`` and ``unit`` have one entry for each channel."""

    rate_hz: float
    channels: list[str]
    dtype: str
    scale: list[float]
    unit: list[str]


class BlockHeader(NamedTuple):
    first: int  # index of the first sample
    time_ns: int
    samples: int


def parse_greeting(line: bytes) -> Greeting:
    """The greeting. Raises ValueError saying what is wrong with it."""
    try:
        greeting = msgspec.json.decode(line, type=Greeting)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the first line is not the greeting of a logger ({error}); it begins {line[:40]!r}") from None
    if greeting.dtype != "int16":
        raise ValueError(f"the logger sends {greeting.dtype!r}; only int16 is read")
    if not 1 <= greeting.rate_hz <= 1e6:
        raise ValueError(f"the logger says {greeting.rate_hz} Hz; 1 Hz to 1 MHz is possible")
    count = len(greeting.channels)
    if not 1 <= count <= 64 or len(greeting.scale) != count or len(greeting.unit) != count:
        raise ValueError(
            f"the logger names {count} channels, {len(greeting.scale)} scales and {len(greeting.unit)} units; one of each is needed"
        )
    if not all(math.isfinite(scale) and scale for scale in greeting.scale):
        raise ValueError(f"the logger's scales are {greeting.scale}; finite numbers other than 0 are needed")
    return greeting


def parse_header(data: bytes, channels: int) -> BlockHeader:
    """The header of a block. Raises ValueError where it is none: the stream is then out of step for good."""
    magic, index, time_ns, samples = HEADER.unpack(data)
    if magic != MAGIC:
        raise ValueError(f"a block begins with {magic:#010x} instead of {MAGIC:#010x}: the stream is out of step")
    if not 1 <= samples <= MAX_BLOCK // (2 * channels):
        raise ValueError(f"a block claims {samples} samples: the stream is out of step")
    return BlockHeader(index, time_ns, samples)


class Snapshots:
    """Cuts a snapshot of ``size`` samples out of every ``period`` samples; holds one snapshot, never more.

    Samples that the logger lost (the index jumps) are counted into the next snapshot's ``dropped``. A snapshot in which samples are
    missing is begun again once; a second gap in it is closed instead, for losses may be so frequent that none would ever be whole: better
    a waveform that says it is doubtful than none. An index that goes back means that the logger started again.
    """

    def __init__(self, greeting: Greeting, points: Mapping[str, str], snapshot: float, every: float) -> None:
        """``points``: waveform point by channel; ``snapshot`` and ``every`` in seconds. Raises ValueError for a channel that is not there."""
        self._columns = []
        for channel, point in points.items():
            if channel not in greeting.channels:
                raise ValueError(f"channel {channel!r} is not in the stream; it has {', '.join(greeting.channels)}")
            column = greeting.channels.index(channel)
            self._columns.append((column, point, greeting.scale[column], greeting.unit[column]))
        self._rate = greeting.rate_hz
        self._size = max(1, round(snapshot * greeting.rate_hz))
        self._period = max(self._size, round(every * greeting.rate_hz))
        if self._size * len(greeting.channels) > MAX_SNAPSHOT:
            raise ValueError(f"a snapshot of {snapshot:g} s is {self._size} samples a channel at {self._rate:g} Hz: shorten it")
        self._kept = np.empty((self._size, len(greeting.channels)), np.int16)
        self._filled = 0
        self._expected: int | None = None
        self._slot = 0  # index at which the next snapshot is to begin; they lie on a grid of the period
        self._begun_again = False
        self._start_ns = 0
        self._dropped = 0
        self.lost_samples = 0

    def feed(self, index: int, time_ns: int, block: Counts) -> list[Waveform]:
        """The waveforms that a block completes. ``block``: int16, shape (n, channels); ``time_ns``: Unix time of its first sample."""
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
        waveforms = [
            Waveform(point, self._start_ns, self._rate, self._kept[:, column].astype(np.float32) * np.float32(scale), unit, self._dropped)
            for column, point, scale, unit in self._columns
        ]
        self._slot += self._period * max(1, -(-(now - self._slot) // self._period))
        self._filled, self._dropped, self._begun_again = 0, 0, False
        return waveforms


def clock_shift(block_end_ns: int, now_ns: int) -> int:
    """What to add to a logger's times, in ns: 0 where its clock agrees with ours, else what makes its first block end now."""
    return 0 if abs(block_end_ns - now_ns) <= CLOCK_TOLERANCE_NS else now_ns - block_end_ns
