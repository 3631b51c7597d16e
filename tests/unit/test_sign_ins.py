"""Who signed in and out is in the audit; who failed is, too, without what they typed; and no flood of failures fills the disk."""

import json
import time
from pathlib import Path

import httpx
from sqlalchemy import Engine, text

from gateway import audit
from gateway.accounts.passes import Passes
from gateway.accounts.roles import Role
from gateway.accounts.users import Users
from gateway.database import open_database
from gateway.sign_ins import ALONE, SHOWN, WINDOW_NS, SignIns
from tests.rig.webapp import website

PASSWORD = "cuatro palabras bien largas"
NOW = 1_780_000_000_000_000_000


def told(engine: Engine, kind: str = "session.") -> list[tuple[str, str, str]]:
    return [(one.kind, one.who, one.subject) for one in audit.every(engine) if one.kind.startswith(kind)]


def in_files(folder: Path, *texts: str) -> list[str]:
    """Which of the texts lie in the database, its log included."""
    kept = b"".join(path.read_bytes() for path in folder.glob("journal.db*"))
    assert b"session.refused" in kept
    return [one for one in texts if one.encode() in kept]


def room(tmp_path: Path) -> tuple[Engine, SignIns]:
    engine = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    users = Users(engine)
    users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=NOW)
    return engine, SignIns(engine, users)


async def test_a_sign_in_a_failure_and_a_sign_out_are_entries(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        site.services.users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=time.time_ns())
        engine = site.services.engine
        typed = "my password in the wrong box"
        for name, password in (("Ana", "wrong but long enough"), (typed, "x")):
            assert (await client.post("/session", json={"name": name, "password": password})).status_code == 401
        assert (await client.post("/session", json={"name": "Ana", "password": PASSWORD})).status_code == 200
        for _ in range(2):  # the second one ends nothing
            assert (await client.request("DELETE", "/session", json={})).status_code == 200
        assert told(engine) == [
            ("session.refused", "muki", "Ana"),
            ("session.refused", "muki", ""),
            ("session.begin", "Ana", "Ana"),
            ("session.end", "Ana", "Ana"),
        ]
        (begun,) = audit.entries(engine, kind="session.begin")
        assert json.loads(begun.what) == {"address": "127.0.0.1", "by": "password"}
        assert in_files(tmp_path, typed, "wrong but long enough", PASSWORD) == []
        assert audit.verify(engine).problem == ""


async def test_tries_that_the_throttle_refuses_are_counted_in_one_entry(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        site.services.users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=time.time_ns())
        codes = [(await client.post("/session", json={"name": "Ana", "password": "wrong"})).status_code for _ in range(40)]
        wrong, often = codes.count(401), codes.count(429)
        assert (wrong + often, often > 20) == (40, True)
        assert len(told(site.services.engine)) == min(wrong, ALONE)
        site.services.sign_ins.settle(time.time_ns(), ending=True)
        (many,) = audit.entries(site.services.engine, kind="session.refused_many")
        what = json.loads(many.what)
        assert (what["why"]["too_often"], what["addresses"]["127.0.0.1"]) == (often, often + max(0, wrong - ALONE))


def test_a_flood_is_a_few_entries_of_a_bounded_size(tmp_path: Path) -> None:
    engine, sign_ins = room(tmp_path)
    for number in range(3000):  # from as many addresses, over two windows
        name = "Ana" if number % 2 else f"guess {number}"
        sign_ins.refused(name, f"10.0.{number // 250}.{number % 250}" * 9, "wrong_password", now_ns=NOW + number * WINDOW_NS // 1500)
    sign_ins.settle(NOW + 2 * WINDOW_NS)
    sign_ins.settle(NOW + 9 * WINDOW_NS)
    kinds = [kind for kind, _, _ in told(engine)]
    assert (kinds.count("session.refused"), kinds.count("session.refused_many")) == (2 * ALONE, 2)
    both = [json.loads(one.what) for one in audit.entries(engine, kind="session.refused_many")]
    assert sum(sum(one["why"].values()) for one in both) == 3000 - 2 * ALONE, "every one is counted"
    for one in both:
        assert sum(one["addresses"].values()) == sum(one["names"].values()) == sum(one["why"].values())
        assert len(one["addresses"]) == SHOWN + 1
        assert one["names"].keys() == {"Ana", ""}
    assert max(len(one.what) for one in audit.entries(engine)) < 4000


def test_a_window_that_is_over_is_written_without_another_try(tmp_path: Path) -> None:
    engine, sign_ins = room(tmp_path)
    for _ in range(ALONE + 1):
        sign_ins.refused("Ana", "10.0.0.1", "wrong_password", now_ns=NOW)
    sign_ins.settle(NOW + WINDOW_NS - 1)
    assert len(told(engine)) == ALONE
    sign_ins.settle(NOW + WINDOW_NS)
    sign_ins.settle(NOW + 2 * WINDOW_NS)
    assert len(told(engine)) == ALONE + 1
    sign_ins.refused("Ana", "10.0.0.1", "wrong_password", now_ns=NOW + 3 * WINDOW_NS)
    assert told(engine)[-1] == ("session.refused", "muki", "Ana"), "a new window begins with entries of their own"


def test_a_database_that_takes_nothing_refuses_nobody_and_loses_no_count(tmp_path: Path) -> None:
    engine, sign_ins = room(tmp_path)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO away"))
    sign_ins.refused("Ana", "10.0.0.1", "wrong_password", now_ns=NOW)
    sign_ins.settle(NOW + WINDOW_NS)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO audit"))
    sign_ins.settle(NOW + 2 * WINDOW_NS)
    (many,) = audit.entries(engine, kind="session.refused_many")
    assert json.loads(many.what)["why"] == {"wrong_password": 1}


def test_an_account_that_ends_ends_its_sessions_with_an_entry(tmp_path: Path) -> None:
    engine, _ = room(tmp_path)
    passes = Passes(engine, idle_after=60)
    passes.begin("Ana", now_ns=NOW)
    passes.begin("Ana", now_ns=NOW)
    passes.end_all("Ana")
    passes.end_all("Ana")
    (ended,) = audit.entries(engine, kind="session.end_all")
    assert (ended.who, ended.subject, json.loads(ended.what)) == ("shell", "Ana", {"sessions": 2})
