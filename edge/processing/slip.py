"""Slip of a conveyor belt: how far its tail drum turns behind its drive.

ISO 13374 block: data manipulation. Practice: more than 10 % for 5 s is a slip (certainty M; the manufacturer's limit governs).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from contract.messages import PointDeclaration
from contract.values import Level, Reading, bad, check_point, worst
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings

_DESCRIPTION = {"es": "Deslizamiento de la faja", "en": "Belt slip"}


class BeltSlipSettings(ProcessorSettings):
    """The drive's speed (``input``) and the tail drum's, both in the same unit."""

    tail_point: str = Field(description="The point that measures the speed of the tail drum")
    min_speed: float = Field(0.3, gt=0, description="Drive speed below which the belt counts as stopped, in the unit of the input")
    max_age: float = Field(5.0, gt=0, le=3600, description="Seconds that the two readings may lie apart")

    @field_validator("input", "tail_point")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)


class BeltSlipProcessor:
    """One reading, ``ASSET/slip`` in % of the drive's speed, with each reading of the tail drum."""

    Settings: ClassVar[type[ProcessorSettings]] = BeltSlipSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, BeltSlipSettings):
            raise TypeError(f"BeltSlipProcessor takes BeltSlipSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._output = f"{settings.input.split('/', 1)[0]}/slip"
        self._drive: Reading | None = None

    def wants(self) -> frozenset[str]:
        return frozenset((self._settings.input, self._settings.tail_point))

    def points(self) -> Mapping[str, PointDeclaration]:
        return {self._output: PointDeclaration("%", range=(-100.0, 100.0), description=_DESCRIPTION)}

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        if not isinstance(item, Reading):
            return []
        if item.point == self._settings.input:
            self._drive = item
            return []
        return [self._slip(self._drive, item)]

    def _slip(self, drive: Reading | None, tail: Reading) -> Reading:
        def not_now(reason: str) -> Reading:
            return Reading(self._output, tail.time_ns, None, bad(reason))

        if drive is None or abs(tail.time_ns - drive.time_ns) > self._settings.max_age * 1e9:
            return not_now("no_speed")
        quality = worst(drive.quality, tail.quality)
        if drive.value is None or tail.value is None or quality.level is Level.BAD:
            return not_now("no_speed")
        if abs(drive.value) < self._settings.min_speed:
            return not_now("not_running")
        slip = 100.0 * (drive.value - tail.value) / drive.value
        return Reading(self._output, tail.time_ns, round(slip, 3), quality)
