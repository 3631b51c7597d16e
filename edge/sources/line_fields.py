"""What a line of text says: its kinds, the fields of each by column or pattern, and the readings they become."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.messages import PointDeclaration
from contract.units import check_unit
from contract.values import GOOD, Reading, bad, check_point, uncertain

MALFORMED = bad("malformed")
SENSOR_FAULT = bad("sensor_fault")
OUT_OF_RANGE = uncertain("out_of_range")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tabulator may separate

PointName = Annotated[str, AfterValidator(check_point)]


class LinePoint(BaseModel):
    """One point of a line: where it stands and what its text means. ``value = number * scale + offset``, in ``unit``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: int | None = Field(None, ge=1, le=500, description="Which column, from 1")
    group: str | None = Field(None, min_length=1, description="Instead of column: the name of a group of the pattern")
    unit: str | None = Field(None, description="Unit of the value after scaling; bool for a digital point")
    kind: Literal["analog", "digital", "counter", "score"] = "analog"
    range: tuple[float, float] | None = Field(None, description="Lowest and highest plausible value, in unit")
    scale: float = Field(1.0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)
    texts: dict[str, float] = Field(default_factory=dict, description="Words that mean a number, for example {ON: 1, OFF: 0}")
    faults: tuple[str, ...] = Field((), description="Words with which the device says that its sensor is broken, for example ['///', ERR]")
    description: dict[str, str] = Field(default_factory=dict, description="What it is, keyed by language: es, en")

    @field_validator("unit")
    @classmethod
    def _unit(cls, symbol: str | None) -> str | None:
        return check_unit(symbol) if symbol is not None else None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.column is None) == (self.group is None):
            raise ValueError("write either column: 1, 2 … or group: a name in the pattern, one of the two")
        if self.unit is None and self.kind != "digital":
            raise ValueError("unit is missing; write for example m/s, degC, ppm, or 1 for a number without unit")
        if self.scale == 0:
            raise ValueError("scale is 0: every value would be the offset")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)}: write [lowest, highest]")
        return self

    def declaration(self, point: str) -> PointDeclaration:
        return PointDeclaration(self.unit or "bool", self.kind, self.range, point.partition("/")[0], self.description)

    def reading(self, point: str, time_ns: int, text: str, decimal: str) -> Reading:
        """The reading that a field's text says. What is no number is ``bad:malformed``; what lies outside ``range`` is kept, uncertain."""
        text = text.strip()
        if text in self.faults:
            return Reading(point, time_ns, None, SENSOR_FAULT)
        value = self.texts.get(text)
        if value is None:
            written = text.replace(",", ".") if decimal == "," and "." not in text else text
            if not _NUMBER.fullmatch(written) or abs(number := float(written)) > 1e300:
                return Reading(point, time_ns, None, MALFORMED)
            # 3 * 0.1 is 0.3, not 0.30000000000000004; and -0 is 0
            value = round(number * self.scale + self.offset, 12) + 0.0 if (self.scale, self.offset) != (1.0, 0.0) else number
        if self.range is not None and not self.range[0] <= value <= self.range[1]:
            return Reading(point, time_ns, value, OUT_OF_RANGE)
        return Reading(point, time_ns, value, GOOD)


class LineKind(BaseModel):
    """One kind of line that a device sends: which lines are of it, and the points in them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    select: str | None = Field(
        None, min_length=1, description="Regular expression at the start of the lines of this kind; all lines if not said"
    )
    separator: str | None = Field(
        None, min_length=1, max_length=8, description="Between columns; ' ' means any run of blanks; , if not said"
    )
    columns: int | None = Field(None, ge=1, le=500, description="How many columns a whole line has; otherwise as many as the points need")
    pattern: str | None = Field(
        None, min_length=1, description="Instead of columns: regular expression of the whole line, with named groups"
    )
    decimal: Literal[".", ","] = Field(".", description="The decimal mark")
    points: dict[PointName, LinePoint] = Field(min_length=1)

    @field_validator("select", "pattern")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        groups = re.compile(self.pattern).groupindex if self.pattern is not None else {}
        if self.pattern is not None and (self.separator or self.columns):
            raise ValueError("pattern takes the place of separator and columns: keep one way")
        if self.decimal == "," and self.pattern is None and (self.separator or ",") == ",":
            raise ValueError("the decimal mark cannot be the separator too: write separator: ';' or what stands between the columns")
        for name, point in self.points.items():
            if self.pattern is None and point.group is not None:
                raise ValueError(f"point {name}: group {point.group!r} needs a pattern with (?P<{point.group}>…); or write column:")
            if self.pattern is not None and point.group not in groups:
                known = ", ".join(groups) or "none"
                raise ValueError(f"point {name}: the pattern has no group {point.group!r}; it has: {known}; name one as (?P<name>…)")
            if self.columns is not None and point.column is not None and point.column > self.columns:
                raise ValueError(f"point {name}: column {point.column} of {self.columns}")
        return self


class LineDecoder:
    """The readings of lines. Pure. ``encoding``: a line that is not of it, or that holds control characters, is not understood."""

    def __init__(self, kinds: Sequence[LineKind], encoding: str) -> None:
        self._encoding = encoding
        self._kinds = [
            (
                re.compile(kind.select) if kind.select is not None else None,
                re.compile(kind.pattern) if kind.pattern is not None else None,
                kind.columns or max((point.column or 0 for point in kind.points.values()), default=0),
                kind,
            )
            for kind in kinds
        ]

    def decode(self, line: bytes, time_ns: int) -> list[Reading] | None:
        """The readings of the first kind that the line is of; None where it is of none, or damaged."""
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            return None
        if _CONTROL.search(text):
            return None
        for select, pattern, columns, kind in self._kinds:
            if select is not None and not select.match(text):
                continue
            if pattern is not None:
                match = pattern.fullmatch(text)
                if match is None:
                    continue
                fields = {name: match[point.group or ""] or "" for name, point in kind.points.items()}
            else:
                cells = text.split(None if kind.separator == " " else kind.separator or ",")
                if len(cells) < columns or (kind.columns is not None and len(cells) != columns):
                    continue
                fields = {name: cells[(point.column or 1) - 1] for name, point in kind.points.items()}
            return [point.reading(name, time_ns, fields[name], kind.decimal) for name, point in kind.points.items()]
        return None
