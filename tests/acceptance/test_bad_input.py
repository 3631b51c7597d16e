"""What a field engineer reads when something is wrong: the real command, the real message. And the rest of the node goes on."""

import asyncio
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulators.field.modbus_pdu import Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.processes import MUKI, ROOT, wait_for
from tests.rig.servers import Mosquitto
from tests.rig.site import Gateway, Node

NODE = """\
site: test
node: pump-1
broker: {host: 127.0.0.1}
sources:
  - name: plc
    type: modbus
    tcp: 127.0.0.1:5020
    units:
      1:
        pump-1/flow: {table: holding, register: 0, type: uint16, unit: m3/h, range: [0, 100]}
alarms:
  - id: flow-low
    point: pump-1/flow
    condition: {kind: below, limit: 10}
    priority: high
    title: {es: Caudal bajo, en: Low flow}
"""

GATEWAY = """\
site: test
data_dir: .
broker: {host: 127.0.0.1, port: 1883}
store: {type: duckdb, path: history.duckdb}
http: {port: 8080}
"""


def check(kind: str, path: Path) -> tuple[int, str]:
    done = subprocess.run([*MUKI, kind, "check", str(path)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        ("edge", "tcp: 127.0.0.1:5020", "tpc: 127.0.0.1:5020", ["file.yaml:7: sources[0].tpc: unknown key; did you mean 'tcp'?"]),
        ("edge", "register: 0", "register: zero", ["file.yaml:10:", "register", "valid integer", "'zero'"]),
        ("edge", "type: modbus", "type: modbuss", ["file.yaml:6:", "modbuss", "modbus"]),
        ("edge", "point: pump-1/flow\n", "point: pump-1/flwo\n", ["file.yaml:13:", "pump-1/flwo", "did you mean", "pump-1/flow"]),
        ("edge", "limit: 10", "limit: 1000", ["file.yaml:14:", "1000", "range"]),
        ("edge", "priority: high", "priority: urgent", ["file.yaml:15:", "priority", "critical"]),
        ("edge", "site: test", "site: Test Site", ["file.yaml:1:", "site"]),
        ("edge", "sources:", "sources: [", ["file.yaml:", "not YAML"]),
        ("gateway", "type: duckdb", "type: duckbd", ["file.yaml:4: store.type", "duckbd", "duckdb"]),
        ("gateway", "port: 1883", "port: 188300", ["file.yaml:3: broker.port", "65535", "188300"]),
        ("gateway", "data_dir: .", "data_dir: .\ntime_zone: Peru/Lima", ["file.yaml:3: time_zone", "America/Lima"]),
        ("gateway", "path: history.duckdb", "paht: history.duckdb", ["file.yaml:4:", "paht", "path"]),
    ],
)
def test_a_wrong_configuration_is_named_with_file_line_and_key(tmp_path: Path, kind: str, old: str, new: str, expected: list[str]) -> None:
    text = NODE if kind == "edge" else GATEWAY
    assert old in text
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert check(kind, path)[0] == 0, "the example itself is right"
    path.write_text(text.replace(old, new))
    status, said = check(kind, path)
    assert status == 2
    for part in expected:
        assert part in said, said


@pytest.mark.parametrize("kind", ["edge", "gateway"])
def test_a_missing_file_is_said_plainly(tmp_path: Path, kind: str) -> None:
    status, said = check(kind, tmp_path / "none.yaml")
    assert status == 2
    assert "none.yaml: there is no such file" in said


def settings(slave: TcpSlave, folder: Path, model: str) -> dict[str, Any]:
    good = yaml.safe_load(NODE)
    good["sources"][0] |= {"tcp": slave.address, "every": 0.2}
    point = {"table": "holding", "register": 0, "type": "uint16", "unit": "ppm", "range": [0, 500]}
    broken = {"name": "rs485", "type": "modbus", "rtu": {"port": str(folder / "ttyNONE")}, "every": 0.2, "units": {1: {"gas-1/co": point}}}
    waveform = {"name": "logger", "type": "waveform", "tcp": "127.0.0.1:9", "points": {"de": "pump-1/vibration/de"}}
    scoring = {
        "name": "bearing",
        "type": "bearing-condition",
        "input": "pump-1/vibration/de",
        "rpm": 1480,
        "bearing": {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04},
        "model": model,
    }
    return {"sources": [*good["sources"], broken, waveform], "processing": [scoring], "alarms": good["alarms"]}


async def test_a_missing_port_and_a_tampered_model_are_malfunctions_and_the_rest_goes_on(tmp_path: Path) -> None:
    artifacts = ROOT / "models" / "artifacts"
    for name in ("bearing_condition.onnx", "bearing_condition.json"):
        shutil.copy(artifacts / name, tmp_path / name)
    model = tmp_path / "bearing_condition.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    unit = Unit()
    unit.holding.put(0, 42)
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        gateway = stack.enter_context(Gateway(tmp_path / "gateway", broker.port, {"type": "memory"}))
        slave = await stack.enter_async_context(TcpSlave({1: unit}))
        await asyncio.to_thread(gateway.wait_ready)
        node = stack.enter_context(Node(tmp_path / "node", "pump-1", broker.port, **settings(slave, tmp_path, str(model))))
        wanted = {"pump-1.source-rs485", "pump-1.source-logger", "pump-1.processor-bearing"}

        def standing() -> bool:
            return wanted <= {alarm["key"] for alarm in gateway.get("/api/v1/alarms") if alarm["signal_class"] == "malfunction"}

        await asyncio.to_thread(wait_for, standing, seconds=40, describe="three malfunctions", log=node)

        def flowing() -> bool:
            return any(point["point"] == "pump-1/flow" and point["value"] == 42 for point in gateway.get("/api/v1/points"))

        await asyncio.to_thread(wait_for, flowing, seconds=20, describe="the good source", log=node)
        said = node.tail(200)
        assert node.stop() == 0
    assert "ttyNONE" in said
    assert "SHA-256" in said
    assert "Traceback" not in said
