"""Conditions to events: what an alarm definition says of a stream of readings. Pure: no clock, no I/O; the moment is passed in.

Quality. A bad reading (or one without a value) neither raises nor clears a limit alarm, and neither starts, cancels nor completes a
delay: nothing is known at that moment, so what was known before stays. A flickering sensor above its limit therefore still raises its
alarm after the delay, as soon as a good reading confirms it, and a broken wire never looks like clean air. The broken wire itself is
what ``bad_quality`` and ``silence`` are for. An uncertain reading counts, and its quality travels on the event. A rate or an expression that
cannot be told decides nothing in the same way.

Suppression by design. While ``suppress_when`` holds the alarm is not raised; one that stands returns to normal, with the quality
uncertain:suppressed, and `suppress` and `unsuppress` events say from when to when, so that operators see it as suppressed. Afterwards the
condition is looked at afresh, with its delay.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from contract.alarms import AlarmDefinition, AlarmEvent, ConditionKind, Transition
from contract.values import GOOD, Level, Quality, Reading, bad, uncertain
from rules.conditions import RateOfChange, Suppressor, usable
from rules.identifiers import ulid
from rules.inputs import ExpressionInputs
from rules.moment import SECOND, Instant

_HIGH = frozenset({ConditionKind.ABOVE, ConditionKind.RATE, ConditionKind.EXPRESSION})  # they hold above their limit


class StandingAlarm(NamedTuple):
    """A raised alarm as the outbox remembers it over a restart; ``event`` is the id of the event that raised it."""

    definition: str
    point: str
    event: str
    since_ns: int


class AlarmRule:
    """One definition's condition on one node.

    Delays, rates and silence are measured on the steady clock of the `Instant`. After a restart a standing alarm goes on standing (it is
    passed in), delays begin anew, and silence is counted from the first tick.
    """

    def __init__(self, definition: AlarmDefinition, node: str, standing: StandingAlarm | None = None, *, suppressed: bool = False) -> None:
        self.definition = definition
        self.suppressed = suppressed
        self._node = node
        self._standing = standing
        self._last: Reading | None = None
        self._known = False  # whether the last reading told anything
        self._changing_since: int | None = None  # steady ns since when the opposite of the present state has held
        self._told: int | None = None  # steady ns of the last reading with a value: silence
        condition = definition.condition
        self.points = frozenset({definition.point, *condition.points.values()})  # whose readings `update` wants
        self._rate = RateOfChange(condition.window or 60.0, condition.per or "s") if condition.kind is ConditionKind.RATE else None
        self._inputs = ExpressionInputs(condition) if condition.kind is ConditionKind.EXPRESSION else None

    @property
    def standing(self) -> StandingAlarm | None:
        return self._standing

    @property
    def waiting(self) -> bool:
        """Whether time alone may change it, so that `tick` is worth its call."""
        return self._changing_since is not None or self.definition.condition.kind is ConditionKind.SILENCE

    def update(self, reading: Reading, now: Instant) -> AlarmEvent | None:
        """The transition that a reading of one of this rule's points brings, if any."""
        if self.definition.condition.kind is ConditionKind.SILENCE:
            # A point that only says it could not be read is silent, and so is one that says again what it had said before.
            if reading.value is not None and reading.quality.reason != "repeated":
                self._told, self._last = now.steady_ns, reading
            return self.tick(now)
        if reading.point == self.definition.point:
            self._last = reading
        holds = self._holds(reading, now)
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
        if self._inputs is not None and self._inputs.result(now) is None:  # an input has grown too old to complete a delay
            return None
        return self._step(self._standing is None, now, now.wall_ns)

    def suppress(self, now: Instant) -> list[AlarmEvent]:
        """Begins the suppression by design: what stands returns to normal first."""
        events = []
        if self._standing is not None:
            events.append(self._event(Transition.NORMAL, now.wall_ns, now, uncertain("suppressed")))
            self._standing = None
        self.suppressed = True
        self._changing_since = None
        return [*events, self._event(Transition.SUPPRESS, now.wall_ns, now)]

    def unsuppress(self, now: Instant) -> AlarmEvent:
        """Ends the suppression; silence is counted from now on."""
        self.suppressed = False
        self._told = now.steady_ns
        return self._event(Transition.UNSUPPRESS, now.wall_ns, now)

    def listen_again(self, now: Instant) -> None:
        """Nobody could be heard until now: silence is counted from here."""
        self._told = now.steady_ns

    def _holds(self, reading: Reading, now: Instant) -> bool | None:
        """Whether the condition holds, given the state it is in (deadband); None where the reading does not tell."""
        kind, limit = self.definition.condition.kind, self.definition.condition.limit
        if kind is ConditionKind.BAD_QUALITY:
            return reading.quality.level is Level.BAD
        value = self._measured(reading, now)
        if value is None or limit is None:
            return None
        deadband = self.definition.deadband if self._standing is not None else 0.0
        if kind in _HIGH:
            return value > limit - deadband
        if kind is ConditionKind.BELOW:
            return value < limit + deadband
        return value == limit

    def _measured(self, reading: Reading, now: Instant) -> float | None:
        """What is compared with the limit: the value, its rate of change, or the expression's result."""
        if self._inputs is not None:
            self._inputs.update(reading, now)
            return self._inputs.result(now)
        value = usable(reading)
        return self._rate.update(value, now.steady_ns) if self._rate is not None and value is not None else value

    def _step(self, holds: bool, now: Instant, time_ns: int) -> AlarmEvent | None:
        active = self._standing is not None
        if holds == active or self.suppressed:
            self._changing_since = None
            return None
        if self._changing_since is None:
            self._changing_since = now.steady_ns
        delay = self.definition.off_delay if active else self.definition.on_delay
        if now.steady_ns - self._changing_since < delay * SECOND:
            return None
        self._changing_since = None
        event = self._event(Transition.ACTIVE if holds else Transition.NORMAL, time_ns if delay == 0 else now.wall_ns, now)
        self._standing = StandingAlarm(event.definition, event.point, event.id, event.time_ns) if holds else None
        return event

    def _event(self, transition: Transition, time_ns: int, now: Instant, quality: Quality | None = None) -> AlarmEvent:
        definition, last = self.definition, self._last
        silent = transition is Transition.ACTIVE and definition.condition.kind is ConditionKind.SILENCE
        if quality is None:
            known = self._inputs.quality if self._inputs is not None else last.quality if last else GOOD
            quality = bad("stale") if silent else known
        return AlarmEvent(
            id=ulid(now.wall_ns),
            definition=definition.id,
            node=self._node,
            point=definition.point,
            time_ns=time_ns,
            transition=transition,
            value=last.value if last and not silent else None,
            quality=quality,
        )


