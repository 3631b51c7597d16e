"""A 4–20 mA loop behind a converter: counts become mA, mA the measured value, and the current itself says when the sensor is broken. Pure.

NAMUR NE 43: 3.8 to 20.5 mA carries a measurement; below 3.6 and above 21 mA the transmitter, or the wire, reports a fault.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.values import GOOD, Quality, bad, uncertain

FAULT_LOW = 3.6  # mA, NAMUR NE 43
VALID_LOW = 3.8
VALID_HIGH = 20.5
FAULT_HIGH = 21.0

WIRE_BREAK = bad("wire_break")
OVER_RANGE_FAULT = bad("over_range")
UNDER_RANGE = uncertain("under_range")
OVER_RANGE = uncertain("over_range")


class CurrentLoop(BaseModel):
    """``counts`` are the converter's numbers at 4 and at 20 mA, ``span`` the values of the sensor there, in the unit of the point."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    counts: tuple[float, float] = Field(description="The converter's numbers at 4 mA and at 20 mA")
    span: tuple[float, float] = Field(description="What the sensor measures at 4 mA and at 20 mA, in unit")

    @model_validator(mode="after")
    def _two_ends(self) -> Self:
        for key in ("counts", "span"):
            low, high = getattr(self, key)
            if not abs(high - low) > 0 or not abs(high - low) < 1e300:
                raise ValueError(f"{key} {[low, high]}: write two different numbers, at 4 mA and at 20 mA")
        return self

    def milliamperes(self, count: float) -> float:
        zero, full = self.counts
        return round(4.0 + 16.0 * (count - zero) / (full - zero), 9)

    def count(self, milliamperes: float) -> float:
        """The converter's number at a current."""
        zero, full = self.counts
        return zero + (full - zero) * (milliamperes - 4.0) / 16.0

    def value(self, milliamperes: float) -> float:
        zero, full = self.span
        return round(zero + (full - zero) * (milliamperes - 4.0) / 16.0, 9) + 0.0

    def measured(self, count: float) -> tuple[float | None, Quality]:
        """The value and its quality; no value where the current reports a fault."""
        current = self.milliamperes(count)
        if current < FAULT_LOW:
            return None, WIRE_BREAK
        if current > FAULT_HIGH:
            return None, OVER_RANGE_FAULT
        quality = UNDER_RANGE if current < VALID_LOW else OVER_RANGE if current > VALID_HIGH else GOOD
        return self.value(current), quality

    def range(self) -> tuple[float, float]:
        """The values that a valid current can mean: the span and the little that NE 43 allows beyond it."""
        ends = self.value(VALID_LOW), self.value(VALID_HIGH)
        return min(ends), max(ends)
