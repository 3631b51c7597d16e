"""One alarm as a configuration writes it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass, Suppression
from rules.inputs import MAX_AGE


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Strict):
    """What an operator reads, in both languages."""

    es: str = Field(min_length=1)
    en: str = Field(min_length=1)


Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class ConditionSettings(_Strict):
    """``window`` and ``per`` belong to ``rate``; ``expression``, ``points`` and ``max_age`` to ``expression``."""

    kind: ConditionKind
    limit: Number | None = None
    window: Seconds | None = None
    per: Literal["s", "min"] | None = None
    expression: str = ""
    points: dict[str, str] = {}
    max_age: Seconds | None = None

    def condition(self) -> Condition:
        expression = self.kind is ConditionKind.EXPRESSION
        limit = 0.0 if expression and self.limit is None else self.limit
        max_age = MAX_AGE if expression and self.max_age is None else self.max_age
        return Condition(self.kind, limit, self.window, self.per, self.expression, self.points, max_age)


class SuppressSettings(_Strict):
    """When the alarm means nothing by design; one of ``above``, ``below`` and ``equals``."""

    point: str
    above: Number | None = None
    below: Number | None = None
    equals: Number | None = None
    lasting: Seconds = Field(0.0, alias="for", description="Seconds it must have held")
    max_age: Seconds = Field(60.0, description="Seconds after which a silent point suppresses nothing")

    @model_validator(mode="after")
    def _one(self) -> "SuppressSettings":
        if sum(value is not None for value in (self.above, self.below, self.equals)) != 1:
            raise ValueError("write one of above, below and equals")
        return self

    def suppression(self) -> Suppression:
        ((kind, limit),) = [
            (kind, limit)
            for kind, limit in (
                (ConditionKind.ABOVE, self.above),
                (ConditionKind.BELOW, self.below),
                (ConditionKind.EQUALS, self.equals),
            )
            if limit is not None
        ]
        return Suppression(self.point, Condition(kind, limit), self.lasting, self.max_age)


class RuleSettings(_Strict):
    """One alarm without its point, as a rule pack has it too."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    condition: ConditionSettings
    priority: Priority
    signal_class: SignalClass = SignalClass.ALARM
    deadband: Number = 0.0
    on_delay: Seconds = 0.0
    off_delay: Seconds = 0.0
    title: Text
    consequence: Text | None = None
    action: Text | None = None
    response_time: Seconds | None = None
    shelvable: bool = True
    latching: bool = False
    source: str = ""
    group: str = Field("", pattern=r"^([a-z0-9][a-z0-9-]{0,31})?$")
    suppress_when: SuppressSettings | None = None
    shadow: bool = False


class AlarmSettings(RuleSettings):
    """One alarm, as `contract.alarms.AlarmDefinition` has it."""

    point: str

    def definition(self) -> AlarmDefinition:
        return AlarmDefinition(
            id=self.id,
            point=self.point,
            condition=self.condition.condition(),
            priority=self.priority,
            signal_class=self.signal_class,
            deadband=self.deadband,
            on_delay=self.on_delay,
            off_delay=self.off_delay,
            title=self.title.model_dump(),
            consequence=self.consequence.model_dump() if self.consequence else {},
            action=self.action.model_dump() if self.action else {},
            response_time=self.response_time,
            shelvable=self.shelvable,
            latching=self.latching,
            source=self.source,
            group=self.group,
            suppress_when=self.suppress_when.suppression() if self.suppress_when else None,
            shadow=self.shadow,
        )

    def points(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Every point it needs, by the key it is named at."""
        yield ("point",), self.point
        for name, point in self.condition.points.items():
            yield ("condition", "points", name), point
        if self.suppress_when is not None:
            yield ("suppress_when", "point"), self.suppress_when.point
