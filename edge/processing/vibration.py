"""Vibration of a machine from acceleration waveforms: velocity and ISO zone, shape of the signal, and how far bearing fault lines stand out.

ISO 13374 blocks: data manipulation and state detection.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from contract.messages import PointDeclaration
from contract.values import GOOD, Quality, Reading, bad, uncertain, worst
from edge.items import Item, Waveform
from edge.processing import ProcessorContext, ProcessorSettings, spectra
from edge.processing.severity import Baseline
from edge.processing.spectrum import (
    LEAST_PERIODS,
    LEAST_RATE_HZ,
    SLOW_RPM,
    STANDARD_GRAVITY,
    ZONES,
    Floats,
    is_clipped,
    power_spectrum,
    quick_length,
    rms_acceleration,
    rms_velocity,
    shape_of,
    zone,
)
from edge.processing.speed import BearingSettings, Shaft, ShaftSettings
from models.bearing import FaultOrders, envelope_spectrum, line_ratios

HARMONICS = 3
_LINES = ("bpfo", "bpfi", "bsf", "ftf")
_PER_G = {"g": 1.0, "m/s2": STANDARD_GRAVITY}  # unit -> how many of it are one g

_OUTPUTS: dict[str, tuple[str, tuple[float, float], dict[str, str]]] = {
    "rms_velocity": ("mm/s", (0, 100), {"es": "Velocidad de vibración, RMS", "en": "Vibration velocity, RMS"}),
    "rms_acceleration": ("g", (0, 500), {"es": "Aceleración, RMS", "en": "Acceleration, RMS"}),
    "peak_acceleration": ("g", (0, 500), {"es": "Aceleración, pico", "en": "Acceleration, peak"}),
    "crest_factor": ("1", (1, 100), {"es": "Factor de cresta", "en": "Crest factor"}),
    "kurtosis": ("1", (1, 1000), {"es": "Curtosis", "en": "Kurtosis"}),
}
_SEVERITY: dict[str, tuple[str, tuple[float, float], dict[str, str]]] = {
    "envelope_rms": ("g", (0, 500), {"es": "Envolvente, RMS de su fluctuación", "en": "Envelope, RMS of its fluctuation"}),
    "envelope_rise": (
        "dB",
        (-100, 200),
        {"es": "Envolvente sobre la línea base de la máquina", "en": "Envelope over the machine's own baseline"},
    ),
}
_ZONE = {"es": "Zona de severidad, 1 a 4 = A a D", "en": "Severity zone, 1 to 4 = A to D"}
_RATIOS = {
    "bpfo": {"es": "Pista exterior: línea sobre el fondo", "en": "Outer race: line over background"},
    "bpfi": {"es": "Pista interior: línea sobre el fondo", "en": "Inner race: line over background"},
    "bsf": {"es": "Elemento rodante: línea sobre el fondo", "en": "Rolling element: line over background"},
    "ftf": {"es": "Jaula: línea sobre el fondo", "en": "Cage: line over background"},
}


class VibrationSettings(ShaftSettings):
    """A waveform point in g or m/s2, the speed, and what it is judged by."""

    bearing: BearingSettings | None = Field(None, description="Geometry for the fault lines; needs rpm or rpm_point")
    envelope_band: tuple[float, float] | None = Field(
        None, description="Hz, where the bearing resonates; 2000 Hz to 0.4 of the rate if not said"
    )
    zone: (
        Literal[
            "iso10816_3_group1_rigid",
            "iso10816_3_group1_flexible",
            "iso10816_3_group2_rigid",
            "iso10816_3_group2_flexible",
            "iso10816_7_cat1_le200",
            "iso10816_7_cat1_gt200",
            "iso10816_7_cat2_le200",
            "iso10816_7_cat2_gt200",
            "iso14694_bv3_rigid",
            "iso14694_bv3_flexible",
        ]
        | None
    ) = Field(None, description="Row of the ISO tables that the machine belongs to")
    bands: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$")], tuple[float, float]] = Field(
        default={}, max_length=16, description="Name and [lowest, highest] Hz of each band whose energy is told"
    )
    baseline: int | None = Field(
        None, ge=5, le=200, description="Waveforms of which the machine's own envelope level is learnt; envelope_rise is over it"
    )
    baseline_name: str = Field("", max_length=64, description="Another text learns the baseline anew, as after a new bearing")
    spectra: float | None = Field(
        None, ge=1, le=86_400, description="Seconds between spectra that are told as points: velocity, and the envelope with a bearing"
    )
    full_scale: float | None = Field(
        None, gt=0, description="Where the sensor clips, in the unit of the samples; found from the signal if not said"
    )

    @model_validator(mode="after")
    def _speed_for_lines(self) -> Self:
        if self.bearing is not None and self.rpm is None and self.rpm_point is None:
            raise ValueError("bearing: fault lines are placed by speed; write rpm: NUMBER or rpm_point: POINT")
        if self.envelope_band is not None and not 0 <= self.envelope_band[0] < self.envelope_band[1]:
            raise ValueError(f"envelope_band {list(self.envelope_band)}: write [lowest, highest] in Hz")
        for name, (low, high) in self.bands.items():
            if not 0 < low < high:
                raise ValueError(f"band {name} [{low:g}, {high:g}]: write [lowest, highest] in Hz, above 0")
        return self


class VibrationProcessor:
    """Readings under the name of the waveform point: ``INPUT/rms_velocity``, ``…/kurtosis``, ``…/bpfo_ratio`` and so on."""

    Settings: ClassVar[type[ProcessorSettings]] = VibrationSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, VibrationSettings):
            raise TypeError(f"VibrationProcessor takes VibrationSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._shaft = Shaft(settings)
        self._orders: FaultOrders | None = settings.bearing.geometry().orders() if settings.bearing else None
        self._zone = ZONES[settings.zone] if settings.zone else None
        self._bands = {f"band_{name}": band for name, band in settings.bands.items()}
        self._baseline = Baseline(settings.baseline, settings.baseline_name) if settings.baseline else None
        self._outputs = [
            *_OUTPUTS,
            *(_SEVERITY if self._baseline else ()),
            *self._bands,
            *(["zone"] if self._zone else []),
            *([f"{line}_ratio" for line in _LINES] if self._orders else []),
        ]
        self._lines = spectra.names(self._orders) if settings.spectra else None
        self._told_ns = 0  # when spectra were told last

    def wants(self) -> frozenset[str]:
        return frozenset(name for name in (self._settings.input, self._settings.rpm_point) if name is not None)

    def points(self) -> Mapping[str, PointDeclaration]:
        asset = self._settings.input.partition("/")[0]
        found = {name: PointDeclaration(unit, "analog", limits, asset, text) for name, (unit, limits, text) in _OUTPUTS.items()}
        if self._baseline is not None:
            found |= {name: PointDeclaration(unit, "analog", limits, asset, text) for name, (unit, limits, text) in _SEVERITY.items()}
        for name, (low, high) in self._bands.items():
            text = {"es": f"Aceleración de {low:g} a {high:g} Hz, RMS", "en": f"Acceleration from {low:g} to {high:g} Hz, RMS"}
            found[name] = PointDeclaration("g", "analog", (0, 500), asset, text)
        if self._zone is not None:
            label, certainty = self._zone.label, self._zone.certainty
            text = {"es": f"{_ZONE['es']} ({label}; certeza {certainty})", "en": f"{_ZONE['en']} ({label}; certainty {certainty})"}
            found["zone"] = PointDeclaration("1", "analog", (1, 4), asset, text)
        if self._orders is not None:
            found |= {f"{line}_ratio": PointDeclaration("1", "analog", (0, 1000), asset, text) for line, text in _RATIOS.items()}
        if self._lines is not None and self._settings.spectra is not None:
            found |= spectra.declarations(self._lines, asset, self._settings.spectra)
        return {f"{self._settings.input}/{name}": declaration for name, declaration in found.items()}

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        """The readings of one waveform, at the time of its last sample; all bad with the reason where it cannot be judged."""
        if isinstance(item, Reading):
            self._shaft.update(item)
            return []
        if not isinstance(item, Waveform) or item.point != self._settings.input:
            return []
        time_ns = (item.start_ns + round(len(item.samples) / item.rate_hz * 1e9)) // 1_000_000 * 1_000_000
        values, quality = self._judge(item, time_ns)
        lines = {name: values.pop(name) for name in [*values] if "/" in name or name.endswith("_order")}
        own = self._rise(values, quality, time_ns)
        prefix = self._settings.input
        told = [(name, own.get(name) or self._valued(values.get(name), quality)) for name in self._outputs]
        return [Reading(f"{prefix}/{name}", time_ns, *said) for name, said in told] + [
            Reading(f"{prefix}/{name}", time_ns, value, quality) for name, value in lines.items()
        ]

    def _rise(self, values: dict[str, float], quality: Quality, time_ns: int) -> dict[str, tuple[float | None, Quality]]:
        """``envelope_rise`` with a quality of its own; nothing where the waveform could not be judged, or no envelope be made."""
        level = values.get("envelope_rms")
        if self._baseline is None or level is None:
            return {}
        rpm, _ = self._shaft.at(time_ns)
        if quality.good:
            self._baseline.learn(level, rpm)
        rise = self._baseline.rise(level)
        if rise is None:
            return {"envelope_rise": (None, bad("gathering"))}
        return {"envelope_rise": (rise, worst(quality, uncertain("other_speed")) if self._baseline.is_other_speed(rpm) else quality)}

    def state(self) -> str:
        """The baseline, for a restart; nothing without one."""
        return self._baseline.state() if self._baseline is not None else ""

    def restore(self, text: str) -> None:
        if self._baseline is not None and text:
            self._baseline.restore(text)

    @staticmethod
    def _valued(value: float | None, quality: Quality) -> tuple[float | None, Quality]:
        if value is None and quality.level != "bad":
            return None, bad("not_computed")
        return value, quality

    def _judge(self, waveform: Waveform, time_ns: int) -> tuple[dict[str, float], Quality]:
        rpm, stopped = self._shaft.at(time_ns)
        refused = stopped or unfit(waveform)
        if refused is not None:
            return {}, refused
        samples: Floats = waveform.samples.astype(np.float64) / _PER_G[waveform.unit]
        shape = shape_of(samples)
        if shape is None:
            return {}, bad("stuck")  # a sensor that measures shows at least noise
        low = 2.0 if rpm is not None and rpm < SLOW_RPM else 10.0
        quick = samples[: quick_length(len(samples))]
        spectrum = power_spectrum(quick, waveform.rate_hz)  # once, for the velocity and every band
        velocity = rms_velocity(spectrum, low)
        values = {
            "rms_velocity": velocity,
            "rms_acceleration": shape.rms,
            "peak_acceleration": shape.peak,
            "crest_factor": shape.crest,
            "kurtosis": shape.kurtosis,
        }
        for name, (first, last) in self._bands.items():
            if last <= waveform.rate_hz / 2:  # a band that the sampling does not reach is not computed
                values[name] = rms_acceleration(spectrum, first, last)
        if self._zone is not None:
            values["zone"] = float(zone(velocity, self._zone.limits))
        due = self._lines is not None and not 0 <= time_ns - self._told_ns < (self._settings.spectra or 0) * 1e9
        if due and self._lines is not None:
            self._told_ns = time_ns
            values |= spectra.velocity_lines(self._lines, spectrum, waveform.rate_hz)
        low_hz, high_hz = self._settings.envelope_band or (min(2000.0, 0.15 * waveform.rate_hz), 0.4 * waveform.rate_hz)
        if high_hz <= waveform.rate_hz / 2 and (self._baseline is not None or (self._orders is not None and rpm is not None)):
            envelope = envelope_spectrum(quick, waveform.rate_hz, (low_hz, high_hz))
            if self._baseline is not None:
                values["envelope_rms"] = float(np.sqrt(np.sum(envelope[1][1:] ** 2) / 2))
            if self._orders is not None and rpm is not None:
                values |= _ratios(*envelope, rpm / 60, self._orders)
                if due and self._lines is not None:
                    values |= spectra.envelope_lines(self._lines, *envelope, rpm / 60)
                    values |= {f"{line}_order": float(order) for line, order in zip(self._orders._fields, self._orders, strict=True)}
        return values, self._doubt(waveform, low)

    def _doubt(self, waveform: Waveform, low_hz: float) -> Quality:
        quality = GOOD
        if waveform.dropped:
            quality = worst(quality, uncertain("dropped_samples"))
        if is_clipped(waveform.samples.astype(np.float64), self._settings.full_scale):
            quality = worst(quality, uncertain("clipped"))
        if len(waveform.samples) * low_hz < LEAST_PERIODS * waveform.rate_hz:
            quality = worst(quality, uncertain("short_waveform"))
        return quality


def _ratios(frequency: Floats, amplitude: Floats, shaft_hz: float, orders: FaultOrders) -> dict[str, float]:
    """Geometric mean over the first harmonics of each fault line, over the local background of the envelope spectrum."""
    # The spectrum beyond the highest line and its background is of no use here, and its median costs most of the time.
    needed = int(np.searchsorted(frequency, (HARMONICS * max(orders) * 1.05 + 1) * shaft_hz)) + 1
    ratios = line_ratios(frequency[:needed], amplitude[:needed], shaft_hz, orders, harmonics=HARMONICS)
    means = np.exp(np.mean(np.log(ratios), axis=1))
    return {f"{line}_ratio": float(mean) for line, mean in zip(_LINES, means, strict=True)}


def unfit(waveform: Waveform) -> Quality | None:
    """Why a waveform cannot be judged at all; None where it can."""
    if waveform.unit not in _PER_G:
        return bad("wrong_unit")
    if waveform.rate_hz < LEAST_RATE_HZ:
        return bad("rate_too_low")
    if len(waveform.samples) < 64:
        return bad("short_waveform")
    if not bool(np.isfinite(waveform.samples).all()):
        return bad("sensor_fault")
    return None
