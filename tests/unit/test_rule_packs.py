"""Rule packs: the figures of the release, binding, and what a site has otherwise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from contract.alarms import ConditionKind, Priority, SignalClass
from contract.documents import DocumentError
from edge.config import NodeConfig, load
from edge.processing.spectrum import ZONES
from edge.rule_packs import Change, read, released
from tests.rig.processes import ROOT

HEAD = """site: mine
node: gas-1
broker: {host: broker.local}
sources:
  - name: head
    type: modbus
    tcp: 127.0.0.1:502
    every: 1.0
    timeout: 0.5
    units:
      1:
        heading-3/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}
        heading-3/o2: {table: input, register: 1, type: uint16, scale: 0.01, unit: "%vol", range: [0, 25]}
        heading-3/co2: {table: input, register: 2, type: uint16, unit: ppm, range: [0, 6000]}
        heading-3/ch4: {table: input, register: 3, type: uint16, unit: ppm, range: [0, 50000]}
"""
PACK = """packs:
  - use: pe-gas@1
    place: {es: frente 3, en: heading 3}
    bind: {co: heading-3/co, o2: heading-3/o2}
"""
# The law and practice, by hand from the sources that the pack names. NO2 high is 5, not the 6 of detectors.
FIGURES = {
    "co-high": 25,
    "co-very-high": 50,
    "no2-high": 3,
    "no2-very-high": 5,
    "o2-low": 19.5,
    "o2-high": 22.5,
    "co2-high": 5000,
    "co2-very-high": 10000,
    "h2s-high": 10,
    "h2s-very-high": 15,
    "so2-high": 2,
    "so2-very-high": 5,
    "ch4-ventilate": 0.5,
    "ch4-withdraw": 1.0,
    "ch4-cut-power": 1.5,
    "ch4-evacuate": 2.0,
}


# The same of the other packs, by hand: (limit of what raises, in the pack's unit). Where a rule says "reaches", the limit itself must raise.
OTHERS: dict[str, dict[str, float]] = {
    "us-gas": {
        "ch4-ventilate": 0.499,
        "ch4-withdraw": 0.999,
        "ch4-cut-power": 1.499,
        "ch4-evacuate": 1.999,
        "co-ambient-alert": 4.99,
        "co-ambient-alarm": 9.99,
        "co-idlh": 1200,
        "h2s-idlh": 100,
        "dpm-limit": 160,
        "quartz-action": 25,
        "quartz-limit": 50,
    },
    "pe-ventilation": {"air-slow": 20, "air-fast": 250, "air-slow-anfo": 25, "respirable-dust": 3, "inhalable-dust": 10},
    "exposure": {"stel-exceeded": 100, "shift-limit-ahead": 100, "mixture-exceeded": 1, "ceiling-exceeded": 1},
    "rotating-machine": {
        "machine-g1-rigid-alert": 4.5,
        "machine-g1-rigid-alarm": 7.1,
        "machine-g1-flexible-alert": 7.1,
        "machine-g1-flexible-alarm": 11.0,
        "machine-g2-rigid-alert": 2.8,
        "machine-g2-rigid-alarm": 4.5,
        "machine-g2-flexible-alert": 4.5,
        "machine-g2-flexible-alarm": 7.1,
        "pump-cat1-le200-alert": 4.0,
        "pump-cat1-le200-alarm": 6.6,
        "pump-cat1-gt200-alert": 5.0,
        "pump-cat1-gt200-alarm": 7.6,
        "pump-cat2-le200-alert": 5.1,
        "pump-cat2-le200-alarm": 8.5,
        "pump-cat2-gt200-alert": 6.1,
        "pump-cat2-gt200-alarm": 9.5,
        "fan-bv3-rigid-alert": 7.1,
        "fan-bv3-rigid-alarm": 9.0,
        "fan-bv3-flexible-alert": 11.8,
        "fan-bv3-flexible-alarm": 12.5,
        "fan-bearing-hot": 80,
        "fan-bearing-very-hot": 90,
    },
    "conveyor": {"slip-high": 10, "idler-hot": 30, "pull-cord-pulled": 1, "belt-drifts": 1, "belt-torn": 1},
    "blast": {"din4150-exceeded": 100, "usbm-exceeded": 100},
}


def loaded(tmp_path: Path, text: str) -> NodeConfig:
    path = tmp_path / "node.yaml"
    path.write_text(text)
    return load(path, {})


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        loaded(tmp_path, text)
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


@pytest.mark.parametrize("reference", [f"{name}@{version}" for name, versions in released().items() for version in versions])
def test_every_released_pack_is_whole(reference: str) -> None:
    pack = read(reference)
    assert {alarm.signal for alarm in pack.alarms} == set(pack.signals)
    for alarm in pack.alarms:
        assert alarm.consequence
        assert alarm.action, f"{alarm.id}: an alarm without an action is none (ISA-18.2)"
        for text in (alarm.title, alarm.consequence, alarm.action):
            assert text.es != text.en
            assert set(re.findall(r"\{\w*\}", text.es + text.en)) <= {"{place}"}
        if pack.signals[alarm.signal].unit in {"ppm", "%vol", "ug/m3", "mg/m3"} or pack.pack == "exposure":
            assert not alarm.shelvable, "alarms of what people breathe are not shelvable by default"


def test_the_figures_of_pe_gas_1_never_change() -> None:
    alarms = {alarm.id: alarm for alarm in read("pe-gas@1").alarms}
    assert {name: alarm.condition.limit for name, alarm in alarms.items() if alarm.condition.limit is not None} == FIGURES
    assert {name for name, alarm in alarms.items() if alarm.condition.kind is ConditionKind.BELOW} == {"o2-low"}
    lost = {name for name, alarm in alarms.items() if alarm.condition.kind is ConditionKind.BAD_QUALITY}
    assert lost == {f"{gas}-lost" for gas in read("pe-gas@1").signals}
    assert all(alarms[name].signal_class is SignalClass.MALFUNCTION for name in lost)


def test_every_pack_has_its_figures_here() -> None:
    assert set(released()) == {"pe-gas", *OTHERS}


@pytest.mark.parametrize(("name", "figures"), OTHERS.items())
def test_the_figures_of_the_first_versions_never_change(name: str, figures: dict[str, float]) -> None:
    alarms = {alarm.id: alarm for alarm in read(f"{name}@1").alarms}
    assert {key: alarm.condition.limit for key, alarm in alarms.items() if alarm.condition.limit is not None} == figures
    assert {key for key, alarm in alarms.items() if alarm.condition.kind is ConditionKind.BELOW} == (
        {"air-slow", "air-slow-anfo"} & set(figures)
    )
    for alarm in alarms.values():
        assert "general knowledge" not in alarm.source or alarm.certainty != "H", alarm.id


def test_the_second_version_of_pe_gas_differs_in_methane_and_no_only() -> None:
    first, second = ({alarm.id: alarm for alarm in read(reference).alarms} for reference in ("pe-gas@1", "pe-gas@2"))
    assert second.keys() - first.keys() == {"nitric-oxide-high", "nitric-oxide-lost"}
    assert second["nitric-oxide-high"].condition.limit == 25
    assert {name for name in first if first[name] != second[name]} == {"ch4-ventilate", "ch4-withdraw", "ch4-cut-power", "ch4-evacuate"}
    for name in first:
        assert first[name].model_copy(update={"condition": second[name].condition}) == second[name], name


@pytest.mark.parametrize("pack", ["us-gas@1", "pe-gas@2"])
@pytest.mark.parametrize("methane", [0.5, 1.0, 1.5, 2.0])
def test_methane_that_reaches_a_step_raises_it(methane: float, pack: str) -> None:
    """30 CFR 57.22232 to .22236: "if methane reaches 1.0 percent"."""
    steps = sorted(alarm.condition.limit or 0 for alarm in read(pack).alarms if alarm.signal == "ch4" and alarm.condition.limit)
    assert sum(methane > step for step in steps) == [0.5, 1.0, 1.5, 2.0].index(methane) + 1
    assert sum(methane - 0.01 > step for step in steps) == [0.5, 1.0, 1.5, 2.0].index(methane), "the last digit below does not"


def test_the_zones_of_the_pack_are_those_of_the_processor() -> None:
    alarms = {alarm.id: alarm for alarm in read("rotating-machine@1").alarms}
    names = {"machine-g1": "iso10816_3_group1", "machine-g2": "iso10816_3_group2", "pump": "iso10816_7", "fan": "iso14694"}
    for row, zones in ZONES.items():
        (family, long) = next(pair for pair in names.items() if row.startswith(pair[1]))
        signal = family + row.removeprefix(long).replace("_", "-")
        found = [alarms[f"{signal}-{kind}"].condition.limit for kind in ("alert", "alarm")]
        assert found == list(zones.limits[1:]), row
        assert alarms[f"{signal}-alarm"].certainty == zones.certainty, row


PUMP = """site: mine
node: pump-1
broker: {host: broker.local}
sources:
  - name: replay
    type: waveform
    file: pump.npz
    rate_hz: 12000
    points: {DE: pump-1/vibration/de}
  - name: plc
    type: modbus
    tcp: 127.0.0.1:502
    units:
      1:
        gallery-4/gas/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}
        gallery-4/air/velocity: {table: input, register: 1, type: uint16, unit: m/min, range: [0, 600]}
        belt-1/speed/drive: {table: input, register: 2, type: uint16, unit: m/s, range: [0, 6]}
        belt-1/speed/tail: {table: input, register: 3, type: uint16, unit: m/s, range: [0, 6]}
        belt-1/state/pull-cord: {table: discrete, register: 0}
