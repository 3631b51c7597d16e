"""The audit: nothing is done without an entry, and nobody changes, removes, swaps or adds one unseen."""

import hashlib
import json
import sqlite3
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, Transition, Trigger
from gateway import audit
from gateway.accounts.passes import Passes
from gateway.accounts.roles import Role
from gateway.accounts.users import Users
from gateway.alarms.journal import Journal, NotPossible
from gateway.approvals import Approvals
from gateway.audit import GENESIS, Entry, entries, every, head, note, seal, verify
from gateway.cli import main
from gateway.database import METADATA, open_database
from tests.rig.webapp import CO_HIGH, NODE, website

NOW = 1_763_870_400_000_000_000
CO = AlarmDefinition("co", "a/co", Condition(ConditionKind.ABOVE, 1.0), Priority.HIGH)


def event(place: int, transition: Transition = Transition.ACTIVE) -> AlarmEvent:
    return AlarmEvent(f"e{place}", "co", "n", "a/co", NOW + place, transition, 2.0)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'journal.db'}")


def filled(engine: Engine) -> None:
    note(engine, *(Entry(NOW + place, "test.entry", "Ana", f"s{place % 3}", {"place": place, "text": "ñ €"}) for place in range(20)))


def test_alarms_people_and_accounts_are_in_it(engine: Engine, tmp_path: Path) -> None:
    journal = Journal(engine)
    journal.declare("n", [CO])
    journal.record(event(1), received_ns=NOW, late=False)
    journal.record(event(1), received_ns=NOW, late=False)  # again: no news, no entry
    journal.act("n.co", Trigger.ACKNOWLEDGE, who="Ana", note="voy", now_ns=NOW + 5)
    with pytest.raises(NotPossible):
        journal.act("n.co", Trigger.ACKNOWLEDGE, who="Luis", note="", now_ns=NOW + 6)
    Approvals(engine, required=True).approve("pump-3", who="Eva", note="en la galería", now_ns=NOW)
    users = Users(engine)
    users.add("Ana", Role.OPERATOR, "cuatro palabras bien largas", now_ns=NOW)
    users.change("Ana", active=False)
    passes = Passes(engine, idle_after=60)
    passes.issue("grafana", Role.VIEWER, now_ns=NOW)
    passes.revoke("grafana")
    told = [(one.kind, one.who, one.subject) for one in every(engine)]
    assert told == [
        ("alarm.active", "n", "n.co"),
        ("alarm.acknowledge", "Ana", "n.co"),
        ("node.approve", "Eva", "pump-3"),
        ("user.add", audit.SHELL, "Ana"),
        ("user.change", audit.SHELL, "Ana"),
        ("token.create", audit.SHELL, "grafana"),
        ("token.revoke", audit.SHELL, "grafana"),
    ]
    assert json.loads(next(iter(entries(engine, kind="alarm.ack"))).what)["note"] == "voy"
    assert "palabras" not in "".join(one.what for one in every(engine)), "no secret is in it"
    assert verify(engine) == (7, head(engine), "")


def test_an_entry_is_there_only_with_its_change(engine: Engine) -> None:
    def fails() -> None:
        with engine.begin() as connection:
            audit.record(connection, Entry(NOW, "x", "Ana", "s", {}))
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        fails()
    assert list(every(engine)) == []
    assert verify(engine) == (0, (0, GENESIS), "")


def test_the_hash_is_what_the_docs_say() -> None:
    text = f'["{GENESIS}",1,5,"a.b","Ana","n.co","{{}}"]'
    assert seal(GENESIS, 1, (5, "a.b", "Ana", "n.co", "{}")) == hashlib.sha256(text.encode()).hexdigest()


