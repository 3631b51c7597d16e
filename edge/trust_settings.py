"""What a configuration asks of a point before its readings count as good, by patterns of its name."""

import datetime
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract.messages import PointDeclaration

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=1, le=3660)]


class TrustSettings(BaseModel):
    """All of it is optional: what is not written is not watched. ``range`` is of the point itself and always watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gas: str | None = Field(None, min_length=1, max_length=32, description="Which gas the point measures: CO, CH4, O2 …")
    stuck_after: Seconds | None = Field(None, description="Seconds without a change beyond noise")
    noise: float = Field(0.0, ge=0, allow_inf_nan=False, description="Change, in the unit of the point, that proves nothing")
    stale_after: Seconds | None = Field(None, description="Seconds without a fresh value")
    max_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Fastest possible change, in the unit of the point a second"
    )
    confirm: int = Field(3, ge=1, le=1000, description="Readings in a row that must agree with a jump before it is believed")
    calibrated: datetime.date | None = Field(None, description="Date of the last calibration")
    calibration_every: Days | None = Field(None, description="Days a calibration lasts")
    bump_tested: datetime.date | None = Field(None, description="Date of the last bump test")
    bump_every: Days | None = Field(None, description="Days a bump test lasts")
    needs_clock: bool = Field(False, description="Whether readings are unsure while the node's clock is not synchronised")


def matching(pattern: str, points: Mapping[str, PointDeclaration]) -> list[str]:
    """The points that a pattern names: ``*`` stands for any text, ``/`` included, ``?`` for one character."""
    return [point for point in points if fnmatchcase(point, pattern)]


def resolve(trust: Mapping[str, TrustSettings], points: Mapping[str, PointDeclaration]) -> dict[str, TrustSettings]:
    """The settings of each point that has any. Of patterns that name the same point the later one wins, key by key."""
    found: dict[str, dict[str, object]] = {}
    for pattern, settings in trust.items():
        written = {key: getattr(settings, key) for key in settings.model_fields_set}
        for point in matching(pattern, points):
            found[point] = {**found.get(point, {}), **written}
    return {point: TrustSettings.model_validate(values) for point, values in found.items()}