processing:
  - {name: vibration, type: vibration, input: pump-1/vibration/de, rpm: 1480, zone: iso10816_7_cat2_le200}
  - {name: dose, type: exposure, input: gallery-4/gas/co, unit: ppm, substance: CO, limits: pe-rssom, stel: 75}
  - {name: slip, type: belt-slip, input: belt-1/speed/drive, tail_point: belt-1/speed/tail}
  - name: above-ambient
    type: expression
    input: gallery-4/gas/co
    inputs: {co: gallery-4/gas/co}
    expression: co - 3
    output: gallery-4/gas/co-above-ambient
    unit: ppm
packs:
  - {use: rotating-machine@1, bind: {pump-cat2-le200: pump-1/vibration/de/rms_velocity}}
  - {use: exposure@1, bind: {stel-percent: gallery-4/gas/co/stel_percent, twa-percent: gallery-4/gas/co/twa_percent}}
  - {use: conveyor@1, bind: {slip: belt-1/slip, pull-cord: belt-1/state/pull-cord}}
  - {use: us-gas@1, bind: {co-above-ambient: gallery-4/gas/co-above-ambient}}
  - {use: pe-ventilation@1, bind: {air-velocity: gallery-4/air/velocity}}
"""


def test_packs_are_bound_to_what_processors_compute(tmp_path: Path) -> None:
    config = loaded(tmp_path, PUMP)
    own = {alarm.id for alarm in config.alarms if not alarm.id.startswith(("source-", "processor-", "host-", "disk"))}
    assert own == {
        *("pump-cat2-le200-alert", "pump-cat2-le200-alarm", "stel-exceeded", "shift-limit-ahead", "slip-high", "pull-cord-pulled"),
        *("co-ambient-alert", "co-ambient-alarm", "co-above-ambient-lost", "air-slow", "air-fast"),
    }


def test_a_pack_brings_the_alarms_of_what_is_bound_with_the_name_of_the_place(tmp_path: Path) -> None:
    config = loaded(tmp_path, HEAD + PACK)
    own = {alarm.id: alarm for alarm in config.alarms if not alarm.id.startswith(("source-", "host-", "disk"))}
    assert set(own) == {"co-high", "co-very-high", "o2-low", "o2-high", "co-lost", "o2-lost"}
    assert (own["co-high"].point, own["co-high"].title) == ("heading-3/co", {"es": "CO alto: frente 3", "en": "High CO: heading 3"})
    assert own["co-high"].source.startswith("pe-gas@1: D.S. 024-2016-EM")
    assert "certainty H" in own["co-high"].source
    (pack,) = config.packs
    assert (pack.reference, pack.unbound, pack.changes) == ("pe-gas@1", ["ch4", "co2", "h2s", "no2", "so2"], [])


def test_one_pack_at_two_places_needs_a_prefix(tmp_path: Path) -> None:
    twice = PACK + PACK.removeprefix("packs:\n")
    (found, *_) = problems(tmp_path, HEAD + twice)
    assert "'co-high' is taken" in found
    config = loaded(tmp_path, HEAD + twice.replace("    bind", "    prefix: heading-3\n    bind", 1))
    assert {"heading-3-co-high", "co-high"} <= {alarm.id for alarm in config.alarms}


def changed(tmp_path: Path, override: str) -> tuple[NodeConfig, list[Change]]:
    config = loaded(tmp_path, f"{HEAD}{PACK}    override: {{{override}}}\n")
    return config, config.packs[0].changes


@pytest.mark.parametrize(
    ("override", "what", "laxer"),
    [
        ("co-high: {limit: 20, reason: standard 12}", "limit: pack 25 → site 20 ppm", False),
        ("co-high: {limit: 30, reason: standard 12}", "limit: pack 25 → site 30 ppm", True),
        ("o2-low: {limit: 20.0, reason: standard 12}", "limit: pack 19.5 → site 20 %vol", False),
        ("o2-low: {limit: 18, reason: standard 12}", "limit: pack 19.5 → site 18 %vol", True),
        ("co-high: {on_delay: 30, reason: standard 12}", "on_delay: pack 2 → site 30 s", True),
        ("co-high: {on_delay: 0, reason: standard 12}", "on_delay: pack 2 → site 0 s", False),
        ("co-high: {priority: low, reason: standard 12}", "priority: pack high → site low", True),
        ("co-high: {priority: critical, reason: standard 12}", "priority: pack high → site critical", False),
        ("co-high: {deadband: 1, reason: standard 12}", "deadband: pack 2 → site 1 ppm", False),
    ],
)
def test_what_a_site_has_otherwise_is_told_and_what_is_less_strict_is_marked(tmp_path: Path, override: str, what: str, laxer: bool) -> None:
    config, (change,) = changed(tmp_path, override)
    assert (change.what, change.laxer, change.reason) == (what, laxer, "standard 12")
    assert ("LESS STRICT" in str(change)) is laxer
    definition = next(alarm for alarm in config.alarms if alarm.id == change.alarm)
    assert definition.source.startswith(f"site: {what} (standard 12); pe-gas@1: ")


def test_an_override_reaches_the_rule(tmp_path: Path) -> None:
    config, changes = changed(
        tmp_path, "co-high: {limit: 20, on_delay: 1, priority: critical, reason: x}, o2-high: {enabled: false, reason: y}"
    )
    by_id = {alarm.id: alarm for alarm in config.alarms}
    rule = by_id["co-high"]
    assert (rule.condition.limit, rule.on_delay, rule.priority, rule.deadband) == (20, 1, Priority.CRITICAL, 2)
    assert "o2-high" not in by_id
    assert [(change.alarm, change.laxer) for change in changes if change.laxer] == [("o2-high", True)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "pe-gas@1",
            "pe-gas@7",
            "node.yaml:17: packs[0].use: there is no pack 'pe-gas@7'; there is blast@1, conveyor@1, exposure@1, pe-gas@1, pe-gas@2",
        ),
        (
            "pe-gas@1",
            "pe-gas",
            "node.yaml:17: packs[0].use: 'pe-gas': write NAME@VERSION; there is blast@1, conveyor@1, exposure@1, pe-gas@1, pe-gas@2",
        ),
        ("pe-gas@1", "../pe-gas@1", "node.yaml:17: packs[0].use: '../pe-gas@1': write NAME@VERSION"),
        ("{co: ", "{co9: ", "node.yaml:19: packs[0].bind.co9: pe-gas@1 has no signal 'co9'; it has ch4, co, co2, h2s, no2, o2, so2"),
        (
            "{co: ",
            "{ch4: heading-3/ch4, co: ",
            "node.yaml:19: packs[0].bind.ch4: 'heading-3/ch4' is in ppm, the limits of pe-gas@1 in %vol",
        ),
        ("{co: heading-3/co,", "{co: heading-3/cc,", "node.yaml:19: packs[0].bind.co.co-high.point: nobody declares point 'heading-3/cc'"),
        (
            "{co: ",
            "{co2: heading-3/co2, co: ",
            "node.yaml:19: packs[0].bind.co2.co2-very-high.condition.limit: 10000 is outside the range of the point, 0 to 6000 ppm",
        ),
        ("heading-3/o2}\n", "heading-3/o2}\n    overide: {}\n", "node.yaml:20: packs[0].overide: unknown key; did you mean 'override'?"),
        (
            "heading-3/o2}\n",
            "heading-3/o2}\n    override: {co-hig: {limit: 2, reason: x}}\n",
            "node.yaml:20: packs[0].override.co-hig: pe-gas@1 has no alarm 'co-hig'",
        ),
        (
            "heading-3/o2}\n",
            "heading-3/o2}\n    override: {so2-high: {limit: 1, reason: x}}\n",
            "node.yaml:20: packs[0].override.so2-high: its signal 'so2' is bound to no point",
        ),
        (
            "heading-3/o2}\n",
            "heading-3/o2}\n    override: {co-high: {limit: 20}}\n",
            "node.yaml:20: packs[0].override.co-high.reason: missing; it is required",
        ),
        (
            "heading-3/o2}\n",
            "heading-3/o2}\n    override: {co-high: {reason: x}}\n",
            "node.yaml:20: packs[0].override.co-high: changes nothing",
        ),
    ],
)
def test_a_mistake_names_its_line_and_what_is_right(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in PACK
    found = problems(tmp_path, HEAD + PACK.replace(old, new, 1))
    assert any(problem.startswith(expected) for problem in found), found


ALARM = """alarms:
  - id: drop
    point: heading-3/o2
    condition: {kind: rate, limit: 1, per: min, window: 60}
    priority: high
    title: {es: Cae, en: Falls}
  - id: both
    point: heading-3/co
    condition: {kind: expression, expression: co > 10 and o2 < 20, points: {co: heading-3/co, o2: heading-3/o2}}
    priority: high
    group: air
    suppress_when: {point: heading-3/co2, below: 10, for: 5}
    title: {es: Ambos, en: Both}