def released(definition: str, point: str, node: str, now: Instant) -> AlarmEvent:
    """The event that ends the suppression of an alarm that is no longer in the configuration."""
    return AlarmEvent(ulid(now.wall_ns), definition, node, point, now.wall_ns, Transition.UNSUPPRESS, None, uncertain("definition_removed"))


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


class _Line(NamedTuple):
    """One rule and what may suppress it."""

    rule: AlarmRule
    suppressor: Suppressor | None


class AlarmRules:
    """Every rule of a node, found by point; and of each group, which alarms stand, so that the first one up is marked.

    ``suppressed``: the definitions that were suppressed when the node ended. One that no longer has a ``suppress_when`` is released.
    """

    def __init__(
        self, definitions: list[AlarmDefinition], node: str, standing: dict[str, StandingAlarm], suppressed: Collection[str] = ()
    ) -> None:
        self.rules: list[AlarmRule] = []
        self._lines: list[_Line] = []
        self._by_point: dict[str, list[_Line]] = {}
        self._up: dict[str, set[str]] = {}
        for definition in definitions:
            remembered = definition.id in suppressed
            rule = AlarmRule(definition, node, standing.get(definition.id), suppressed=remembered)
            suppressor = Suppressor(definition.suppress_when, remembered=remembered) if definition.suppress_when else None
            line = _Line(rule, suppressor)
            self.rules.append(rule)
            self._lines.append(line)
            for point in sorted(rule.points | ({suppressor.point} if suppressor else set())):
                self._by_point.setdefault(point, []).append(line)
            if definition.group and rule.standing is not None:
                self._up.setdefault(definition.group, set()).add(definition.id)

    def update(self, reading: Reading, now: Instant) -> list[AlarmEvent]:
        return [event for line in self._by_point.get(reading.point, ()) for event in self._updated(line, reading, now)]

    def tick(self, now: Instant) -> list[AlarmEvent]:
        return [event for line in self._lines for event in self._ticked(line, now)]

    def listen_again(self, now: Instant) -> None:
        for rule in self.rules:
            rule.listen_again(now)

    def standing(self) -> list[StandingAlarm]:
        return [rule.standing for rule in self.rules if rule.standing is not None]

    def _updated(self, line: _Line, reading: Reading, now: Instant) -> Iterator[AlarmEvent]:
        rule, suppressor = line
        if suppressor is not None and suppressor.point == reading.point:
            yield from self._suppression(rule, now, suppressor.update(reading, now))
        if reading.point in rule.points and (event := rule.update(reading, now)) is not None:
            yield self._grouped(rule, event)

    def _ticked(self, line: _Line, now: Instant) -> Iterator[AlarmEvent]:
        rule, suppressor = line
        if suppressor is not None or rule.suppressed:
            yield from self._suppression(rule, now, suppressor is not None and suppressor.tick(now))
        if rule.waiting and (event := rule.tick(now)) is not None:
            yield self._grouped(rule, event)

    def _suppression(self, rule: AlarmRule, now: Instant, wanted: bool) -> Iterator[AlarmEvent]:
        if wanted and not rule.suppressed:
            for event in rule.suppress(now):
                yield self._grouped(rule, event)
        elif rule.suppressed and not wanted:
            yield rule.unsuppress(now)

    def _grouped(self, rule: AlarmRule, event: AlarmEvent) -> AlarmEvent:
        """A group is up until every alarm in it is normal again."""
        group = rule.definition.group
        if not group:
            return event
        up = self._up.setdefault(group, set())
        if event.transition is Transition.ACTIVE:
            first = not up
            up.add(event.definition)
            return msgspec.structs.replace(event, first_up=True) if first else event
        up.discard(event.definition)
        return event
