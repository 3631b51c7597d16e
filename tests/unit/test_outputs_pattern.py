"""Outputs: which alarms drive them, in what rhythm, what silence does and when they test themselves. Only decisions, the clock passed in."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from contract.values import Reading, bad
from edge.outputs.pattern import RHYTHMS, STEADY, Demand, Drives, Pattern
from edge.outputs.self_test import SelfTest
from edge.outputs.silence import Press, held


def alarm(name: str, priority: Priority = Priority.HIGH, signal_class: SignalClass = SignalClass.ALARM) -> AlarmDefinition:
    return AlarmDefinition(name, "a/b", Condition(ConditionKind.ABOVE, 1), priority, signal_class)


CRITICAL, HIGH, LOW = alarm("critical", Priority.CRITICAL), alarm("high"), alarm("low", Priority.LOW)
FAULT = alarm("source-plc", Priority.MEDIUM, SignalClass.MALFUNCTION)


def horn() -> Demand:
    return Demand([CRITICAL, HIGH, LOW], RHYTHMS, silenceable=True)


@pytest.mark.parametrize(
    ("written", "drivers"),
    [
        ({}, ["critical", "high", "low"]),
        ({"priority": ["critical", "high"]}, ["critical", "high"]),
        ({"signal_class": ["malfunction"]}, ["source-plc"]),
        ({"signal_class": ["alarm", "malfunction"], "priority": ["medium", "low"]}, ["low", "source-plc"]),
        ({"alarms": ["source-plc", "high"]}, ["high", "source-plc"]),
        ({"alarms": ["source-plc", "high"], "signal_class": ["alarm"]}, ["high"]),
        ({"without": ["high"]}, ["critical", "low"]),
    ],
)
def test_what_drives_an_output(written: dict[str, object], drivers: list[str]) -> None:
    drives = Drives.model_validate(written)
    assert [each.id for each in (CRITICAL, HIGH, LOW, FAULT) if drives.takes(each)] == drivers


def test_nothing_standing_is_quiet() -> None:
    assert horn().at(5.0) == (False, None)


def test_critical_is_continuous_and_high_beats_by_the_second() -> None:
    demand = horn()
    assert demand.raised("high", 10.0)
    assert demand.at(10.0) == (True, 11.0)
    assert demand.at(11.0) == (False, 12.0)
    assert demand.at(12.5) == (True, 13.0)
    assert demand.raised("critical", 13.5)
    assert demand.at(13.5) == demand.at(999.0) == (True, None)
    demand.cleared("critical", 20.5)
    assert demand.at(20.5) == (True, 21.5), "the rhythm of the less urgent one begins with sound"
    demand.cleared("high", 21.0)
    assert demand.at(21.0) == (False, None), "nothing latches"


def test_a_new_alarm_is_heard_at_once_and_not_at_the_next_beat() -> None:
    demand = Demand([LOW, alarm("low-2", Priority.LOW)], RHYTHMS, silenceable=True)
    demand.raised("low", 0.0)
    assert not demand.at(3.0).on
    demand.raised("low-2", 3.0)
    assert demand.at(3.0).on


def test_an_alarm_that_is_not_its_own_leaves_it_quiet() -> None:
    demand = horn()
    assert not demand.raised("source-plc", 1.0)
    assert not demand.cleared("source-plc", 1.0)
    assert not demand.at(1.0).on


def test_silence_lasts_until_a_new_alarm() -> None:
    demand = horn()
    assert not demand.silence(0.5), "nothing to silence, and nothing silenced in advance"
    demand.raised("high", 1.0)
    assert demand.silence(1.5)
    assert demand.at(1.5) == (False, None)
    demand.raised("high", 2.0)
    assert not demand.at(2.0).on, "the same alarm said again is no new one"
    demand.raised("source-plc", 2.5)
    assert not demand.at(2.5).on, "one that does not drive this horn does not bring it back"
    demand.raised("low", 3.0)
    assert demand.at(3.0).on
    demand.silence(3.5)
    demand.cleared("low", 4.0)
    demand.cleared("high", 4.0)
    demand.raised("high", 5.0)
    assert demand.at(5.0).on, "the same alarm come back is a new one"


def test_nobody_silences_an_alarm_that_nobody_can_have_heard() -> None:
    """One poll brings a new alarm and the press that was meant for the one before."""
    demand = horn()
    demand.raised("low", 0.0)
    demand.raised("high", 10.0)
    assert not demand.silence(10.0)
    assert not demand.silence(10.19)
    assert demand.at(10.19).on
    assert demand.silence(10.21)
    assert not demand.at(10.21).on


def test_beacons_are_not_silenced() -> None:
    demand = Demand([CRITICAL], RHYTHMS, silenceable=False)
    demand.raised("critical", 0.0)
    assert not demand.silence(1.0)
    assert demand.at(1.0).on


def test_a_relay_does_not_beat() -> None:
    demand = Demand([LOW], STEADY, silenceable=False)
    demand.raised("low", 0.0)
    assert demand.at(7.0) == (True, None)


@given(st.floats(0.05, 100), st.floats(0.05, 100), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_end_of_a_beat_is_ahead_and_changes_the_state(on: float, off: float, since: float, after: float) -> None:
    demand = Demand([HIGH], {Priority.HIGH: Pattern(on=on, off=off)}, silenceable=False)
    demand.raised("high", since)
    show = demand.at(since + after)
    assert show.until is not None
    assert since + after - 1e-6 <= show.until <= since + after + max(on, off) + 1e-6
    assert demand.at(show.until + 0.01).on is not show.on


@pytest.mark.parametrize("pattern", [{"on": 0, "off": 1}, {"on": 1}, {"on": 1, "off": -1}, {"on": float("inf"), "off": 1}])
def test_patterns_that_no_output_can_follow_are_refused(pattern: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Pattern.model_validate(pattern)


def test_only_pressing_counts() -> None:
    press = Press()
    assert [press.update(held) for held in (True, True, False, None, True, True, None, True, False, True)] == [
        False,
        False,  # held since the start, or stuck
        False,
        False,
        True,
        False,
        False,
        False,
        False,
        True,
    ]


def test_a_reading_of_the_button() -> None:
    assert held(Reading("a/b", 0, 1.0), 1) is True
    assert held(Reading("a/b", 0, 1.0), 0) is False
    assert held(Reading("a/b", 0, 0.0), 0) is True
    assert held(Reading("a/b", 0, None, bad("no_response")), 0) is None
    assert held(Reading("a/b", 0, 1.0, bad("stuck")), 1) is None


def local(day: int, hour: int, minute: int, second: int = 0) -> float:
    """Unix seconds in November 2026, of which the 23rd is a Monday, by the zone of this machine."""
    return time.mktime((2026, 11, day, hour, minute, second, 0, 0, -1))


def test_a_self_test_is_due_once_at_its_time() -> None:
    test = SelfTest(at="07:30", days=("monday",))
    assert test.due(local(23, 7, 29, 58), local(23, 7, 30, 2))
    assert test.due(local(23, 7, 29, 58), local(23, 7, 30))
    assert not test.due(local(23, 7, 30), local(23, 7, 30, 5)), "not twice"
    assert not test.due(local(23, 7, 29, 50), local(23, 7, 29, 55))
    assert not test.due(local(24, 7, 29, 58), local(24, 7, 30, 2)), "a Tuesday"
    assert not test.due(local(23, 5, 0), local(23, 9, 0)), "the clock was set: the time did not come, it was jumped over"
    assert not test.due(local(23, 7, 30, 5), local(23, 7, 29, 0)), "the clock was set back"


@pytest.mark.parametrize("at", ["7:30", "24:00", "07:60", "noon"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(ValidationError):
        SelfTest.model_validate({"at": at})


def test_a_time_that_yaml_takes_for_a_number_is_understood() -> None:
    assert SelfTest.model_validate({"at": 13 * 60 + 30}).at == "13:30"
