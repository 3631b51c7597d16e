"""A link in a message acknowledges one alarm, once, for one person, while it holds; and opening it does nothing."""

import asyncio
import json
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.alarms import State, Trigger
from contract.documents import DocumentError
from gateway import audit
from gateway.accounts.roles import Role
from gateway.assembly import Gateway
from gateway.config import GatewayConfig, load
from gateway.notify.link import BadLink, Link, Links, open_secret
from gateway.notify.text import Invitation, message
from gateway.opening import CannotStart, open_links
from gateway.store.memory import MemoryStore
from tests.rig.device import device, until
from tests.rig.servers import Mosquitto
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website
from tests.unit.test_notify import CO_HIGH as CO_DECLARED
from tests.unit.test_notify import config, service, view

KEY = f"{NODE}.co-high"
PASSWORD = "cuatro palabras bien largas"
NOTIFY = {
    "page": "https://alarms.mine.example/",
    "channels": [{"name": "ana", "person": "Ana Quispe", "url": "json://127.0.0.1:9/x"}],
}
SECRET = Links(b"k" * 32, page="https://x", hold_for=60)


def link_of(site: WebSite, key: str = KEY, *, person: str = "Ana Quispe", ago: float = 0.0) -> str:
    """The token of the link that a message sent ``ago`` seconds before would have had."""
    assert site.services.links is not None
    address, _ = site.services.links.invite(key, site.journal.get(key).now.event, person, now_ns=time.time_ns() - int(ago * 1e9))
    assert address.startswith("https://alarms.mine.example/ack/")
    return address.rpartition("/")[2]


def client_of(site: WebSite) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False)


async def acknowledge(client: httpx.AsyncClient, token: str) -> tuple[int, str]:
    answer = await client.post("/link/acknowledge", json={"token": token})
    return answer.status_code, answer.json().get("reason") or answer.json()["worth"]


async def worth(client: httpx.AsyncClient, token: str) -> tuple[str, str | None]:
    found = (await client.get(f"/link/{token}")).json()
    return found["worth"], found["by"]


async def test_only_the_post_acknowledges_and_a_link_counts_once(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY) as site, client_of(site) as client:
        site.event(CO_HIGH)
        site.event(O2_LOW)
        token = link_of(site)
        for _ in range(3):  # a mail scanner, a preview, a person
            assert (await client.get(f"{site.url}/ack/{token}")).status_code == 200
            assert await worth(client, token) == ("open", None)
        assert (await client.get("/link/acknowledge", params={"token": token})).status_code == 404
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED
        assert (await client.post("/link/acknowledge", data={"token": token})).status_code == 415, "no form of another site"
        crossed = await client.post("/link/acknowledge", json={"token": token}, headers={"Sec-Fetch-Site": "cross-site"})
        assert crossed.status_code == 403
        with site.bus.subscribe() as watcher:
            assert await acknowledge(client, token) == (200, "acknowledged")
            assert (await watcher.take())[0].data["acknowledged_by"] == "Ana Quispe"
        assert await acknowledge(client, token) == (409, "link_acknowledged")
        assert await worth(client, token) == ("acknowledged", "Ana Quispe")
        assert site.journal.get(f"{NODE}.o2-low").state is State.UNACKNOWLEDGED, "one alarm alone"
        (entry, *_) = site.journal.history(key=KEY)
        assert (entry.who, entry.note) == ("Ana Quispe", "por enlace")
        (sealed, *_) = audit.entries(site.services.engine, kind="alarm.acknowledge")
        assert (sealed.who, json.loads(sealed.what)["by"]) == ("Ana Quispe", "link")
        now = time.time_ns()
        site.journal.act(KEY, Trigger.SHELVE, who="Luis", note="x", now_ns=now, until_ns=now + 10**12)
        site.journal.act(KEY, Trigger.UNSHELVE, who="Luis", note="x", now_ns=now + 1)
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED
        assert await acknowledge(client, token) == (409, "link_acknowledged"), "used is used, whatever came behind"


async def test_a_link_that_others_overtook_says_so(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY) as site, client_of(site) as client:
        site.event(CO_HIGH)
        token, late = link_of(site), link_of(site, ago=28_801)
        assert await worth(client, late) == ("expired", None)
        assert await acknowledge(client, late) == (409, "link_expired")
        now = time.time_ns()
        site.journal.act(KEY, Trigger.SHELVE, who="Luis", note="x", now_ns=now, until_ns=now + 10**12)
        assert await acknowledge(client, token) == (409, "link_nothing")
        site.journal.act(KEY, Trigger.UNSHELVE, who="Luis", note="x", now_ns=now + 1)
        site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Luis", note="voy", now_ns=now + 2)
        assert await worth(client, token) == ("acknowledged", "Luis")
        assert await acknowledge(client, token) == (409, "link_acknowledged")
        site.event(CO_HIGH, active=False)
        assert await worth(client, token) == ("acknowledged", "Luis"), "also when it has ended"
        site.event(CO_HIGH)
        newer = link_of(site)
        site.event(CO_HIGH, active=False)
        assert await worth(client, newer) == ("open", None), "what came and went waits for somebody, too"
        site.event(CO_HIGH)
        assert await acknowledge(client, newer) == (409, "link_came_again")
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED


