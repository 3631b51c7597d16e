"""Ground vibration of a blast from a triaxial geophone: peak particle velocity, its frequency, and how much of the limits it takes.

ISO 13374 blocks: data manipulation and state detection. A peak without its frequency cannot be judged: both are told.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import convert, unit
from contract.values import GOOD, Quality, Reading, bad, check_point, uncertain, worst
from edge.items import Item, Waveform
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.blast_limits import din4150_limit, usbm_limit
from edge.processing.spectrum import is_clipped

Floats = np.ndarray[Any, np.dtype[np.float64]]

LOWEST_HZ, HIGHEST_HZ = 1.0, 250.0  # of the limits, and of a geophone
LEAST_RATE_HZ = 2 * HIGHEST_HZ
_AXES = ("longitudinal", "transverse", "vertical")

_OUTPUTS: dict[str, tuple[str, dict[str, str]]] = {
    "ppv": ("mm/s", {"es": "Velocidad pico de partícula", "en": "Peak particle velocity"}),
    "pvs": ("mm/s", {"es": "Pico de la suma vectorial", "en": "Peak vector sum"}),
    "frequency_zero_crossing": ("Hz", {"es": "Frecuencia en el pico, por cruces por cero", "en": "Frequency at the peak, zero crossings"}),
    "frequency_fft": ("Hz", {"es": "Frecuencia dominante, por FFT", "en": "Dominant frequency, FFT"}),
    "din4150_percent": ("%", {"es": "Vibración respecto a DIN 4150-3", "en": "Vibration, of DIN 4150-3"}),
    "usbm_percent": ("%", {"es": "Vibración respecto a USBM RI 8507", "en": "Vibration, of USBM RI 8507"}),
}


class BlastSettings(ProcessorSettings):
    """Three waveform points of velocity; ``input`` is the longitudinal one."""

    transverse: str = Field(description="The waveform point of the transverse axis")
    vertical: str = Field(description="The waveform point of the vertical axis")
    under: str = Field(description="Begins the names of the computed points")
    building: Literal["industrial", "dwelling", "sensitive"] = Field("dwelling", description="Row of DIN 4150-3")
    wall: Literal["plaster", "drywall"] = Field("plaster", description="Row of USBM RI 8507")
    trigger: float = Field(0.5, ge=0, description="mm/s below which there is no blast, and nothing is judged")
    full_scale: float | None = Field(None, gt=0, description="Where the geophone clips, in the unit of the samples")

    @field_validator("input", "transverse", "vertical", "under")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)

    @model_validator(mode="after")
    def _three_points(self) -> Self:
        if len({self.input, self.transverse, self.vertical}) < 3:
            raise ValueError("input, transverse and vertical: write three different points")
        return self


class Axis(NamedTuple):
    """The peak of one component, mm/s, where it lies, and its frequencies, Hz (None where there is none)."""

    peak: float
    at: int
    zero_crossing: float | None
    fft: float | None

    @property
    def frequencies(self) -> list[float]:
        return [found for found in (self.zero_crossing, self.fft) if found is not None]


class BlastProcessor:
    """Readings under ``under`` with each record of all three axes."""

    Settings: ClassVar[type[ProcessorSettings]] = BlastSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, BlastSettings):
            raise TypeError(f"BlastProcessor takes BlastSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._axes = (settings.input, settings.transverse, settings.vertical)
        self._waiting: dict[str, Waveform] = {}

    def wants(self) -> frozenset[str]:
        return frozenset(self._axes)

    def points(self) -> Mapping[str, PointDeclaration]:
        under = self._settings.under
        return {
            f"{under}/{name}": PointDeclaration(unit, "analog", None, under.partition("/")[0], text)
            for name, (unit, text) in _OUTPUTS.items()
        }

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of one record, at its beginning, once its third axis is there; an axis whose record is another's is waited for."""
        if not isinstance(item, Waveform) or item.point not in self._axes:
            return []
        self._waiting[item.point] = item
        records = [self._waiting[axis] for axis in self._axes if axis in self._waiting]
        newest = max(record.start_ns for record in records)
        period = 1e9 / item.rate_hz if item.rate_hz > 0 else 0
        if len(records) < 3 or any(newest - record.start_ns > period for record in records):
            return []
        self._waiting.clear()
        time_ns = newest // 1_000_000 * 1_000_000
        refused = _unfit(records)
        values, quality = ({}, refused) if refused is not None else self._judge(records)
        missing = quality if refused is not None else bad("below_trigger" if values["ppv"] < self._settings.trigger else "no_frequency")
        return [
            Reading(f"{self._settings.under}/{name}", time_ns, values.get(name), quality if name in values else missing)
            for name in _OUTPUTS
        ]

    def _judge(self, records: Sequence[Waveform]) -> tuple[dict[str, float], Quality]:
        rate = records[0].rate_hz
        velocities = [_velocity(record) for record in records]
        axes = [axis_of(velocity, rate) for velocity in velocities]
        strongest = max(axes, key=lambda axis: axis.peak)
        found = {"ppv": strongest.peak, "pvs": float(np.sqrt(np.max(sum(velocity**2 for velocity in velocities))))}
        if strongest.peak >= self._settings.trigger:
            if strongest.zero_crossing is not None:
                found["frequency_zero_crossing"] = strongest.zero_crossing
            if strongest.fft is not None:
                found["frequency_fft"] = strongest.fft
            # Each axis has its own frequency, and a weaker one may use up more; of two frequencies the stricter limit counts.
            judged = [(axis.peak, frequency) for axis in axes for frequency in axis.frequencies]
            if judged:
                found["din4150_percent"] = max(100 * peak / din4150_limit(hz, self._settings.building) for peak, hz in judged)
                found["usbm_percent"] = max(100 * peak / usbm_limit(hz, self._settings.wall) for peak, hz in judged)
        return found, self._doubt(records, strongest, len(velocities[0]))

    def _doubt(self, records: Sequence[Waveform], strongest: Axis, size: int) -> Quality:
        quality = GOOD
        if any(record.dropped for record in records):
            quality = worst(quality, uncertain("dropped_samples"))
        if any(is_clipped(record.samples.astype(np.float64), self._settings.full_scale) for record in records):
            quality = worst(quality, uncertain("clipped"))
        if strongest.peak >= self._settings.trigger and strongest.at in {0, size - 1}:
            quality = worst(quality, uncertain("cut_off"))  # the greatest value may lie outside the record
        return quality