TAMPERINGS: dict[str, tuple[str, int, str]] = {
    "a word changed": ("UPDATE audit SET who = 'Eva' WHERE number = 7", 6, "entry 7"),
    "a time changed": ("UPDATE audit SET at_ns = at_ns + 1 WHERE number = 1", 0, "entry 1"),
    "the text changed": ("UPDATE audit SET what = replace(what, '3', '4') WHERE number = 4", 3, "entry 4"),
    "the hash changed": ("UPDATE audit SET hash = 'x' WHERE number = 20", 19, "entry 20"),
    "one removed": ("DELETE FROM audit WHERE number = 9", 8, "entry 9 is missing"),
    "the first removed": ("DELETE FROM audit WHERE number = 1", 0, "entry 1 is missing"),
    "the last removed": ("DELETE FROM audit WHERE number = 20", 19, "cut off"),
    "all removed": ("DELETE FROM audit", 0, "cut off"),
    "one added": ("INSERT INTO audit SELECT 21, at_ns, kind, who, subject, what, hash FROM audit WHERE number = 20", 20, "entry 21"),
    "two swapped": (
        "UPDATE audit SET number = -1 WHERE number = 5; UPDATE audit SET number = 5 WHERE number = 6; UPDATE audit SET number = 6 WHERE number = -1",
        4,
        "entry 5",
    ),
    "the head put back": ("UPDATE audit_head SET number = 10, hash = (SELECT hash FROM audit WHERE number = 10)", 20, "the head"),
    "removed and numbered anew": (
        "DELETE FROM audit WHERE number = 9; UPDATE audit SET number = number - 1 WHERE number > 9",
        8,
        "entry 9",
    ),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_whoever_touches_it_is_found(how: str, engine: Engine, tmp_path: Path) -> None:
    filled(engine)
    assert verify(engine).problem == ""
    statements, good, words = TAMPERINGS[how]
    with sqlite3.connect(tmp_path / "journal.db") as raw:
        raw.executescript(statements)
    raw.close()
    found = verify(engine)
    assert (found.good, words in found.problem) == (good, True), found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=20),
            st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.floats(allow_nan=False), st.text(max_size=8))),
        ),
        max_size=8,
    )
)
def test_whatever_an_entry_says_it_stands(some: list[tuple[str, dict[str, object]]]) -> None:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    kept = [(who, what) for who, what in some if "\x00" not in who and not any(0xD800 <= ord(letter) < 0xE000 for letter in who)]
    note(engine, *(Entry(NOW, "k", who, "s", what) for who, what in kept))
    assert verify(engine) == (len(kept), head(engine), "")
    engine.dispose()


def test_pages_and_filters(engine: Engine) -> None:
    filled(engine)
    assert [one.number for one in entries(engine, limit=3)] == [20, 19, 18]
    assert [one.number for one in entries(engine, limit=3, before=18)] == [17, 16, 15]
    assert [one.number for one in entries(engine, subject="s0", limit=2)] == [19, 16]
    assert entries(engine, kind="alarm.") == []
    assert entries(engine, kind="%") == []


def test_the_shell_verifies_and_exports(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: mine\nbroker: {host: 127.0.0.1}\ndata_dir: data\n")
    (tmp_path / "data").mkdir()
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'journal.db'}")
    filled(engine)
    engine.dispose()

    def ask(*words: str) -> Result:
        return CliRunner().invoke(main, ["audit", *words])

    good = ask("verify", str(file))
    assert (good.exit_code, "20 entries stand unbroken; head 20" in good.output) == (0, True)
    out = tmp_path / "audit.jsonl"
    assert ask("export", str(file), str(out)).exit_code == 0
    before = GENESIS
    for line in out.read_text().splitlines():  # the file can be checked without us
        one = json.loads(line)
        text = json.dumps(one["what"], sort_keys=True, separators=(",", ":"))
        before = seal(before, one["number"], (one["at_ns"], one["kind"], one["who"], one["subject"], text))
        assert before == one["hash"]
    with sqlite3.connect(tmp_path / "data" / "journal.db") as raw:
        raw.execute("UPDATE audit SET who = 'Eva' WHERE number = 7")
    raw.close()
    broken = ask("verify", str(file))
    assert (broken.exit_code, "BROKEN: entry 7" in broken.output) == (1, True)


async def test_the_api_is_for_engineers(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        site.event(CO_HIGH)
        token = {"Authorization": f"Bearer {site.services.passes.issue('x', Role.OPERATOR, now_ns=time.time_ns())}"}
        assert (await client.get("/audit")).status_code == 401
        assert (await client.get("/audit", headers=token)).status_code == 403
        engineer = {"Authorization": f"Bearer {site.services.passes.issue('y', Role.ENGINEER, now_ns=time.time_ns())}"}
        told = (await client.get("/audit", headers=engineer, params={"kind": "alarm."})).json()
        assert [(one["kind"], one["subject"]) for one in told["entries"]] == [("alarm.active", f"{NODE}.co-high")]
        assert (await client.get("/audit/verify", headers=engineer)).json()["problem"] == ""
