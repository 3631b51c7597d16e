"""Who may do what: people with passwords, programs with tokens, and a control room that is never locked out of seeing."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import muki
from gateway.accounts.passes import LIFETIME, Passes
from gateway.accounts.roles import Person, Role
from gateway.accounts.throttle import FIRST_WAIT, LONGEST_WAIT, TRIES, Throttle
from gateway.accounts.users import Users
from gateway.config import GatewayConfig
from gateway.database import open_database
from tests.rig.webapp import CO_HIGH, NODE, WebSite, website

PASSWORD = "cuatro palabras bien largas"
SECOND = 1_000_000_000
ACKNOWLEDGE = f"/alarms/{NODE}.co-high/acknowledge"


def client_of(site: WebSite, **headers: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False, headers=headers)


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/session", json={"name": name, "password": password})


async def test_a_change_needs_a_login_and_carries_its_name(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, client_of(site) as client:
        site.services.users.add("Ana Quispe", Role.OPERATOR, PASSWORD, now_ns=time.time_ns())
        site.event(CO_HIGH)
        assert (await client.get("/alarms")).status_code == 200, "seeing is free"
        assert (await client.get("/session")).json() == {"access": "changes", "name": "", "role": "", "idle": False, "provider": ""}
        answer = await client.post(ACKNOWLEDGE, json={"who": "Somebody else"})
        assert (answer.status_code, answer.json()["reason"]) == (401, "login_required")
        answer = await log_in(client, "Ana Quispe")
        assert answer.json() == {"access": "changes", "name": "Ana Quispe", "role": "operator", "idle": False, "provider": ""}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        answer = await client.post(ACKNOWLEDGE, json={"who": "Somebody else", "note": "voy"})
        assert (answer.status_code, answer.json()["acknowledged_by"]) == (200, "Ana Quispe"), "the login's name counts, not what is written"
        answer = await client.post(f"/nodes/{NODE}/approve", json={})
        assert (answer.status_code, answer.json()["reason"]) == (403, "not_allowed")
        assert (await client.request("DELETE", "/session", json={})).json()["name"] == ""
        assert (await client.post(ACKNOWLEDGE, json={})).status_code == 401


async def test_a_site_that_shows_itself_to_nobody_unknown(tmp_path: Path) -> None:
    async with website(tmp_path, access="all") as site, client_of(site) as client:
        for path in ("/alarms", "/alarms/history", "/points", "/nodes", "/ledger", "/events", "/metrics"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (401, "login_required"), path
        assert (await client.get(f"{site.url}/health")).status_code == 200
        assert (await client.get(f"{site.url}/")).status_code == 200, "the page, which asks for the login"
        token = site.services.passes.issue("grafana", Role.VIEWER, now_ns=time.time_ns())
        async with client_of(site, Authorization=f"Bearer {token}") as program:
            assert (await program.get("/alarms")).status_code == 200
            assert (await program.get("/metrics")).status_code == 200
            assert (await program.post(ACKNOWLEDGE, json={})).status_code == 403
            site.services.passes.revoke("grafana")
            assert (await program.get("/alarms")).status_code == 401
        async with client_of(site, Authorization="Bearer muki_wrong") as program:
            assert (await program.get("/alarms")).status_code == 401


async def test_a_password_cannot_be_tried_for_ever_and_says_nothing_of_names(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, client_of(site) as client:
        site.services.users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=time.time_ns())
        answers = [await log_in(client, name, "wrong") for name in ("Ana", "Nobody", "Ana")]
        assert {(answer.status_code, answer.json()["reason"]) for answer in answers} == {(401, "wrong_password")}
        for _ in range(TRIES):
            last = await log_in(client, "Ana", "wrong")
        assert (last.status_code, last.json()["reason"]) == (429, "too_often")
        assert (await log_in(client, "Ana")).status_code == 429, "also with the right one"
        site.services.throttle.succeeded("name Ana")
        site.services.throttle.succeeded("address 127.0.0.1")
        assert (await log_in(client, "Ana")).status_code == 200


def test_the_throttle_waits_longer_and_longer_and_never_for_ever() -> None:
    throttle = Throttle()
    for _ in range(TRIES - 1):
        throttle.failed("a", 0.0)
    assert throttle.wait("a", 0.0) == 0
    throttle.failed("a", 10.0)
    assert throttle.wait("a", 10.0) == FIRST_WAIT
    throttle.failed("a", 20.0)
    assert throttle.wait("a", 20.0) == 2 * FIRST_WAIT
    for _ in range(100):
        throttle.failed("a", 30.0)
    assert throttle.wait("a", 30.0) == LONGEST_WAIT
    assert throttle.wait("b", 30.0) == 0
    throttle.succeeded("a")
    assert throttle.wait("a", 30.0) == 0
    for number in range(2000):
        throttle.failed(f"x{number}", 0.0)
    assert len(throttle._failed) == 1000


def passes_and_users(tmp_path: Path, idle_after: float = 60) -> tuple[Passes, Users]:
    engine = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    return Passes(engine, idle_after=idle_after), Users(engine)


def test_an_idle_session_sees_and_does_no_more(tmp_path: Path) -> None:
    passes, users = passes_and_users(tmp_path)
    users.add("Ana", Role.ENGINEER, PASSWORD, now_ns=0)
    secret = passes.begin("Ana", now_ns=0)
    assert passes.session(secret, now_ns=50 * SECOND, acting=True) == Person("Ana", Role.ENGINEER)
    assert passes.session(secret, now_ns=100 * SECOND, acting=False) == Person("Ana", Role.ENGINEER), "an act keeps it awake"
    for acting in (False, True):
        assert passes.session(secret, now_ns=120 * SECOND, acting=acting) == Person("Ana", Role.VIEWER, idle=True)
    assert passes.session(secret, now_ns=(LIFETIME + 1) * SECOND, acting=False) is None
    assert passes.session("wrong", now_ns=0, acting=False) is None


def test_what_ends_an_account_ends_its_sessions(tmp_path: Path) -> None:
    passes, users = passes_and_users(tmp_path)
    users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=0)
    secret = passes.begin("Ana", now_ns=0)
    users.change("Ana", role=Role.VIEWER)
    assert passes.session(secret, now_ns=1, acting=True) == Person("Ana", Role.VIEWER), "a role counts at once"
    users.change("Ana", active=False)
    assert passes.session(secret, now_ns=1, acting=False) is None
    assert users.verify("Ana", PASSWORD) is None
    users.change("Ana", active=True, password="another long password")
    passes.end_all("Ana")
    assert passes.session(secret, now_ns=1, acting=False) is None
    assert users.verify("Ana", PASSWORD) is None
    assert users.verify("Ana", "another long password") is not None


@pytest.mark.parametrize(
    ("name", "password", "said"), [("", PASSWORD, "name"), (" Ana", PASSWORD, "blanks"), ("Ana", "short", "10 or more")]
)
def test_names_and_passwords_that_are_none(name: str, password: str, said: str, tmp_path: Path) -> None:
    _, users = passes_and_users(tmp_path)
    with pytest.raises(ValueError, match=said):
        users.add(name, Role.VIEWER, password, now_ns=0)


def test_secrets_are_not_in_the_database(tmp_path: Path) -> None:
    passes, users = passes_and_users(tmp_path)
    users.add("Ana", Role.OPERATOR, PASSWORD, now_ns=0)
    secrets = [PASSWORD, passes.begin("Ana", now_ns=0), passes.issue("grafana", Role.VIEWER, now_ns=0)]
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("a.db*"))
    assert b"argon2id" in kept
    assert not [secret for secret in secrets if secret.encode() in kept]


def test_a_gateway_that_is_reached_from_elsewhere_wants_a_login_for_changes(tmp_path: Path) -> None:
    def access(**http: str) -> str:
        return GatewayConfig.model_validate({"site": "test", "data_dir": tmp_path, "http": http}).effective_access

    assert access() == access(host="::1") == "open"
    assert access(host="0.0.0.0") == access(host="mine.example") == "changes"


def test_people_and_tokens_in_the_shell(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("site: test\ndata_dir: data\naccess: changes\n")
    name = str(tmp_path / "gateway.yaml")

    def shell(*words: str, typed: str | None = None) -> tuple[int, str]:
        done = CliRunner().invoke(muki.main, ["gateway", *words], input=typed)
        return done.exit_code, done.output

    code, said = shell("user", "add", name, "Ana", "--role", "engineer", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert (code, said.splitlines()[-1]) == (0, "Ana: engineer")
    assert PASSWORD not in said
    assert shell("user", "add", name, "Ana", typed=f"{PASSWORD}\n{PASSWORD}\n")[1].endswith("Error: there is a user 'Ana' already\n")
    assert shell("user", "change", name, "Ana") == (1, "Error: nothing to change: say --role, --password, --enable or --disable\n")
    assert shell("user", "change", name, "Luis", "--disable") == (1, "Error: there is no user 'Luis'\n")
    assert shell("user", "change", name, "Ana", "--disable") == (0, "Ana: changed\n")
    code, said = shell("user", "list", name)
    assert (code, said.split()) == (0, ["Ana", "engineer", "may", "not", "log", "in"])
    code, token = shell("token", "create", name, "grafana")
    assert (code, token[:5]) == (0, "muki_")
    assert shell("token", "create", name, "grafana")[0] == 1
    assert shell("token", "list", name)[1].split() == ["grafana", "viewer"]
    assert shell("token", "revoke", name, "grafana") == (0, "grafana: revoked\n")
    assert shell("token", "revoke", name, "grafana")[0] == 1


async def test_two_who_log_in_at_once_are_two(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, client_of(site) as one, client_of(site) as other:
        for name in ("Ana", "Luis"):
            site.services.users.add(name, Role.OPERATOR, PASSWORD, now_ns=time.time_ns())
        await asyncio.gather(log_in(one, "Ana"), log_in(other, "Luis"))
        assert [(await client.get("/session")).json()["name"] for client in (one, other)] == ["Ana", "Luis"]
