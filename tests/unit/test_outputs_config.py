"""Outputs in a configuration: what is right loads without a device or its library, what is wrong is named, and the page tells the truth."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from contract.alarms import Priority, SignalClass
from contract.documents import DocumentError
from edge.config import NodeConfig, load
from edge.outputs import REGISTRY, OutputSettings
from edge.outputs.pattern import CONTINUOUS, Drives, Pattern
from edge.outputs.self_test import SelfTest
from edge.outputs.silence import SilenceSettings
from tests.rig.processes import ROOT

PAGE = (ROOT / "docs" / "outputs.md").read_text("utf-8")
HEAD = """site: mine
node: gas-1
broker: {host: broker.local}
sources:
  - name: plc
    type: modbus
    tcp: 127.0.0.1:502
    units:
      1:
        heading-3/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}
        panel/state/silence: {table: discrete, register: 0}
  - name: line
    type: modbus
    rtu: {port: /dev/ttyUSB7}
    units: {1: {heading-3/o2: {table: input, register: 0, type: uint16, scale: 0.1, unit: "%vol", range: [0, 25]}}}
alarms:
  - {id: co-high, point: heading-3/co, condition: {kind: above, limit: 50}, priority: critical, title: {es: CO alto, en: High CO}}
  - {id: co-low, point: heading-3/co, condition: {kind: above, limit: 25}, priority: low, title: {es: CO, en: CO}}
