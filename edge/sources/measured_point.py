"""A point whose device speaks of it one number at a time: unit, range, scaling, and the reading that a number becomes."""

import math
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import check_unit
from contract.values import GOOD, Level, Quality, Reading, bad, check_point, uncertain, worst

SENSOR_FAULT = bad("sensor_fault")
OUT_OF_RANGE = uncertain("out_of_range")

PointName = Annotated[str, AfterValidator(check_point)]


class MeasuredPoint(BaseModel):
    """``value = number * scale + offset``, in ``unit``. A source adds where the number stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str = Field(description="Unit of the value after scaling; bool for a state; 1 for a number without unit")
    kind: Literal["analog", "digital", "counter", "score"] | None = Field(None, description="analog, or digital for a bool, if not said")
    range: tuple[float, float] | None = Field(None, description="Lowest and highest plausible value, in unit")
    scale: float = Field(1.0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)
    description: dict[str, str] = Field(default_factory=dict, description="What it is, keyed by language: es, en")

    @field_validator("unit")
    @classmethod
    def _unit(cls, symbol: str) -> str:
        return check_unit(symbol)

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale is 0: every value would be the offset")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: write [lowest, highest]")
        return self

    def declaration(self, point: str) -> PointDeclaration:
        kind = self.kind or ("digital" if self.unit == "bool" else "analog")
        return PointDeclaration(self.unit, kind, self.range, point.partition("/")[0], self.description)

    def reading(self, point: str, time_ns: int, number: float, quality: Quality = GOOD) -> Reading:
        """The reading of a number as the device sent it; ``quality`` is what the device itself says of it.

        A bad quality takes the value away. What is not finite is ``bad:sensor_fault``; what lies outside ``range`` is kept, uncertain.
        """
        if quality.level is Level.BAD:
            return Reading(point, time_ns, None, quality)
        value = number
        if (self.scale, self.offset) != (1.0, 0.0):
            value = round(number * self.scale + self.offset, 12) + 0.0 if math.isfinite(number) else number  # 3 * 0.1 is 0.3; -0 is 0
        if not math.isfinite(value):
            return Reading(point, time_ns, None, SENSOR_FAULT)
        if self.range is not None and not self.range[0] <= value <= self.range[1]:
            quality = worst(quality, OUT_OF_RANGE)
        return Reading(point, time_ns, value, quality)
