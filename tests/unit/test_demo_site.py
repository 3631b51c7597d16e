"""The demo's own files: each node's configuration is right, its alarms speak both languages, and its limits name their source."""

import os
from pathlib import Path

import pytest

from deploy.demo import NODES, SITE
from edge.config import NodeConfig, load
from gateway.malfunctions import SILENCE_POINT
from gateway.opening import check
from gateway.site_rules import split

ENVIRONMENT = {
    "MUKI_DEMO_BROKER_PORT": "1883",
    "MUKI_DEMO_DIR": "/nowhere",
    "MUKI_DEMO_HTTP_HOST": "127.0.0.1",
    "MUKI_DEMO_HTTP_PORT": "8080",
    "MUKI_SIM_GAS_RTU": "/dev/nothing",
    "MUKI_SIM_PUMP_PLC": "127.0.0.1:5020",
    "MUKI_SIM_PUMP_VIBRATION": "127.0.0.1:5021",
    "MUKI_SIM_CONVEYOR_PLC": "127.0.0.1:5022",
    "MUKI_SIM_CAMERA": "http://127.0.0.1:5023/stream",
}


def configured(node: str, monkeypatch: pytest.MonkeyPatch) -> NodeConfig:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setitem(os.environ, name, value)
    return load(Path(SITE) / f"{node}.yaml")


@pytest.mark.parametrize("node", NODES)
def test_each_node_of_the_demo_is_configured_right(node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(node, monkeypatch)
    assert config.node == node
    assert config.alarms
    for alarm in config.alarms:
        assert {"es", "en"} <= alarm.title.keys(), alarm.id
        if alarm.point.startswith(f"{node}/"):
            continue  # the node's own malfunctions
        assert {"es", "en"} <= alarm.action.keys() & alarm.consequence.keys(), alarm.id
        assert alarm.source, f"{alarm.id}: a limit says where it comes from"


def test_the_gateway_of_the_demo_names_points_that_its_nodes_have(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {node: configured(node, monkeypatch).points for node in NODES}
    config = check(Path(SITE) / "gateway.yaml")
    assert config.rules
    assert config.aggregates
    named = [point for rule in config.rules for _, point in rule.points()] + [one.of for one in config.aggregates if one.of]
    for node, point in map(split, named):
        assert point == SILENCE_POINT or point in points[node], f"{node}/{point}"
