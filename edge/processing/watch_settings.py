"""What a person watch is told: the model, where to look, how sure to be, and the marks on the ground."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from contract.values import check_point
from edge.processing import ProcessorSettings
from edge.processing.ground_plane import GroundPlane, Mark
from edge.processing.hold import check_hold
from edge.processing.protection import EQUIPMENT
from edge.processing.zones import Place, Polygon, Share, is_flat

Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Score = Annotated[float, Field(gt=0, lt=1)]
Metres = Annotated[float, Field(ge=-10_000, le=10_000)]
Item = Literal["helmet", "vest"]


class GroundSettings(BaseModel):
    """Places on the ground that somebody measured, and from when on a vehicle is too near."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    marks: list[tuple[Share, Share, Metres, Metres]] = Field(
        max_length=64, description="[x, y, east, north] each: the place in the picture as fractions of it, and on the ground in metres"
    )
    near: float = Field(10.0, gt=0, le=200, description="Metres between a person and a vehicle below which it is near")

    @field_validator("marks")
    @classmethod
    def _plane(cls, marks: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
        GroundPlane([Mark(*mark) for mark in marks])
        return marks


class PersonWatchSettings(ProcessorSettings):
    """A camera, the model, and what to watch for. Places are fractions of the picture: [0, 0] is the upper left corner, [1, 1] the lower right."""

    input: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="The camera")
    model: str = Field("people_vehicles", min_length=1, description="A model of the release by its name, or a path ending in .onnx")
    person: Word = Field("person", description="The model's class of a person")
    vehicles: list[Word] = Field([], max_length=16, description="Classes that count as a vehicle; they need ground")
    equipment: list[Item] = Field([], description="What everybody must wear here: helmet, vest")
    threshold: Score | None = Field(
        None, description="Score from which a box counts, for this camera; without it, the one of the model's card"
    )
    thresholds: dict[Word, Score] = Field({}, max_length=32, description="The same for single classes of the model")
    every: float = Field(0.2, ge=0, le=10, description="Seconds between pictures that are looked at; 0 takes each")
    least_rate: float = Field(
        2.0, ge=0, le=30, description="Pictures a second below which persons cannot be told apart: readings are uncertain"
    )
    report: float = Field(5.0, ge=0, le=60, description="Seconds between readings while nothing changes; 0 tells of each picture")
    masks: list[Polygon] = Field([], max_length=32, description="Polygons to ignore: a box whose middle lies in one is dropped")
    zones: dict[Word, Polygon] = Field({}, max_length=16, description="Polygons, by name, that persons are counted and timed in")
    lines: dict[Word, tuple[Place, Place]] = Field({}, max_length=16, description="Lines, by name, from one place to another")
    confirm: tuple[int, int] = Field((3, 5), description="[k, n]: pictures of the last n that must show a person, or show it in a zone")
    confirm_equipment: tuple[int, int] = Field((6, 10), description="[k, n]: of the last n pictures that show a head or torso, k without")
    forget: float = Field(2.0, gt=0, le=30, description="Seconds without a box after which a person has gone")
    ground: GroundSettings | None = Field(None, description="Marks for distances in metres")
    privacy: list[Polygon] = Field([], max_length=32, description="Polygons that are black for the model and in evidence")
    evidence: bool = Field(False, description="A picture goes with each alarm that begins on a point of this watch")
    blur: list[Word] | None = Field(
        None,
        max_length=32,
        description="Classes that are blurred in evidence unless part of the event; persons, heads, torsos if not said",
    )
    blur_heads: bool = Field(False, description="The upper quarter of the persons that the alarm is about is blurred too")
    candidate: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="A second model that looks at the same pictures; its counts are told nowhere, only how much oftener it would call"
    )
    candidate_pictures: int = Field(500, ge=20, le=100_000, description="Pictures that the difference in alarms is told of")
    lens: bool = Field(False, description="Follow the camera-check of this camera: readings are uncertain while its lens is bad")
    under: Word = Field("watch", description="The points are CAMERA/UNDER/…; give a second watch of a camera another word")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_hold(self.confirm, "confirm")
        check_hold(self.confirm_equipment, "confirm_equipment")
        if len(set(self.vehicles)) < len(self.vehicles) or self.person in self.vehicles:
            raise ValueError(f"vehicles {self.vehicles}: each class is named once, and {self.person!r} is the person")
        if len(set(self.equipment)) < len(self.equipment):
            raise ValueError(f"equipment {list(self.equipment)}: each is named once")
        if bool(self.vehicles) != (self.ground is not None):
            raise ValueError("vehicles and ground belong together: write both for distances between persons and vehicles, or neither")
        if stray := sorted(set(self.thresholds) - set(self.classes)):
            raise ValueError(f"thresholds {', '.join(stray)}: not looked for here; there is {', '.join(self.classes)}")
        for name, polygon in self.zones.items():
            if is_flat(polygon):
                raise ValueError(f"zones {name}: the corners lie on one line, nobody can be in it; give it an area")
        for name, (start, end) in self.lines.items():
            if max(abs(start[0] - end[0]), abs(start[1] - end[1])) < 0.02:
                raise ValueError(f"lines {name}: it is shorter than 0.02 of the picture; write two places apart, [[x, y], [x, y]]")
        if self.forget < 2 * self.every:
            raise ValueError(f"forget {self.forget:g}: at a picture each {self.every:g} s it takes at least {2 * self.every:g}")
        for name in ("people", *(f"zone/{zone}/people" for zone in self.zones), *(f"line/{line}/to_right" for line in self.lines)):
            check_point(f"{self.input}/{self.under}/{name}")
        return self

    @property
    def classes(self) -> list[str]:
        """Every class of the model that it needs."""
        return [self.person, *self.vehicles, *self._gear]

    @property
    def blurred(self) -> list[str]:
        """Classes that evidence hides. A head is hidden even where no person was found under it."""
        return [self.person, *self._gear] if self.blur is None else self.blur

    @property
    def _gear(self) -> list[str]:
        return [name for item in self.equipment for name in EQUIPMENT[item][:2]]
