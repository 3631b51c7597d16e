"""A Linux IIO device in sysfs: found, set up for a buffered capture, and stopped."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edge.errors import Misconfigured, Retry
from edge.sources.waveform_iio_layout import Layout, parse_element

BLOCK = 0.1  # s of samples in one read
TIMESTAMP = "timestamp"
_NUMBER = re.compile(r"\d+(\.\d+)?")


class IioSettings(BaseModel):
    """A device of the Linux IIO subsystem with a buffer; the channels are those of ``points``, for example accel_x."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(min_length=1, max_length=64, pattern=r"^[^/\s]+$", description="Its name, for example adxl372, or iio:device0")
    trigger: str | None = Field(None, min_length=1, max_length=64, description="Written to trigger/current_trigger; left alone if not said")
    buffer: float = Field(2.0, ge=0.2, le=60, description="Seconds of samples that the kernel holds while the agent is busy")
    sysfs: str = Field("/sys", description="Where sysfs is")
    dev: str = Field("/dev", description="Where the character devices are")


class IioDevice:
    """One device as sysfs shows it. Everything raises Retry where the device is absent or refuses, Misconfigured where it does not fit."""

    def __init__(self, settings: IioSettings, channels: Mapping[str, str], folder: Path) -> None:
        self._settings = settings
        self._channels = list(channels)
        self._sysfs = folder / settings.sysfs
        self._dev = folder / settings.dev
        self._where = f"iio {settings.device}"
        self._folder = Path()

    def open(self, rate_hz: float | None) -> tuple[int, Layout, float]:
        """Claims the device and starts its buffer: the descriptor to read from (the caller's to close), what a scan holds, and the rate."""
        self._folder = self._find()
        try:
            descriptor = os.open(self._dev / self._folder.name, os.O_RDONLY | os.O_NONBLOCK)  # first: the kernel lets in one reader only
        except OSError as error:
            raise Retry(f"{self._where}: {self._dev / self._folder.name} does not open: {error.strerror or error}") from None
        try:
            self._write("buffer/enable", "0")
            rate = self._rate(rate_hz)
            layout = self._layout()
            if self._settings.trigger is not None:
                self._write("trigger/current_trigger", self._settings.trigger)
            self._write("buffer/length", str(max(2, round(self._settings.buffer * rate))))
            if (self._folder / "buffer/watermark").exists():
                self._write("buffer/watermark", str(max(1, round(BLOCK / 2 * rate))))
            self._write("buffer/enable", "1")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, layout, rate

    def stop(self) -> None:
        """Stops the buffer; silent, for the device may be gone."""
        with contextlib.suppress(Retry):
            self._write("buffer/enable", "0")

    def scale(self, channel: str) -> tuple[float, float]:
        """``scale`` and ``offset`` of a channel: (number + offset) * scale is in the unit of the ABI."""
        kind = kind_of(channel)
        found = []
        for what, otherwise in (("scale", 1.0), ("offset", 0.0)):
            text = self._first(f"in_{channel}_{what}", f"in_{kind}_{what}")
            try:
                found.append(float(text) if text is not None else otherwise)
            except ValueError:
                raise Retry(f"{self._where}: in_{channel}_{what} says {text!r}; a number was expected") from None
        if not (np.isfinite(found).all() and found[0]):
            raise Retry(f"{self._where}: scale and offset of {channel} are {found[0]} and {found[1]}; finite numbers were expected")
        return found[0], found[1]

    def _find(self) -> Path:
        devices = self._sysfs / "bus/iio/devices"
        there = {}
        for folder in sorted(devices.glob("iio:device*")):
            with contextlib.suppress(OSError):
                there[folder.name] = (folder / "name").read_text("utf-8", "replace").strip()
        for name, called in there.items():
            if self._settings.device in (name, called):
                return devices / name
        names = ", ".join(f"{name} ({called})" for name, called in there.items()) or f"none in {devices}"
        raise Retry(f"{self._where}: there is no such device; there are: {names}")

    def _rate(self, rate_hz: float | None) -> float:
        names = [
            "sampling_frequency",
            *(f"in_{kind}_sampling_frequency" for channel in self._channels for kind in (channel, kind_of(channel))),
        ]
        name = next((name for name in names if (self._folder / name).exists()), None)
        if name is None:
            if rate_hz is None:
                raise Misconfigured(f"{self._where}: does not tell its sampling rate; write rate_hz: …, as its trigger is set")
            return rate_hz
        if rate_hz is not None:
            available = self._first(f"{name}_available") or ""
            listed = [float(word) for word in available.split() if _NUMBER.fullmatch(word)]  # a range stands in brackets
            if listed and all(abs(one / rate_hz - 1) > 0.01 for one in listed):
                raise Misconfigured(f"{self._where}: cannot run at rate_hz: {rate_hz:g}; it has {available}")
            with contextlib.suppress(Retry):  # some refuse what they do not have; what they run at is compared below
                self._write(name, f"{rate_hz:g}")
        text = self._read(name)
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 1 <= rate <= 1e6:
            raise Retry(f"{self._where}: {name} says {text[:40]!r}; 1 Hz to 1 MHz was expected")
        if rate_hz is not None and abs(rate / rate_hz - 1) > 0.01:
            raise Misconfigured(f"{self._where}: runs at {rate:g} Hz and takes no rate_hz: {rate_hz:g}; write what it can run at")
        return rate

    def _layout(self) -> Layout:
        """Switches on the channels that have a point, and the timestamp where there is one; the others off."""
        there = sorted(path.name[3:-3] for path in (self._folder / "scan_elements").glob("in_*_en"))
        if missing := [channel for channel in self._channels if channel not in there]:
            raise Misconfigured(f"{self._where}: has no channel {', '.join(missing)} in its buffer; it has {', '.join(there) or 'none'}")
        wanted = {*self._channels, TIMESTAMP}
        for channel in there:
            self._write(f"scan_elements/in_{channel}_en", str(int(channel in wanted)))
        if TIMESTAMP in there and (self._folder / "current_timestamp_clock").exists():
            self._write("current_timestamp_clock", "realtime")
        elements = [
            (channel, self._read(f"scan_elements/in_{channel}_index"), self._read(f"scan_elements/in_{channel}_type"))
            for channel in there
            if channel in wanted
        ]
        try:
            return Layout([parse_element(*element) for element in elements])
        except ValueError as error:
            raise Retry(f"{self._where}: {error}") from None

    def _first(self, *names: str) -> str | None:
        return next((self._read(name) for name in names if (self._folder / name).exists()), None)

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text("utf-8", "replace").strip()
        except OSError as error:
            raise Retry(f"{self._where}: {self._folder / name} cannot be read: {error.strerror or error}") from None

    def _write(self, name: str, text: str) -> None:
        try:
            with (self._folder / name).open("r+") as file:
                file.write(text + "\n")
                file.truncate()
        except OSError as error:
            raise Retry(f"{self._where}: {text} cannot be written to {self._folder / name}: {error.strerror or error}") from None


def kind_of(channel: str) -> str:
    """What a channel measures, in the words of the ABI: accel of accel_x, voltage of voltage0."""
    return channel.partition("_")[0].rstrip("0123456789")
