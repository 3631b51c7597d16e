"""The part of a card that says how a model is fed: which signals in which units, how often, and what its features were in training."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Part(BaseModel):
    """A part of a card: no key more than it has, no number written as a text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Signal(Part):
    """What is measured, and the unit in which the model was taught it; ``1`` for a raw response."""

    name: Text
    unit: Text


class Reported(Part):
    """One entry of an output as a point: its name, unit, and what it is in two languages."""

    name: Word
    unit: Text
    es: Text
    en: Text


class AlarmSide(Part):
    """On which side of the card's threshold which reported value calls for people."""

    output: Word
    side: Literal["above", "below"]


class FeatureRange(Part):
    """The 0.5 % and 99.5 % quantiles of a feature over the training rows: 1 % of them lay outside."""

    name: Text
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "FeatureRange":
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} and high {self.high}; low comes first")
        return self


class Feed(Part):
    """``period_s``: seconds of one row, None where a row is a cycle of the machine. ``rows``: how many of them one score looks at.

    ``preparation``: what makes the inputs of rows of ``signals``, in that order; a name of models.preparation.PREPARATIONS.
    """

    preparation: Literal["window", "pump_normal", "life_summary", "rise"]
    period_s: float | None = Field(gt=0)
    rows: int = Field(ge=1, le=10_000)
    signals: tuple[Signal, ...] = Field(min_length=1)
    outputs: tuple[Reported, ...] = Field(min_length=1)
    alarm: AlarmSide | None
    features: tuple[FeatureRange, ...] = Field(min_length=1)
    features_of: Text
    parameters: dict[Text, int] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Feed":
        for what, found in (("signals", self.signals), ("outputs", self.outputs), ("features", self.features)):
            names = [one.name for one in found]
            if len(set(names)) < len(names):
                raise ValueError(f"{what} {names}: each is named once")
        if self.alarm is not None and self.alarm.output not in {one.name for one in self.outputs}:
            raise ValueError(f"alarm.output is {self.alarm.output!r}; it must be one of outputs")
        return self
