"""Alarm rules: transitions alternate, the deadband stops chatter, delays are kept, and a bad reading decides nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Transition
from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.clock import MS, SECOND, Instant
from rules.engine import AlarmRule, AlarmRules, StandingAlarm, removed
from rules.identifiers import ALPHABET, LENGTH, ulid

WALL = 1_764_000_000_000 * MS
POINT = "pump-1/temperature"


def definition(kind: ConditionKind, limit: float | None = None, **settings: float) -> AlarmDefinition:
    return AlarmDefinition(id="hot", point=POINT, condition=Condition(kind, limit), priority=Priority.HIGH, **settings)  # type: ignore[arg-type]


def at(seconds: float) -> Instant:
    return Instant(WALL + int(seconds * SECOND), int(seconds * SECOND))


def reading(value: float | None, seconds: float = 0.0, quality: Quality = GOOD) -> Reading:
    return Reading(POINT, WALL + int(seconds * SECOND), value, quality)


def play(rule: AlarmRule, values: list[tuple[float, float | None]], quality: Quality = GOOD) -> list[tuple[float, Transition]]:
    """Feeds (seconds, value) and returns (seconds, transition)."""
    found = []
    for seconds, value in values:
        event = rule.update(reading(value, seconds, quality if value is not None else bad("sensor_fault")), at(seconds))
        if event:
            found.append((seconds, event.transition))
    return found


def test_above_raises_over_the_limit_and_clears_below_the_deadband() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80, deadband=5), "pump-1")
    steps = [(0, 80.0), (1, 80.1), (2, 79.0), (3, 75.1), (4, 75.0), (5, 80.0), (6, 81.0)]
    assert play(rule, list(steps)) == [(1, Transition.ACTIVE), (4, Transition.NORMAL), (6, Transition.ACTIVE)]


def test_below_is_its_mirror() -> None:
    rule = AlarmRule(definition(ConditionKind.BELOW, 19.5, deadband=0.5), "pump-1")
    assert play(rule, [(0, 19.5), (1, 19.4), (2, 19.9), (3, 20.0)]) == [(1, Transition.ACTIVE), (3, Transition.NORMAL)]


def test_equals_is_for_digital_points() -> None:
    rule = AlarmRule(definition(ConditionKind.EQUALS, 0), "pump-1")
    assert play(rule, [(0, 1.0), (1, 0.0), (2, 0.0), (3, 1.0)]) == [(1, Transition.ACTIVE), (3, Transition.NORMAL)]


def test_the_event_says_what_was_read_and_when() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80), "pump-1")
    event = rule.update(reading(90.0, 3.0, uncertain("uncalibrated")), at(3.2))
    assert event is not None
    assert event.time_ns == WALL + 3 * SECOND
    assert (event.definition, event.node, event.point, event.value) == ("hot", "pump-1", POINT, 90.0)
    assert event.quality == uncertain("uncalibrated")
    assert rule.standing is not None
    assert rule.standing.event == event.id


def test_on_delay_ends_without_a_further_reading() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80, on_delay=10), "pump-1")
    assert rule.update(reading(90), at(0)) is None
    assert rule.tick(at(9.99)) is None
    event = rule.tick(at(10))
    assert event is not None
    assert event.time_ns == at(10).wall_ns
    assert rule.tick(at(11)) is None


def test_on_delay_begins_anew_when_the_condition_pauses() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80, on_delay=10), "pump-1")
    assert play(rule, [(0, 90.0), (9, 70.0), (10, 90.0), (19, 90.0), (20, 90.0)]) == [(20, Transition.ACTIVE)]


def test_a_step_of_the_wall_clock_changes_no_delay() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80, on_delay=10), "pump-1")
    assert rule.update(reading(90), at(0)) is None
    assert rule.tick(Instant(WALL + 10**18, 5 * SECOND)) is None
    silent = AlarmRule(definition(ConditionKind.SILENCE, 60), "pump-1")
    assert silent.tick(at(0)) is None
    assert silent.tick(Instant(WALL + 10**18, 5 * SECOND)) is None


def test_a_bad_reading_neither_raises_nor_clears_a_limit_alarm() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80), "pump-1")
    assert rule.update(reading(999.0, 0, bad("out_of_range")), at(0)) is None
    assert rule.update(reading(float("nan"), 0), at(0)) is None
    assert rule.update(reading(90), at(1)) is not None
    assert rule.update(reading(0.0, 2, bad("wire_break")), at(2)) is None
    assert rule.update(reading(None, 3, bad("wire_break")), at(3)) is None
    assert rule.standing is not None
    assert rule.update(reading(70), at(4)) is not None


def test_a_flickering_sensor_above_its_limit_still_raises() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80, on_delay=10), "pump-1")
    values: list[tuple[float, float | None]] = [(0, 90.0), (4, None), (5, 90.0), (9, None)]
    assert play(rule, values) == []
    assert rule.tick(at(12)) is None, "the delay does not end on a reading that tells nothing"
    assert play(rule, [(13, 90.0)]) == [(13, Transition.ACTIVE)]


def test_bad_quality_holds_while_the_quality_is_bad() -> None:
    rule = AlarmRule(definition(ConditionKind.BAD_QUALITY, off_delay=5), "pump-1")
    assert play(rule, [(0, 1.0)]) == []
    assert play(rule, [(1, None)]) == [(1, Transition.ACTIVE)]
    assert play(rule, [(2, 1.0), (3, None), (4, 1.0), (8, 1.0)]) == []
    assert play(rule, [(9, 1.0)]) == [(9, Transition.NORMAL)]


def test_silence_is_counted_from_the_first_tick_and_ends_with_a_value() -> None:
    rule = AlarmRule(definition(ConditionKind.SILENCE, 30), "pump-1")
    assert rule.tick(at(100)) is None
    assert rule.tick(at(130)) is None
    event = rule.tick(at(130.5))
    assert event is not None
    assert (event.transition, event.value, event.quality) == (Transition.ACTIVE, None, bad("stale"))
    assert play(rule, [(131, None)]) == [], "a point that only says it cannot be read is still silent"
    assert play(rule, [(132, 5.0)]) == [(132, Transition.NORMAL)]


def test_a_restart_does_not_raise_a_standing_alarm_again() -> None:
    before = AlarmRule(definition(ConditionKind.ABOVE, 80, deadband=5), "pump-1")
    raised = before.update(reading(90), at(0))
    assert raised is not None
    after = AlarmRule(before.definition, "pump-1", before.standing)
    assert play(after, [(5, 91.0), (6, 76.0)]) == []
    assert after.standing is not None
    assert after.standing.event == raised.id
    assert play(after, [(7, 75.0)]) == [(7, Transition.NORMAL)]


def test_an_alarm_whose_definition_is_gone_is_cleared() -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 80), "pump-1")
    rule.update(reading(90), at(0))
    assert rule.standing is not None
    event = removed(rule.standing, "pump-1", at(9))
    assert (event.transition, event.definition, event.quality) == (Transition.NORMAL, "hot", uncertain("definition_removed"))


def test_rules_are_found_by_point_and_only_waiting_ones_are_ticked() -> None:
    other = AlarmDefinition(id="mute", point="a/b", condition=Condition(ConditionKind.SILENCE, 10), priority=Priority.LOW)
    rules = AlarmRules([definition(ConditionKind.ABOVE, 80), other], "pump-1", {})
    assert [event.definition for event in rules.update(reading(90), at(0))] == ["hot"]
    assert rules.update(Reading("no/body", WALL, 1.0), at(0)) == []
    assert rules.tick(at(0)) == []
    assert [event.definition for event in rules.tick(at(11))] == ["mute"]
    assert {alarm.definition for alarm in rules.standing()} == {"hot", "mute"}


STEPS = st.lists(
    st.tuples(
        st.floats(0.01, 20),
        st.one_of(st.none(), st.floats(0, 100)),
        st.sampled_from([GOOD, uncertain("clock_unsure"), bad("sensor_fault")]),
        st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(
    st.sampled_from([kind for kind in ConditionKind if kind is not ConditionKind.EXPRESSION]),
    STEPS,
    st.floats(0, 20),
    st.sampled_from([0.0, 1.0, 7.5]),
    st.sampled_from([0.0, 2.0]),
    st.booleans(),
)
def test_transitions_alternate_and_ids_are_unique(  # noqa: PLR0917 - one argument a property
    kind: ConditionKind, steps: list[tuple[float, float | None, Quality, bool]], deadband: float, on: float, off: float, was_standing: bool
) -> None:
    limit = None if kind is ConditionKind.BAD_QUALITY else 50.0
    first = AlarmRule(definition(kind, limit, deadband=deadband, on_delay=on, off_delay=off), "pump-1")
    standing = None
    if was_standing:
        standing = standing_of(first)
    rule = AlarmRule(first.definition, "pump-1", standing)
    seconds = 0.0
    events: list[AlarmEvent] = []
    for pause, value, quality, ticked in steps:
        seconds += pause
        event = rule.tick(at(seconds)) if ticked else rule.update(reading(value, seconds, quality), at(seconds))
        if event:
            events.append(event)
            assert (rule.standing is not None) == (event.transition is Transition.ACTIVE)
    expected = Transition.NORMAL if was_standing else Transition.ACTIVE
    for event in events:
        assert event.transition is expected
        expected = Transition.ACTIVE if expected is Transition.NORMAL else Transition.NORMAL
    assert len({event.id for event in events}) == len(events)


def standing_of(rule: AlarmRule) -> StandingAlarm:
    return StandingAlarm(rule.definition.id, rule.definition.point, "E1", WALL)


@settings(deadline=None)
@given(st.lists(st.floats(45.0, 50.0), min_size=1, max_size=100))
def test_nothing_chatters_inside_the_deadband(values: list[float]) -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 50, deadband=5.001), "pump-1")
    inside = list(enumerate(values, start=1))
    assert play(rule, [(float(second), value) for second, value in inside]) == []
    assert play(rule, [(200, 50.1)]) == [(200, Transition.ACTIVE)]
    assert play(rule, [(201.0 + second, value) for second, value in inside]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 4), st.floats(0, 100)), min_size=1, max_size=80), st.floats(0.5, 10), st.floats(0.5, 10))
def test_an_alarm_follows_a_condition_that_held_for_its_whole_delay(steps: list[tuple[float, float]], on: float, off: float) -> None:
    rule = AlarmRule(definition(ConditionKind.ABOVE, 50, on_delay=on, off_delay=off), "pump-1")
    seconds, since, active = 0.0, 0.0, False
    previous: bool | None = None
    for pause, value in steps:
        seconds += pause
        holds = value > 50
        if holds is not previous:
            since, previous = seconds, holds
        event = rule.update(reading(value, seconds), at(seconds))
        held = at(seconds).steady_ns - at(since).steady_ns
        due = holds != active and held >= (off if active else on) * SECOND
        assert (event is not None) == due
        active = holds if due else active


def test_identifiers_sort_by_time_and_do_not_repeat() -> None:
    early, late = ulid(WALL), ulid(WALL + MS)
    assert early < late
    assert len(early) == LENGTH
    assert set(early) <= set(ALPHABET)
    assert len({ulid(WALL) for _ in range(1000)}) == 1000
    assert ulid(0, 0) == "0" * 26
    assert ulid(WALL, 5).endswith("5")
