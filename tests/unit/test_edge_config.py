"""A node's configuration: what is right loads without heavy libraries, and what is wrong is named with file, line and key."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract.alarms import ConditionKind, Priority, SignalClass
from contract.documents import DocumentError
from edge.config import NodeConfig, load
from tests.rig.edge_node import register
from tests.rig.processes import ROOT

register()

HEAD = """site: mine
node: gas-1
broker: {host: broker.local, port: 1883}
sources:
  - {name: bus, type: counter, points: [heading-3/co, heading-3/o2], every: 2}
"""
ALARM = """alarms:
  - id: co-high
    point: heading-3/co
    condition: {kind: above, limit: 25}
    priority: high
    deadband: 2
    title: {es: CO alto, en: High CO}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(text)
    return path


def loaded(tmp_path: Path, text: str, **environment: str) -> NodeConfig:
    return load(written(tmp_path, text), environment)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        loaded(tmp_path, text)
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_node_with_everything_it_declares_and_adds(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD + ALARM)
    assert (config.site, config.node, config.broker.effective_port) == ("mine", "gas-1", 1883)
    assert config.data_dir == tmp_path / "data"
    assert {"heading-3/co", "heading-3/o2", "gas-1/source/bus", "gas-1/outbox/depth"} <= set(config.points)
    own, automatic, *of_the_machine = config.alarms
    assert [alarm.id for alarm in of_the_machine] == [
        "disk",
        "disk-refuses",
        "host-undervoltage",
        "host-throttled",
        "host-disk-worn",
        "host-disk-reserve",
        "host-clock",
    ]
    assert {alarm.point for alarm in of_the_machine} <= set(config.points)
    assert (own.id, own.priority, own.condition.limit, own.title["es"]) == ("co-high", Priority.HIGH, 25.0, "CO alto")
    assert (automatic.id, automatic.point, automatic.signal_class) == ("source-bus", "gas-1/source/bus", SignalClass.MALFUNCTION)
    assert automatic.condition.kind is ConditionKind.BAD_QUALITY
    assert set(automatic.title) == set(automatic.action) == set(automatic.consequence) == {"es", "en"}


def test_paths_are_relative_to_the_file_and_tls_changes_the_port(tmp_path: Path) -> None:
    text = HEAD.replace("port: 1883", "tls_ca: ca.pem, username: gas-1, password_file: secret") + "data_dir: ${WHERE}/gas\n"
    config = loaded(tmp_path, text, WHERE="/var/lib/muki")
    assert config.broker.effective_port == 8883
    assert config.broker.tls_ca == tmp_path / "ca.pem"
    assert config.broker.password_file == tmp_path / "secret"
    assert config.data_dir == Path("/var/lib/muki/gas")


def test_a_processor_may_work_on_a_reading_or_on_another_processor(tmp_path: Path) -> None:
    processing = """processing:
  - {name: once, type: doubler, input: heading-3/co, output: heading-3/twice}
  - {name: again, type: doubler, input: heading-3/twice, output: heading-3/four}
"""
    config = loaded(tmp_path, HEAD + processing)
    assert [alarm.id for alarm in config.alarms][:3] == ["source-bus", "processor-once", "processor-again"]


WRONG = [
    ("site: mine", "site: Mine 4", ["node.yaml:1: site: name 'Mine 4': write 1 to 32 of a-z"]),
    ("port: 1883", "prot: 1883", ["node.yaml:3: broker.prot: unknown key; did you mean 'port'?"]),
    ("port: 1883", "port: 70000", ["node.yaml:3: broker.port: "]),
    (
        "type: counter",
        "type: countre",
        ["node.yaml:5: sources[0].type: type 'countre' is unknown; did you mean 'counter'? known here: camera"],
    ),
    ("type: counter, ", "", ["node.yaml:5: sources[0].type: type: missing; it is required; known here: "]),
    ("every: 2", "evry: 2", ["node.yaml:5: sources[0].evry: unknown key; did you mean 'every'?"]),
    ("heading-3/o2", "heading-3", ["node.yaml:5: sources[0]: point 'heading-3': write asset/signal"]),
    ("heading-3/o2", "gas-1/outbox/depth", ["node.yaml:5: sources[0]: point 'gas-1/outbox/depth' is one that the agent itself writes"]),
    (
        "point: heading-3/co",
        "point: head-3/co",
        ["node.yaml:8: alarms[0].point: nobody declares point 'head-3/co'; did you mean 'heading-3/co'?"],
    ),
    ("limit: 25", "limit: 2e9", ["node.yaml:9: alarms[0].condition.limit: 2e+09 is outside the range of the point, 0 to 1e+09 1"]),
    ("limit: 25", "limt: 25", ["node.yaml:9: alarms[0].condition.limt: unknown key; did you mean 'limit'?"]),
    (", limit: 25", "", ["node.yaml:9: alarms[0].condition.limit: missing: write the value, in the unit of the point"]),
    (
        "deadband: 2",
        "deadband: -2",
        ["node.yaml:11: alarms[0].deadband: -2: a deadband is a width; write 2, its side follows from 'above'"],
    ),
    ("deadband: 2", "deadband: 30", ["node.yaml:11: alarms[0].deadband: 30: the alarm would clear at -5, which the point never reaches"]),
    (
        "kind: above, limit: 25",
        "kind: bad_quality, limit: 25",
        ["node.yaml:9: alarms[0].condition.limit: a bad_quality condition has no limit"],
    ),
    ("kind: above, limit: 25", "kind: silence, limit: 2", ["node.yaml:9: alarms[0].condition.limit: 2 s: the point comes each 2 s"]),
    ("kind: above", "kind: equals", ["node.yaml:11: alarms[0].deadband: a condition 'equals' has no deadband; remove it"]),
    (", en: High CO", "", ["node.yaml:12: alarms[0].title.en: missing; it is required"]),
    (
        "id: co-high",
        "id: source-bus",
        ["node.yaml:7: alarms[0].id: 'source-bus': source-…, processor-…, output-…, host-…, disk and disk-refuses"],
    ),
    ("priority: high", "priority: urgent", ["node.yaml:10: alarms[0].priority: "]),
]


