"""Blocks of samples from a vibration logger on TCP."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator

import numpy as np

from edge.errors import Retry
from edge.sources.endpoint import Endpoint
from edge.sources.waveform_gaps import clock_shift
from edge.sources.waveform_snapshots import Block, Stream
from edge.sources.waveform_stream import HEADER, parse_greeting, parse_header

log = logging.getLogger("muki.edge.sources.waveform")


async def logger_blocks(tcp: Endpoint, silence: float) -> AsyncGenerator[Block, None]:
    """Blocks as the logger sends them. Raises Retry when it is absent, silent for ``silence`` seconds, or not understood."""
    reader, writer = await _connect(tcp, silence)
    try:
        stream = await _greeting(reader, tcp, silence)
        channels = len(stream.channels)
        shift: int | None = None
        while True:
            header = parse_header(await _read(reader, HEADER.size, tcp, silence), channels)
            data = await _read(reader, 2 * channels * header.samples, tcp, silence)
            if shift is None:
                shift = clock_shift(header.time_ns + round(header.samples / stream.rate_hz * 1e9), time.time_ns())
                if shift:
                    log.warning("tcp %s: the logger's clock is off by %.1f s; our own is used", tcp, shift / 1e9)
            yield Block(stream, header.first, header.time_ns + shift, np.frombuffer(data, "<i2").reshape(-1, channels))
    except ValueError as error:
        raise Retry(f"tcp {tcp}: {error}") from None
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(tcp: Endpoint, silence: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        async with asyncio.timeout(silence):
            return await asyncio.open_connection(tcp.host, tcp.port)
    except TimeoutError:
        raise Retry(f"tcp {tcp}: no answer within {silence:g} s; is the logger on, and the address right?") from None
    except OSError as error:
        raise Retry(f"tcp {tcp}: {error.strerror or error}; is the logger on, and the port right?") from None


async def _greeting(reader: asyncio.StreamReader, tcp: Endpoint, silence: float) -> Stream:
    try:
        async with asyncio.timeout(silence):
            line = await reader.readline()  # ValueError beyond 64 KiB
    except TimeoutError:
        raise Retry(f"tcp {tcp}: connected, but no greeting within {silence:g} s; is this port a vibration logger?") from None
    except OSError as error:
        raise Retry(f"tcp {tcp}: the connection was lost: {error}") from None
    if not line.endswith(b"\n"):
        raise Retry(f"tcp {tcp}: the logger closed the connection before its greeting")
    return parse_greeting(line)


async def _read(reader: asyncio.StreamReader, size: int, tcp: Endpoint, silence: float) -> bytes:
    try:
        async with asyncio.timeout(silence):
            return await reader.readexactly(size)
    except TimeoutError:
        raise Retry(f"tcp {tcp}: nothing came for {silence:g} s") from None
    except asyncio.IncompleteReadError:
        raise Retry(f"tcp {tcp}: the logger closed the connection") from None
    except OSError as error:
        raise Retry(f"tcp {tcp}: the connection was lost: {error}") from None
