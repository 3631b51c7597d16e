"""Scenarios: errors that say what would be right, timelines that repeat, and a shipped one that alarms when it says it does."""

from pathlib import Path
from textwrap import dedent

import pytest

from simulators.plant.conveyor import Conveyor
from simulators.plant.ventilation import Fan, Heading
from simulators.plant.vibration import velocity_rms
from simulators.scenario import SHIPPED, Event, Scenario, ScenarioError, changes, find, load

GOOD = """
    name: short
    title: {es: Corto, en: Short}
    repeat_every: 100
    events:
      - at: 10
        device: gas-rtu
        asset: heading-3
        what: co_release
        for: 20
        to: 40
        ramp: 10
        fall: 5
        expect:
          - {node: gas-1, alarm: co-high, raised: [14, 25], cleared: [31, 45]}
"""


def _load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "scenario.yaml"
    path.write_text(dedent(text))
    return load(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("to: 40", "too: 40", r"scenario\.yaml: events\[0\]\.too: unknown key"),
        ("for: 20", "", r"events\[0\]\.for: missing; it is required"),
        ("device: gas-rtu", "device: gas", r"device 'gas': write one of gas-rtu, pump-plc"),
        ("asset: heading-3", "asset: heading-4", r"asset 'heading-4': gas-rtu has heading-3, fan-3"),
        ("what: co_release", "what: co", r"what 'co': to heading-3 can happen blast_fumes, co_release"),
        ("at: 10", "at: -1", r"events\[0\]\.at: .*greater than or equal to 0 \(got -1\)"),
        ("at: 10", "at: soon", r"events\[0\]\.at: .*valid number.* \(got 'soon'\)"),
        ("at: 10", "at: 95", r"events\[0\] ends at 115 s, after the cycle of 100 s"),
        ("ramp: 10", "ramp: 21", r"ramp 21 is longer than the event itself, 20"),
        ("fall: 5", "fall: 5\n        decay: 3", r"fall and decay: write one of them"),
        ("raised: [14, 25]", "raised: [25, 14]", r"events\[0\]\.expect\[0\]: raised \[25\.0, 14\.0\] ends before it begins"),
        ("cleared: [31, 45]", "cleared: [1, 2]", r"cleared lies before raised"),
        ("title: {es: Corto, en: Short}", "title: {en: Short}", r"title: say it in es too"),
        ("name: short", "name: Short One", r"name: .*pattern"),
        ("repeat_every: 100", "repeat_every: .inf", r"repeat_every: .*finite"),
        ("events:", "events: [", r"scenario\.yaml:\d+: not YAML"),
    ],
)
def test_errors_name_file_key_and_what_would_be_right(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError, match=problem):
        _load(tmp_path, GOOD.replace(old, new))


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="document: write keys and values"):
        _load(tmp_path, "")
    with pytest.raises(ScenarioError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match=r"no such file and no shipped scenario; shipped: .*first-shift"):
        find("last-shift")
    assert find("first-shift") == SHIPPED / "first-shift.yaml"


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, GOOD.replace("to: 40", "to: x").replace("for: 20", "for: 0"))
    assert len(caught.value.problems) == 2


def test_an_event_grows_lasts_and_goes() -> None:
    event = Event.model_validate(
        {"at": 10, "device": "gas-rtu", "asset": "heading-3", "what": "co_release", "for": 20, "to": 40, "ramp": 10, "fall": 5}
    )
    assert [event.intensity(at) for at in (9.9, 10, 15, 20, 29.9, 30, 32.5, 35)] == [0, 0, 20, 40, 40, 40, 20, 0]
    decaying = event.model_copy(update={"fall": 0.0, "decay": 10.0})
    assert decaying.intensity(40) == pytest.approx(40 / 2.71828, rel=1e-4)
    assert decaying.intensity(200) == 0


