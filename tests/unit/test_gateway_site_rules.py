"""Rules over points of several nodes: what is judged, what is not, and how a restarted gateway goes on."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from contract.alarms import AlarmDefinition, AlarmEvent, Transition, alarm_key
from contract.documents import DocumentError
from gateway.alarms.journal import UnknownAlarm
from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig, load
from gateway.malfunctions import GATEWAY_NODE
from gateway.site_rules import SiteRules
from gateway.store import Sample, Series, StoreFrame
from gateway.store.memory import MemoryStore
from rules.moment import SECOND, Instant
from rules.settings import AlarmSettings
from tests.rig.device import SITE, Device, device, until
from tests.rig.servers import Mosquitto

START = 1_780_000_000 * SECOND
HEADS = {"a": "gas-1/north/gas/ch4", "b": "gas-2/north/gas/ch4", "c": "gas-3/north/gas/ch4"}


def rule(**changes: Any) -> AlarmSettings:
    plain = {
        "id": "methane-voted",
        "point": HEADS["a"],
        "condition": {"kind": "expression", "expression": "(a > 1) + (b > 1) + (c > 1) >= 2", "points": HEADS},
        "priority": "critical",
        "title": {"es": "Metano, dos de tres", "en": "Methane, two of three"},
    }
    return AlarmSettings.model_validate(plain | changes)


def fan() -> AlarmSettings:
    points = {"running": "fan-1/fan-3/running", "people": "gate-1/heading-7/people"}
    condition = {"kind": "expression", "expression": "people > 0 and running == 0", "points": points}
    return rule(id="fan-off", point=points["running"], condition=condition)


class Site:
    """Rules with what they told, and a clock."""

    def __init__(self, *rules: AlarmSettings, late_after: float = 30.0) -> None:
        self.events: list[AlarmEvent] = []
        self.blind: dict[str, bool] = {}
        self.seconds = 0.0
        self.rules = SiteRules(rules, late_after=late_after, told=self.events.append, malfunction=self._malfunction)
        self.rules.resume([], {}, self.now)

    def _malfunction(self, definition: AlarmDefinition, active: bool) -> None:
        self.blind[definition.id] = active

    @property
    def now(self) -> Instant:
        return Instant(START + round(self.seconds * SECOND), 5 * SECOND + round(self.seconds * SECOND))

    def tell(self, point: str, value: float | None, *, age: float = 0.0, quality: str = "good") -> list[str]:
        """A reading of a point; what came of it."""
        self.seconds += 1
        node, _, name = point.partition("/")
        frame = StoreFrame(
            node,
            self.now.wall_ns - round(age * SECOND),
            {} if value is None else {name: value},
            {} if quality == "good" else {name: quality},
        )
        before = len(self.events)
        self.rules.take(node, [frame], self.now)
        return [f"{event.definition} {event.transition}" for event in self.events[before:]]


def test_two_of_three_heads_of_three_nodes() -> None:
    site = Site(rule())
    assert site.tell(HEADS["a"], 1.4) == []
    assert site.tell(HEADS["b"], 0.2) == []
    assert site.tell(HEADS["c"], 0.3) == []
    assert site.tell(HEADS["b"], 1.2) == ["methane-voted active"]
    (event,) = site.events
    assert (event.node, event.point, event.transition) == (GATEWAY_NODE, HEADS["a"], Transition.ACTIVE)
    assert site.tell("gas-9/north/gas/ch4", 9.0) == []
    assert site.tell(HEADS["a"], 0.4) == ["methane-voted normal"]


def test_one_head_that_fails_decides_nothing_and_the_rule_is_blind_after_a_minute() -> None:
    site = Site(rule())
    for head in HEADS.values():
        site.tell(head, 0.2)
    site.rules.tick({}, site.now)
    assert site.blind == {"methane-voted-blind": False}
    for _ in range(45):
        site.tell(HEADS["a"], 2.0)
        site.tell(HEADS["b"], 0.2)
        site.tell(HEADS["c"], None, quality="bad:wire_break")
    site.rules.tick({}, site.now)
    assert site.events == []
    assert site.blind == {"methane-voted-blind": True}
    assert site.tell(HEADS["c"], 1.1) == ["methane-voted active"]
    site.rules.tick({}, site.now)
    assert site.blind == {"methane-voted-blind": False}


def test_history_and_what_comes_out_of_order_decide_nothing() -> None:
    site = Site(fan())
    site.tell("gate-1/heading-7/people", 2)
    assert site.tell("fan-1/fan-3/running", 0, age=31) == [], "it happened long ago"
    assert site.tell("fan-1/fan-3/running", 1) == []
    assert site.tell("fan-1/fan-3/running", 0, age=5) == [], "older than what is known"
    assert site.tell("fan-1/fan-3/running", 0) == ["fan-off active"]


def test_an_area_falls_silent_when_the_last_of_its_nodes_does() -> None:
    points = {"a": "gas-1/node/link", "b": "gas-2/node/link"}
    condition = {"kind": "expression", "expression": "a + b == 0", "points": points}
    site = Site(rule(id="north-silent", point=points["a"], condition=condition, on_delay=2))
    for links in ({"gas-1": True, "gas-2": True}, {"gas-1": False, "gas-2": True}, {"gas-1": False, "gas-2": False}):
        site.seconds += 1
        site.rules.tick(links, site.now)
        assert site.events == []
    site.seconds += 2
    site.rules.tick({"gas-1": False, "gas-2": False}, site.now)
    assert [event.transition for event in site.events] == [Transition.ACTIVE]
    assert site.tell("gas-1/node/link", 1) == [], "a node cannot say of itself that it is gone, or there"


def test_a_gateway_that_was_deaf_calls_nobody_silent() -> None:
    quiet = rule(id="quiet", point="gas-1/north/gas/ch4", condition={"kind": "silence", "limit": 20})
    site = Site(quiet)
    site.tell("gas-1/north/gas/ch4", 0.1)
    site.seconds += 100
    site.rules.listen_again(site.now)
    site.seconds += 15
    site.rules.tick({}, site.now)
    assert site.events == []
    site.seconds += 6
    site.rules.tick({}, site.now)
    assert [event.transition for event in site.events] == [Transition.ACTIVE]


def test_young_values_of_the_store_count_after_a_restart_and_old_ones_do_not() -> None:
    site = Site(fan())
    people, running = Series("gate-1", "heading-7/people"), Series("fan-1", "fan-3/running")
    assert sorted(site.rules.series()) == [running, people]
    samples = {people: Sample(START - 20 * SECOND, 2.0, "good"), running: Sample(START - 40 * SECOND, 0.0, "good")}
    site.rules.resume([], samples, site.now)
    assert site.events == [], "the fan's value is too old"
    site = Site(fan())
    site.rules.resume([], samples | {running: Sample(START - 10 * SECOND, 0.0, "good")}, site.now)
    assert [event.transition for event in site.events] == [Transition.ACTIVE]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("point: gas-1", "write NODE/asset/signal"),
        ("point: Gas-1/north/gas", "write NODE/asset/signal"),
        ("point: gas-1/north/gas\n    id: store-down", "is taken by the gateway's own malfunction"),
        ("point: gas-1/north/gas\n    id: " + "x" * 60, "at most 58"),
        ("point: gas-1/north/gas\n    deadband: -1", "a deadband is a width"),
        ("point: gas-1/north/gas\n    priority: urgent", "priority"),
    ],
)
def test_a_wrong_rule_is_told_with_its_line(written: str, said: str, tmp_path: Path) -> None:
    head = "site: test\ndata_dir: .\nrules:\n  - "
    rest = ["condition: {kind: above, limit: 1}", "title: {es: a, en: b}"]
    rest += [line for key, line in (("id:", "id: a-rule"), ("priority:", "priority: high")) if key not in written]
    (tmp_path / "gateway.yaml").write_text(head + "\n    ".join([written, *rest]) + "\n")
    with pytest.raises(DocumentError, match=said) as caught:
        load(tmp_path / "gateway.yaml")
    assert "gateway.yaml:" in str(caught.value)


def config(tmp_path: Path, port: int, *rules: AlarmSettings) -> GatewayConfig:
    broker = BrokerConfig(host="127.0.0.1", port=port)
    return GatewayConfig(site=SITE, data_dir=tmp_path / "gateway", broker=broker, commit_every=0.05, rules=list(rules))


def state_of(gateway: Gateway, name: str) -> tuple[str, bool] | None:
    try:
        view = gateway.services.journal.get(alarm_key(GATEWAY_NODE, name))
    except UnknownAlarm:
        return None
    return view.state.value, view.now.active


async def two_nodes(gateway: Gateway, gate: Device, fans: Device) -> None:
    await until(lambda: gateway.session.up)
    await gate.birth({"heading-7/people": {"unit": "1"}})
    await fans.birth({"fan-3/running": {"unit": "bool"}})


async def test_a_rule_over_two_nodes_reaches_the_journal_and_outlives_a_restart(tmp_path: Path) -> None:
    store = MemoryStore()
    with Mosquitto(tmp_path / "broker") as broker:
        async with device(broker.port, "gate-1") as gate, device(broker.port, "fan-1") as fans:
            async with Gateway(config(tmp_path, broker.port, fan()), store=store) as gateway:
                await two_nodes(gateway, gate, fans)
                await gate.data({"heading-7/people": 3.0})
                await fans.data({"fan-3/running": 0.0})
                await until(lambda: state_of(gateway, "fan-off") == ("unacknowledged", True))
            raised = gateway.services.journal.get(alarm_key(GATEWAY_NODE, "fan-off")).now.event
            async with Gateway(config(tmp_path, broker.port, fan()), store=store) as gateway:
                await until(lambda: gateway.session.up)
                await asyncio.sleep(0.3)
                assert gateway.services.journal.get(alarm_key(GATEWAY_NODE, "fan-off")).now.event == raised, (
                    "it stands, it is not raised anew"
                )
                await fans.data({"fan-3/running": 1.0})
                await until(lambda: state_of(gateway, "fan-off") == ("returned_unacknowledged", False))
                await fans.data({"fan-3/running": 0.0})
                await until(lambda: state_of(gateway, "fan-off") == ("unacknowledged", True))
            async with Gateway(config(tmp_path, broker.port), store=store) as gateway:  # the rule is no longer written
                await until(lambda: state_of(gateway, "fan-off") == ("returned_unacknowledged", False))


async def test_a_rule_begins_with_what_the_store_knows(tmp_path: Path) -> None:
    store = MemoryStore()
    store.write([StoreFrame("gate-1", time.time_ns() - 2 * SECOND, {"heading-7/people": 2.0}, {})])
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port, fan()), store=store) as gateway, device(broker.port, "fan-1") as fans:
            await until(lambda: gateway.session.up)
            await fans.birth({"fan-3/running": {"unit": "bool"}})
            await fans.data({"fan-3/running": 0.0})
            await until(lambda: state_of(gateway, "fan-off") == ("unacknowledged", True))
