"""A device of the Linux IIO subsystem with a buffer, as user space sees it: a sysfs tree in a folder, and a FIFO as its character device.

Source: Documentation/ABI/testing/sysfs-bus-iio and Documentation/iio/iio_devbuf.rst of the kernel. While buffer/enable holds 1, scans of the
enabled channels come at sampling_frequency, packed as their `_type` files say; what the buffer of buffer/length scans cannot hold is lost.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

TICK = 0.02  # s
PIPE = 4096  # bytes that the FIFO itself holds: as little as there can be, for the buffer is ours

Samples = Callable[[int], NDArray[np.floating]]  # n -> the next n samples, shape (n, channels), in the unit of the ABI


class Channel(NamedTuple):
    """One channel: raw = value / scale - offset, written as ``kind`` says."""

    name: str
    kind: str = "le:s16/16>>0"
    scale: float = 0.001
    offset: float = 0.0


class IioDevice:
    """``sysfs`` and ``dev`` are what /sys and /dev are; unplugged until `plug` or the context begins.

    For tests: ``stalled`` (its trigger stops), `lose` samples, ``jitter`` (seconds by which a timestamp may be late), ``true_rate`` (what it
    really runs at), ``skew_ns`` (its clock), ``written`` (whole scans handed over).
    """

    def __init__(
        self,
        folder: Path,
        samples: Samples,
        *,
        channels: Sequence[Channel] = (Channel("accel_x"),),
        rate_hz: int = 3200,
        rates: Sequence[int] = (),
        name: str = "adxl372",
        timestamps: bool = True,
        trigger: str | None = None,
    ) -> None:
        self.sysfs, self.dev = folder / "sys", folder / "dev"
        self.home = self.sysfs / "bus/iio/devices/iio:device0"
        self.stalled = False
        self.jitter = 0.0
        self.true_rate: float | None = None
        self.skew_ns = 0
        self.written = 0
        self.overrun = 0
        self._samples = samples
        self._channels = list(channels)
        self._rate = rate_hz
        self._rates = rates or (rate_hz,)
        self._name = name
        self._timestamps = timestamps
        self._trigger = trigger
        self._to_lose = 0
        self._fifo: int | None = None
        self._dice = np.random.default_rng(1)
        self._task: asyncio.Task[None] | None = None

    def lose(self, samples: int) -> None:
        """The next samples never reach the buffer."""
        self._to_lose += samples

    async def __aenter__(self) -> Self:
        self.plug()
        self._task = asyncio.create_task(self._run(), name="iio device")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.unplug()

    def plug(self) -> None:
        """The driver binds: the tree and the character device appear."""
        if self._fifo is not None:
            return
        files = {
            "name": self._name,
            "sampling_frequency": str(self._rate),
            "sampling_frequency_available": " ".join(map(str, self._rates)),
            "current_timestamp_clock": "monotonic",
            "buffer/enable": "0",
            "buffer/length": "2",
            "buffer/watermark": "1",
        }
        if self._trigger is not None:
            files["trigger/current_trigger"] = ""
        for index, channel in enumerate(self._channels):
            files[f"scan_elements/in_{channel.name}_en"] = "0"
            files[f"scan_elements/in_{channel.name}_index"] = str(index)
            files[f"scan_elements/in_{channel.name}_type"] = channel.kind
            files[f"in_{channel.name}_scale"] = repr(channel.scale)
            if channel.offset:
                files[f"in_{channel.name}_offset"] = repr(channel.offset)
        if self._timestamps:
            files["scan_elements/in_timestamp_en"] = "0"
            files["scan_elements/in_timestamp_index"] = str(len(self._channels))
            files["scan_elements/in_timestamp_type"] = "le:s64/64>>0"
        for name, text in files.items():
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        self.dev.mkdir(exist_ok=True)
        node = self.dev / self.home.name
        os.mkfifo(node)
        self._fifo = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fifo, fcntl.F_SETPIPE_SZ, PIPE)

    def unplug(self) -> None:
        """The driver goes: what is read ends, the tree disappears."""
        if self._fifo is None:
            return
        (self.dev / self.home.name).unlink()
        os.close(self._fifo)
        self._fifo = None
        shutil.rmtree(self.home)

    def write(self, data: bytes) -> None:
        """Puts bytes into the FIFO that no driver would."""
        if self._fifo is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._fifo, data)

    def _says(self, name: str) -> str:
        try:
            return (self.home / name).read_text().strip()
        except OSError:
            return ""

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self._fifo is not None and self._says("buffer/enable") == "1":
                await self._capture(self._fifo)

    async def _capture(self, fifo: int) -> None:
        """From enable to disable: scans are made at the pace of the clock and handed over as the reader takes them."""
        enabled = [channel for channel in self._channels if self._says(f"scan_elements/in_{channel.name}_en") == "1"]
        stamped = self._says("scan_elements/in_timestamp_en") == "1"
        if self._trigger is not None and self._says("trigger/current_trigger") != self._trigger:
            return  # the kernel refuses the enable; here nothing comes
        rate = self.true_rate or float(self._says("sampling_frequency"))
        clock = time.time_ns if self._says("current_timestamp_clock") == "realtime" else time.monotonic_ns
        start_ns, start, made = clock(), time.monotonic(), 0
        waiting = bytearray()
        size = _size([channel.kind for channel in enabled], stamped)
        capacity = int(self._says("buffer/length")) * size
        sent = 0
        while self._fifo == fifo and self._says("buffer/enable") != "0":
            count = int((time.monotonic() - start) * rate) - made
            if count > 0 and not self.stalled:
                values = self._samples(count)
                late = self._dice.uniform(0, self.jitter, count) if self.jitter else np.zeros(count)
                times = start_ns + self.skew_ns + np.round(((made + np.arange(count)) / rate + late) * 1e9).astype(np.int64)
                columns = [self._channels.index(channel) for channel in enabled]
                scans = pack(values[:, columns], enabled, times if stamped else None)
                lost = min(self._to_lose, count)
                self._to_lose -= lost
                room = (capacity - len(waiting)) // size
                kept = scans[lost * size :][: max(0, room) * size]
                self.overrun += count - lost - len(kept) // size
                waiting += kept
            made += max(0, count)
            with contextlib.suppress(BlockingIOError):
                while waiting:
                    taken = os.write(fifo, waiting[:PIPE])
                    del waiting[:taken]
                    sent += taken
                    if sent % (16 * PIPE) < PIPE:
                        await asyncio.sleep(0)
            self.written += sent // size
            sent %= size
            await asyncio.sleep(0.001 if waiting else TICK)
        if self._fifo == fifo:  # what nobody took is thrown away with the buffer
            with contextlib.suppress(BlockingIOError):
                while os.read(fifo, 1 << 16):
                    pass


def _parsed(kind: str) -> tuple[str, bool, int, int, int]:
    found = re.fullmatch(r"(be|le):([su])(\d+)/(\d+)>>(\d+)", kind)
    assert found  # noqa: S101 - ours
    return found[1], found[2] == "s", int(found[3]), int(found[4]) // 8, int(found[5])


def _size(kinds: Sequence[str], stamped: bool) -> int:
    widths = [_parsed(kind)[3] for kind in kinds] + [8] * stamped
    at = 0
    for width in widths:
        at += -at % width + width
    return at + -at % max(widths, default=1)


def pack(values: NDArray[np.floating], channels: Sequence[Channel], times_ns: NDArray[np.int64] | None) -> bytes:
    """Scans: each channel aligned to its width in the order of its index, the timestamp last, the whole aligned to the widest."""
    count = len(values)
    size = _size([channel.kind for channel in channels], times_ns is not None)
    scans = np.full((count, size), 0xA5, np.uint8)  # what lies between is never 0 for certain
    at = 0
    for column, channel in enumerate(channels):
        order, signed, bits, width, shift = _parsed(channel.kind)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        raw = np.clip(np.rint(values[:, column] / channel.scale - channel.offset), low, high).astype(np.int64)
        word = (raw.astype(np.uint64) & np.uint64((1 << bits) - 1)) << np.uint64(shift)
        octets = word.astype(">u8" if order == "be" else "<u8").view(np.uint8).reshape(count, 8)
        at += -at % width
        scans[:, at : at + width] = octets[:, 8 - width :] if order == "be" else octets[:, :width]
        at += width
    if times_ns is not None:
        at += -at % 8
        scans[:, at : at + 8] = times_ns.astype("<i8").view(np.uint8).reshape(count, 8)
    return scans.tobytes()