def test_the_timeline_repeats(tmp_path: Path) -> None:
    scenario = _load(tmp_path, GOOD)
    for base in (0, 100, 1000):
        assert scenario.effects("gas-rtu", "heading-3", base + 25) == {"co_release": 40}
        assert scenario.effects("gas-rtu", "heading-3", base + 50) == {}
    assert scenario.effects("gas-rtu", "fan-3", 25) == {}
    found = changes(scenario, -1, 250)
    assert [(change.time, change.cycle, change.began) for change in found] == [
        (10, 0, True),
        (35, 0, False),
        (110, 1, True),
        (135, 1, False),
        (210, 2, True),
        (235, 2, False),
    ]
    assert changes(scenario, 10, 35) == found[1:2]  # half open: nothing twice, nothing lost


@pytest.mark.parametrize(("seed", "cycle"), [(1, 0), (1, 1), (1, 6), (42, 3)])
def test_the_first_shift_does_what_it_says(seed: int, cycle: int) -> None:
    """The plant passes each limit inside the windows that the file states as truth, whatever the seed and in every repetition."""
    scenario = load(find("first-shift"))
    fan, heading, conveyor = Fan(seed + 10), Heading(seed), Conveyor(seed + 30)
    seconds = [tick / 2 for tick in range(int(2 * scenario.repeat_every))]  # of the cycle; the plant's own clock goes on
    base = cycle * scenario.repeat_every
    airs = [fan.at(base + at, scenario.effects("gas-rtu", "fan-3", at)) for at in seconds]
    co = [heading.at(base + at, air, scenario.effects("gas-rtu", "heading-3", at)).co for at, air in zip(seconds, airs, strict=True)]
    belts = [conveyor.at(base + at, scenario.effects("conveyor-plc", "conveyor-2", at)) for at in seconds]
    severity = [scenario.effects("pump-plc", "slurry-pump-1", at).get("bearing_outer_race", 0.0) for at in seconds]
    holds = {
        "co-high": [value > 25 for value in co],
        "co-very-high": [value > 50 for value in co],
        "airflow-low": [air.airflow < 500 for air in airs],
        "fan-stopped": [not air.running for air in airs],
        "belt-slip": [belt.running and belt.tail_speed < 0.9 * belt.speed for belt in belts],
        "pull-cord": [belt.pull_cord for belt in belts],
        "vibration-high": [velocity_rms(value) > 5.1 for value in severity],
        "vibration-very-high": [velocity_rms(value) > 8.5 for value in severity],
        "co-lost": ["communication_lost" in scenario.effects("gas-rtu", "heading-3", at) for at in seconds],
    }
    camera = [scenario.effects("camera", "gallery-cam", at) for at in seconds]
    holds["lens-covered"] = ["lens_covered" in effect for effect in camera]
    holds["lens-dark"] = ["lens_dark" in effect for effect in camera]
    holds["camera-frozen"] = ["lens_frozen" in effect for effect in camera]
    expected: dict[str, list[tuple[tuple[float, float], tuple[float, float] | None]]] = {}
    for _, expectation in scenario.expectations():
        expected.setdefault(expectation.alarm, []).append((expectation.raised, expectation.cleared))
    assert expected.keys() == holds.keys()
    for alarm, windows in expected.items():
        truth = holds[alarm]
        rises = [at for at, before, now in zip(seconds[1:], truth, truth[1:], strict=False) if now and not before]
        falls = [at for at, before, now in zip(seconds[1:], truth, truth[1:], strict=False) if before and not now]
        assert len(rises) == len(windows), f"{alarm}: rises at {rises}"
        for rise, (raised, cleared) in zip(rises, windows, strict=True):
            assert raised[0] - 1 <= rise <= raised[1] - 3, f"{alarm} rises at {rise}, expected {raised}: a detector needs some seconds"
            if cleared is not None:
                fall = min(at for at in falls if at > rise)
                assert cleared[0] - 1 <= fall <= cleared[1] - 6, f"{alarm} falls at {fall}, expected {cleared}"
    assert min(at for at, value in zip(seconds, co, strict=True) if value > 25) < 20
    assert 55 < max(co) < 95
