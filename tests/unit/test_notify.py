"""Telling people: who is due for what, at least once and not twice, until somebody acknowledges; on a real HTTP service that fails at will."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import time as clock_time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from click.testing import CliRunner

import muki
from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, State, Trigger, alarm_key
from contract.documents import DocumentError
from gateway.alarms.lifecycle import Fold
from gateway.alarms.view import AlarmView
from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig, load
from gateway.database import open_database
from gateway.notify.due import Notice, due
from gateway.notify.receipts import Receipts
from gateway.notify.room import Notifications
from gateway.notify.settings import Hours, Route
from gateway.notify.text import SHOWN, message, texts
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.servers import Mosquitto

SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND
NOON, NIGHT = clock_time(12, 0), clock_time(23, 30)


def view(name: str = "co-high", *, priority: Priority = Priority.HIGH, state: State = State.UNACKNOWLEDGED, **fold: Any) -> AlarmView:
    title, action = {"es": "CO alto", "en": "High CO"}, {"es": "Ventile", "en": "Ventilate"}
    condition = Condition(ConditionKind.ABOVE, 25.0)
    definition = AlarmDefinition(name, "north/gas/co", condition, priority, title=title, action=action)
    now = msgspec.structs.replace(Fold(state, active=True, since_ns=START, event=f"e-{name}", value=41.5), **fold)
    return AlarmView(f"gas-1.{name}", "gas-1", "north/gas/co", definition, now, 1)


def route(**more: Any) -> Route:
    return Route.model_validate({"to": ["desk"]} | more)


def told(
    views: list[AlarmView], *routes: Route, sent: set[Notice] | None = None, after: float = 0.0, local: clock_time = NOON
) -> list[str]:
    found = due(views, routes, sent or set(), now_ns=START + round(after * SECOND), local=local)
    return [f"{notice.key} {notice.channel} {notice.after:g}" for notice in found]


def test_an_alarm_is_told_once_to_each_channel_of_its_routes() -> None:
    routes = (route(to=["desk", "radio"]), route(to=["desk"]))
    assert told([view()], *routes) == ["gas-1.co-high desk 0", "gas-1.co-high radio 0"]
    assert told([view()], *routes, sent={Notice("gas-1.co-high", "e-co-high", "desk", 0.0)}) == ["gas-1.co-high radio 0"]
    assert told([view(event="e2")], route(), sent={Notice("gas-1.co-high", "e-co-high", "desk", 0.0)}) == ["gas-1.co-high desk 0"], (
        "raised anew"
    )


def test_a_route_takes_what_it_says() -> None:
    assert told([view(priority=Priority.LOW)], route()) == []
    assert told([view(priority=Priority.LOW)], route(priorities=["low"])) != []
    assert told([view()], route(nodes=["gas-*"])) != []
    assert told([view()], route(nodes=["pump-*"])) == []
    assert told([view()], route(points=["*/gas/*"])) != []
    assert told([view()], route(points=["south/*"])) == []
    assert told([view()], route(classes=["malfunction"])) == []


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE, State.NORMAL])
def test_nobody_is_called_for_what_somebody_answers_for(state: State) -> None:
    assert told([view(state=state)], route(escalate=[{"after": 60, "to": ["chief"]}]), after=1000) == []


def test_what_returned_before_it_was_told_is_told_and_history_is_not() -> None:
    assert told([view(state=State.RETURNED)], route()) != []
    assert told([view(unseen=True)], route()) == []


def test_escalation_until_somebody_acknowledges() -> None:
    up = route(escalate=[{"after": 300, "to": ["chief"]}, {"after": 600, "to": ["manager"]}])
    first = {Notice("gas-1.co-high", "e-co-high", "desk", 0.0)}
    assert told([view()], up, sent=first, after=299) == []
    assert told([view()], up, sent=first, after=300) == ["gas-1.co-high chief 300"]
    assert told([view()], up, sent=first, after=700) == ["gas-1.co-high chief 300", "gas-1.co-high manager 600"]
    assert told([view(state=State.ACKNOWLEDGED)], up, sent=first, after=700) == []


def test_quiet_hours_are_not_for_critical_alarms_and_a_roster_is_for_all() -> None:
    quiet = route(quiet={"from": "22:00", "to": "06:00"})
    assert told([view(), view("fire", priority=Priority.CRITICAL)], quiet, local=NIGHT) == ["gas-1.fire desk 0"]
    assert told([view()], quiet, local=NOON) == ["gas-1.co-high desk 0"], "what waited is told when the quiet ends"
    roster = (route(to=["day"], hours={"from": "07:00", "to": "19:00"}), route(to=["night"], hours={"from": "19:00", "to": "07:00"}))
    assert told([view()], *roster, local=NOON) == ["gas-1.co-high day 0"]
    assert told([view()], *roster, local=NIGHT) == ["gas-1.co-high night 0"]


def test_hours_over_midnight() -> None:
    night = Hours.model_validate({"from": "22:00", "to": "06:00"})
    assert [night.hold(clock_time(hour)) for hour in (21, 22, 0, 5, 6)] == [False, True, True, True, False]
    day = Hours.model_validate({"from": "06:00", "to": "22:00"})
    assert [day.hold(clock_time(hour)) for hour in (5, 6, 21, 22)] == [False, True, True, False]


def test_a_message_says_what_where_since_when_and_what_to_do() -> None:
    words = message(
        [view(priority=Priority.CRITICAL)], site="antares", language="es", zone=ZoneInfo("UTC"), page="http://x/", escalated=True
    )
    assert words.title == "CRÍTICA · antares: CO alto"
    assert words.urgent
    assert words.body.splitlines() == [
        "Nadie ha reconocido todavía:",
        "[crítica] CO alto — north/gas/co (gas-1), desde las 20:26:40",
        "  Valor: 41.5",
        "  Qué hacer: Ventile",
        "Reconocer en http://x/",
    ]


def test_a_flood_is_one_message() -> None:
    flood = [view(f"a{number}") for number in range(50)]
    words = message(flood, site="antares", language="en", zone=ZoneInfo("UTC"), page="", escalated=False)
    assert words.title == "HIGH · antares: 50 alarms"
    assert words.body.endswith(f"and {50 - SHOWN} more")


def test_both_languages_have_the_same_words() -> None:
    assert texts("es").keys() == texts("en").keys()


def test_receipts_outlive_the_process(tmp_path: Path) -> None:
    notices = [Notice("gas-1.co-high", f"e{number}", "desk", 0.0) for number in range(1200)]
    Receipts(open_database(f"sqlite:///{tmp_path / 'a.db'}")).keep(notices, now_ns=START)
    again = Receipts(open_database(f"sqlite:///{tmp_path / 'a.db'}"))
    assert again.sent([notice.event for notice in notices]) == set(notices)
    assert again.sent(["e5", "other"]) == {notices[5]}
    again.keep([Notice("gas-1.other", "e", "desk", 0.0)], now_ns=START + 91 * 86_400 * SECOND)
    assert again.of("gas-1.co-high") == [], "after 90 days they go"


class Service(ThreadingHTTPServer):
    """A web hook: what came, and which status is answered; None: the connection hangs for a second."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status: int = 200
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_address[1]}/hook?cto=2&rto=2"

    def titles(self) -> list[str]:
        return [str(one["title"]) for one in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""


@contextlib.contextmanager
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def config(tmp_path: Path, port: int, *urls: str) -> GatewayConfig:
    channels = [{"name": f"hook-{number}", "url": url} for number, url in enumerate(urls)]
    notify = {"channels": channels, "routes": [{"to": [channel["name"] for channel in channels]}]}
    broker = BrokerConfig(host="127.0.0.1", port=port)
    return GatewayConfig.model_validate(
        {"site": SITE, "data_dir": tmp_path / "gateway", "broker": broker.model_dump(), "commit_every": 0.05, "notify": notify}
    )


CO_HIGH = {
    "id": "co-high",
    "point": "gas-2/co",
    "condition": {"kind": "above", "limit": 25.0},
    "priority": "critical",
    "title": {"es": "CO alto", "en": "High CO"},
}


async def test_an_alarm_reaches_a_service_once_also_over_a_restart(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, service() as hook:
        async with Gateway(config(tmp_path, broker.port, hook.url), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth({"gas-2/co": {"unit": "ppm"}}, alarms=[CO_HIGH])
            await one.alarm("co-high", "active", event="01A")
            await until(lambda: hook.got)
            assert hook.titles() == [f"CRÍTICA · {SITE}: CO alto"]
            assert hook.got[0]["type"] == "failure"
            await until(lambda: gateway.services.receipts.of(alarm_key("pump-3", "co-high")))
        async with Gateway(config(tmp_path, broker.port, hook.url), store=MemoryStore()) as gateway:
            await until(lambda: gateway.session.up)
            await until(lambda: len(gateway.services.receipts.of(alarm_key("pump-3", "co-high"))) == 1)
            view_now = gateway.services.journal.act(
                alarm_key("pump-3", "co-high"), Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns()
            )
            gateway.services.annunciator.announce(view_now)
    assert len(hook.got) == 1


async def test_a_dead_channel_is_a_malfunction_and_holds_up_no_other(tmp_path: Path) -> None:
    states: dict[str, bool] = {}
    with service() as dead, service() as alive:
        dead.status = 503
        settings = config(tmp_path, 1, dead.url, alive.url).notify
        notifications = Notifications(
            settings,
            Receipts(open_database(f"sqlite:///{tmp_path / 'a.db'}")),
            site="antares",
            language="en",
            time_zone="UTC",
            standing=lambda: [view()],
            malfunction=lambda definition, active: states.update({definition.id: active}),
            backoff=0.05,
        )
        running = asyncio.create_task(notifications.run())
        try:
            await until(lambda: states == {"channel-hook-0": True, "channel-hook-1": False})
            assert (dead.got, alive.titles()) == ([], ["HIGH · antares: High CO"])
            dead.status = 200
            await until(lambda: states == {"channel-hook-0": False, "channel-hook-1": False})
            assert dead.titles() == alive.titles() == ["HIGH · antares: High CO"]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_a_channel_is_tried_from_the_shell(tmp_path: Path) -> None:
    def shell(url: str, channel: str = "desk") -> tuple[int, str]:
        (tmp_path / "desk.url").write_text(url + "\n")
        text = "site: antares\ndata_dir: .\nnotify:\n  channels:\n    - {name: desk, url_file: desk.url, language: en}\n"
        (tmp_path / "gateway.yaml").write_text(text)
        done = CliRunner().invoke(muki.main, ["gateway", "notify-test", str(tmp_path / "gateway.yaml"), channel])
        return done.exit_code, done.output

    with service() as hook:
        assert shell(hook.url) == (0, 'desk: sent "Test · antares"\n')
        assert hook.titles() == ["Test · antares"]
        hook.status = 500
        code, said = shell(hook.url)
        assert (code, "did not take the message" in said, "127.0.0.1" in said) == (1, True, False)
        assert shell(hook.url, "radio") == (1, "Error: there is no channel 'radio'; there is desk\n")
    assert shell("nothing://x") == (1, "Error: desk: the address is none that Apprise knows\n")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("channels: [{name: desk, url: 'bogus://secret'}]", "no address that Apprise knows"),
        ("channels: [{name: desk}]", "write either url or url_file"),
        ("channels: [{name: desk, url: 'json://x', colour: red}]", "colour"),
        ("channels: [{name: desk, type: pigeon}]", "channel type 'pigeon'"),
        ("channels: [{name: desk, url: 'json://x'}, {name: desk, url: 'json://x'}]", "is taken"),
        ("routes: [{to: [desk]}]", "'desk' is no channel"),
        (
            "{channels: [{name: desk, url: 'json://x'}], routes: [{to: [desk], escalate: [{after: 60, to: [chief]}]}]}",
            "'chief' is no channel",
        ),
        ("routes: [{to: [desk], quiet: {from: '25:00', to: '06:00'}}]", "time of day"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line_and_without_its_secret(written: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"site: test\ndata_dir: .\nnotify:\n  {written}\n")
    with pytest.raises(DocumentError, match=said) as caught:
        load(tmp_path / "gateway.yaml")
    assert "gateway.yaml:" in str(caught.value)
    assert "secret" not in str(caught.value)
