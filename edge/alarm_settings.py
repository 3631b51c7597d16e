"""One alarm as a configuration writes it, and what can be said against it before anything runs."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from contract.messages import PointDeclaration


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Strict):
    """What an operator reads, in both languages."""

    es: str = Field(min_length=1)
    en: str = Field(min_length=1)


class ConditionSettings(_Strict):
    kind: ConditionKind
    limit: float | None = Field(None, allow_inf_nan=False)


Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]


class AlarmSettings(_Strict):
    """One alarm, as `contract.alarms.AlarmDefinition` has it."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    point: str
    condition: ConditionSettings
    priority: Priority
    signal_class: SignalClass = SignalClass.ALARM
    deadband: float = Field(0.0, allow_inf_nan=False)
    on_delay: Seconds = 0.0
    off_delay: Seconds = 0.0
    title: Text
    consequence: Text | None = None
    action: Text | None = None
    response_time: Seconds | None = None
    shelvable: bool = True
    latching: bool = False
    source: str = ""

    def definition(self) -> AlarmDefinition:
        return AlarmDefinition(
            id=self.id,
            point=self.point,
            condition=Condition(self.condition.kind, self.condition.limit),
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
        )


def alarm_problems(alarm: AlarmSettings, declaration: PointDeclaration | None) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with an alarm, by the key it is wrong at."""
    kind, limit = alarm.condition.kind, alarm.condition.limit
    if kind is ConditionKind.BAD_QUALITY:
        if limit is not None:
            yield ("condition", "limit"), "a bad_quality condition has no limit; remove it"
    elif limit is None:
        what = "the seconds of silence" if kind is ConditionKind.SILENCE else "the value, in the unit of the point"
        yield ("condition", "limit"), f"missing: write {what}"
    elif kind is ConditionKind.SILENCE:
        if limit <= 0:
            yield ("condition", "limit"), f"{limit:g}: write the seconds of silence, above 0"
        elif declaration and declaration.period and limit <= declaration.period:
            yield ("condition", "limit"), f"{limit:g} s: the point comes each {declaration.period:g} s: write more than that"
    if alarm.deadband < 0:
        yield (
            ("deadband",),
            f"{alarm.deadband:g}: a deadband is a width; write {-alarm.deadband:g}, its side follows from {kind.value!r}",
        )
    elif alarm.deadband and kind not in {ConditionKind.ABOVE, ConditionKind.BELOW}:
        yield ("deadband",), f"a condition {kind.value!r} has no deadband; remove it"
    if declaration is not None and declaration.range is not None and limit is not None:
        yield from _range_problems(alarm, limit, declaration.range, declaration.unit)


def _range_problems(alarm: AlarmSettings, limit: float, span: tuple[float, float], unit: str) -> Iterator[tuple[tuple[str, ...], str]]:
    low, high = span
    kind = alarm.condition.kind
    if kind is ConditionKind.EQUALS and not low <= limit <= high:
        yield ("condition", "limit"), f"{limit:g} is outside the range of the point, {low:g} to {high:g} {unit}"
    if kind in {ConditionKind.ABOVE, ConditionKind.BELOW}:
        outside = limit >= high or limit < low if kind is ConditionKind.ABOVE else limit <= low or limit > high
        if outside:
            why = "it would never or always hold"
            yield ("condition", "limit"), f"{limit:g} is outside the range of the point, {low:g} to {high:g} {unit}: {why}"
        clears = limit - alarm.deadband if kind is ConditionKind.ABOVE else limit + alarm.deadband
        if not outside and alarm.deadband > 0 and not low <= clears <= high:
            yield (
                ("deadband",),
                f"{alarm.deadband:g}: the alarm would clear at {clears:g}, which the point never reaches"
                f" ({low:g} to {high:g} {unit}): write less",
            )
