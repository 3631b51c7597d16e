"""The journal does not care in which order, or how often, a node's events arrive."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, State, Transition, Trigger
from gateway.alarms.journal import Journal
from gateway.alarms.view import AlarmView
from gateway.database import open_database

S = 1_000_000_000
KEY = "gas-1.co-high"
LATCHING = AlarmDefinition("co-high", "gas-2/co", Condition(ConditionKind.ABOVE, 25.0), Priority.HIGH, latching=True)
PLAIN = AlarmDefinition("co-high", "gas-2/co", Condition(ConditionKind.ABOVE, 25.0), Priority.HIGH)


@contextlib.contextmanager
def journal_of(definition: AlarmDefinition) -> Iterator[Journal]:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'journal.db'}")
        try:
            journal = Journal(engine)
            journal.declare("gas-1", [definition])
            yield journal
        finally:
            engine.dispose()


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[AlarmEvent, bool]]:
    """What a node said, oldest first, each with whether it came late; conditions may be repeated, as after a restart of the node."""
    said = draw(st.lists(st.tuples(st.sampled_from([Transition.ACTIVE, Transition.NORMAL]), st.booleans()), min_size=1, max_size=7))
    times = sorted(draw(st.lists(st.integers(1, 50), min_size=len(said), max_size=len(said), unique=True)))
    return [
        (AlarmEvent(f"event-{at}", "co-high", "gas-1", "gas-2/co", at * S, transition, float(at)), late)
        for at, (transition, late) in zip(times, said, strict=True)
    ]


Outcome = tuple[AlarmView, list[tuple[int, str, str, State]]]


def outcome(journal: Journal) -> Outcome:
    return journal.get(KEY)._replace(version=0), [
        (entry.at_ns, entry.what, entry.cursor, entry.state) for entry in journal.history(limit=1000)
    ]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), said=sequences(), definition=st.sampled_from([PLAIN, LATCHING]))
def test_any_order_with_duplicates_ends_in_the_same_state_and_history(
    data: st.DataObject, said: list[tuple[AlarmEvent, bool]], definition: AlarmDefinition
) -> None:
    again = data.draw(st.lists(st.sampled_from(said), max_size=4))
    shuffled = data.draw(st.permutations(said + again))
    with journal_of(definition) as in_order, journal_of(definition) as out_of_order:
        for event, late in said:
            in_order.record(event, received_ns=100 * S, late=late)
        for event, late in shuffled:
            out_of_order.record(event, received_ns=100 * S, late=late)
        assert outcome(out_of_order) == outcome(in_order)
        assert in_order.get(KEY).now.active == (said[-1][0].transition is Transition.ACTIVE)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), said=sequences())
def test_an_acknowledged_alarm_stays_acknowledged_whatever_history_arrives_behind(
    data: st.DataObject, said: list[tuple[AlarmEvent, bool]]
) -> None:
    shuffled = data.draw(st.permutations([event for event, _ in said]))
    with journal_of(PLAIN) as journal:
        live = AlarmEvent("live", "co-high", "gas-1", "gas-2/co", 60 * S, Transition.ACTIVE, 40.0)
        assert journal.record(live, received_ns=60 * S, late=False).announce
        journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=61 * S)
        for event in shuffled:
            assert not journal.record(event, received_ns=70 * S, late=True).announce
        assert journal.get(KEY).state is State.ACKNOWLEDGED
        assert len(journal.history()) == len(said) + 2
