"""What a site says of its places: which points measure their gas and air, and what needs air there."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from gateway.site_rules import split
from gateway.store import Series
from rules.exposure_limits import PE_ENTRY
from rules.settings import Text

MOST_POINTS = 200  # of gas and of crews: the page reads each one's shift


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _point(text: str) -> str:
    split(text)
    return text


PointName = Annotated[str, AfterValidator(_point), Field(description="NODE/asset/signal")]
Share = Annotated[float, Field(ge=0, le=1)]


class Diesel(_Strict):
    """An engine in the place: effective power in HP, its mechanical availability (Dm) and use (Fu), 0 to 1."""

    name: str = Field(min_length=1, max_length=100)
    power_hp: float = Field(gt=0, le=10_000)
    availability: Share = 1.0
    use: Share = 1.0


class Wood(_Strict):
    """Timber that is used: percent of the support, and tonnes of ore in a shift."""

    percent: float = Field(ge=0, le=100)
    tonnes_per_shift: float = Field(ge=0)


class Heat(_Strict):
    """Dry-bulb temperature in degC, and the cross-section in m2 that the air must move through."""

    dry_bulb: float = Field(ge=-40, le=60)
    area: float = Field(gt=0, le=1000)


class OtherAir(_Strict):
    """Air that something else needs, with where the figure comes from."""

    name: str = Field(min_length=1, max_length=100)
    m3_min: float = Field(ge=0)
    source: str = Field(min_length=1, max_length=300)


class Place(_Strict):
    """A working place."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: Text
    gases: dict[str, list[PointName]] = {}
    airflow: PointName | None = None
    people: int | PointName | None = None
    diesel: list[Diesel] = []
    wood: Wood | None = None
    heat: Heat | None = None
    other: list[OtherAir] = []

    @field_validator("gases")
    @classmethod
    def _known(cls, gases: dict[str, list[str]]) -> dict[str, list[str]]:
        for name in gases:
            if name not in PE_ENTRY:
                raise ValueError(f"gas {name!r}: write one of {', '.join(PE_ENTRY)}")
        return gases

    def heads(self) -> Iterator[tuple[str, Series]]:
        """(gas, point) of every head."""
        for gas, points in self.gases.items():
            for point in points:
                yield gas, split(point)


class Crew(_Strict):
    """A person, or people who stay together and wear one tag. ``at``: of each place, the point that is 1 while they are there and 0 while not."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: Text
    at: dict[str, PointName] = Field(min_length=1)


class GasConfig(_Strict):
    """The places of the site. ``altitude`` in m above the sea; ``clear_for``: seconds that all heads must stay within limits after a blast."""

    altitude: float | None = Field(None, ge=-500, le=6500)
    clear_for: float = Field(300.0, ge=30, le=7200)
    places: list[Place] = []
    crews: list[Crew] = []

    @property
    def by_id(self) -> dict[str, Place]:
        return {place.id: place for place in self.places}


def gas_problems(config: GasConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the places together, each by the key it is wrong at."""
    seen: set[str] = set()
    for index, place in enumerate(config.places):
        if place.id in seen:
            yield ("places", index, "id"), f"{place.id} is there twice"
        seen.add(place.id)
    crews: set[str] = set()
    for index, crew in enumerate(config.crews):
        if crew.id in crews:
            yield ("crews", index, "id"), f"{crew.id} is there twice"
        crews.add(crew.id)
        for name in crew.at:
            if name not in seen:
                yield ("crews", index, "at", name), f"{name!r} is no place; there is {', '.join(sorted(seen)) or 'none'}"
    points = sum(len(list(place.heads())) for place in config.places) + sum(len(crew.at) for crew in config.crews)
    if points > MOST_POINTS:
        yield ("places",), f"{points} points of gas and of crews: at most {MOST_POINTS}"
    if config.altitude is None and any(place.people is not None for place in config.places):
        yield ("altitude",), "missing: the air that a person needs depends on it; write m above the sea"
