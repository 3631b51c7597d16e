"""Rule kinds beyond a limit: rate of change, expressions; groups with their first-up mark; suppression by design."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Suppression, Transition
from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.clock import MS, SECOND, Instant
from rules.conditions import RateOfChange
from rules.engine import AlarmRule, AlarmRules, StandingAlarm, released
from rules.expressions import Expression

WALL = 1_764_000_000_000 * MS
PRESSURE, RUNNING, FLOW = "pump-1/pressure", "pump-1/running", "pump-1/flow"
ACTIVE, NORMAL, SUPPRESS, UNSUPPRESS = Transition
ABOVE_50 = Condition(ConditionKind.ABOVE, 50)
STOPPED = Suppression(RUNNING, Condition(ConditionKind.EQUALS, 0), on_delay=5, max_age=60)


def alarm(name: str, condition: Condition, point: str = PRESSURE, **settings: object) -> AlarmDefinition:
    return AlarmDefinition(id=name, point=point, condition=condition, priority=Priority.HIGH, **settings)  # type: ignore[arg-type]


def at(seconds: float) -> Instant:
    return Instant(WALL + int(seconds * SECOND), int(seconds * SECOND))


def reading(point: str, value: float | None, seconds: float, quality: Quality = GOOD) -> Reading:
    return Reading(point, WALL + int(seconds * SECOND), value, quality if value is not None else bad("wire_break"))


def said(events: list[AlarmEvent]) -> list[tuple[str, Transition]]:
    return [(event.definition, event.transition) for event in events]


class Node:
    """Rules that are fed in seconds."""

    def __init__(self, *definitions: AlarmDefinition, standing: tuple[str, ...] = (), suppressed: tuple[str, ...] = ()) -> None:
        before = {name: StandingAlarm(name, PRESSURE, "E", WALL) for name in standing}
        self.rules = AlarmRules(list(definitions), "pump-1", before, suppressed)

    def read(self, seconds: float, point: str, value: float | None, quality: Quality = GOOD) -> list[AlarmEvent]:
        return self.rules.update(reading(point, value, seconds, quality), at(seconds))

    def tick(self, seconds: float) -> list[AlarmEvent]:
        return self.rules.tick(at(seconds))


# a model's score


def test_a_score_is_a_point_with_a_deadband_and_an_unscored_waveform_decides_nothing() -> None:
    fault = "pump-1/vibration/de/bearing/fault"
    node = Node(alarm("bearing", Condition(ConditionKind.ABOVE, 0.8), fault, deadband=0.1, on_delay=15, off_delay=15))
    scores = [0.5, 0.85, None, 0.9, 0.78, 0.71, None, 0.69, 0.6, 0.2]
    told = [event for step, score in enumerate(scores) for event in node.read(10 * step, fault, score)]
    assert [(event.transition, round((event.time_ns - WALL) / SECOND)) for event in told] == [
        (Transition.ACTIVE, 30),
        (Transition.NORMAL, 90),
    ]
    assert [event.value for event in told] == [0.9, 0.2]


# rate of change


def rate(limit: float, per: str = "s", deadband: float = 0.0) -> AlarmRule:
    return AlarmRule(alarm("fast", Condition(ConditionKind.RATE, limit, 10.0, per), deadband=deadband), "pump-1")


def ramp(rule: AlarmRule, slope: float, seconds: int, begin: int = 0) -> list[tuple[int, Transition]]:
    found = []
    for second in range(begin, begin + seconds):
        event = rule.update(reading(PRESSURE, slope * (second - begin), second), at(second))
        if event:
            found.append((second, event.transition))
    return found


@pytest.mark.parametrize("slope", [0.6, -0.6])
def test_a_ramp_either_way_raises_once_the_window_is_full(slope: float) -> None:
    assert ramp(rate(0.5), slope, 30) == [(10, ACTIVE)]
    assert ramp(rate(0.7), slope, 30) == []


def test_the_unit_of_the_limit_is_per_second_or_per_minute() -> None:
    assert ramp(rate(29.0, "min"), 0.5, 20) == [(10, ACTIVE)]
    assert ramp(rate(31.0, "min"), 0.5, 20) == []


def test_a_rate_alarm_clears_when_the_point_is_steady_again() -> None:
    rule = rate(0.5, deadband=0.2)
    assert ramp(rule, 1.0, 20) == [(10, ACTIVE)]
    found = [event for second in range(20, 40) if (event := rule.update(reading(PRESSURE, 19.0, second), at(second)))]
    assert [event.transition for event in found] == [NORMAL]
    assert found[0].value == 19.0


def test_after_a_long_gap_nothing_is_compared_with_what_was_before() -> None:
    rule = rate(0.1)
    assert rule.update(reading(PRESSURE, 0.0, 0), at(0)) is None
    assert rule.update(reading(PRESSURE, 500.0, 100), at(100)) is None
    assert rule.update(reading(PRESSURE, 500.0, 111), at(111)) is None


def test_bad_readings_are_no_change() -> None:
    rule = rate(1.0)
    for second in range(30):
        spike = second % 3 == 1
        value, quality = (999.0, bad("out_of_range")) if spike else (5.0, GOOD)
        assert rule.update(reading(PRESSURE, value, second, quality), at(second)) is None


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0.1, 100),
    st.floats(-1000, 1000),
    st.lists(st.floats(0.05, 2.0), min_size=5, max_size=80),
    st.sampled_from(["s", "min"]),
)
def test_the_rate_of_a_straight_line_is_its_slope(slope: float, offset: float, pauses: list[float], per: str) -> None:
    measure = RateOfChange(5.0, per)
    seconds, told = 0.0, 0
    for pause in pauses:
        seconds += pause
        found = measure.update(offset + slope * seconds, at(seconds).steady_ns)
        if found is not None:
            told += 1
            assert math.isclose(found, slope * (60 if per == "min" else 1), rel_tol=1e-4, abs_tol=1e-4)
    assert (told > 0) == (seconds - pauses[0] > 5.0 + 2e-9) or abs(seconds - pauses[0] - 5.0) < 0.1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0.001, 3), st.floats(-50, 50)), max_size=100))
def test_no_rate_alarm_without_a_change_of_that_size(steps: list[tuple[float, float]]) -> None:
    rule = rate(10.1)  # in 10 s by more than 101: the values below differ by 100 at most
    seconds = 0.0
    for pause, value in steps:
        seconds += pause
        assert rule.update(reading(PRESSURE, value, seconds), at(seconds)) is None


def test_a_fast_point_costs_no_more_memory_than_a_slow_one() -> None:
    measure = RateOfChange(60.0, "s")
    for number in range(20_000):
        measure.update(float(number), number * SECOND // 100)
    assert len(measure._kept) < 100


# expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2 - -1", 8.0),
        ("a / b", 1 / 3),
        ("a <= 1 < b", 1.0),
        ("not a > b or b == 0", 1.0),
        ("a > 5 and b > 1", 0.0),
        ("max(a, b, 2) if b > a else min(a, b)", 3.0),
        ("abs(a - b)", 2.0),
        ("1 / (a - a)", None),
        ("1e308 * 1e10 * a", None),
    ],
)
def test_what_an_expression_gives(text: str, expected: float | None) -> None:
    found = Expression(text).evaluate({"a": 1.0, "b": 3.0})
    assert found == pytest.approx(expected) if expected is not None else found is None


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "a.real",
        "a[0]",
        "(lambda: 1)()",
        "[x for x in a]",
        "a ** b",
        "'text'",
        "True + 1j",
        "open(a)",
        "max(a, key=b)",
        "abs(a, b)",
        "min(*a)",
        "a := 3",
        "a; b",
        "",
        "a >",
        "a is b",
        "{a}",
        "f'{a}'",
        "abs",
        "1e999",
        "a +" * 200 + "a",
        "a" * 501,
        "(" * 400,
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_runs(text: str) -> None:
    if text == "abs":
        assert Expression(text).names == {"abs"}, "a name as any other, which must be given a point"
        return
    with pytest.raises(ValueError, match=r"write|at most|no number|takes"):
        Expression(text)


@settings(max_examples=150)
@given(st.text(alphabet="ab01.+-*/()<>=! andorif,minxs[]{}'_:%", max_size=30))
def test_no_text_does_anything_but_give_a_number_or_a_clear_error(text: str) -> None:
    try:
        expression = Expression(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test
    else:
        result = expression.evaluate(dict.fromkeys(expression.names, 1.5))
        assert result is None or math.isfinite(result)


DRY = alarm(
    "runs-dry",
    Condition(
        ConditionKind.EXPRESSION,
        0.0,
        expression="running == 1 and flow < 10",
        points={"running": RUNNING, "flow": FLOW},
        max_age=30,
    ),
    point=FLOW,
)


def test_an_expression_is_told_once_every_point_is() -> None:
    node = Node(DRY)
    assert node.read(0, FLOW, 2.0) == []
    (event,) = node.read(1, RUNNING, 1.0)
    assert (event.transition, event.point, event.value) == (ACTIVE, FLOW, 2.0)
    assert node.read(2, FLOW, None) == [], "unknown: nothing changes"
    assert said(node.read(3, FLOW, 50.0)) == [("runs-dry", NORMAL)]


def test_an_input_that_has_grown_old_decides_nothing_and_completes_no_delay() -> None:
    delayed = alarm("runs-dry", DRY.condition, point=FLOW, on_delay=40)
    node = Node(DRY)
    node.read(0, RUNNING, 1.0)
    assert node.read(31, FLOW, 2.0) == []
    waiting = Node(delayed)
    waiting.read(0, RUNNING, 1.0)
    waiting.read(0, FLOW, 2.0)
    assert waiting.tick(41) == []
    fresh = Node(delayed)
    for second in (0, 20):
        fresh.read(second, RUNNING, 1.0)
        fresh.read(second, FLOW, 2.0)
    assert said(fresh.tick(41)) == [("runs-dry", ACTIVE)]


def test_the_quality_of_an_expression_is_that_of_its_worst_point() -> None:
    node = Node(DRY)
    node.read(0, RUNNING, 1.0, uncertain("clock_unsure"))
    (event,) = node.read(1, FLOW, 2.0)
    assert event.quality == uncertain("clock_unsure")


# groups


def test_the_first_of_a_group_is_marked_until_all_are_normal() -> None:
    low, high = alarm("low", ABOVE_50, group="p"), alarm("flow", ABOVE_50, point=FLOW, group="p")
    node = Node(low, high)
    (first,) = node.read(0, PRESSURE, 60.0)
    (second,) = node.read(1, FLOW, 60.0)
    assert (first.first_up, second.first_up) == (True, False)
    node.read(2, PRESSURE, 40.0)
    (again,) = node.read(3, PRESSURE, 60.0)
    assert not again.first_up, "the group has been up all the time"
    node.read(4, PRESSURE, 40.0)
    node.read(5, FLOW, 40.0)
    assert node.read(6, FLOW, 60.0)[0].first_up


def test_after_a_restart_a_standing_alarm_keeps_its_group_up() -> None:
    definitions = (alarm("low", ABOVE_50, group="p"), alarm("flow", ABOVE_50, point=FLOW, group="p"))
    assert not Node(*definitions, standing=("low",)).read(0, FLOW, 60.0)[0].first_up
    assert not Node(alarm("alone", ABOVE_50)).read(0, PRESSURE, 60.0)[0].first_up, "no group, no mark"


POINTS = st.sampled_from([PRESSURE, FLOW, RUNNING])


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.floats(0.1, 8), POINTS, st.none() | st.sampled_from([0.0, 1.0, 49.0, 60.0])), max_size=60))
def test_each_time_a_group_is_up_exactly_one_alarm_is_first(steps: list[tuple[float, str, float | None]]) -> None:
    node = Node(
        alarm("a", ABOVE_50, group="g", off_delay=3),
        alarm("b", ABOVE_50, point=FLOW, group="g", on_delay=2, suppress_when=STOPPED),
        alarm("c", Condition(ConditionKind.BAD_QUALITY), point=FLOW, group="g"),
    )
    seconds, up, events = 0.0, set[str](), list[AlarmEvent]()
    for pause, point, value in steps:
        seconds += pause
        events += node.tick(seconds) + node.read(seconds, point, value)
    for event in events:
        if event.transition is ACTIVE:
            assert event.first_up == (not up)
            up.add(event.definition)
        elif event.transition is NORMAL:
            up.discard(event.definition)
        assert not event.first_up or event.transition is ACTIVE


# suppression by design


def test_a_stopped_machine_suppresses_and_a_standing_alarm_returns_first() -> None:
    node = Node(alarm("low", ABOVE_50, suppress_when=STOPPED))
    assert said(node.read(0, PRESSURE, 60.0)) == [("low", ACTIVE)]
    assert node.read(1, RUNNING, 0.0) == []
    assert node.tick(5.9) == []
    ended, suppressed = node.tick(6)
    assert (ended.transition, ended.quality) == (NORMAL, uncertain("suppressed"))
    assert suppressed.transition is SUPPRESS
    assert node.rules.standing() == []
    assert node.read(7, PRESSURE, 70.0) == []
    assert said(node.read(8, RUNNING, 1.0)) == [("low", UNSUPPRESS)]
    assert said(node.read(9, PRESSURE, 70.0)) == [("low", ACTIVE)], "what still holds is raised afresh"


@pytest.mark.parametrize(("seconds", "value"), [(10, None), (70, 0.0)])
def test_a_point_that_is_bad_or_silent_suppresses_nothing(seconds: float, value: float | None) -> None:
    node = Node(alarm("low", ABOVE_50, suppress_when=STOPPED))
    node.read(0, RUNNING, 0.0)
    assert said(node.tick(5)) == [("low", SUPPRESS)]
    events = node.read(seconds, RUNNING, None) if value is None else node.tick(seconds)
    assert said(events) == [("low", UNSUPPRESS)]


def test_a_delay_begins_anew_after_suppression_and_silence_is_counted_from_its_end() -> None:
    node = Node(
        alarm("low", ABOVE_50, suppress_when=STOPPED, on_delay=3),
        alarm("mute", Condition(ConditionKind.SILENCE, 30), suppress_when=STOPPED),
    )
    for second in range(0, 100, 5):
        node.read(second, RUNNING, 0.0)
        node.tick(second)
    node.read(100, PRESSURE, 60.0)
    assert said(node.read(101, RUNNING, 1.0)) == [("low", UNSUPPRESS), ("mute", UNSUPPRESS)]
    assert node.read(102, PRESSURE, 60.0) == []
    assert said(node.read(105, PRESSURE, 60.0)) == [("low", ACTIVE)]
    assert node.tick(130) == []
    assert said(node.tick(136)) == [("mute", ACTIVE)]


def test_after_a_restart_what_was_suppressed_waits_for_its_point_and_is_not_said_again() -> None:
    definition = alarm("low", ABOVE_50, suppress_when=STOPPED)
    node = Node(definition, suppressed=("low",))
    assert node.tick(0) == []
    assert node.read(1, PRESSURE, 60.0) == []
    assert node.read(2, RUNNING, 0.0) == []
    assert said(node.read(3, RUNNING, 1.0)) == [("low", UNSUPPRESS)]
    silent = Node(definition, suppressed=("low",))
    silent.tick(0)
    assert silent.tick(60) == []
    assert said(silent.tick(61)) == [("low", UNSUPPRESS)]
    changed = Node(alarm("low", ABOVE_50), suppressed=("low",))
    assert said(changed.tick(0)) == [("low", UNSUPPRESS)], "the configuration no longer suppresses it"
    assert released("gone", PRESSURE, "pump-1", at(0)).transition is UNSUPPRESS


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.floats(0.1, 8), POINTS, st.none() | st.sampled_from([0.0, 1.0, 49.0, 60.0]), st.booleans()), max_size=80),
    st.booleans(),
)
def test_nothing_is_raised_while_suppressed(steps: list[tuple[float, str, float | None, bool]], before: bool) -> None:
    node = Node(alarm("low", ABOVE_50, suppress_when=STOPPED, on_delay=1), suppressed=("low",) if before else ())
    seconds, suppressed, active = 0.0, before, False
    for pause, point, value, ticked in steps:
        seconds += pause
        for event in node.tick(seconds) if ticked else node.read(seconds, point, value):
            if event.transition in {SUPPRESS, UNSUPPRESS}:
                assert suppressed is (event.transition is UNSUPPRESS)
                suppressed = not suppressed
            else:
                assert active is (event.transition is NORMAL)
                active = not active
            assert not (suppressed and active)
        assert bool(node.rules.standing()) == active
