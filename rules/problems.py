"""What can be said against an alarm before anything runs."""

from collections.abc import Iterator

from contract.alarms import ConditionKind
from contract.messages import PointDeclaration
from rules.expressions import Expression
from rules.settings import AlarmSettings, ConditionSettings

Problem = tuple[tuple[str, ...], str]
_ON_VALUE = frozenset({ConditionKind.ABOVE, ConditionKind.BELOW})
_WITH_DEADBAND = _ON_VALUE | {ConditionKind.RATE, ConditionKind.EXPRESSION}
_OWN_KEYS = {"window": ConditionKind.RATE, "per": ConditionKind.RATE, "expression": ConditionKind.EXPRESSION}
_OWN_KEYS |= {"points": ConditionKind.EXPRESSION, "max_age": ConditionKind.EXPRESSION}


def alarm_problems(alarm: AlarmSettings, declaration: PointDeclaration | None) -> Iterator[Problem]:
    """What is wrong with an alarm, by the key it is wrong at."""
    condition = alarm.condition
    kind, limit = condition.kind, condition.limit
    for key, owner in _OWN_KEYS.items():
        if getattr(condition, key) and kind is not owner:
            yield ("condition", key), f"belongs to a condition {owner.value!r}, not {kind.value!r}; remove it"
    if kind is ConditionKind.BAD_QUALITY:
        if limit is not None:
            yield ("condition", "limit"), "a bad_quality condition has no limit; remove it"
    elif kind is ConditionKind.EXPRESSION:
        yield from _expression_problems(alarm)
    elif limit is None:
        what = {ConditionKind.SILENCE: "the seconds of silence", ConditionKind.RATE: "the most it may change per second or minute"}
        yield ("condition", "limit"), f"missing: write {what.get(kind, 'the value, in the unit of the point')}"
    elif kind is ConditionKind.SILENCE:
        yield from _silence_problems(limit, declaration)
    elif kind is ConditionKind.RATE:
        yield from _rate_problems(alarm, limit, declaration)
    yield from _deadband_problems(alarm)
    if kind in _ON_VALUE | {ConditionKind.EQUALS} and declaration is not None and declaration.range is not None and limit is not None:
        yield from _range_problems(alarm, limit, declaration.range, declaration.unit)


def _deadband_problems(alarm: AlarmSettings) -> Iterator[Problem]:
    kind = alarm.condition.kind
    if alarm.deadband < 0:
        yield (
            ("deadband",),
            f"{alarm.deadband:g}: a deadband is a width; write {-alarm.deadband:g}, its side follows from {kind.value!r}",
        )
    elif alarm.deadband and kind not in _WITH_DEADBAND:
        yield ("deadband",), f"a condition {kind.value!r} has no deadband; remove it"


def _silence_problems(limit: float, declaration: PointDeclaration | None) -> Iterator[Problem]:
    if limit <= 0:
        yield ("condition", "limit"), f"{limit:g}: write the seconds of silence, above 0"
    elif declaration and declaration.period and limit <= declaration.period:
        yield ("condition", "limit"), f"{limit:g} s: the point comes each {declaration.period:g} s: write more than that"


def _rate_problems(alarm: AlarmSettings, limit: float, declaration: PointDeclaration | None) -> Iterator[Problem]:
    window, per = alarm.condition.window, alarm.condition.per
    if limit <= 0:
        yield ("condition", "limit"), f"{limit:g}: a rate counts whichever way it goes; write a limit above 0"
    if per is None:
        yield ("condition", "per"), "missing: write s or min, the time unit of the limit"
    if window is None:
        yield ("condition", "window"), "missing: write the seconds over which the change is taken"
    elif window <= 0:
        yield ("condition", "window"), f"{window:g}: write the seconds over which the change is taken, above 0"
    elif declaration and declaration.period and window < 2 * declaration.period:
        yield (
            ("condition", "window"),
            f"{window:g} s: the point comes each {declaration.period:g} s: write {2 * declaration.period:g} or more",
        )
    elif declaration and declaration.range and per is not None:
        most = (declaration.range[1] - declaration.range[0]) / window * (60 if per == "min" else 1)
        if limit >= most:
            yield (
                ("condition", "limit"),
                f"{limit:g}: within {window:g} s the point cannot change by more than {most:g} {declaration.unit}/{per}: it would never hold",
            )
    if alarm.deadband >= limit > 0:
        yield ("deadband",), f"{alarm.deadband:g}: the alarm would never clear; write less than the limit, {limit:g}"


def _expression_problems(alarm: AlarmSettings) -> Iterator[Problem]:
    condition: ConditionSettings = alarm.condition
    if not condition.expression:
        yield ("condition", "expression"), "missing: write for example 'flow < 0.8 * expected', and under points what flow and expected are"
        return
    try:
        names = Expression(condition.expression).names
    except ValueError as error:
        yield ("condition", "expression"), str(error)
        return
    for name in sorted(names - condition.points.keys()):
        yield ("condition", "expression"), f"{name!r} is under no name in points: add '{name}: asset/signal' there"
    seen: dict[str, str] = {}
    for name, point in condition.points.items():
        if name not in names:
            yield ("condition", "points", name), f"{name!r} is not in the expression; remove it"
        elif point in seen:
            yield ("condition", "points", name), f"{point!r} is {seen[point]!r} already; use that name"
        seen.setdefault(point, name)
    if condition.points and alarm.point not in seen:
        yield ("point",), f"{alarm.point!r} is none of the expression's points: write the one at which an operator looks first"


def _range_problems(alarm: AlarmSettings, limit: float, span: tuple[float, float], unit: str) -> Iterator[Problem]:
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
