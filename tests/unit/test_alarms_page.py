"""docs/alarms.md: its examples are configurations, and its table of figures is the pack's."""

import re
from pathlib import Path

import pytest

from contract.alarms import ConditionKind
from edge.config import load
from edge.rule_packs import PackUse, read

TEXT = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
HEAD = """site: mine
node: demo
broker: {host: broker.local}
sources:
  - name: plc
    type: modbus
    tcp: 127.0.0.1:502
    every: 1.0
    timeout: 0.5
    units:
      1:
        heading-3/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}
        heading-3/o2: {table: input, register: 1, type: uint16, scale: 0.01, unit: "%vol", range: [0, 25]}
        sump-2/level: {table: input, register: 2, type: uint16, scale: 0.01, unit: m, range: [0, 5]}
        pump-1/flow: {table: input, register: 3, type: uint16, unit: m3/h, range: [0, 500]}
        pump-1/pressure: {table: input, register: 4, type: uint16, scale: 0.01, unit: bar, range: [0, 10]}
        pump-1/vibration/de/bearing/fault: {table: input, register: 5, type: uint16, scale: 0.01, unit: "1", range: [0, 1]}
        pump-1/vibration/de/rms_velocity: {table: input, register: 7, type: uint16, scale: 0.01, unit: mm/s, range: [0, 50]}
        heading-3/no2/stel_percent: {table: input, register: 8, type: uint16, unit: "%", range: [0, 1000]}
        heading-3/no2/twa_percent: {table: input, register: 9, type: uint16, unit: "%", range: [0, 1000]}
        fan-3/airflow: {table: input, register: 6, type: uint16, unit: m3/min, range: [0, 3000]}
        pump-1/running: {table: discrete, register: 0, type: bool, unit: bool, kind: digital}
        fan-3/running: {table: discrete, register: 1, type: bool, unit: bool, kind: digital}
"""


def written(folder: Path, example: str) -> Path:
    path = folder / "node.yaml"
    path.write_text(HEAD + example)
    return path


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_is_a_configuration(example: str, tmp_path: Path) -> None:
    assert len(load(written(tmp_path, example), {}).alarms) > 1


def test_every_kind_of_rule_has_an_example(tmp_path: Path) -> None:
    kinds = {alarm.condition.kind for example in EXAMPLES for alarm in load(written(tmp_path, example), {}).alarms}
    assert kinds == set(ConditionKind)


def test_the_table_of_figures_is_the_pack() -> None:
    pack = read("pe-gas@1")
    rows = re.findall(r"^\| `(\w+)` \| (ppm|%vol) \| (.+?) \|", TEXT, re.MULTILINE)
    assert {signal: unit for signal, unit, _ in rows} == {name: signal.unit for name, signal in pack.signals.items()}
    told = {(signal, name): float(limit) for signal, _, cell in rows for name, limit in re.findall(r"`([\w-]+)` ([\d.]+)", cell)}
    assert told == {(alarm.signal, alarm.id): alarm.condition.limit for alarm in pack.alarms if alarm.condition.limit is not None}


def test_every_key_of_a_pack_entry_is_explained() -> None:
    assert {key for key in PackUse.model_fields if f"| `{key}` |" not in TEXT} == set()
