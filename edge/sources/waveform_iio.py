"""Blocks of samples from the buffer of a Linux IIO device; what is missing is found from its timestamps, else from its rate."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import Retry
from edge.sources.waveform_gaps import RATE_TOLERANCE, GapFinder, clock_shift
from edge.sources.waveform_iio_device import BLOCK, TIMESTAMP, IioDevice, IioSettings, kind_of
from edge.sources.waveform_snapshots import Block, Samples, Stream

log = logging.getLogger("muki.edge.sources.waveform")

RATE_CHECK = 10.0  # s over which the samples of a device without timestamps are counted
RESYNC_NS = 2_000_000_000  # as far off, times that are counted begin anew
_UNITS = {"accel": "m/s2", "anglvel": "rad/s", "voltage": "mV"}  # of the ABI, after scale

Times = np.ndarray[Any, np.dtype[np.int64]]
Part = tuple[int, int, Samples]  # index of the first sample, its Unix time in ns, samples


async def iio_blocks(
    settings: IioSettings, points: Mapping[str, str], folder: Path, *, rate_hz: float | None, unit: str | None, scale: float, silence: float
) -> AsyncGenerator[Block, None]:
    """Blocks of the channels of ``points`` from the device, in physical units times ``scale``. Stops the buffer on every way out.

    Raises Retry where the device is absent, silent or gone, Misconfigured where it does not fit.
    """
    device, where = IioDevice(settings, points, folder), f"iio {settings.device}"
    descriptor, layout, rate = device.open(rate_hz)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport: asyncio.BaseTransport | None = None
    try:
        scales = [(channel, *device.scale(channel)) for channel in points]
        units = [unit or _UNITS.get(kind_of(channel), "1") for channel in points]
        stream = Stream(rate, list(points), "float32", [1.0] * len(points), units)
        size = max(1, round(BLOCK * rate))
        reader = asyncio.StreamReader(limit=max(1 << 12, 2 * size * layout.size))
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        except ValueError:
            raise Retry(f"{where}: its file in {settings.dev} is no character device") from None
        timed = any(element.name == TIMESTAMP for element in layout.elements)
        scans: Timed | Untimed = Timed(rate, where) if timed else Untimed(rate, where)
        while True:
            data = await _exactly(reader, size * layout.size, where, silence + size / rate)
            numbers = layout.numbers(data)
            samples = np.empty((size, len(points)), np.float32)
            for column, (channel, factor, offset) in enumerate(scales):
                samples[:, column] = (numbers[channel] + offset) * (factor * scale)
            times = numbers[TIMESTAMP] if timed else np.empty(0, np.int64)
            for first, time_ns, part in scans.parts(samples, times, time.time_ns(), time.monotonic()):
                yield Block(stream, first, time_ns, part)
    finally:
        device.stop()
        if transport is None:
            pipe.close()
        else:
            transport.close()
            await asyncio.sleep(0)  # the transport closes the descriptor in the loop's next turn


async def _exactly(reader: asyncio.StreamReader, size: int, where: str, silence: float) -> bytes:
    try:
        async with asyncio.timeout(silence):
            return await reader.readexactly(size)
    except TimeoutError:
        raise Retry(f"{where}: nothing came for {silence:g} s; does its trigger run?") from None
    except asyncio.IncompleteReadError:
        raise Retry(f"{where}: the device is gone") from None
    except OSError as error:
        raise Retry(f"{where}: the device is gone: {error.strerror or error}") from None


class Timed:
    """Scans with timestamps. One block stays behind: what follows it tells a gap from jitter."""

    def __init__(self, rate: float, where: str) -> None:
        self._gaps = GapFinder(rate)
        self._rate = rate
        self._where = where
        self._waiting: tuple[Samples, Times] | None = None
        self._next = 0
        self._shift: int | None = None
        self._last_ns = 0

    def parts(self, samples: Samples, times: Times, now_ns: int, now: float) -> Iterator[Part]:
        waiting, self._waiting = self._waiting, (samples, times)
        if waiting is None:
            return
        block, own = waiting
        if len(own) > 1 and not 0 <= float(np.median(np.diff(own))) <= 10e9 / self._rate:
            raise Retry(f"{self._where}: the timestamps make no sense, so the scans are out of step or the layout is wrong")
        counts, clock_was_set = self._gaps.missing(np.concatenate([own, times[: self._gaps.ahead]]), len(own), now)
        if self._shift is None or clock_was_set:
            self._shift = clock_shift(int(times[-1]), now_ns)
            if self._shift:
                log.warning("%s: its clock is off by %.1f s; our own is used", self._where, self._shift / 1e9)
        starts = np.flatnonzero(np.diff(counts, prepend=0))
        for start, end in zip([0, *starts.tolist()], [*starts.tolist(), len(own)], strict=True):
            if start < end:
                yield self._next + start + int(counts[start]), int(own[start]) + self._shift, block[start:end]
        self._next += len(own) + int(counts[-1])


class Untimed:
    """Scans without timestamps: their times are counted from when they arrive, and only a rate that is too low shows a loss."""

    def __init__(self, rate: float, where: str) -> None:
        log.warning("%s: gives no timestamps; losses of less than %g %% in %g s go unnoticed", where, 100 * RATE_TOLERANCE, RATE_CHECK)
        self._rate = rate
        self._next = 0
        self._zero_ns: int | None = None  # when the sample 0 was
        self._since: float | None = None
        self._counted = 0

    def parts(self, samples: Samples, times: Times, now_ns: int, now: float) -> Iterator[Part]:
        del times
        size = len(samples)
        if self._since is None:
            self._since = now
        else:
            self._counted += size
            due = (now - self._since) * self._rate
            if now - self._since >= RATE_CHECK:
                missing = round(due) - self._counted
                self._next += missing if missing > RATE_TOLERANCE * due else 0
                self._since, self._counted = now, 0
        seen_ns = now_ns - round((self._next + size) / self._rate * 1e9)
        if self._zero_ns is None or abs(seen_ns - self._zero_ns) > RESYNC_NS:
            self._zero_ns = seen_ns
        else:  # an arrival may be late, never early
            self._zero_ns += min(0, seen_ns - self._zero_ns) + max(0, seen_ns - self._zero_ns) // 100
        yield self._next, self._zero_ns + round(self._next / self._rate * 1e9), samples
        self._next += size
