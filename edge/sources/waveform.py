"""Vibration waveforms: snapshots from a logger on TCP, from a Linux IIO device, or from a recorded file at the pace of the clock."""

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
from edge.sources.waveform_file import ENDINGS, Recording, open_recording
from edge.sources.waveform_iio import iio_blocks
from edge.sources.waveform_iio_device import IioSettings
from edge.sources.waveform_logger import logger_blocks
from edge.sources.waveform_snapshots import Block, Snapshots, Stream
from edge.sources.waveform_trigger import Triggered, TriggerSettings

log = logging.getLogger("muki.edge.sources.waveform")

OVERLAP_NS = 120_000_000_000  # twice the longest snapshot; further back, the clock was set
REPLAY_BLOCK = 0.1  # s of a file that is watched for a level

PointName = Annotated[str, AfterValidator(check_point)]


class WaveformSettings(SourceSettings):
    """Where the samples come from, which point each channel is, and how much of them is kept."""

    tcp: HostPort | None = Field(None, description="host:port of a vibration logger")
    iio: IioSettings | None = Field(None, description="A device of the Linux IIO subsystem, with a buffer")
    file: str | None = Field(None, min_length=1, description="A recording: .wav, .npy, .npz or .csv; relative to the configuration")
    points: dict[str, PointName] = Field(min_length=1, description="Waveform point by channel")
    snapshot: float = Field(1.0, gt=0, le=60, description="Seconds of samples in one waveform")
    every: float = Field(2.0, gt=0, le=86400, description="Seconds from one waveform to the next; snapshot or more")
    trigger: TriggerSettings | None = Field(None, description="A level that takes snapshots besides those of every")
    timeout: float = Field(3.0, ge=0.05, le=600, description="Seconds without a sample until the device is taken for gone (tcp, iio)")
    rate_hz: float | None = Field(
        None, gt=0, le=1e6, description="Samples a second, where a file does not tell; what an IIO device is set to"
    )
    unit: str = Field("g", min_length=1, max_length=16, description="Unit of the samples after scale (file, iio); a logger tells its own")
    scale: float = Field(
        1.0, allow_inf_nan=False, description="Unit per number in the file, a .wav being -1 to 1; per unit of the ABI (iio)"
    )
    loop: bool = Field(False, description="Begin the file again at its end; else the source falls silent there")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.tcp, self.iio, self.file)) != 1:
            raise ValueError("write either tcp: host:port or file: PATH or iio: {device: NAME}, one of the three")
        if self.tcp is not None and not self.tcp.port:
            raise ValueError(f"tcp {self.tcp}: the port is missing; write host:port, for example 192.168.1.20:5300")
        if self.tcp is not None and (given := {"rate_hz", "unit", "scale", "loop"} & self.model_fields_set):
            raise ValueError(f"{', '.join(sorted(given))}: only for a file or iio; a logger says this itself")
        if self.iio is not None and self.loop:
            raise ValueError("loop: only for a file")
        if self.file is not None and Path(self.file).suffix.lower() not in ENDINGS:
            raise ValueError(f"file {self.file}: write one ending in {', '.join(ENDINGS)}")
        if self.snapshot > self.every:
            raise ValueError(f"snapshot is {self.snapshot:g} s and every {self.every:g} s: snapshot must not be the longer one")
        if len(set(self.points.values())) < len(self.points):
            raise ValueError("two channels have the same point; each channel needs its own")
        return self

    @model_validator(mode="after")
    def _trigger_fits(self) -> Self:
        if self.trigger is None:
            return self
        if self.trigger.before >= self.snapshot:
            raise ValueError(
                f"trigger: before is {self.trigger.before:g} s and snapshot {self.snapshot:g} s: before must be the shorter one"
            )
        if unknown := [channel for channel in self.trigger.channels if channel not in self.points]:
            raise ValueError(f"trigger: channels: {', '.join(unknown)} has no point; there are {', '.join(self.points)}")
        return self


