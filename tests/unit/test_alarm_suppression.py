"""Suppression by design and the first-up mark on their way: the node's disk, the wire, the gateway's journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, State, Transition
from contract.frames import event_from_wire, event_to_wire
from edge.outbox import Outbox
from gateway.alarms.journal import Journal
from gateway.alarms.view import Recorded
from gateway.database import open_database

S = 1_000_000_000
KEY = "pump-1.low"
LOW = AlarmDefinition("low", "pump-1/pressure", Condition(ConditionKind.BELOW, 2.0), Priority.MEDIUM, group="pump-1")
ACTIVE, NORMAL, SUPPRESS, UNSUPPRESS = Transition


def event(at: int, transition: Transition, *, first_up: bool = False) -> AlarmEvent:
    return AlarmEvent(f"e{at:03}", "low", "pump-1", "pump-1/pressure", at * S, transition, 1.5, first_up=first_up)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    engine = open_database(f"sqlite:///{tmp_path / 'journal.db'}")
    made = Journal(engine)
    made.declare("pump-1", [LOW])
    yield made
    engine.dispose()


def tell(journal: Journal, at: int, transition: Transition, *, first_up: bool = False, late: bool = False) -> Recorded:
    said = event_from_wire("pump-1", event_to_wire(event(at, transition, first_up=first_up)))
    return journal.record(said, received_ns=at * S, late=late)


def test_a_suppressed_alarm_is_shown_as_such_and_comes_back_with_a_sound(journal: Journal) -> None:
    assert tell(journal, 1, ACTIVE).announce
    tell(journal, 5, NORMAL)
    suppressed = tell(journal, 6, SUPPRESS)
    assert not suppressed.announce
    (view,) = journal.standing()
    assert (view.state, view.now.active, view.to_json()["since"]) == (State.SUPPRESSED, False, 6000)
    tell(journal, 9, UNSUPPRESS)
    assert journal.standing() == []
    assert tell(journal, 12, ACTIVE).announce
    assert [entry.what for entry in journal.history()] == ["active", "unsuppress", "suppress", "normal", "active"]


def test_said_again_after_a_restart_changes_nothing(journal: Journal) -> None:
    tell(journal, 1, SUPPRESS)
    assert tell(journal, 2, SUPPRESS).view is None
    tell(journal, 3, UNSUPPRESS)
    assert tell(journal, 4, UNSUPPRESS).view is None
    assert journal.get(KEY).state is State.NORMAL


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_events_that_overtake_each_other_end_in_the_same_state(journal: Journal, order: tuple[int, ...]) -> None:
    line = [(1, ACTIVE), (2, NORMAL), (3, SUPPRESS), (4, UNSUPPRESS)]
    for place in order:
        tell(journal, *line[place], late=True)
    assert journal.get(KEY).state is State.NORMAL
    for at, transition in ((6, SUPPRESS), (5, ACTIVE)):
        tell(journal, at, transition)
    assert journal.get(KEY).state is State.SUPPRESSED
    assert tell(journal, 7, UNSUPPRESS).announce, "a device that did not end its alarm before: what holds is announced"
    assert journal.get(KEY).state is State.UNACKNOWLEDGED


def test_the_first_of_a_group_is_marked_until_the_next_time(journal: Journal) -> None:
    tell(journal, 1, ACTIVE, first_up=True)
    shown = journal.get(KEY).to_json()
    assert (shown["first_up"], shown["group"]) == (True, "pump-1")
    tell(journal, 2, NORMAL)
    tell(journal, 3, ACTIVE)
    assert journal.get(KEY).to_json()["first_up"] is False


def test_a_database_of_before_gets_the_new_column(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    engine = open_database(url)
    Journal(engine).record(event(1, ACTIVE), received_ns=S, late=False)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE alarm_event DROP COLUMN first_up"))
    engine.dispose()
    engine = open_database(url)
    journal = Journal(engine)
    tell(journal, 2, NORMAL)
    tell(journal, 3, ACTIVE, first_up=True)
    assert (journal.get(KEY).now.first_up, len(journal.history())) == (True, 3)
    engine.dispose()


def test_the_node_remembers_what_is_suppressed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, max_bytes=1 << 20)
    outbox.put([], [event(1, ACTIVE), event(2, NORMAL), event(3, SUPPRESS)])
    outbox.close()
    outbox = Outbox(tmp_path, max_bytes=1 << 20)
    assert (outbox.known().suppressed, outbox.known().standing) == ({"low": "pump-1/pressure"}, {})
    outbox.put([], [event(4, UNSUPPRESS)])
    assert outbox.known().suppressed == {}
    outbox.close()