async def test_two_people_with_links_at_once_are_one_acknowledgement(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY) as site, client_of(site) as client:
        site.event(CO_HIGH)
        tokens = [link_of(site, person=person) for person in ("Ana Quispe", "Luis", "Eva")]
        answers = await asyncio.gather(*(acknowledge(client, token) for token in tokens))
        assert sorted(answers) == [(200, "acknowledged"), (409, "link_acknowledged"), (409, "link_acknowledged")]


async def test_where_people_log_in_a_link_is_worth_what_its_account_is(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY, access="all") as site, client_of(site) as client:
        site.event(CO_HIGH)
        token = link_of(site)
        assert (await client.get("/alarms")).status_code == 401
        assert await worth(client, token) == ("not_allowed", None)
        users = site.services.users
        users.add("Ana Quispe", Role.VIEWER, PASSWORD, now_ns=1)
        assert await acknowledge(client, token) == (409, "link_not_allowed")
        users.change("Ana Quispe", role=Role.OPERATOR, active=False)
        assert await acknowledge(client, token) == (409, "link_not_allowed")
        users.change("Ana Quispe", active=True)
        assert await acknowledge(client, token) == (200, "acknowledged")


async def test_wrong_links_wait_and_hold_up_no_right_one(tmp_path: Path) -> None:
    async with website(tmp_path, notify=NOTIFY) as site, client_of(site) as client:
        site.event(CO_HIGH)
        token = link_of(site)
        codes = [(await client.get(f"/link/{token[:-1]}{'A' if token[-1] != 'A' else 'E'}")).status_code for _ in range(60)]
        assert codes[:20] == [404] * 20
        assert 429 in codes
        assert await acknowledge(client, token) == (200, "acknowledged")
        assert 429 in [(await client.get(f"/link/{token}")).status_code for _ in range(60)]


async def test_a_gateway_that_sends_no_links_takes_none(tmp_path: Path) -> None:
    async with website(tmp_path) as site, client_of(site) as client:
        assert site.services.links is None
        assert (await client.get(f"/link/{SECRET.sign(Link('a', 'b', 'c', 1))}")).json()["reason"] == "bad_link"
        assert not (tmp_path / "links.key").exists()


@given(st.text(max_size=60), st.integers(0, 400), st.text(max_size=3))
def test_no_other_text_is_a_link(person: str, place: int, other: str) -> None:
    link = Link("gas-1.co", "01A", person, 5)
    token = SECRET.sign(link)
    assert SECRET.read(token) == link
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        with pytest.raises(BadLink):
            SECRET.read(changed)
    with pytest.raises(BadLink):
        Links(b"l" * 32, page="https://x", hold_for=60).read(token)


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "links.key"
    secret = open_secret(path)
    assert (len(secret), path.stat().st_mode & 0o777, open_secret(path)) == (32, 0o600, secret)
    assert [one.name for one in tmp_path.iterdir()] == ["links.key"]
    path.chmod(0o640)
    settings = GatewayConfig.model_validate({"site": "test", "data_dir": tmp_path, "notify": NOTIFY})
    with pytest.raises(CannotStart, match=r"mode 640.*chmod 600"):
        open_links(settings)
    path.chmod(0o600)
    for wrong in ("", "abc", "zz" * 32, "ab" * 16):
        path.write_text(wrong)
        with pytest.raises(CannotStart, match="64 hexadecimal digits"):
            open_links(settings)


def test_a_person_needs_the_address_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        "site: t\ndata_dir: .\nnotify: {channels: [{name: ana, person: Ana, url: 'json://x'}], page: mine.example}\n"
    )
    with pytest.raises(DocumentError, match=r"g\.yaml:3: notify\.channels\[0\]\.person: .*https://"):
        load(tmp_path / "g.yaml")
    (tmp_path / "g.yaml").write_text(
        "site: t\ndata_dir: .\nnotify: {channels: [{name: ana, person: Ana, url: 'json://x'}], page: 'https://m'}\n"
    )
    assert load(tmp_path / "g.yaml").notify.channels[0].person == "Ana"


def test_the_message_has_it_below_its_alarm() -> None:
    invited = {"gas-1.co-high": Invitation("Ana", "https://m/ack/x.y", 1_780_000_000)}
    told = message([view()], site="antares", language="en", zone=ZoneInfo("UTC"), page="", escalated=False, invitations=invited)
    assert told.body.splitlines()[-1] == "  Acknowledge as Ana (until 28/05 20:26): https://m/ack/x.y"


async def test_from_the_node_to_the_message_to_the_acknowledgement(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, service() as hook:
        settings = config(tmp_path, broker.port, hook.url)
        channels = [channel.model_copy(update={"person": "Luis"}) for channel in settings.notify.channels]
        notify = settings.notify.model_copy(update={"channels": channels, "page": "https://m"})
        settings = settings.model_copy(update={"notify": notify})
        async with Gateway(settings, store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth({"gas-2/co": {"unit": "ppm"}}, alarms=[CO_DECLARED])
            await one.alarm("co-high", "active", event="01A")
            await until(lambda: hook.got)
            (line,) = [line for line in hook.got[0]["message"].splitlines() if "/ack/" in line]
            assert "Reconocer como Luis" in line
            assert gateway.services.links is not None
            assert gateway.services.links.read(line.rpartition("/ack/")[2]).person == "Luis"