"""


def test_the_new_kinds_in_a_configuration(tmp_path: Path) -> None:
    drop, both = loaded(tmp_path, HEAD + ALARM).alarms[:2]
    assert (drop.condition.window, drop.condition.per) == (60, "min")
    assert (both.condition.limit, both.condition.max_age, both.group) == (0, 60, "air")
    assert both.suppress_when
    assert both.suppress_when.on_delay == 5


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (", per: min", "", "alarms[0].condition.per: missing: write s or min"),
        (", window: 60", "", "alarms[0].condition.window: missing: write the seconds"),
        ("window: 60", "window: 1", "alarms[0].condition.window: 1 s: the point comes each 1 s: write 2 or more"),
        ("limit: 1,", "limit: 30,", "alarms[0].condition.limit: 30: within 60 s the point cannot change by more than 25 %vol/min"),
        ("limit: 1,", "limit: -1,", "alarms[0].condition.limit: -1: a rate counts whichever way it goes"),
        ("kind: rate", "kind: above", "alarms[0].condition.window: belongs to a condition 'rate', not 'above'; remove it"),
        ("priority: high", "priority: high\n    deadband: 2", "alarms[0].deadband: 2: the alarm would never clear"),
        ("o2 < 20", "o3 < 20", "alarms[1].condition.expression: 'o3' is under no name in points"),
        (" and o2 < 20", "", "alarms[1].condition.points.o2: 'o2' is not in the expression; remove it"),
        ("co > 10", "co.real > 10", "alarms[1].condition.expression: 'co.real > 10 and o2 < 20' holds what is not allowed (Attribute)"),
        ("o2: heading-3/o2", "o2: heading-3/o9", "alarms[1].condition.points.o2: nobody declares point 'heading-3/o9'; did you mean"),
        ("point: heading-3/co\n", "point: heading-3/ch4\n", "alarms[1].point: 'heading-3/ch4' is none of the expression's points"),
        ("below: 10,", "below: 10, above: 3,", "alarms[1].suppress_when: write one of above, below and equals"),
        ("heading-3/co2, b", "heading-3/co3, b", "alarms[1].suppress_when.point: nobody declares point 'heading-3/co3'"),
        ("for: 5", "fro: 5", "alarms[1].suppress_when.fro: unknown key; did you mean 'for'?"),
    ],
)
def test_what_is_wrong_with_the_new_kinds_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in ALARM
    found = [problem.split(": ", 1)[1] for problem in problems(tmp_path, HEAD + ALARM.replace(old, new, 1))]
    assert any(problem.startswith(expected) for problem in found), found


def test_check_shows_packs_overrides_and_the_new_kinds(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(HEAD + PACK + "    override: {co-high: {limit: 30, reason: standard 12}}\n" + ALARM)
    done = subprocess.run(
        [sys.executable, "-m", "muki", "edge", "check", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "alarm  drop  high  heading-3/o2 rate 1 /min over 60 s" in lines
    assert (
        "alarm  both  high  heading-3/co expression co > 10 and o2 < 20  group air  suppressed when heading-3/co2 below 10 for 5 s" in lines
    )
    assert "pack  pe-gas@1  co → heading-3/co, o2 → heading-3/o2  (not bound: ch4, co2, h2s, no2, so2)" in lines
    assert any(line.startswith("override  co-high  limit: pack 25 → site 30 ppm  LESS STRICT than the pack  (reason: ") for line in lines)
