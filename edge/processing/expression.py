"""A point computed from others by a text: differences, ratios, rates, energy per tonne. ISO 13374 block: data manipulation."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import check_unit
from contract.values import GOOD, Level, Quality, Reading, bad, check_point, uncertain, worst
from edge.items import Item
from edge.processing import ProcessorContext, ProcessorSettings
from edge.processing.over_time import Integral, Rate
from rules.expressions import Expression
from rules.shifts import Shifts, TimeOfDay, ZoneName, check_one_clock

_OVER_TIME = ("rate", "integral")
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,31}$")]  # no '_': the names made here for rates have one


class _Parsed:
    """The expression with ``rate(x)`` and ``integral(x)`` taken out, each as a name of its own. Raises ValueError for what is not allowed."""

    def __init__(self, text: str) -> None:
        if len(text) > 500:
            raise ValueError(f"{len(text)} characters: an expression has at most 500")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            Expression(text)  # says what is wrong
            raise
        finder = _Finder()
        rest = finder.visit(tree)
        self.over_time = finder.found
        self.expression = Expression(ast.unparse(rest))
        self.aliases = frozenset(self.expression.names - {_name(*call) for call in self.over_time}) | {alias for _, alias in self.over_time}
        self.divides = any(isinstance(part, ast.Div) for part in ast.walk(tree))


class _Finder(ast.NodeTransformer):
    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if "_" in node.id:
            raise ValueError(f"{node.id!r} is no alias: write letters a-z and digits")
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in _OVER_TIME:
            if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Name):
                raise ValueError(f"{ast.unparse(node)!r}: {node.func.id} takes one alias, for example {node.func.id}(x)")
            argument = self.visit(node.args[0])
            self.found.add((node.func.id, argument.id))
            return ast.copy_location(ast.Name(_name(node.func.id, argument.id), ast.Load()), node)
        node.args = [self.visit(argument) for argument in node.args]
        return node


def _name(function: str, alias: str) -> str:
    return f"{function}_{alias}"


class ExpressionSettings(ProcessorSettings):
    """An expression over points, and the point that it makes."""

    inputs: dict[Alias, str] = Field(min_length=1, max_length=16, description="A short name for each point that the expression uses")
    expression: str = Field(description="Numbers, aliases, + - * / ( ), comparisons, if-else, abs min max, rate(x), integral(x)")
    output: str = Field(description="The name of the computed point")
    unit: str = Field(description="Its unit")
    range: tuple[float, float] | None = Field(None, description="[lowest, highest] that make sense; beyond it the value is uncertain")
    max_age: float = Field(10.0, gt=0, le=86400, description="Seconds that an input may be older than the reading of input")
    reset_at: list[TimeOfDay] = Field(default=[], max_length=24, description="Local times, hh:mm, at which integrals begin anew")
    utc_offset: float = Field(-5.0, ge=-12, le=14, description="Hours that local time is ahead of UTC, where there is no summer time")
    time_zone: ZoneName = Field(None, description="Instead of utc_offset, where there is summer time: America/Santiago")
    es: str = Field("", description="What the point is, in Spanish")
    en: str = Field("", description="What the point is, in English")

    @field_validator("input", "output")
    @classmethod
    def _is_point(cls, name: str) -> str:
        return check_point(name)

    @field_validator("inputs")
    @classmethod
    def _are_points(cls, inputs: dict[str, str]) -> dict[str, str]:
        for name in inputs.values():
            check_point(name)
        return inputs

    @field_validator("unit")
    @classmethod
    def _is_unit(cls, symbol: str) -> str:
        return check_unit(symbol)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used, known = _Parsed(self.expression).aliases, set(self.inputs)
        if used != known:
            wrong = [f"{name!r} is not among inputs" for name in sorted(used - known)] + [
                f"{name!r} is not used" for name in sorted(known - used)
            ]
            raise ValueError(f"expression: {'; '.join(wrong)}")
        if self.input not in self.inputs.values():
            raise ValueError(f"input {self.input!r} is none of inputs: its readings are what the expression is computed with")
        check_one_clock(self)
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: write [lowest, highest]")
        return self


class ExpressionProcessor:
    """One reading, ``output``, with each reading of ``input``."""

    Settings: ClassVar[type[ProcessorSettings]] = ExpressionSettings

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None:
        if not isinstance(settings, ExpressionSettings):
            raise TypeError(f"ExpressionProcessor takes ExpressionSettings, not {type(settings).__name__}")
        del context
        self._settings = settings
        self._parsed = _Parsed(settings.expression)
        gap = round(settings.max_age * 1e9)
        resets = Shifts.of(settings.reset_at, settings.utc_offset, settings.time_zone) if settings.reset_at else None
        self._rates = {alias: Rate(gap) for function, alias in self._parsed.over_time if function == "rate"}
        self._integrals = {alias: Integral(gap, resets) for function, alias in self._parsed.over_time if function == "integral"}
        self._latest: dict[str, Reading] = {}

    def wants(self) -> frozenset[str]:
        return frozenset(self._settings.inputs.values())

    def points(self) -> Mapping[str, PointDeclaration]:
        settings = self._settings
        text = {language: words for language, words in (("es", settings.es), ("en", settings.en)) if words}
        asset = settings.output.partition("/")[0]
        return {settings.output: PointDeclaration(settings.unit, "analog", settings.range, asset, text)}

    def start(self) -> None:
        """Nothing to load."""

    def process(self, item: Item) -> Sequence[Reading]:
        if not isinstance(item, Reading):
            return []
        value = None if item.quality.level is Level.BAD else item.value
        for alias, point in self._settings.inputs.items():
            if point == item.point:
                self._latest[alias] = item
                for over_time in (self._rates.get(alias), self._integrals.get(alias)):
                    if over_time is not None:
                        over_time.add(item.time_ns, value)
        return [Reading(self._settings.output, item.time_ns, *self._compute(item))] if item.point == self._settings.input else []

    def _compute(self, now: Reading) -> tuple[float | None, Quality]:
        values: dict[str, float] = {}
        quality = GOOD
        for alias in self._settings.inputs:
            reading = self._latest.get(alias)
            if reading is None or abs(now.time_ns - reading.time_ns) > self._settings.max_age * 1e9:
                return None, bad("stale")
            if reading.value is None or reading.quality.level is Level.BAD:
                return None, reading.quality if reading.quality.level is Level.BAD else bad("no_value")
            values[alias] = reading.value
            quality = worst(quality, reading.quality)
        for alias, rate in self._rates.items():
            if rate.per_second is None:
                return None, bad("no_rate")  # two readings without a gap are needed
            values[_name("rate", alias)] = rate.per_second
        for alias, integral in self._integrals.items():
            values[_name("integral", alias)] = integral.total
            quality = worst(quality, GOOD if integral.complete else uncertain("incomplete"))
        result = self._parsed.expression.evaluate(values)
        if result is None:
            return None, bad("division_by_zero" if self._parsed.divides else "not_finite")
        limits = self._settings.range
        if limits is not None and not limits[0] <= result <= limits[1]:
            quality = worst(quality, uncertain("out_of_range"))
        return result, quality

    def state(self) -> str:
        """The integrals, for a restart."""
        totals = {alias: integral.state() for alias, integral in self._integrals.items()}
        return json.dumps({"of": [self._settings.expression, self._settings.inputs], "integrals": totals})

    def restore(self, text: str) -> None:
        """What `state` gave; of another expression, it is left alone. Raises where it is damaged."""
        state = json.loads(text)
        if state["of"] == [self._settings.expression, self._settings.inputs]:
            for alias, saved in state["integrals"].items():
                self._integrals[alias].restore(saved)