"""
HORN = 'outputs:\n  - {name: horn, type: modbus-coil, role: horn, tcp: "127.0.0.1:502", coil: 0}\n'
BEACON = "  - {name: beacon, type: serial-beacon, role: beacon, port: line, on: 'ON', off: 'OFF'}\n"
PIN = "  - {name: lamp, type: gpio, role: beacon, pin: 17}\n"


def loaded(folder: Path, text: str) -> NodeConfig:
    path = folder / "node.yaml"
    path.write_text(text)
    return load(path, {})


def test_an_output_is_a_module_with_a_point_and_a_malfunction_alarm(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD + HORN + "silence_button: {gpio: 5}\n")
    ((settings, _),) = config.outputs
    assert settings.rhythms()[Priority.HIGH] == Pattern(on=1, off=1)
    assert config.points["gas-1/output/horn"].kind == "digital"
    found = {alarm.id: alarm for alarm in config.alarms}
    for name in ("output-horn", "output-silence-button"):
        assert (found[name].signal_class, found[name].priority) == (SignalClass.MALFUNCTION, Priority.HIGH)
        assert set(found[name].title) == set(found[name].action) == set(found[name].consequence) == {"es", "en"}


def test_patterns_are_laid_over_those_of_the_role(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD + HORN.replace("coil: 0", "coil: 0, patterns: {critical: {on: 0.2, off: 0.2}, low: continuous}"))
    rhythms = config.outputs[0].settings.rhythms()
    assert rhythms[Priority.CRITICAL] == Pattern(on=0.2, off=0.2)
    assert rhythms[Priority.LOW] == CONTINUOUS
    assert rhythms[Priority.MEDIUM] == Pattern(on=0.5, off=2.5)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("modbus-coil", "modbus-coils", "outputs[0].type: type 'modbus-coils' is unknown; did you mean 'modbus-coil'?"),
        ("role: horn, ", "", "outputs[0].role: missing; it is required"),
        ("coil: 0", "coil: 0, drive: {}", "outputs[0].drive: unknown key; did you mean 'drives'?"),
        ("coil: 0", "coil: 0, drives: {alarms: [co-hi]}", "outputs[0].drives.alarms: there is no alarm 'co-hi'; did you mean 'co-high'?"),
        ("coil: 0", "coil: 0, drives: {priority: [medium]}", "outputs[0].drives: no alarm drives output 'horn': it would never sound"),
        ("coil: 0", "coil: 0, patterns: {high: on}", "write continuous, or {on: seconds, off: seconds}"),
        ("coil: 0", 'coil: 0, self_test: {at: "7:30"}', "outputs[0].self_test.at: "),
        ('tcp: "127.0.0.1:502", ', "", "outputs[0]: write either tcp: host:port or rtu: {port: /dev/serial/by-id/…}, one of the two"),
        ('tcp: "127.0.0.1:502"', "rtu: {port: /dev/ttyUSB7}", "outputs[0].rtu: /dev/ttyUSB7 is read by a source: two masters"),
        ("name: horn", "name: silence-button", "outputs[0].name: 'silence-button' is the name of the button"),
        ("coil: 0}", "coil: 0}\n  - {name: horn, type: log, role: horn}", "outputs[1].name: 'horn' is the name of two entries"),
        ("outputs:", "silence_button: {point: panel/state/silenc}\noutputs:", "silence_button.point: nobody declares point"),
        ("outputs:", "silence_button: {}\noutputs:", "silence_button: write either point: asset/signal or gpio: pin"),
        ("OFF", "ON", "outputs[1]: on and off are the same command: it would never be told to stop"),
        ("pin: 17", "pin: 17}\nsilence_button: {gpio: 17", "outputs[2].pin: GPIO17 is the silence button"),
    ],
)
def test_every_mistake_names_its_key_and_what_is_right(tmp_path: Path, before: str, after: str, problem: str) -> None:
    text = HEAD + (HORN + BEACON + PIN).replace(before, after)
    with pytest.raises(DocumentError) as caught:
        loaded(tmp_path, text)
    assert any(problem in found for found in caught.value.problems), caught.value.problems


def test_alarm_ids_of_outputs_are_the_agents_own(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"'output-x': .* the agent's own"):
        loaded(tmp_path, HEAD.replace("id: co-low", "id: output-x") + HORN)


def examples() -> list[str]:
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if language == "yaml"]


@pytest.mark.parametrize("example", examples())
def test_the_examples_of_the_page_are_configurations(tmp_path: Path, example: str) -> None:
    config = loaded(tmp_path, HEAD + example)
    assert config.outputs


def test_the_page_has_every_setting_and_an_example_of_every_type() -> None:
    words = set(re.findall(r"`([^`\n]+)`", PAGE))
    models: list[type[BaseModel]] = [OutputSettings, Drives, Pattern, SelfTest, SilenceSettings]
    for path in REGISTRY.values():
        module, _, name = path.partition(":")
        models.append(getattr(import_module(module), name).Settings)
    missing = {field.alias or name for model in models for name, field in model.model_fields.items()} - words
    assert not missing
    for name in REGISTRY:
        assert f"\n## Output `{name}`\n" in PAGE
        assert any(f"type: {name}" in example for example in examples())


def test_a_machine_without_pins_checks_the_configuration_and_fails_the_trial(tmp_path: Path) -> None:
    """In a process of its own: lgpio leaves a thread, and this machine may or may not be a Raspberry Pi without permission."""
    (tmp_path / "node.yaml").write_text(
        HEAD + "outputs: [{name: horn, type: gpio, role: horn, pin: 17}, {name: dry, type: log, role: relay}]\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "muki", "edge", "check", str(tmp_path / "node.yaml")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "output  horn  horn  gpio  driven by co-high, co-low" in checked.stdout
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins, and a test does not sound a horn")
    tried = subprocess.run(
        [sys.executable, "-m", "muki", "edge", "test-outputs", str(tmp_path / "node.yaml"), "--seconds", "0.1"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 1
    assert re.search(r"^horn: FAILED: (no GPIO: .+/dev/gpiochip0|lgpio is not installed: pip install)", tried.stdout), tried.stdout
    assert "dry: took each command" in tried.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".lgd")] == []


def test_nothing_is_imported_for_outputs_that_are_not_configured(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(HEAD + HORN)
    script = (
        "import sys; from pathlib import Path; from edge.config import load; import edge.agent; load(Path(sys.argv[1]), {});"
        "print([name for name in ('gpiozero', 'lgpio', 'serial', 'pymodbus') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "node.yaml")], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
