"""Oxygen cells that sense partial pressure (membrane or galvanic), corrected for the pressure of the air.

Such a cell shows pO2 as if the pressure were that of its calibration: calibrated at sea level it shows 11.9 %vol in fresh air at 4,500 m.
O2 = shown · P(calibration)/P(now). Capillary cells sense the fraction itself: never correct those. Dry air; humidity is neglected.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import convert, unit
from contract.values import GOOD, Level, Quality, Reading, bad, check_point, uncertain, worst
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings

_CORRECTED = {"es": "Oxígeno corregido por presión", "en": "Oxygen corrected for pressure"}
_DEVIATION = {"es": "Presión respecto a la de calibración", "en": "Pressure, difference from that of calibration"}
TOLERANCE = 5.0  # %: beyond it the cell is to be calibrated again at the site


class O2PressureSettings(ProcessorSettings):
    """A reading in %vol of a partial-pressure cell, and the two pressures."""

    calibration_kpa: float = Field(ge=30, le=130, description="Absolute pressure when the cell was calibrated")
    pressure_point: str | None = Field(None, description="The point of the barometer")
    pressure_unit: str = Field("kPa", description="The unit of pressure_point: kPa, hPa, mbar, mmHg")
    pressure_kpa: float | None = Field(None, ge=30, le=130, description="Absolute pressure of the site, where there is no barometer")
    max_age: float = Field(900.0, gt=0, le=86400, description="Seconds that a reading of the barometer counts")

    @field_validator("input", "pressure_point")
    @classmethod
    def _is_point(cls, name: str | None) -> str | None:
        return name if name is None else check_point(name)

    @model_validator(mode="after")
    def _one_pressure(self) -> Self:
        if (self.pressure_kpa is None) == (self.pressure_point is None):
            raise ValueError("write either pressure_point: POINT (a barometer) or pressure_kpa: NUMBER")
        if unit(self.pressure_unit).dimension != "pressure":
            raise ValueError(f"pressure_unit {self.pressure_unit}: write a unit of pressure, for example kPa or hPa")
        return self


class O2PressureProcessor:
    """``INPUT/corrected`` in %vol, and ``INPUT/pressure_deviation`` in % of the calibration pressure."""

    Settings: ClassVar[type[ProcessorSettings]] = O2PressureSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, O2PressureSettings):
            raise TypeError(f"O2PressureProcessor takes O2PressureSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._barometer: Reading | None = None

    def wants(self) -> frozenset[str]:
        return frozenset(name for name in (self._settings.input, self._settings.pressure_point) if name is not None)

    def points(self) -> Mapping[str, PointDeclaration]:
        name = self._settings.input
        asset = name.partition("/")[0]
        return {
            f"{name}/corrected": PointDeclaration("%vol", "analog", (0, 30), asset, _CORRECTED),
            f"{name}/pressure_deviation": PointDeclaration("%", "analog", (-100, 100), asset, _DEVIATION),
        }

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        if not isinstance(item, Reading):
            return []
        if item.point == self._settings.pressure_point:
            self._barometer = item
            return []
        pressure, quality = self._pressure(item.time_ns)
        name = self._settings.input
        if pressure is None:
            return [Reading(f"{name}/{output}", item.time_ns, None, quality) for output in ("corrected", "pressure_deviation")]
        deviation = 100 * (pressure / self._settings.calibration_kpa - 1)
        told = Reading(f"{name}/pressure_deviation", item.time_ns, deviation, quality)
        if item.value is None or item.quality.level is Level.BAD:
            return [Reading(f"{name}/corrected", item.time_ns, None, item.quality if not item.quality.good else bad("not_read")), told]
        if abs(deviation) > TOLERANCE:
            quality = worst(quality, uncertain("calibration_pressure"))
        corrected = item.value * self._settings.calibration_kpa / pressure
        return [Reading(f"{name}/corrected", item.time_ns, corrected, worst(item.quality, quality)), told]

    def _pressure(self, time_ns: int) -> tuple[float | None, Quality]:
        """kPa, or None and why not."""
        if self._settings.pressure_kpa is not None:
            return self._settings.pressure_kpa, GOOD
        reading = self._barometer
        if reading is None or reading.value is None or reading.quality.level is Level.BAD:
            return None, bad("no_pressure")
        if abs(time_ns - reading.time_ns) > self._settings.max_age * 1e9:
            return None, bad("stale_pressure")
        pressure = convert(reading.value, self._settings.pressure_unit, "kPa")
        return (pressure, reading.quality) if 30 <= pressure <= 130 else (None, bad("no_pressure"))