@pytest.mark.parametrize(("old", "new", "expected"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_every_mistake_names_its_line_its_key_and_what_is_right(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    text = HEAD + ALARM
    assert old in text
    found = problems(tmp_path, text.replace(old, new, 1))
    for line in expected:
        assert any(problem.startswith(line) for problem in found), found


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = (HEAD + ALARM).replace("deadband: 2", "deadband: -2").replace("heading-3/co\n", "heading-3/xyz\n")
    found = problems(tmp_path, text + ALARM.removeprefix("alarms:\n").replace("limit: 25", "limit: 5e9"))
    assert [line.split(": ")[1] for line in found] == [
        "alarms[0].point",
        "alarms[0].deadband",
        "alarms[1].id",
        "alarms[1].condition.limit",
    ]


def test_points_and_names_twice(tmp_path: Path) -> None:
    again = "  - {name: bus, type: counter, points: [heading-3/co]}\n"
    found = problems(tmp_path, HEAD + again)
    assert found == [
        f"node.yaml:6: sources[1]: point 'heading-3/co' is declared twice, first at {tmp_path}/node.yaml:5: each point has one origin; rename one",
        "node.yaml:6: sources[1].name: 'bus' is the name of two entries of sources: names tell them apart in alarms; rename one",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("heading-3/co-", "no source provides 'heading-3/co-'; did you mean 'heading-3/co'?"),
        ("heading-3/twice", "'heading-3/twice' is computed by this very processor"),
    ],
)
def test_a_processor_needs_an_input_that_comes_from_somewhere(tmp_path: Path, given: str, expected: str) -> None:
    processing = f"processing:\n  - {{name: once, type: doubler, input: {given}, output: heading-3/twice}}\n"
    (found,) = problems(tmp_path, HEAD + processing)
    assert found.startswith(f"node.yaml:7: processing[0].input: {expected}")


def test_no_sources_is_a_mistake(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "site: a\nnode: b\nbroker: {host: x}\nsources: []\n")
    assert found.startswith("node.yaml:4: sources: ")


def muki(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.rig.edge_node", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_check_prints_a_summary_or_every_problem_and_exits_2(tmp_path: Path) -> None:
    good = muki("check", str(written(tmp_path, HEAD + ALARM)))
    assert good.returncode == 0
    config = loaded(tmp_path, HEAD + ALARM)
    assert f"node gas-1 of site mine: {len(config.points)} points, {len(config.alarms)} alarms" in good.stdout
    assert "alarm  co-high  high  heading-3/co above 25" in good.stdout
    bad = muki("check", str(written(tmp_path, (HEAD + ALARM).replace("deadband: 2", "deadband: -2").replace("es: CO alto, ", ""))))
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert [line.split(": ")[1] for line in bad.stderr.splitlines()] == ["alarms[0].title.es"]
    absent = muki("check", str(tmp_path / "absent.yaml"))
    assert absent.returncode == 2
    assert absent.stderr == f"{tmp_path}/absent.yaml: there is no such file\n"


def test_run_once_prints_each_point_and_its_quality(tmp_path: Path) -> None:
    processing = "processing:\n  - {name: once, type: doubler, input: heading-3/co, output: heading-3/twice}\n"
    done = muki("run", "--once", str(written(tmp_path, HEAD + processing)))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["point", "value", "unit", "quality", "ms"]
    assert [row[:4] for row in rows[1:]] == [
        ["heading-3/co", "1", "1", "good"],
        ["heading-3/o2", "1", "1", "good"],
        ["heading-3/twice", "2", "1", "good"],
    ]
    assert not (tmp_path / "data").exists()


def test_run_once_says_why_a_source_gave_nothing(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    done = muki("run", "--once", str(written(tmp_path, HEAD.replace("every: 2", "every: 2, fails_while: fail"))))
    assert done.returncode == 1
    assert "source bus: the counter was told to fail" in done.stdout
    assert "bad:no_reading" in done.stdout


def test_checking_loads_no_heavy_library(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(
        """site: mine
node: all
broker: {host: 127.0.0.1}
sources:
  - name: plc
    type: modbus
    tcp: 127.0.0.1:502
    every: 1.0
    timeout: 0.5
    units: {1: {pump-1/flow: {table: holding, register: 0, type: float32, unit: m3/h}}}
"""
    )
    program = """
import sys
from pathlib import Path
from edge.config import load
load(Path(sys.argv[1]))
import edge.agent
print(sorted({"cv2", "onnxruntime", "pymodbus", "scipy", "numpy", "duckdb", "serial"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
