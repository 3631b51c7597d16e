"""Conditions to events: what an alarm definition says of a stream of readings. Pure: no clock, no I/O; the moment is passed in.

Quality. A bad reading (or one without a value) neither raises nor clears a limit alarm, and neither starts, cancels nor completes a
delay: nothing is known at that moment, so what was known before stays. A flickering sensor above its limit therefore still raises its
alarm after the delay, as soon as a good reading confirms it, and a broken wire never looks like clean air. The broken wire itself is
what ``bad_quality`` and ``silence`` are for. An uncertain reading counts, and its quality travels on the event.
"""

from typing import NamedTuple

from contract.alarms import AlarmDefinition, AlarmEvent, ConditionKind, Transition
from contract.values import GOOD, Level, Quality, Reading, bad
from edge.clock import SECOND, Instant
from edge.identifiers import ulid


class StandingAlarm(NamedTuple):
    """A raised alarm as the outbox remembers it over a restart; ``event`` is the id of the event that raised it."""

    definition: str
    point: str
    event: str
    since_ns: int


class AlarmRule:
    """One definition's condition on one node.

    Delays and silence are measured on the steady clock of the `Instant`. After a restart a standing alarm goes on standing (it is passed
    in), delays begin anew, and silence is counted from the first tick.
    """

    def __init__(self, definition: AlarmDefinition, node: str, standing: StandingAlarm | None = None) -> None:
        self.definition = definition
        self._node = node
        self._standing = standing
        self._last: Reading | None = None
        self._known = False  # whether the last reading told anything
        self._changing_since: int | None = None  # steady ns since when the opposite of the present state has held
        self._told: int | None = None  # steady ns of the last reading with a value: silence

    @property
    def standing(self) -> StandingAlarm | None:
        return self._standing

    @property
    def waiting(self) -> bool:
        """Whether time alone may change it, so that `tick` is worth its call."""
        return self._changing_since is not None or self.definition.condition.kind is ConditionKind.SILENCE

    def update(self, reading: Reading, now: Instant) -> AlarmEvent | None:
        """The transition that a reading of this rule's point brings, if any."""
        if self.definition.condition.kind is ConditionKind.SILENCE:
            if reading.value is not None:  # a point that only says it could not be read is silent
                self._told, self._last = now.steady_ns, reading
            return self.tick(now)
        self._last = reading
        holds = self._holds(reading)
        self._known = holds is not None
        return self._step(holds, now, reading.time_ns) if holds is not None else None

    def tick(self, now: Instant) -> AlarmEvent | None:
        """The transition that the passing of time brings, if any: a delay that is over, or silence."""
        condition = self.definition.condition
        if condition.kind is ConditionKind.SILENCE:
            if self._told is None:
                self._told = now.steady_ns
            silent = now.steady_ns - self._told > (condition.limit or 0.0) * SECOND
            return self._step(silent, now, now.wall_ns)
        if self._changing_since is None or not self._known:
            return None
        return self._step(self._standing is None, now, now.wall_ns)

    def _holds(self, reading: Reading) -> bool | None:
        """Whether the condition holds, given the state it is in (deadband); None where the reading does not tell."""
        kind, limit = self.definition.condition.kind, self.definition.condition.limit
        if kind is ConditionKind.BAD_QUALITY:
            return reading.quality.level is Level.BAD
        value = reading.value
        if value is None or limit is None or reading.quality.level is Level.BAD or value != value:  # noqa: PLR0124 - NaN
            return None
        deadband = self.definition.deadband if self._standing is not None else 0.0
        if kind is ConditionKind.ABOVE:
            return value > limit - deadband
        if kind is ConditionKind.BELOW:
            return value < limit + deadband
        return value == limit

    def _step(self, holds: bool, now: Instant, time_ns: int) -> AlarmEvent | None:
        active = self._standing is not None
        if holds == active:
            self._changing_since = None
            return None
        if self._changing_since is None:
            self._changing_since = now.steady_ns
        delay = self.definition.off_delay if active else self.definition.on_delay
        if now.steady_ns - self._changing_since < delay * SECOND:
            return None
        self._changing_since = None
        return self._event(holds, time_ns if delay == 0 else now.wall_ns, now)

    def _event(self, raised: bool, time_ns: int, now: Instant) -> AlarmEvent:
        definition, last = self.definition, self._last
        silent = raised and definition.condition.kind is ConditionKind.SILENCE
        event = AlarmEvent(
            id=ulid(now.wall_ns),
            definition=definition.id,
            node=self._node,
            point=definition.point,
            time_ns=time_ns,
            transition=Transition.ACTIVE if raised else Transition.NORMAL,
            value=last.value if last and not silent else None,
            quality=bad("stale") if silent else last.quality if last else GOOD,
        )
        self._standing = StandingAlarm(definition.id, definition.point, event.id, event.time_ns) if raised else None
        return event


def removed(standing: StandingAlarm, node: str, now: Instant) -> AlarmEvent:
    """The event that ends a standing alarm whose definition is no longer in the configuration: nobody would ever clear it."""
    return AlarmEvent(
        id=ulid(now.wall_ns),
        definition=standing.definition,
        node=node,
        point=standing.point,
        time_ns=now.wall_ns,
        transition=Transition.NORMAL,
        quality=Quality(Level.UNCERTAIN, "definition_removed"),
    )


class AlarmRules:
    """Every rule of a node, found by point."""

    def __init__(self, definitions: list[AlarmDefinition], node: str, standing: dict[str, StandingAlarm]) -> None:
        self.rules = [AlarmRule(definition, node, standing.get(definition.id)) for definition in definitions]
        self._by_point: dict[str, list[AlarmRule]] = {}
        for rule in self.rules:
            self._by_point.setdefault(rule.definition.point, []).append(rule)

    def update(self, reading: Reading, now: Instant) -> list[AlarmEvent]:
        rules = self._by_point.get(reading.point)
        if not rules:
            return []
        return [event for rule in rules if (event := rule.update(reading, now)) is not None]

    def tick(self, now: Instant) -> list[AlarmEvent]:
        return [event for rule in self.rules if rule.waiting and (event := rule.tick(now)) is not None]

    def standing(self) -> list[StandingAlarm]:
        return [rule.standing for rule in self.rules if rule.standing is not None]