def axis_of(velocity_mm_s: Floats, rate_hz: float) -> Axis:
    """The peak and the frequencies of one component, shape (n,), without offset."""
    index = int(np.argmax(np.abs(velocity_mm_s)))
    return Axis(
        abs(float(velocity_mm_s[index])), index, zero_crossing_hz(velocity_mm_s, rate_hz, index), dominant_hz(velocity_mm_s, rate_hz)
    )


def zero_crossing_hz(velocity: Floats, rate_hz: float, index: int) -> float | None:
    """1/(2·t) of the half wave that holds the sample at ``index``; t lies between interpolated zeros. None where it is cut off or flat."""
    if velocity[index] == 0:
        return None
    opposite = np.flatnonzero(velocity * np.sign(velocity[index]) <= 0)
    at = int(np.searchsorted(opposite, index))
    if at in {0, len(opposite)}:
        return None
    before, after = int(opposite[at - 1]), int(opposite[at])
    left = before + velocity[before] / (velocity[before] - velocity[before + 1])
    right = after - velocity[after] / (velocity[after] - velocity[after - 1])
    return float(rate_hz / (2 * (right - left)))


def dominant_hz(velocity: Floats, rate_hz: float) -> float | None:
    """The highest line of the amplitude spectrum, 1 to 250 Hz, between lines by a parabola. None for a flat record.

    Without a window: a blast begins and ends at rest, and a window would weigh down a peak that lies near the trigger.
    """
    size = len(velocity)
    padded = max(8 * 1024, 2 * size)  # a record of a second has lines 1 Hz apart: padded, the top of a line is found between them
    amplitude = np.abs(np.fft.rfft(velocity, padded))
    step = rate_hz / padded
    low, high = int(np.ceil(LOWEST_HZ / step)), min(int(HIGHEST_HZ / step), len(amplitude) - 2)
    top = low + int(np.argmax(amplitude[low : high + 1]))
    left, middle, right = (float(amplitude[top + offset]) for offset in (-1, 0, 1))
    if middle <= 0:
        return None
    curve = left - 2 * middle + right
    return step * (top + (0.5 * (left - right) / curve if curve < 0 and left <= middle >= right else 0.0))


def _velocity(record: Waveform) -> Floats:
    samples: Floats = record.samples.astype(np.float64) * convert(1.0, record.unit, "mm/s")
    samples -= samples.mean()
    return samples


def _unfit(records: Sequence[Waveform]) -> Quality | None:
    first = records[0]
    reasons = {
        "wrong_unit": any(not _is_velocity(record.unit) for record in records),
        "rate_too_low": first.rate_hz < LEAST_RATE_HZ,
        "different_records": any((record.rate_hz, len(record.samples)) != (first.rate_hz, len(first.samples)) for record in records),
        "short_waveform": len(first.samples) < first.rate_hz / 2,
        "sensor_fault": not all(bool(np.isfinite(record.samples).all()) for record in records),
    }
    return next((bad(reason) for reason, holds in reasons.items() if holds), None)


def _is_velocity(symbol: str) -> bool:
    try:
        return unit(symbol).dimension == "velocity"
    except ValueError:
        return False
