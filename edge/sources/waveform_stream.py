"""The stream of a vibration logger: its greeting and its blocks. Pure; no I/O.

On connection the logger sends one line of JSON, ``{"rate_hz", "channels", "dtype": "int16", "scale", "unit"}`` (``scale``: unit per count,
one for each channel), then blocks: a little-endian header of magic, index of the first sample, Unix time of the first sample in ns and
samples per channel n; then n samples of each channel, int16, little-endian, interleaved.
"""

import math
import struct
from typing import NamedTuple

import msgspec

from edge.sources.waveform_snapshots import Stream

HEADER = struct.Struct("<IQQI")
MAGIC = 0x4B554D57
MAX_BLOCK = 4 << 20  # bytes of samples in one block; a longer one is taken for garbage


class BlockHeader(NamedTuple):
    first: int  # index of the first sample
    time_ns: int
    samples: int


def parse_greeting(line: bytes) -> Stream:
    """The greeting. Raises ValueError saying what is wrong with it."""
    try:
        greeting = msgspec.json.decode(line, type=Stream)
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
