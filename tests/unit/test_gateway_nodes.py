"""The registry of nodes: who is telling, who is not, and what a restarted gateway still knows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contract.messages import Birth, NodeState, PointDeclaration
from gateway.database import open_database
from gateway.nodes import Nodes, Status, patience, status_of

SECOND = 1_000_000_000
NOW = 1_763_870_400 * SECOND


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'nodes.db'}")
    yield engine
    engine.dispose()


def nodes(engine: Engine, now_ns: int = NOW) -> Nodes:
    return Nodes(engine, silence_after=15.0, now_ns=now_ns)


def birth(boot: str = "b1", *, period: float | None = None) -> Birth:
    points = {"gas-2/co": PointDeclaration("ppm", range=(0, 500), period=period), "gas-2/o2": PointDeclaration("%vol")}
    return Birth(boot, "device 1", 1, points, NOW / 1e6)


def state(online: bool, boot: str = "b1") -> NodeState:
    return NodeState(online, boot, NOW / 1e6)


def statuses(registry: Nodes, now_ns: int) -> list[Status]:
    return [view.status for view in registry.views(now_ns)]


@pytest.mark.parametrize(
    ("online", "heard", "quiet", "status"),
    [
        (True, True, 14.9, Status.ONLINE),
        (True, True, 15.1, Status.SILENT),
        (True, False, 14.9, Status.UNKNOWN),
        (True, False, 15.1, Status.SILENT),
        (False, True, 0.0, Status.OFFLINE),
        (False, True, 99.0, Status.OFFLINE),
    ],
)
def test_status(online: bool, heard: bool, quiet: float, status: Status) -> None:
    assert status_of(online=online, heard=heard, quiet_seconds=quiet, silence_after=15.0) is status


def test_a_slow_node_gets_three_of_its_periods() -> None:
    assert patience(None, 15.0) == patience(birth(), 15.0) == patience(birth(period=1.0), 15.0) == 15.0
    assert patience(birth(period=60.0), 15.0) == 180.0


def test_a_change_is_told_once(engine: Engine) -> None:
    registry = nodes(engine)
    registry.born("pump-3", birth(), now_ns=NOW, retained=False)
    assert [(change.view.status, change.before) for change in registry.look(NOW)] == [(Status.ONLINE, Status.UNKNOWN)]
    assert registry.look(NOW + 15 * SECOND) == []
    assert [change.view.status for change in registry.look(NOW + 16 * SECOND)] == [Status.SILENT]
    registry.seen("pump-3", NOW + 17 * SECOND)
    assert [(change.view.status, change.before) for change in registry.look(NOW + 17 * SECOND)] == [(Status.ONLINE, Status.SILENT)]


def test_the_will_of_an_earlier_boot_says_nothing(engine: Engine) -> None:
    registry = nodes(engine)
    registry.born("pump-3", birth("b2"), now_ns=NOW, retained=False)
    registry.stated("pump-3", state(online=True, boot="b2"), now_ns=NOW, retained=False)
    registry.stated("pump-3", state(online=False, boot="b1"), now_ns=NOW, retained=False)
    assert statuses(registry, NOW) == [Status.ONLINE]
    registry.stated("pump-3", state(online=False, boot="b2"), now_ns=NOW, retained=False)
    assert statuses(registry, NOW) == [Status.OFFLINE]
    registry.seen("pump-3", NOW + SECOND)
    assert statuses(registry, NOW + SECOND) == [Status.ONLINE], "whoever tells is there"


def test_retained_messages_are_no_sign_of_life(engine: Engine) -> None:
    registry = nodes(engine)
    registry.born("pump-3", birth(), now_ns=NOW, retained=True)
    registry.stated("pump-3", state(online=True), now_ns=NOW, retained=True)
    assert statuses(registry, NOW) == [Status.UNKNOWN]
    assert statuses(registry, NOW + 16 * SECOND) == [Status.SILENT]


def test_a_gateway_that_was_deaf_waits_before_it_calls_anyone_silent(engine: Engine) -> None:
    registry = nodes(engine)
    registry.born("pump-3", birth(), now_ns=NOW, retained=False)
    registry.born("fan-1", birth(), now_ns=NOW, retained=False)
    registry.look(NOW)
    registry.seen("pump-3", NOW + 10 * SECOND)
    assert [change.view.node for change in registry.look(NOW + 20 * SECOND)] == ["fan-1"]
    registry.resume(NOW + 100 * SECOND)
    assert registry.look(NOW + 101 * SECOND) == [], "who was silent before has not spoken by that"
    assert [(change.view.node, change.view.status) for change in registry.look(NOW + 116 * SECOND)] == [("pump-3", Status.SILENT)]


@pytest.mark.parametrize("step", [-3600 * SECOND, 3600 * SECOND])
def test_a_step_of_our_own_clock_makes_nobody_silent_and_hides_nobody(step: int, engine: Engine) -> None:
    registry = nodes(engine)
    registry.born("pump-3", birth(), now_ns=NOW, retained=False)
    registry.look(NOW)
    registry.clock_stepped(step)
    assert registry.look(NOW + step + 14 * SECOND) == []
    assert [change.view.status for change in registry.look(NOW + step + 16 * SECOND)] == [Status.SILENT]


def test_what_is_saved_is_known_by_the_next_process(engine: Engine) -> None:
    registry = nodes(engine)
    for name in ("pump-3", "fan-1", "old-1"):
        registry.born(name, birth(), now_ns=NOW, retained=False)
    registry.stated("fan-1", state(online=False), now_ns=NOW, retained=False)
    registry.save(["pump-3", "fan-1", "old-1", "nobody"])
    registry.erase("old-1")
    later = NOW + 3600 * SECOND
    again = nodes(engine, later)
    assert [(view.node, view.status) for view in again.views(later)] == [("fan-1", Status.OFFLINE), ("pump-3", Status.UNKNOWN)]
    assert again.birth("pump-3") == birth()
    assert again.limits("pump-3") == {"gas-2/co": (0, 500), "gas-2/o2": (float("-inf"), float("inf"))}
    assert again.limits("stranger") is None
    assert [(change.view.node, change.view.status) for change in again.look(later + 16 * SECOND)] == [("pump-3", Status.SILENT)]
    assert not again.born("pump-3", birth(), now_ns=later, retained=True), "known already"
    assert again.born("pump-3", birth("b2"), now_ns=later, retained=True)
