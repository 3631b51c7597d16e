"""`muki simulate run` as a process of its own: ready, every endpoint answers, and it goes when asked."""

import json
import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulators.cli import main
from simulators.field.modbus_slave import with_crc
from tests.rig.processes import MUKI, Child, free_port, wait_for


def _connect(address: str) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=3)


def _modbus(address: str, request: str) -> bytes:
    with _connect(address) as link:
        link.sendall(bytes.fromhex("0001 0000 0006 01" + request))
        return link.recv(300)[7:]


def _co(tty: str) -> float:
    """CO in ppm from the gas head on the serial line."""
    line = os.open(tty, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(line, with_crc(bytes.fromhex("01 04 0000 0005")))
        answer = b""
        while len(answer) < 15:
            answer += os.read(line, 64)
        return int.from_bytes(answer[3:5], "big") / 10
    finally:
        os.close(line)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_every_device_answers_and_the_end_is_clean(tmp_path: Path, ending: signal.Signals) -> None:
    folder = tmp_path / "mine"
    port = free_port()
    command = [*MUKI, "simulate", "run", "first-shift", "--dir", str(folder), "--port", f"pump-plc={port}", "--speed", "10"]
    with Child(command, tmp_path / "log") as child:
        wait_for((folder / "endpoints.json").exists, describe=f"endpoints.json; the log: {child.tail()}")
        endpoints = json.loads((folder / "endpoints.json").read_text())
        assert set(endpoints) == {"gas-rtu", "pump-plc", "pump-vibration", "conveyor-plc", "camera"}
        assert endpoints["pump-plc"] == f"127.0.0.1:{port}"
        wait_for(lambda: "simulated mine ready" in child.tail())
        assert len(_modbus(endpoints["pump-plc"], "03 0000 000A")) == 2 + 20
        assert len(_modbus(endpoints["conveyor-plc"], "03 0000 0005")) == 2 + 10
        assert _modbus(endpoints["conveyor-plc"], "02 0000 0002") == bytes.fromhex("02 01 01")
        with _connect(endpoints["pump-vibration"]) as logger:
            assert json.loads(logger.makefile("rb").readline())["rate_hz"] == 12800
        with urllib.request.urlopen(endpoints["camera"].replace("/stream", "/truth"), timeout=3) as truth:  # noqa: S310 - our own camera
            assert json.load(truth)["lens"] == "clear"
        wait_for(lambda: _co(endpoints["gas-rtu"]) > 25, seconds=5, describe="CO above 25 ppm, after 18 s at speed 10")
        assert child.stop(with_signal=ending) == 0, child.tail()
    assert not Path(endpoints["gas-rtu"]).is_symlink()
    assert child.tail().splitlines() == ["simulated mine ready"]
    lines = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    assert lines[0]["what"] == "scenario_started"
    release = next(line for line in lines if line["what"] == "co_release")
    assert release["state"] == "begins"
    assert release["expect"][0]["alarm"] == "co-high"
    assert release["time_ns"] - lines[0]["time_ns"] == pytest.approx(1.2e9, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["last-shift"], "no such file and no shipped scenario"),
        (["first-shift", "--port", "pump=1"], "write NAME=NUMBER, NAME one of pump-plc"),
        (["first-shift", "--port", "camera=99999"], "NUMBER 1 to 65535"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(main, ["run", *arguments, "--dir", str(tmp_path / "mine")])
    assert result.exit_code in (1, 2)
    assert problem in " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*MUKI, "simulate", "run", "first-shift", "--dir", str(tmp_path / "mine"), "--port", f"camera={port}"]
        with Child(command, tmp_path / "log") as child:
            wait_for(lambda: not child.running)
            assert child.stop() == 1
    assert str(port) in child.tail()
    assert "Traceback" not in child.tail()
    assert not (tmp_path / "mine" / "endpoints.json").exists()
