"""What an exposure is computed with and judged by, and which combinations are refused."""

from typing import Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from contract.units import convert, standard_pressure_kpa, unit
from contract.values import check_point
from edge.processing import ProcessorSettings
from edge.processing.shift_limits import brief_scala, ds594_art62, ds594_art63
from rules.exposure_limits import limits_of
from rules.shifts import TimeOfDay, ZoneName, check_one_clock

_FITTING = {"gas fraction", "mass concentration"}


class Judged(NamedTuple):
    """The limits in the unit of the point after all factors, None where there is none."""

    long_term: float | None
    stel: float | None
    ceiling: float | None


class ExposureSettings(ProcessorSettings):
    """A concentration at one place, its limits, and the shift."""

    unit: str = Field(description="The unit of the input: ppm, %vol, mg/m3, …")
    substance: str | None = Field(None, description="As the table of limits names it: CO, NO2, respirable-dust, …")
    limits: str | None = Field(None, description="The table that substance is looked up in: pe-rssom")
    twa: float | None = Field(None, gt=0, description="8 h limit in unit, instead of the table's")
    stel: float | None = Field(None, gt=0, description="15 min limit in unit, instead of the table's")
    ceiling: float | None = Field(None, gt=0, description="What must never be exceeded, in unit")
    shift_starts: list[TimeOfDay] = Field(default=["07:00", "19:00"], min_length=1, max_length=24, description="Local time, hh:mm")
    shift_hours: float = Field(12.0, gt=0, lt=24, description="Length of a shift")
    utc_offset: float = Field(-5.0, ge=-12, le=14, description="Hours that local time is ahead of UTC, where there is no summer time")
    time_zone: ZoneName = Field(None, description="Instead of utc_offset, where there is summer time: America/Santiago")
    reduction: Literal["none", "brief-scala", "ds594-art62"] = Field("none", description="How the limit is reduced for other shifts")
    week_hours: float | None = Field(None, gt=0, lt=168, description="Mean hours worked a week over the roster; needed by a reduction")
    ordinary_week: float = Field(48.0, ge=30, le=48, description="Hours of the ordinary week that D.S. 594 art. 62 starts from")
    ds594_altitude_m: float | None = Field(None, ge=0, le=7000, description="Applies D.S. 594 art. 63 to limits in mg/m3")
    pressure_kpa: float | None = Field(None, ge=30, le=110, description="Of the site, for art. 63; standard atmosphere if not said")
    max_gap: float = Field(60.0, gt=0, le=900, description="Seconds that a value counts without another")
    least_coverage: float = Field(95.0, gt=0, le=100, description="Percent of the time below which an average is incomplete")
    every: float = Field(10.0, ge=0, le=900, description="Least seconds between outputs")

    @field_validator("input")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        dimension = unit(self.unit).dimension
        if dimension not in _FITTING:
            raise ValueError(f"unit {self.unit} measures {dimension}: an exposure is of ppm, ppb, %vol, mg/m3 or ug/m3")
        if (self.substance is None) != (self.limits is None):
            raise ValueError("substance and limits belong together: write both, or twa, stel and ceiling")
        if self.reduction != "none" and self.week_hours is None:
            raise ValueError(f"reduction {self.reduction}: write week_hours, the mean over the roster (14x7 at 12 h: 56)")
        if self.ds594_altitude_m is not None and dimension != "mass concentration":
            raise ValueError(
                f"ds594_altitude_m with {self.unit}: a limit in ppm or %vol is a mole fraction and is never rescaled by altitude"
            )
        if "ordinary_week" in self.model_fields_set and self.reduction != "ds594-art62":
            raise ValueError("ordinary_week is for reduction: ds594-art62 only; remove it")
        if self.pressure_kpa is not None and self.ds594_altitude_m is None:
            raise ValueError("pressure_kpa is for art. 63 only: write ds594_altitude_m too")
        check_one_clock(self)
        self.judged()
        return self

    @property
    def long_term(self) -> str:
        """What the average over the shift is called; the name says which convention it belongs to."""
        return "twa" if self.reduction == "none" else "shift_average"

    def judged(self) -> Judged:
        """Raises ValueError where the table does not know the substance or has another kind of unit."""
        table = limits_of(self.limits, self.substance) if self.limits is not None and self.substance is not None else None
        shipped_twa = convert(table.twa, table.unit, self.unit) if table else None
        shipped_stel = convert(table.stel, table.unit, self.unit) if table and table.stel is not None else None
        twa = self.twa if self.twa is not None else shipped_twa
        stel = self.stel if self.stel is not None else shipped_stel
        thin_air = 1.0
        if self.ds594_altitude_m is not None:
            thin_air = ds594_art63(self.pressure_kpa or standard_pressure_kpa(self.ds594_altitude_m), self.ds594_altitude_m)
        return Judged(*(None if limit is None else limit * by for limit, by in ((twa, thin_air * self._factor()), (stel, thin_air),
                                                                               (self.ceiling, thin_air))))  # fmt: skip

    def _factor(self) -> float:
        if self.week_hours is None or self.reduction == "none":
            return 1.0
        return (
            brief_scala(self.shift_hours, self.week_hours)
            if self.reduction == "brief-scala"
            else ds594_art62(self.week_hours, self.ordinary_week)
        )
