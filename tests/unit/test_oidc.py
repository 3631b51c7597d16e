"""Signing in with the mine's account, against an OpenID Connect provider in a process of its own: who comes in, as what, and who does not."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from contract.documents import DocumentError
from gateway import audit
from gateway.accounts.oidc import Denied, OidcSettings, claim, identity
from gateway.accounts.roles import Role
from gateway.config import load
from tests.rig.processes import free_port
from tests.rig.provider import Provider, provider
from tests.rig.webapp import CO_HIGH, NODE, WebSite, website

ANA = {"sub": "u-1", "preferred_username": "ana.quispe", "groups": ["sala", "deporte"]}
LUIS = {"sub": "u-2", "preferred_username": "luis.rojas", "groups": ["sala", "ingenieria"]}
GUEST = {"sub": "u-3", "preferred_username": "visita", "groups": ["deporte"]}
DOUBLE = {"sub": "u-4", "preferred_username": "ana.quispe", "groups": ["ingenieria"]}
ROLES = {"operator": ["sala"], "engineer": ["ingenieria"]}
START = "/api/v1/session/oidc"


def settings(folder: Path, elsewhere: str, page: str, **more: Any) -> dict[str, Any]:
    (folder / "oidc.secret").write_text("a secret\n", "utf-8")
    told = {"issuer": elsewhere, "client_id": "muki", "client_secret_file": folder / "oidc.secret", "page": page, "roles": ROLES}
    return {"oidc": {**told, **more}}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("provider"), ANA, LUIS, GUEST, DOUBLE) as made:
        yield made


@asynccontextmanager
async def signing_in(folder: Path, elsewhere: Provider, **more: Any) -> AsyncIterator[WebSite]:
    port = free_port()
    told = settings(folder, elsewhere.issuer, f"http://127.0.0.1:{port}", **more)
    async with website(folder, port=port, access="changes", **told) as site:
        yield site


def browser(site: WebSite) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=site.url, trust_env=False, headers={"Origin": site.url})


async def sign_in(client: httpx.AsyncClient, sub: str | None, *, after: str = "/shift") -> httpx.Response:
    """Goes to the provider, says who one is (None: denies), and comes back: what the gateway answers to that."""
    away = await client.get(START, params={"next": after})
    assert away.status_code == 302
    form = {"action": "deny"} if sub is None else {"sub": sub}
    said = await client.post(away.headers["location"], data=form)
    return await client.get(said.headers["location"])


async def test_somebody_of_the_mine_comes_in_and_acts_in_their_name(tmp_path: Path, elsewhere: Provider) -> None:
    async with signing_in(tmp_path, elsewhere, label="Cuenta de la mina") as site, browser(site) as client:
        assert (await client.get("/api/v1/session")).json()["provider"] == "Cuenta de la mina"
        site.event(CO_HIGH)
        came = await sign_in(client, "u-1")
        assert (came.status_code, came.headers["location"]) == (303, "/shift")
        assert "SameSite=strict" in came.headers["set-cookie"]
        assert (await client.get("/api/v1/session")).json() | {"provider": ""} == {
            "access": "changes",
            "name": "ana.quispe",
            "role": "operator",
            "idle": False,
            "provider": "",
        }
        answer = await client.post(f"/api/v1/alarms/{NODE}.co-high/acknowledge", json={"note": "voy"})
        assert answer.json()["acknowledged_by"] == "ana.quispe"
        told = {entry.kind: entry.what for entry in audit.entries(site.services.engine, limit=10)}
        assert elsewhere.issuer in str(told["session.begin"])
        assert '"subject":"u-1"' in str(told["user.add"]).replace(" ", "")


async def test_the_highest_role_counts_and_follows_the_groups(tmp_path: Path, elsewhere: Provider) -> None:
    async with signing_in(tmp_path, elsewhere) as site, browser(site) as client:
        await sign_in(client, "u-2")
        assert (await client.get("/api/v1/session")).json()["role"] == "engineer"
        site.services.users.change("luis.rojas", role=Role.VIEWER)
        await sign_in(client, "u-2")
        assert (await client.get("/api/v1/session")).json()["role"] == "engineer", "what the provider says counts at each sign-in"
        assert (await client.post("/api/v1/session", json={"name": "luis.rojas", "password": "elsewhere"})).status_code == 401


@pytest.mark.parametrize(("sub", "reason"), [("u-3", "oidc_no_role"), ("stranger", "oidc_no_name"), (None, "oidc_refused")])
async def test_who_is_not_let_in_reads_why(tmp_path: Path, elsewhere: Provider, sub: str | None, reason: str) -> None:
    async with signing_in(tmp_path, elsewhere) as site, browser(site) as client:
        came = await sign_in(client, sub)
        assert came.headers["location"] == f"/?login={reason}"
        assert (await client.get("/api/v1/session")).json()["name"] == ""
        assert site.services.users.every() == []


async def test_a_name_stays_with_who_had_it_and_an_ended_account_ended(tmp_path: Path, elsewhere: Provider) -> None:
    async with signing_in(tmp_path, elsewhere) as site, browser(site) as client:
        site.services.users.add("luis.rojas", Role.OPERATOR, "cuatro palabras bien largas", now_ns=time.time_ns())
        assert (await sign_in(client, "u-2")).headers["location"] == "/?login=oidc_name_taken", "a user of the gateway's own"
        assert (await sign_in(client, "u-1")).headers["location"] == "/shift"
        assert (await sign_in(client, "u-4")).headers["location"] == "/?login=oidc_name_taken", "another person of that name"
        site.services.users.change("ana.quispe", active=False)
        assert (await sign_in(client, "u-1")).headers["location"] == "/?login=oidc_ended"


async def test_only_the_browser_that_left_comes_back_and_once(tmp_path: Path, elsewhere: Provider) -> None:
    async with signing_in(tmp_path, elsewhere) as site, browser(site) as victim, browser(site) as other:
        away = await other.get(START)
        asked = parse_qs(urlsplit(away.headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["nonce"]
        said = await other.post(away.headers["location"], data={"sub": "u-1"})
        assert (await victim.get(said.headers["location"])).headers["location"] == "/?login=oidc_refused", "somebody else's way back"
        assert (await other.get(said.headers["location"])).headers["location"] == "/"
        assert (await other.get(said.headers["location"])).headers["location"] == "/?login=oidc_refused", "used"
        for foreign in ("https://evil.example/", "//evil.example", "/\\evil.example"):
            assert (await sign_in(victim, "u-1", after=foreign)).headers["location"] == "/", foreign


async def test_a_provider_that_is_away_locks_nobody_out(tmp_path: Path) -> None:
    away = Provider(tmp_path)  # nobody started it
    async with signing_in(tmp_path, away) as site, browser(site) as client:
        assert (await client.get(START)).headers["location"] == "/?login=oidc_unreachable"
        site.services.users.add("Eva", Role.OPERATOR, "cuatro palabras bien largas", now_ns=time.time_ns())
        logged = await client.post("/api/v1/session", json={"name": "Eva", "password": "cuatro palabras bien largas"})
        assert logged.json()["name"] == "Eva"


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed(tmp_path: Path, elsewhere: Provider) -> None:
    async with signing_in(tmp_path, elsewhere, issuer=f"{elsewhere.issuer}/") as site, browser(site) as client:
        assert (await sign_in(client, "u-1")).headers["location"] == "/?login=oidc_refused"


def test_claims_are_found_and_groups_mapped(tmp_path: Path) -> None:
    nested = {"iss": "i", "sub": "s", "name": "Ana", "realm_access": {"roles": ["boss"]}, "a.b": "flat"}
    assert claim(nested, "realm_access.roles") == ["boss"]
    assert claim(nested, "a.b") == "flat"
    assert claim(nested, "name.first") is None
    made = settings(tmp_path, "https://sso.example", "https://muki.example", name_claim="name", roles_claim="realm_access.roles")["oidc"]
    made["roles"] = {"viewer": ["staff"], "administrator": ["boss"]}
    assert identity(OidcSettings.model_validate(made), nested).role == Role.ADMINISTRATOR
    for groups in (None, "staffs", 7, ["Boss", {"boss": 1}]):
        with pytest.raises(Denied, match="in none of the groups"):
            identity(OidcSettings.model_validate(made), {**nested, "realm_access": {"roles": groups}})


def test_a_wrong_configuration_says_where(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "site: mina-sur\ndata_dir: data\noidc:\n  issuer: sso.example\n  client_id: muki\n  client_secret_file: none\n"
        "  page: https://muki.example\n  roles: {boss: [x]}\n",
        "utf-8",
    )
    with pytest.raises(DocumentError) as wrong:
        load(file)
    assert "oidc.issuer" in str(wrong.value)
    assert "oidc.roles.boss" in str(wrong.value)
    file.write_text(file.read_text("utf-8").replace("sso.example", "https://sso.example").replace("boss", "viewer"), "utf-8")
    with pytest.raises(DocumentError, match=r"gateway.yaml:6: oidc.client_secret_file: .*none: there is no such file"):
        load(file)
