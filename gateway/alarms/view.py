"""What the journal shows: an alarm as it stands, and one line of its history."""

from typing import NamedTuple

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass, State
from contract.frames import to_ms
from contract.messages import GatewayAlarm
from gateway.alarms.lifecycle import Fold

URGENCY = {priority: rank for rank, priority in enumerate(Priority)}


def undeclared(definition: str, point: str) -> AlarmDefinition:
    """What stands in for a definition that no birth has declared: such an alarm is shown, as an urgent one, until the birth comes."""
    return AlarmDefinition(definition, point, Condition(ConditionKind.EQUALS), Priority.HIGH, SignalClass.ALARM)


class AlarmView(NamedTuple):
    """One alarm of one node: what it means, and where it stands. Of two views of one alarm, the one with the higher ``version`` is newer."""

    key: str
    node: str
    point: str
    definition: AlarmDefinition
    now: Fold
    version: int

    @property
    def state(self) -> State:
        return self.now.state

    def to_json(self) -> dict[str, object]:
        """For the API and the live bus. Times are Unix milliseconds; ``limit`` is in the point's unit, in seconds for ``silence``, and per
        second or minute, as ``per`` says, for ``rate``.
        """
        now, definition = self.now, self.definition
        return {
            "key": self.key,
            "node": self.node,
            "definition": definition.id,
            "point": self.point,
            "state": now.state.value,
            "active": now.active,
            "priority": definition.priority.value,
            "signal_class": definition.signal_class.value,
            "since": to_ms(now.since_ns),
            "returned": _ms(now.returned_ns),
            "value": now.value,
            "quality": now.quality,
            "condition": definition.condition.kind.value,
            "limit": definition.condition.limit,
            "per": definition.condition.per,
            "group": definition.group,
            "first_up": now.first_up,
            "title": definition.title,
            "consequence": definition.consequence,
            "action": definition.action,
            "response_time": definition.response_time,
            "source": definition.source,
            "shelvable": definition.shelvable,
            "acknowledged_by": now.acknowledged_by,
            "acknowledged": _ms(now.acknowledged_ns),
            "shelved_by": now.shelved_by,
            "shelved_until": _ms(now.shelved_until_ns),
            "note": now.note,
            "version": self.version,
            "event": now.event,
            "evidence": list(now.evidence),
        }

    def gateway_alarm(self) -> GatewayAlarm:
        """For the retained topic of an alarm that is not normal."""
        return GatewayAlarm(
            self.key,
            self.node,
            self.definition.id,
            self.point,
            self.now.state,
            self.now.active,
            self.definition.priority,
            self.definition.signal_class,
            to_ms(self.now.since_ns),
            self.now.value,
            self.now.acknowledged_by,
        )


class Recorded(NamedTuple):
    """What an event did. ``view``: the alarm when this changed it, else None. ``announce``: sound and notify, a new alarm is there now."""

    view: AlarmView | None
    duplicate: bool
    announce: bool


class Entry(NamedTuple):
    """One line of history. ``what`` is ``active`` or ``normal`` for an event, the trigger for an action; ``state`` is what it led to.

    ``cursor`` is where the next page begins, ``event`` the id of an event and empty for an action.
    """

    cursor: str
    key: str
    node: str
    definition: str
    point: str
    at_ns: int
    recorded_ns: int
    what: str
    state: State
    title: dict[str, str]
    priority: Priority
    signal_class: SignalClass
    value: float | None = None
    quality: str = "good"
    late: bool = False
    event: str = ""
    evidence: tuple[str, ...] = ()
    who: str | None = None
    note: str = ""
    until_ns: int | None = None
    shadow: bool = False

    def to_json(self) -> dict[str, object]:
        """For the API; times are Unix milliseconds."""
        plain: dict[str, object] = dict(self._asdict())
        plain.update(
            state=self.state.value,
            priority=self.priority.value,
            signal_class=self.signal_class.value,
            evidence=list(self.evidence),
            at=to_ms(self.at_ns),
            recorded=to_ms(self.recorded_ns),
            until=_ms(self.until_ns),
        )
        for name in ("at_ns", "recorded_ns", "until_ns"):
            del plain[name]
        return plain


def _ms(time_ns: int | None) -> float | None:
    return None if time_ns is None else to_ms(time_ns)
