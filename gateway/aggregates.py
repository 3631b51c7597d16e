"""Figures of a shift, a day or an hour: what a configuration says of them, and how a figure is made of readings. Pure.

A figure never counts what was not measured: time between two readings further apart than ``longest_gap`` is not covered, and a figure of a period
that is covered by less than 95 % is uncertain:incomplete.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.units import UNITS, convert, unit
from contract.values import GOOD, Quality, bad, check_point, uncertain
from gateway.site_rules import split
from gateway.store import Sample
from rules.expressions import Expression
from rules.settings import Text

SECOND = 1_000_000_000  # ns
COVERED = 0.95  # of the time since the period began, from which a figure counts as whole
RUNNING, INCOMPLETE = uncertain("running"), uncertain("incomplete")
# What a quantity becomes when it is summed over time: reference unit times seconds is the reference unit of the other.
_OVER_TIME = {"power": "energy", "volume flow": "volume", "mass flow": "mass", "velocity": "length", "state": "time"}

Take = Literal["mean", "minimum", "maximum", "integral", "change"]
Over = Literal["hour", "shift", "day"]
Problem = tuple[tuple[str | int, ...], str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Factor(_Strict):
    """A number that comes from outside, and from where."""

    value: float = Field(allow_inf_nan=False)
    source: str = Field(min_length=1, description="Where the figure comes from")
    certainty: Literal["H", "M", "L"] = Field(description="How certain: high, medium, low")


class Aggregate(_Strict):
    """One figure: of a point (``of`` and ``take``), or of other figures of the same period (``expression`` and ``points``)."""

    point: str
    over: Over
    unit: str
    title: Text
    of: str | None = None
    take: Take | None = None
    longest_gap: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    expression: str | None = None
    points: dict[str, str] = {}
    factors: dict[str, Factor] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> "Aggregate":
        check_point(self.point)
        unit(self.unit)
        if (self.of is None) == (self.expression is None):
            raise ValueError("write either of and take, or expression and points")
        if self.of is not None:
            split(self.of)
            if self.take is None:
                raise ValueError("take is missing: mean, minimum, maximum, integral or change")
            if self.points or self.factors:
                raise ValueError("points and factors belong to an expression; remove them")
        if self.expression is not None:
            names = Expression(self.expression).names
            given = self.points.keys() | self.factors.keys()
            if names != given:
                odd = ", ".join(sorted(names ^ given))
                raise ValueError(
                    f"the expression, points and factors do not agree on {odd}: each name is in the expression and in one of the two"
                )
        return self


def aggregate_problems(aggregates: Sequence[Aggregate]) -> Iterator[Problem]:
    """What is wrong with them together, each by the key it is wrong at."""
    known: dict[str, Aggregate] = {}
    for index, one in enumerate(aggregates):
        if one.point in known:
            yield (index, "point"), f"{one.point!r} is taken; choose another"
        for name, point in one.points.items():
            found = known.get(point)
            if found is None:
                yield (
                    (index, "points", name),
                    f"{point!r} is no figure above this one: write the point of an aggregate that stands before it",
                )
            elif found.over != one.over:
                yield (
                    (index, "points", name),
                    f"{point!r} is of each {found.over}, this of each {one.over}: only figures of one period combine",
                )
        known[one.point] = one


class Figure(NamedTuple):
    """``value`` None where nothing was measured."""

    value: float | None
    quality: Quality


class Tally:
    """What one point did since a period began. Takes samples in ascending time."""

    def __init__(self, longest_gap: float) -> None:
        self._longest = longest_gap * SECOND
        self._last: Sample | None = None
        self._integral = 0.0  # value · s
        self._covered = 0.0  # s
        self._first_ns: int | None = None
        self._lowest: float | None = None
        self._highest: float | None = None
        self._change: float | None = None

    @property
    def seen_ns(self) -> int | None:
        """The time of the newest sample that counted."""
        return self._last.time_ns if self._last is not None else None

    def add(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            if sample.value is None or sample.quality.startswith("bad"):
                continue
            self._add(sample, sample.value)

    def _add(self, sample: Sample, value: float) -> None:
        self._first_ns = sample.time_ns if self._first_ns is None else self._first_ns
        self._lowest = value if self._lowest is None else min(self._lowest, value)
        self._highest = value if self._highest is None else max(self._highest, value)
        last = self._last
        if last is not None and last.value is not None:
            apart = sample.time_ns - last.time_ns
            if apart <= self._longest:
                self._integral += (value + last.value) / 2 * apart / SECOND
                self._covered += apart / SECOND
            # A counter that falls has begun anew at 0: what it shows is what came since. What passed in a gap it has counted all the same.
            self._change = (self._change or 0.0) + (value - last.value if value >= last.value else value)
        self._last = sample

    def figure(self, take: Take, source: str, target: str, *, elapsed: float, over: bool) -> Figure:
        """The figure in unit ``target``, of values in unit ``source``, ``elapsed`` s after the period began; ``over``: the period has ended.

        Raises ValueError where the units do not fit, saying which would.
        """
        value = self._value(take)
        if value is None:
            return Figure(None, bad("no_data"))
        shown = {"integral": _over_time, "change": _difference}.get(take, convert)(value, source, target)
        if not over:
            return Figure(shown, RUNNING)
        return Figure(shown, GOOD if self._told(take) >= COVERED * elapsed else INCOMPLETE)

    def _told(self, take: Take) -> float:
        """Seconds that the figure speaks of: a counter goes on counting while nobody reads it."""
        if take == "change" and self._last is not None and self._first_ns is not None:
            return (self._last.time_ns - self._first_ns) / SECOND
        return self._covered

    def _value(self, take: Take) -> float | None:
        if take == "mean":
            return self._integral / self._covered if self._covered else None
        if take == "integral":
            return self._integral if self._covered else None
        return {"minimum": self._lowest, "maximum": self._highest, "change": self._change}[take]


def _over_time(value: float, source: str, target: str) -> float:
    begin, end = unit(source), unit(target)
    becomes = _OVER_TIME.get(begin.dimension)
    if becomes != end.dimension:
        fitting = ", ".join(one.symbol for one in UNITS.values() if one.dimension == becomes)
        raise ValueError(f"the integral of {source} over time is no {target}" + (f": write one of {fitting}" if fitting else ""))
    return value * begin.scale / end.scale


def _difference(value: float, source: str, target: str) -> float:
    """A difference of two temperatures has no zero point."""
    return convert(value, source, target) - convert(0.0, source, target)


def combined(one: Aggregate, figures: dict[str, Figure]) -> Figure:
    """The figure of an expression over others, by point; nothing where one of them is nothing, or the result is none."""
    values = {name: factor.value for name, factor in one.factors.items()}
    quality = GOOD
    for name, point in one.points.items():
        value, its = figures[point]
        if value is None:
            return Figure(None, its)
        values[name] = value
        quality = its if its is not GOOD and quality is not INCOMPLETE else quality
    result = Expression(one.expression or "").evaluate(values)
    return Figure(None, bad("no_result")) if result is None else Figure(result, quality)
