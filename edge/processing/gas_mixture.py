"""Gases that act alike, together: Σ C/L of several points, each over its own limit; above 1 the mixture exceeds (29 CFR 1910.1000(d)(2))."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.values import GOOD, Level, Quality, Reading, bad, check_point, uncertain, worst
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings

_TEXT = {"es": "Mezcla de gases: suma de concentración sobre límite", "en": "Gas mixture: sum of concentration over limit"}


class Component(BaseModel):
    """One gas of the mixture."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    point: str = Field(description="The point of its concentration or average")
    limit: float = Field(gt=0, description="Its limit, in the unit of the point and for the same time")

    @field_validator("point")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)


class GasMixtureSettings(ProcessorSettings):
    """The sum is computed with each reading of ``input``, one of the components."""

    components: list[Component] = Field(min_length=2, max_length=16, description="Gases with the same effect on the body")
    output: str = Field(description="The name of the computed point")
    max_age: float = Field(60.0, gt=0, le=3600, description="Seconds that a component may be older than the input's reading")

    @field_validator("output")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)

    @model_validator(mode="after")
    def _input_is_a_component(self) -> Self:
        names = [component.point for component in self.components]
        if self.input not in names:
            raise ValueError(f"input {self.input!r} is none of the components: write one of {', '.join(names)}")
        if len(set(names)) < len(names):
            raise ValueError("a point stands twice among the components: it would count twice; keep one")
        return self


class GasMixtureProcessor:
    """One reading, ``output``, without unit."""

    Settings: ClassVar[type[ProcessorSettings]] = GasMixtureSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, GasMixtureSettings):
            raise TypeError(f"GasMixtureProcessor takes GasMixtureSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._latest: dict[str, Reading] = {}

    def wants(self) -> frozenset[str]:
        return frozenset(component.point for component in self._settings.components)

    def points(self) -> Mapping[str, PointDeclaration]:
        output = self._settings.output
        return {output: PointDeclaration("1", "analog", None, output.partition("/")[0], _TEXT)}

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        if not isinstance(item, Reading):
            return []
        self._latest[item.point] = item
        if item.point != self._settings.input:
            return []
        total, quality, missing = 0.0, GOOD, False
        for component in self._settings.components:
            reading = self._latest.get(component.point)
            if reading is None or reading.value is None or reading.quality.level is Level.BAD or self._is_old(reading, item):
                missing = True
                continue
            total += max(0.0, reading.value) / component.limit
            quality = worst(quality, reading.quality)
        return [Reading(self._settings.output, item.time_ns, *self._judged(total, quality, missing))]

    def _is_old(self, reading: Reading, now: Reading) -> bool:
        return abs(now.time_ns - reading.time_ns) > self._settings.max_age * 1e9

    @staticmethod
    def _judged(total: float, quality: Quality, missing: bool) -> tuple[float | None, Quality]:
        """A gas that is not known is not zero: the sum of the others says something only where it exceeds already."""
        if not missing:
            return total, quality
        return (total, uncertain("incomplete")) if total > 1 else (None, bad("incomplete"))
