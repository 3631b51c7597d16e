"""Points that do not come: told once for a node, named, and gone when they come."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contract.messages import PointDeclaration
from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig
from gateway.expected import PATIENCE, SECOND, SETS, Expected, patience_ns
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, device, until
from tests.rig.servers import Mosquitto

T0 = 1_763_870_400 * SECOND
POINTS = {
    "gas-2/co": PointDeclaration(unit="ppm", period=1.0),
    "gas-2/o2": PointDeclaration(unit="%vol", period=1.0),
    "slow/level": PointDeclaration(unit="m", period=600.0),
    "door/open": PointDeclaration(unit="bool"),
}


def test_a_point_may_miss_three_periods_and_a_minute() -> None:
    expected = Expected(T0)
    expected.begin("n", T0)
    assert expected.missing("n", POINTS, T0 + 59 * SECOND) is None, "too early to say"
    expected.heard("n", ("gas-2/co",), T0 + 50 * SECOND)
    assert expected.missing("n", POINTS, T0 + 61 * SECOND) == ["gas-2/o2"]
    assert expected.missing("n", POINTS, T0 + 111 * SECOND) == ["gas-2/co", "gas-2/o2"]
    expected.heard("n", ("gas-2/co", "gas-2/o2"), T0 + 1_790 * SECOND)
    assert expected.missing("n", POINTS, T0 + 1_799 * SECOND) is None
    assert expected.missing("n", POINTS, T0 + 1_801 * SECOND) == ["slow/level"]
    expected.heard("n", ("slow/level",), T0 + 1_800 * SECOND)
    assert expected.missing("n", POINTS, T0 + 1_802 * SECOND) == []
    expected.begin("n", T0 + 5_000 * SECOND)
    assert expected.missing("n", POINTS, T0 + 5_001 * SECOND) is None, "told anew: it has its time again"


@given(st.lists(st.tuples(st.sets(st.sampled_from(sorted(POINTS)), min_size=1), st.integers(0, 5_000)), max_size=SETS + 30))
def test_sets_of_points_say_the_same_as_a_note_for_each(said: list[tuple[set[str], int]]) -> None:
    expected, newest = Expected(T0), dict.fromkeys(POINTS, T0)
    for place, (points, at) in enumerate(said):
        order = sorted(points, reverse=place % 2 == 0)
        expected.heard("n", (*order, f"other/{place}"), T0 + at * SECOND)
        for point in points:
            newest[point] = max(newest[point], T0 + at * SECOND)
    now = T0 + 6_000 * SECOND
    away = sorted(name for name, one in POINTS.items() if one.period and now - newest[name] > patience_ns(one.period))
    assert expected.missing("n", POINTS, now) == away


async def test_a_dead_point_of_a_live_node_is_a_malfunction_until_it_comes(tmp_path: Path) -> None:
    declared = {"gas-2/co": {"unit": "ppm", "period": 0.1}, "gas-2/o2": {"unit": "%vol", "period": 0.1}, "door/open": {"unit": "bool"}}
    with Mosquitto(tmp_path / "broker") as broker:
        settings = GatewayConfig(site=SITE, data_dir=tmp_path / "data", broker=BrokerConfig(port=broker.port), commit_every=0.05)
        async with Gateway(settings, store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(declared)
            await one.state(online=True)
            await one.data({"gas-2/co": 1.0})
            await until(lambda: gateway.services.nodes.is_online("pump-3"))
            await one.data({"gas-2/co": 2.0})
            await until(lambda: one.acked() == {1, 2})

            async def look(*, minutes: float) -> None:
                """As if so much time had passed since the node was heard for the first time."""
                gateway.ingest.expected._since["pump-3"] -= round(minutes * 60 * SECOND)
                gateway._points_again_ns = 0

            await look(minutes=0.5)
            assert gateway.services.nodes.views(0)[0].absent == ()
            await look(minutes=PATIENCE / 60)
            await until(lambda: one.retained_alarms().get("pump-3.points", {}).get("active") is True)
            alarm = one.retained_alarms()["pump-3.points"]
            assert (alarm["signal_class"], alarm["value"]) == ("malfunction", 1.0)
            assert gateway.services.nodes.views(0)[0].absent == ("gas-2/o2",)
            await one.data({}, quality={"gas-2/o2": "bad:wire_break"})
            gateway._points_again_ns = 0
            await until(lambda: one.retained_alarms().get("pump-3.points", {}).get("active") is not True)
            assert gateway.services.nodes.views(0)[0].absent == ()
