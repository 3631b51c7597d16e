"""The shaft speed that a waveform is judged by: a constant, or the latest reading of a point while it is fresh and good."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.values import Quality, Reading, bad, check_point
from edge.processing import ProcessorSettings
from models.bearing import BearingGeometry

NO_SPEED = bad("no_speed")
NOT_RUNNING = bad("not_running")


class BearingSettings(BaseModel):
    """The geometry of a rolling bearing, from its data sheet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balls: int = Field(description="Rolling elements in one row")
    ball_mm: float = Field(description="Diameter of a rolling element, mm")
    pitch_mm: float = Field(description="Pitch diameter, mm")
    contact_deg: float = Field(0.0, description="Contact angle, degrees; 0 for a deep-groove ball bearing")

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.geometry()
        return self

    def geometry(self) -> BearingGeometry:
        return BearingGeometry(self.balls, self.ball_mm, self.pitch_mm, self.contact_deg)


class ShaftSettings(ProcessorSettings):
    """What the processors of rotating machines have in common."""

    rpm: float | None = Field(None, gt=0, le=200_000, description="Shaft speed in 1/min, where it is constant")
    rpm_point: str | None = Field(None, description="The point that measures the shaft speed, in rpm")
    rpm_max_age: float = Field(10.0, gt=0, le=3600, description="Seconds for which a reading of rpm_point counts")
    min_rpm: float = Field(60.0, ge=0, description="Below this the machine is taken for stopped, and nothing is computed")

    @field_validator("input", "rpm_point")
    @classmethod
    def _is_point(cls, name: str | None) -> str | None:
        return name if name is None else check_point(name)

    @model_validator(mode="after")
    def _one_speed(self) -> Self:
        if self.rpm is not None and self.rpm_point is not None:
            raise ValueError("write either rpm: NUMBER or rpm_point: POINT, not both")
        check_point(f"{self.input}/x")  # room for the name of an output
        return self


class Shaft:
    """The speed at any instant, with the reason where it cannot be told."""

    def __init__(self, settings: ShaftSettings) -> None:
        self._settings = settings
        self._latest: Reading | None = None

    def update(self, reading: Reading) -> None:
        self._latest = reading

    def at(self, time_ns: int) -> tuple[float | None, Quality | None]:
        """Speed in 1/min at ``time_ns`` (Unix ns), or None where the settings name none; and the quality of every output, if it is bad."""
        settings = self._settings
        if settings.rpm_point is None:
            return settings.rpm, None
        latest = self._latest
        if latest is None or latest.value is None or latest.quality.level == "bad":
            return None, NO_SPEED
        if abs(time_ns - latest.time_ns) > settings.rpm_max_age * 1e9:
            return None, bad("stale_speed")
        if latest.value < settings.min_rpm or latest.value <= 0:
            return latest.value, NOT_RUNNING
        return latest.value, None
