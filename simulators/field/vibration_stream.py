"""A vibration logger on TCP: IEPE channels, digitised, in blocks of 0.1 s at the pace of the clock.

On connection: one line of JSON and a newline, {"rate_hz", "channels", "dtype": "int16", "scale", "unit"}; scale is unit per count. Then
blocks: a little-endian header `<IQQI` of magic 0x4B554D57, index of the first sample, Unix time of the first sample in ns, and samples per
channel n; then n x channels int16, little-endian, interleaved.
"""

import asyncio
import json
import struct
import time
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simulators.field.listener import Listener

MAGIC = 0x4B554D57
HEADER = struct.Struct("<IQQI")
BLOCK = 0.1  # seconds
BACKLOG = 1 << 20  # bytes that a client may lag before blocks are dropped for it

Samples = Callable[[int], NDArray[np.float32]]  # n -> the next n samples, shape (n, channels), in `unit`


class VibrationStream(Listener):
    """Serves what ``samples`` yields. Without a client the samples pass unheard: their indexes are counted, they are not computed."""

    def __init__(
        self,
        samples: Samples,
        *,
        channels: tuple[str, ...] = ("de",),
        rate_hz: int = 12_800,
        scale: float = 0.0005,
        unit: str = "g",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(self._converse, host=host, port=port)
        self.stalled = False  # for tests: connected, and nothing comes
        self._samples = samples
        self._rate = rate_hz
        self._scale = scale
        greeting = {
            "rate_hz": rate_hz,
            "channels": channels,
            "dtype": "int16",
            "scale": [scale] * len(channels),
            "unit": [unit] * len(channels),
        }
        self._greeting = json.dumps(greeting).encode() + b"\n"
        self._clients: set[asyncio.StreamWriter] = set()
        self._to_drop = 0
        self._pacer: asyncio.Task[None] | None = None

    def drop(self, samples: int) -> None:
        """For tests: the next ``samples`` samples are lost; the index of the next block tells."""
        self._to_drop += samples

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._pacer = asyncio.create_task(self._pace(), name="vibration blocks")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            await asyncio.gather(self._pacer, return_exceptions=True)
        await super().__aexit__()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._greeting)
        self._clients.add(writer)
        try:
            while await reader.read(1024):
                pass  # a logger takes no commands
        finally:
            self._clients.discard(writer)

    async def _pace(self) -> None:
        size = round(self._rate * BLOCK)
        start_ns, start = time.time_ns(), time.monotonic()
        index = 0
        while True:
            await asyncio.sleep(max(0.0, start + (index + size) / self._rate - time.monotonic()))
            if self._clients and not self.stalled:
                self._send(index, start_ns, self._samples(size))
            index += size

    def _send(self, index: int, start_ns: int, block: NDArray[np.float32]) -> None:
        lost = min(self._to_drop, len(block))
        self._to_drop -= lost
        if lost == len(block):
            return
        index, block = index + lost, block[lost:]
        counts = np.clip(np.rint(block / self._scale), -32768, 32767).astype("<i2")
        message = HEADER.pack(MAGIC, index, start_ns + index * 1_000_000_000 // self._rate, len(block)) + counts.tobytes()
        for client in self._clients:
            if not client.is_closing() and client.transport.get_write_buffer_size() < BACKLOG:
                client.write(message)
