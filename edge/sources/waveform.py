"""Vibration waveforms: snapshots from a logger on TCP, or from a recorded file at the pace of the clock."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from contract.messages import PointDeclaration
from contract.values import check_point
from edge.errors import Misconfigured, Retry
from edge.items import Item, Waveform
from edge.sources import SourceContext, SourceSettings
from edge.sources.cadence import next_slot
from edge.sources.endpoint import HostPort
from edge.sources.waveform_file import ENDINGS, open_recording
from edge.sources.waveform_stream import HEADER, Greeting, Snapshots, clock_shift, parse_greeting, parse_header

log = logging.getLogger(__name__)

PointName = Annotated[str, AfterValidator(check_point)]


class WaveformSettings(SourceSettings):
    """Where the samples come from, which point each channel is, and how much of them is kept."""

    tcp: HostPort | None = Field(None, description="host:port of a vibration logger")
    file: str | None = Field(None, min_length=1, description="A recording: .wav, .npy, .npz or .csv; relative to the configuration")
    points: dict[str, PointName] = Field(min_length=1, description="Waveform point by channel")
    snapshot: float = Field(1.0, gt=0, le=60, description="Seconds of samples in one waveform")
    every: float = Field(2.0, gt=0, le=86400, description="Seconds from one waveform to the next; snapshot or more")
    timeout: float = Field(3.0, ge=0.05, le=600, description="Seconds without a sample until the logger is taken for gone (tcp)")
    rate_hz: float | None = Field(None, gt=0, le=1e6, description="Samples a second, for a file that does not tell (all but .wav)")
    unit: str = Field("g", min_length=1, max_length=16, description="Unit of the samples of a file, after scale; a logger tells its own")
    scale: float = Field(1.0, allow_inf_nan=False, description="Unit per number in the file; a .wav counts as -1 to 1")
    loop: bool = Field(False, description="Begin the file again at its end; else the source falls silent there")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.tcp is None) == (self.file is None):
            raise ValueError("write either tcp: host:port or file: PATH, one of the two")
        if self.tcp is not None and not self.tcp.port:
            raise ValueError(f"tcp {self.tcp}: the port is missing; write host:port, for example 192.168.1.20:5300")
        if self.tcp is not None and (given := {"rate_hz", "unit", "scale", "loop"} & self.model_fields_set):
            raise ValueError(f"{', '.join(sorted(given))}: only for a file; a logger says this itself")
        if self.file is not None and Path(self.file).suffix.lower() not in ENDINGS:
            raise ValueError(f"file {self.file}: write one ending in {', '.join(ENDINGS)}")
        if self.snapshot > self.every:
            raise ValueError(f"snapshot is {self.snapshot:g} s and every {self.every:g} s: snapshot must not be the longer one")
        if len(set(self.points.values())) < len(self.points):
            raise ValueError("two channels have the same point; each channel needs its own")
        return self


class WaveformSource:
    """Snapshots of one logger or one file. ``lost_samples`` counts what the logger dropped, over all connections."""

    Settings: ClassVar[type[SourceSettings]] = WaveformSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, WaveformSettings):
            raise TypeError(f"WaveformSource takes WaveformSettings, not {type(settings).__name__}")
        self._settings = settings
        self._path = context.folder / settings.file if settings.file is not None else None
        self.lost_samples = 0
        self.missed_snapshots = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """One batch for each snapshot, a Waveform for each channel. Raises Retry when the logger is absent, silent or not understood, and
        Misconfigured for a channel or file that does not fit."""
        batches = self._from_file(self._path) if self._path is not None else self._from_logger()
        async with contextlib.aclosing(batches):
            async for batch in batches:
                yield batch

    async def _from_logger(self) -> AsyncGenerator[Sequence[Item], None]:
        settings, where = self._settings, f"tcp {self._settings.tcp}"
        reader, writer = await self._connect()
        try:
            greeting = await self._greeting(reader)
            channels = len(greeting.channels)
            try:
                snapshots = Snapshots(greeting, settings.points, settings.snapshot, settings.every)
            except ValueError as error:
                raise Misconfigured(f"{where}: {error}") from None
            shift: int | None = None
            while True:
                header = parse_header(await self._read(reader, HEADER.size), channels)
                data = await self._read(reader, 2 * channels * header.samples)
                if shift is None:
                    shift = clock_shift(header.time_ns + round(header.samples / greeting.rate_hz * 1e9), time.time_ns())
                    if shift:
                        log.warning("%s: the logger's clock is off by %.1f s; our own is used", where, shift / 1e9)
                lost = snapshots.lost_samples
                block = np.frombuffer(data, "<i2").reshape(-1, channels)
                waveforms = snapshots.feed(header.first, header.time_ns + shift, block)
                if snapshots.lost_samples > lost:
                    self.lost_samples += snapshots.lost_samples - lost
                    log.warning("%s: %d samples lost, %d in all", where, snapshots.lost_samples - lost, self.lost_samples)
                if waveforms:
                    yield waveforms
        except ValueError as error:
            raise Retry(f"{where}: {error}") from None
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tcp, timeout = self._settings.tcp, self._settings.timeout
        assert tcp is not None  # noqa: S101 - the settings have one of the two
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.open_connection(tcp.host, tcp.port)
        except TimeoutError:
            raise Retry(f"tcp {tcp}: no answer within {timeout:g} s; is the logger on, and the address right?") from None
        except OSError as error:
            raise Retry(f"tcp {tcp}: {error.strerror or error}; is the logger on, and the port right?") from None

    async def _greeting(self, reader: asyncio.StreamReader) -> Greeting:
        tcp, timeout = self._settings.tcp, self._settings.timeout
        try:
            async with asyncio.timeout(timeout):
                line = await reader.readline()  # ValueError beyond 64 KiB
        except TimeoutError:
            raise Retry(f"tcp {tcp}: connected, but no greeting within {timeout:g} s; is this port a vibration logger?") from None
        except OSError as error:
            raise Retry(f"tcp {tcp}: the connection was lost: {error}") from None
        if not line.endswith(b"\n"):
            raise Retry(f"tcp {tcp}: the logger closed the connection before its greeting")
        return parse_greeting(line)

    async def _read(self, reader: asyncio.StreamReader, size: int) -> bytes:
        tcp, timeout = self._settings.tcp, self._settings.timeout
        try:
            async with asyncio.timeout(timeout):
                return await reader.readexactly(size)
        except TimeoutError:
            raise Retry(f"tcp {tcp}: nothing came for {timeout:g} s") from None
        except asyncio.IncompleteReadError:
            raise Retry(f"tcp {tcp}: the logger closed the connection") from None
        except OSError as error:
            raise Retry(f"tcp {tcp}: the connection was lost: {error}") from None

    async def _from_file(self, path: Path) -> AsyncGenerator[Sequence[Item], None]:
        settings = self._settings
        try:
            recording = open_recording(path)
        except FileNotFoundError:
            raise Retry(f"file {path}: there is no such file") from None
        except OSError as error:
            raise Retry(f"file {path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise Misconfigured(f"file {error}") from None
        rate = settings.rate_hz or recording.rate_hz
        if not rate:
            raise Misconfigured(f"file {path}: does not tell its sampling rate; write rate_hz: …")
        if missing := [channel for channel in settings.points if channel not in recording.channels]:
            raise Misconfigured(f"file {path}: has no channel {', '.join(missing)}; it has {', '.join(recording.channels)}")
        size = round(settings.snapshot * rate)
        if not 1 <= size <= recording.length:
            raise Misconfigured(f"file {path}: holds {recording.length / rate:g} s, less than one snapshot of {settings.snapshot:g} s")
        start, start_ns, slot = time.monotonic(), time.time_ns(), 0
        at = 0
        while settings.loop or at + size <= recording.length:
            if at + size > recording.length:
                at = 0
            await asyncio.sleep(max(0.0, start + slot * settings.every + settings.snapshot - time.monotonic()))
            begun_ns = start_ns + round(slot * settings.every * 1e9)
            try:
                yield [
                    Waveform(point, begun_ns, rate, recording.read(channel, at, size) * np.float32(settings.scale), settings.unit)
                    for channel, point in settings.points.items()
                ]
            except (OSError, EOFError) as error:
                raise Retry(f"file {path}: cannot be read any more: {error}") from None
            following, missed = next_slot(start + settings.snapshot, settings.every, slot, time.monotonic())
            self.missed_snapshots += missed
            at += round((following - slot) * settings.every * rate)
            slot = following
        log.info("file %s: at its end; write loop: true to begin again", path)
        await asyncio.Event().wait()  # a source goes on until it is cancelled
