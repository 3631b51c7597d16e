"""An alarm's condition in a few words, as `muki edge check` prints it."""

from contract.alarms import AlarmDefinition, Condition, ConditionKind


def describe(alarm: AlarmDefinition) -> str:
    """Such as ``above 25``, ``rate 2 /min over 60 s``, ``below 2  group pump-1  suppressed when pump-1/running equals 0 for 10 s``."""
    text = _condition(alarm.condition)
    if alarm.group:
        text += f"  group {alarm.group}"
    if alarm.shadow:
        text += "  shadow: nobody is alerted"
    if (by := alarm.suppress_when) is not None:
        lasting = f" for {by.on_delay:g} s" if by.on_delay else ""
        text += f"  suppressed when {by.point} {_condition(by.condition)}{lasting}"
    return text


def _condition(condition: Condition) -> str:
    limit = "" if condition.limit is None else f" {condition.limit:g}"
    if condition.kind is ConditionKind.RATE:
        return f"rate{limit} /{condition.per} over {condition.window:g} s"
    if condition.kind is ConditionKind.EXPRESSION:
        above = f" >{limit}" if condition.limit else ""
        return f"expression {condition.expression}{above}"
    return f"{condition.kind}{limit}"