class WaveformSource:
    """Snapshots of one logger, IIO device or file, on schedule and on trigger.

    Counters for the operator, over all connections: ``lost_samples`` (samples of each channel that the device dropped, or that a file
    claims and does not hold), ``missed_snapshots`` (of a schedule that the node was too slow for), ``triggered_snapshots``.
    """

    Settings: ClassVar[type[SourceSettings]] = WaveformSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, WaveformSettings):
            raise TypeError(f"WaveformSource takes WaveformSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self.lost_samples = 0
        self.missed_snapshots = 0
        self.triggered_snapshots = 0

    def points(self) -> Mapping[str, PointDeclaration]:
        return {}

    def counters(self) -> Mapping[str, int]:
        return {"lost_samples": self.lost_samples, "missed_snapshots": self.missed_snapshots}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """One batch for each snapshot, a Waveform for each channel. Raises Retry when the device is absent, silent or not understood, and
        Misconfigured for a channel, rate or file that does not fit."""
        settings = self._settings
        if settings.file is not None:
            path = self._folder / settings.file
            batches = self._cut(self._replayed(path), f"file {path}") if settings.trigger else self._from_file(path)
        elif settings.iio is not None:
            unit = settings.unit if "unit" in settings.model_fields_set else None
            blocks = iio_blocks(
                settings.iio,
                settings.points,
                self._folder,
                rate_hz=settings.rate_hz,
                unit=unit,
                scale=settings.scale,
                silence=settings.timeout,
            )
            batches = self._cut(blocks, f"iio {settings.iio.device}")
        else:
            assert settings.tcp is not None  # noqa: S101 - the settings have one of the three
            batches = self._cut(logger_blocks(settings.tcp, settings.timeout), f"tcp {settings.tcp}")
        async with contextlib.aclosing(batches):
            async for batch in batches:
                yield batch

    async def _cut(self, blocks: AsyncGenerator[Block, None], where: str) -> AsyncGenerator[Sequence[Item], None]:
        """Snapshots on schedule and on trigger. Both are as long, so they are complete in the order in which they begin."""
        settings = self._settings
        snapshots: Snapshots | None = None
        triggered: Triggered | None = None
        latest = 0  # start of the newest waveform
        async with contextlib.aclosing(blocks):
            async for stream, first, time_ns, samples in blocks:
                if snapshots is None:
                    try:
                        snapshots = Snapshots(stream, settings.points, settings.snapshot, settings.every)
                        if settings.trigger is not None:
                            triggered = Triggered(stream, settings.points, settings.snapshot, settings.trigger)
                    except ValueError as error:
                        raise Misconfigured(f"{where}: {error}") from None
                lost = snapshots.lost_samples
                scheduled = snapshots.feed(first, time_ns, samples)
                if snapshots.lost_samples > lost:
                    self.lost_samples += snapshots.lost_samples - lost
                    log.warning("%s: %d samples lost, %d in all", where, snapshots.lost_samples - lost, self.lost_samples)
                caught = triggered.feed(first, time_ns, samples) if triggered is not None else []
                self.triggered_snapshots += len(caught) // len(settings.points)
                for start_ns in sorted({waveform.start_ns for waveform in (*scheduled, *caught)}):
                    if latest - OVERLAP_NS < start_ns <= latest:
                        continue  # where both begin together, or a gap has delayed the older one
                    latest = start_ns
                    of_one = {waveform.point: waveform for waveform in (*caught, *scheduled) if waveform.start_ns == start_ns}
                    yield list(of_one.values())

    async def _from_file(self, path: Path) -> AsyncGenerator[Sequence[Item], None]:
        settings = self._settings
        recording, rate, size = self._open(path)
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
        await self._ended(path)

    async def _replayed(self, path: Path) -> AsyncGenerator[Block, None]:
        """The whole recording in blocks, at the pace of the clock."""
        settings = self._settings
        recording, rate, _ = self._open(path)
        count = len(settings.points)
        stream = Stream(rate, list(settings.points), "float32", [settings.scale] * count, [settings.unit] * count)
        size = max(1, round(REPLAY_BLOCK * rate))
        start, start_ns = time.monotonic(), time.time_ns()
        index = at = 0
        while True:
            taken = min(size, recording.length - at)
            await asyncio.sleep(max(0.0, start + (index + taken) / rate - time.monotonic()))
            try:
                samples = np.stack([recording.read(channel, at, taken) for channel in settings.points], axis=1)
            except (OSError, EOFError) as error:
                raise Retry(f"file {path}: cannot be read any more: {error}") from None
            yield Block(stream, index, start_ns + round(index / rate * 1e9), samples)
            index, at = index + taken, at + taken
            if at == recording.length:
                if not settings.loop:
                    break
                at = 0
        await self._ended(path)

    def _open(self, path: Path) -> tuple[Recording, float, int]:
        """The recording, its rate, and the samples of one snapshot."""
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
        if recording.missing:
            self.lost_samples += recording.missing
            log.warning("file %s: is cut off, %d samples of each channel are missing at its end", path, recording.missing)
        return recording, rate, size

    async def _ended(self, path: Path) -> None:
        log.info("file %s: at its end; write loop: true to begin again", path)
        await asyncio.Event().wait()  # a source goes on until it is cancelled
