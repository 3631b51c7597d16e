"""The figures of an operator's alarms: by hand, and against a slow reading of their definitions."""

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, Transition, Trigger
from gateway.alarms.journal import Journal
from gateway.alarms.kpi import SECOND, SLOT_NS, STALE_NS, Actor, Flood, Raised, figures
from gateway.alarms.raised import raised
from gateway.database import open_database

T0 = 1_763_870_400 * SECOND
MINUTE = 60 * SECOND
SHIFT_NS = 12 * 60 * MINUTE


def alarm(at_s: float, key: str = "n.a", *, acknowledged: float | None = None, priority: Priority = Priority.LOW) -> Raised:
    at_ns = T0 + round(at_s * SECOND)
    return Raised(key, priority, at_ns, None, None if acknowledged is None else T0 + round(acknowledged * SECOND))


def test_a_quiet_shift() -> None:
    told = figures([], [], T0, T0 + SHIFT_NS)
    assert (told.alarms, told.peak_rate, told.flood_share, told.floods, told.bad_actor_share, told.priorities) == (
        0,
        0,
        0.0,
        [],
        None,
        None,
    )
    assert len(told.slots) == 72


def test_a_flood_begins_above_ten_and_ends_below_five() -> None:
    counts = [2, 11, 6, 5, 4, 12]
    some = [alarm(600 * slot + place) for slot, count in enumerate(counts) for place in range(count)]
    told = figures(some, [], T0, T0 + 6 * SLOT_NS)
    assert told.slots == counts
    assert (told.peak_rate, told.flood_share) == (12, 2 / 6)
    assert told.floods == [Flood(T0 + SLOT_NS, T0 + 4 * SLOT_NS, 22), Flood(T0 + 5 * SLOT_NS, T0 + 6 * SLOT_NS, 12)]


def test_chattering_stale_and_bad_actors() -> None:
    some = [alarm(at, "n.chatters") for at in (0, 30, 59.9)] + [alarm(at, "n.calm") for at in (0, 30, 60)] + [alarm(5, "n.once")]
    standing = [Raised("n.old", Priority.LOW, T0 - STALE_NS, None, None), Raised("n.new", Priority.LOW, T0, None, None)]
    told = figures(some, standing, T0, T0 + SHIFT_NS)
    assert [actor.key for actor in told.chattering] == ["n.chatters"]
    assert told.bad_actors == [Actor("n.calm", 3, 3 / 7), Actor("n.chatters", 3, 3 / 7), Actor("n.once", 1, 1 / 7)]
    assert told.stale == ["n.old"]


def test_how_long_until_somebody_acknowledged() -> None:
    some = [alarm(at, acknowledged=at + wait) for at, wait in enumerate((10, 20, 30, 40, 50, 60, 70, 80, 90, 100))] + [alarm(100)]
    told = figures(some, [], T0, T0 + SHIFT_NS)
    assert (told.acknowledge_median, told.acknowledge_p90, told.unacknowledged) == (50.0, 90.0, 1)


_RAISED = st.builds(
    lambda at, key, priority, wait: alarm(at, f"n.{key}", priority=priority, acknowledged=None if wait is None else at + wait),
    st.integers(-600, 7_800),
    st.sampled_from("abc"),
    st.sampled_from(Priority),
    st.one_of(st.none(), st.integers(0, 900)),
)


@given(st.lists(_RAISED, max_size=80), st.integers(1, 7_200))
def test_the_figures_are_what_their_definitions_say(some: list[Raised], length: int) -> None:
    end = T0 + length * SECOND
    told = figures(some, [], T0, end)
    inside = [one for one in some if T0 <= one.at_ns < end]
    assert told.alarms == len(inside) == sum(told.slots)
    for place, count in enumerate(told.slots):
        assert count == sum(T0 + place * SLOT_NS <= one.at_ns < T0 + (place + 1) * SLOT_NS for one in inside)
    chattering = {
        one.key for one in inside if sum(other.key == one.key and one.at_ns <= other.at_ns < one.at_ns + MINUTE for other in inside) >= 3
    }
    assert {actor.key for actor in told.chattering} == chattering
    if inside:
        assert told.priorities is not None
        assert abs(sum(told.priorities.values()) - 1) < 1e-9
        waits = [(one.acknowledged_ns - one.at_ns) / SECOND for one in inside if one.acknowledged_ns is not None]
        if waits:
            assert told.acknowledge_median is not None
            assert sum(wait <= told.acknowledge_median for wait in waits) >= len(waits) / 2


def test_the_journal_tells_what_came_and_malfunctions_are_no_alarms(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'journal.db'}")
    journal = Journal(engine)
    condition = Condition(ConditionKind.ABOVE, 1.0)
    journal.declare(
        "n",
        [
            AlarmDefinition("co", "a/co", condition, Priority.HIGH),
            AlarmDefinition("broken", "a/co", condition, Priority.LOW, signal_class=SignalClass.MALFUNCTION),
            AlarmDefinition("tried", "a/co", condition, Priority.LOW, shadow=True),
        ],
    )
    said = [
        ("co", 1, "active"),
        ("co", 2, "active"),
        ("co", 10, "normal"),
        ("co", 20, "active"),
        ("broken", 5, "active"),
        ("tried", 6, "active"),
    ]
    for place, (name, at, transition) in enumerate(said):
        event = AlarmEvent(f"e{place}", name, "n", "a/co", T0 + at * SECOND, Transition(transition), 2.0)
        journal.record(event, received_ns=T0, late=False)
    journal.act("n.co", Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=T0 + 50 * SECOND)
    came = raised(engine, T0, T0 + SHIFT_NS)
    assert came.alarms == [
        Raised("n.co", Priority.HIGH, T0 + SECOND, T0 + 10 * SECOND, None),
        Raised("n.co", Priority.HIGH, T0 + 20 * SECOND, None, T0 + 50 * SECOND),
    ]
    assert (came.malfunctions, came.whole) == (1, True)
    engine.dispose()


def test_a_hundred_thousand_alarms_take_no_time_to_speak_of() -> None:
    some = [alarm(place * 0.43, f"n.{place % 500}", acknowledged=place) for place in range(100_000)]
    begun = time.process_time()
    figures(some, [], T0, T0 + SHIFT_NS)
    assert time.process_time() - begun < 10
