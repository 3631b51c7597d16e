"""The alarm journal: events, births, people; on SQLite, and on PostgreSQL where its server is installed."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, State, Transition, Trigger
from contract.messages import Standing
from contract.values import bad
from gateway.alarms.journal import SYSTEM, Journal, NotPossible, UnknownAlarm
from gateway.database import METADATA, open_database
from tests.rig.processes import Child, free_port, wait_for

S = 1_000_000_000
HOUR = 3600 * S
KEY = "gas-1.co-high"
CO = AlarmDefinition("co-high", "gas-2/co", Condition(ConditionKind.ABOVE, 25.0), Priority.HIGH, title={"es": "CO alto", "en": "CO high"})


def event(name: str, at: int, transition: Transition, value: float | None = 30.0, definition: str = "co-high") -> AlarmEvent:
    return AlarmEvent(name, definition, "gas-1", "gas-2/co", at * S, transition, value)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL of our own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL IS NOT TESTED: its server is not installed (apt-get install postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    become = []
    if Path("/proc/self").owner() == "root":  # the server refuses to run as root
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL IS NOT TESTED: as root it needs runuser")
        become = ["runuser", "-u", "postgres", "--"]
        folder = Path(subprocess.check_output([*become, "mktemp", "-d"], text=True, cwd="/").strip())
    port = free_port()
    data = folder / "data"
    initdb = [*become, str(programs[-1] / "initdb"), "-D", str(data), "-U", "muki", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    subprocess.run(initdb, check=True, cwd="/", capture_output=True)
    serve = [str(programs[-1] / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"]
    with Child([*become, *serve], tmp_path_factory.mktemp("log") / "postgres.log") as server:
        ready = [str(programs[-1] / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-U", "muki"]
        wait_for(lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0, describe=f"PostgreSQL: {server.tail()}")
        yield f"postgresql+psycopg://muki@127.0.0.1:{port}/postgres"
    subprocess.run([*become, "rm", "-rf", str(folder)], check=False, cwd="/")


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    url = f"sqlite:///{tmp_path / 'journal.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    engine = open_database(url)
    made = Journal(engine)
    made.declare("gas-1", [CO])
    yield made
    if request.param == "postgresql":
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(table.name for table in METADATA.sorted_tables)}"))
    engine.dispose()


def test_an_alarm_from_raise_to_normal(journal: Journal) -> None:
    raised = journal.record(event("a", 10, Transition.ACTIVE, 31.5), received_ns=10 * S, late=False)
    assert raised.announce
    assert raised.view is not None
    assert (raised.view.state, raised.view.now.since_ns, raised.view.now.value) == (State.UNACKNOWLEDGED, 10 * S, 31.5)
    assert raised.view.to_json()["title"] == {"es": "CO alto", "en": "CO high"}
    assert raised.view.gateway_alarm().priority is Priority.HIGH

    seen = journal.act(KEY, Trigger.ACKNOWLEDGE, who=" Ana ", note="ventilando", now_ns=20 * S)
    assert (seen.state, seen.now.acknowledged_by, seen.now.note) == (State.ACKNOWLEDGED, "Ana", "ventilando")
    assert journal.standing() == [seen]

    ended = journal.record(event("b", 30, Transition.NORMAL, 12.0), received_ns=30 * S, late=False)
    assert ended.view is not None
    assert (ended.view.state, ended.announce) == (State.NORMAL, False)
    assert journal.standing() == []
    assert [(entry.what, entry.who, entry.state) for entry in journal.history()] == [
        ("normal", None, State.NORMAL),
        ("acknowledge", "Ana", State.ACKNOWLEDGED),
        ("active", None, State.UNACKNOWLEDGED),
    ]


def test_a_repeated_event_is_recognised_by_its_id_and_only_within_its_alarm(journal: Journal) -> None:
    assert not journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False).duplicate
    assert journal.record(event("a", 10, Transition.ACTIVE), received_ns=11 * S, late=False) == (None, True, False)
    other = journal.record(event("a", 10, Transition.ACTIVE, definition="o2-low"), received_ns=11 * S, late=False)
    assert not other.duplicate
    assert len(journal.history()) == 2


def test_an_alarm_that_came_and_went_while_nobody_was_looking_asks_for_nothing(journal: Journal) -> None:
    live = journal.record(event("n", 50, Transition.NORMAL), received_ns=50 * S, late=False)
    assert live.view is None or live.view.state is State.NORMAL
    for late in (event("a", 10, Transition.ACTIVE), event("b", 20, Transition.NORMAL)):
        assert not journal.record(late, received_ns=60 * S, late=True).announce
    assert journal.standing() == []
    assert [entry.at_ns // S for entry in journal.history()] == [50, 20, 10]
    assert [entry.late for entry in journal.history()] == [False, True, True]


def test_a_raise_that_arrives_behind_its_return_is_shown_as_returned_not_as_active(journal: Journal) -> None:
    journal.record(event("b", 20, Transition.NORMAL), received_ns=20 * S, late=False)
    recorded = journal.record(event("a", 10, Transition.ACTIVE), received_ns=21 * S, late=False)
    assert not recorded.announce
    assert journal.get(KEY).state is State.RETURNED
    assert journal.get(KEY).now.returned_ns == 20 * S


def test_raised_again_after_the_acknowledgement_is_unacknowledged_and_announced(journal: Journal) -> None:
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=11 * S)
    journal.record(event("b", 12, Transition.NORMAL), received_ns=12 * S, late=False)
    again = journal.record(event("c", 13, Transition.ACTIVE), received_ns=13 * S, late=False)
    assert again.announce
    assert again.view is not None
    assert (again.view.state, again.view.now.acknowledged_by) == (State.UNACKNOWLEDGED, None)


def test_an_acknowledgement_stands_when_the_clock_of_the_node_is_ahead(journal: Journal) -> None:
    journal.record(event("a", 100, Transition.ACTIVE), received_ns=10 * S, late=False)
    journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=11 * S)
    journal.record(event("z", 50, Transition.NORMAL), received_ns=12 * S, late=True)
    assert journal.get(KEY).state is State.ACKNOWLEDGED


def test_what_people_did_stands_when_the_clock_of_the_gateway_jumps(journal: Journal) -> None:
    journal.record(event("a", 10_000, Transition.ACTIVE), received_ns=10_000 * S, late=False)
    seen = journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="voy", now_ns=6_000 * S)  # set back by more than an hour
    assert (seen.state, seen.now.acknowledged_by) == (State.ACKNOWLEDGED, "Ana")
    journal.record(event("b", 10_001, Transition.NORMAL), received_ns=6_001 * S, late=False)
    journal.record(event("c", 10_002, Transition.ACTIVE), received_ns=6_002 * S, late=False)
    assert journal.get(KEY).state is State.UNACKNOWLEDGED, "it came again: nobody has seen that"
    journal.act(KEY, Trigger.ACKNOWLEDGE, who="Luis", note="", now_ns=6_003 * S)
    journal.act(KEY, Trigger.SHELVE, who="Luis", note="x", now_ns=6_004 * S, until_ns=6_100 * S)
    assert [view.state for view in journal.expire_shelved(now_ns=90_000 * S)] == [State.UNACKNOWLEDGED], (
        "set ahead: what is shelved is back early"
    )
    assert journal.expire_shelved(now_ns=6_005 * S) == []
    told = [(entry.what, entry.who) for entry in reversed(journal.history())]
    assert [one for one in told if one[0] == "acknowledge"] == [("acknowledge", "Ana"), ("acknowledge", "Luis")], (
        "nothing is lost or done twice"
    )
    assert len(told) == 7


@pytest.mark.parametrize(
    ("trigger", "who", "until", "reason"),
    [
        (Trigger.ACKNOWLEDGE, "  ", None, "who_required"),
        (Trigger.UNSHELVE, "Ana", None, "not_shelved"),
        (Trigger.ACTIVATE, "Ana", None, "not_an_action"),
        (Trigger.SHELVE, "Ana", None, "until_required"),
        (Trigger.SHELVE, "Ana", 5 * S, "until_past"),
        (Trigger.SHELVE, "Ana", 20 * S + 25 * HOUR, "until_too_far"),
    ],
)
def test_what_is_not_possible_says_why_and_leaves_no_trace(
    journal: Journal, trigger: Trigger, who: str, until: int | None, reason: str
) -> None:
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    with pytest.raises(NotPossible, match=reason):
        journal.act(KEY, trigger, who=who, note="", now_ns=20 * S, until_ns=until)
    assert len(journal.history()) == 1


def test_acknowledging_twice_or_nothing_is_refused(journal: Journal) -> None:
    with pytest.raises(UnknownAlarm):
        journal.act("gas-1.none", Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=S)
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=20 * S)
    with pytest.raises(NotPossible, match="nothing_to_acknowledge"):
        journal.act(KEY, Trigger.ACKNOWLEDGE, who="Luis", note="", now_ns=21 * S)
    assert journal.get(KEY).now.acknowledged_by == "Ana"


def test_shelving_ends_by_itself_and_the_alarm_is_back(journal: Journal) -> None:
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    shelved = journal.act(KEY, Trigger.SHELVE, who="Ana", note="calibración", now_ns=20 * S, until_ns=60 * S)
    assert (shelved.state, shelved.now.shelved_by, shelved.now.shelved_until_ns) == (State.SHELVED, "Ana", 60 * S)
    assert journal.expire_shelved(now_ns=59 * S) == []
    assert [view.state for view in journal.expire_shelved(now_ns=60 * S)] == [State.UNACKNOWLEDGED]
    assert journal.expire_shelved(now_ns=61 * S) == []
    assert journal.history()[0].who == SYSTEM


def test_what_may_not_be_shelved_is_not(journal: Journal) -> None:
    journal.declare("gas-1", [AlarmDefinition("co-high", "gas-2/co", CO.condition, Priority.CRITICAL, shelvable=False)])
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    with pytest.raises(NotPossible, match="not_shelvable"):
        journal.act(KEY, Trigger.SHELVE, who="Ana", note="", now_ns=20 * S, until_ns=60 * S)


def test_a_birth_tells_what_stands_and_its_event_completes_it(journal: Journal) -> None:
    standing = [Standing("co-high", 10_000, "a")]
    views = journal.reconcile("gas-1", standing, now_ns=100 * S)
    assert [(view.state, view.now.since_ns, view.now.value, view.point) for view in views] == [
        (State.UNACKNOWLEDGED, 10 * S, None, "gas-2/co")
    ]
    assert journal.reconcile("gas-1", standing, now_ns=101 * S) == []
    itself = journal.record(event("a", 10, Transition.ACTIVE, 33.0), received_ns=102 * S, late=True)
    assert (itself.duplicate, itself.announce) == (False, False)
    assert journal.get(KEY).now.value == 33.0
    assert journal.record(event("a", 10, Transition.ACTIVE, 33.0), received_ns=103 * S, late=True).duplicate
    assert len(journal.history()) == 1


def test_a_fresh_alarm_is_announced_by_its_event_although_the_birth_was_first(journal: Journal) -> None:
    journal.reconcile("gas-1", [Standing("co-high", 10_000, "a")], now_ns=11 * S)
    assert journal.record(event("a", 10, Transition.ACTIVE), received_ns=11 * S, late=False).announce


def test_a_birth_does_not_end_or_revive_anything(journal: Journal) -> None:
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    assert journal.reconcile("gas-1", [], now_ns=20 * S) == []
    assert journal.get(KEY).now.active
    journal.record(event("b", 30, Transition.NORMAL), received_ns=30 * S, late=False)
    assert journal.reconcile("gas-1", [Standing("co-high", 10_000, "a")], now_ns=40 * S) == []
    assert not journal.get(KEY).now.active


def test_a_definition_that_goes_keeps_naming_what_stands_and_what_was(journal: Journal) -> None:
    journal.record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    journal.declare("gas-1", [])
    assert journal.standing()[0].definition.title["es"] == "CO alto"
    assert journal.history()[0].title["es"] == "CO alto"


def test_an_event_without_a_definition_is_shown_and_waits_for_its_birth(journal: Journal) -> None:
    journal.record(event("a", 10, Transition.ACTIVE, definition="h2s-high"), received_ns=10 * S, late=False)
    assert [(view.key, view.definition.priority) for view in journal.standing()] == [("gas-1.h2s-high", Priority.HIGH)]
    journal.declare("gas-1", [CO, AlarmDefinition("h2s-high", "gas-2/h2s", CO.condition, Priority.CRITICAL)])
    assert journal.standing()[0].definition.priority is Priority.CRITICAL


def test_quality_and_evidence_come_back_as_they_went(journal: Journal) -> None:
    said = AlarmEvent("a", "co-high", "gas-1", "gas-2/co", 10 * S, Transition.ACTIVE, None, bad("wire_break"), ("snap-1", "snap-2"))
    journal.record(said, received_ns=10 * S, late=False)
    assert (journal.get(KEY).now.quality, journal.get(KEY).now.evidence) == ("bad:wire_break", ("snap-1", "snap-2"))
    assert journal.history()[0].evidence == ("snap-1", "snap-2")


def test_history_in_pages_misses_and_repeats_nothing(journal: Journal) -> None:
    for at in range(1, 8):
        for definition in ("co-high", "o2-low"):  # two entries of the same instant and id
            transition = Transition.ACTIVE if at % 2 else Transition.NORMAL
            journal.record(event(f"e{at}", at, transition, definition=definition), received_ns=at * S, late=False)
    journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=7 * S)
    whole = [entry.cursor for entry in journal.history(limit=1000)]
    assert len(whole) == len(set(whole)) == 15
    paged: list[str] = []
    while page := journal.history(before=paged[-1] if paged else None, limit=2):
        paged += [entry.cursor for entry in page]
    assert paged == whole
    assert {entry.key for entry in journal.history(key=KEY)} == {KEY}
    assert journal.history(node="other") == []


@pytest.mark.parametrize("cursor", ["x", "1~2~a~k", "1~1~a~k", "99999999999999999999~0~a~k"])
def test_a_cursor_that_is_none_is_refused(journal: Journal, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        journal.history(before=cursor)


def test_the_most_urgent_stands_first(journal: Journal) -> None:
    ids = {"low": Priority.LOW, "critical": Priority.CRITICAL, "medium": Priority.MEDIUM}
    journal.declare("gas-1", [AlarmDefinition(name, "gas-2/co", CO.condition, priority) for name, priority in ids.items()])
    for at, name in enumerate(ids, 1):
        journal.record(event(name, at, Transition.ACTIVE, definition=name), received_ns=at * S, late=False)
    assert [view.definition.id for view in journal.standing()] == ["critical", "medium", "low"]


def test_it_is_there_after_the_gateway_starts_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    engine = open_database(url)
    Journal(engine).record(event("a", 10, Transition.ACTIVE), received_ns=10 * S, late=False)
    engine.dispose()
    engine = open_database(url)
    assert [view.key for view in Journal(engine).standing()] == [KEY]
    engine.dispose()


def test_many_threads_at_one_alarm_lose_nothing(journal: Journal) -> None:
    done: list[bool] = []

    def tell(first: int) -> None:
        for at in range(first, 40, 4):
            transition = Transition.ACTIVE if at % 2 else Transition.NORMAL
            done.append(not journal.record(event(f"e{at:02}", at, transition), received_ns=at * S, late=False).duplicate)

    threads = [threading.Thread(target=tell, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 39
    history = journal.history(limit=1000)
    assert [entry.at_ns // S for entry in history] == list(range(39, 0, -1))
    assert journal.get(KEY).now.active
    assert journal.get(KEY).now.since_ns == 39 * S
