"""The scoring processor: its points, units, qualities, drift and candidate, and real models that fail in every way while the node goes on."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contract.documents import DocumentError
from contract.messages import PointDeclaration
from contract.values import Reading, bad, uncertain
from edge.config import ConfiguredProcessor, load
from edge.errors import Misconfigured
from edge.model_settings import ANY_MODEL, ModelPolicy
from edge.processing import Converting, Processor, ProcessorContext, Remembering
from edge.processing.models import ModelFailed
from edge.processing.rows_scoring import ScoringProcessor, ScoringSettings
from edge.worker import Worker
from models.runtime import load as load_model
from models.signing import make_keys, sign
from tests.rig.small_models import install

SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND
INPUTS = {"speed": "belt-1/speed", "load": "belt-1/load"}


def entry(folder: Path, model: str, policy: ModelPolicy = ANY_MODEL, **settings: Any) -> ConfiguredProcessor:
    given = {"name": "b", "type": "scoring", "model": model, "inputs": INPUTS, "output": "belt-1/state"} | settings
    checked = ScoringSettings.model_validate(given)
    return ConfiguredProcessor(checked, ScoringProcessor(checked, ProcessorContext("node", folder, policy)))


def processor(folder: Path, model: str, *, start: bool = True, **settings: Any) -> ScoringProcessor:
    made = entry(folder, model, **settings).processor
    assert isinstance(made, ScoringProcessor)
    assert isinstance(made, Processor)
    assert isinstance(made, Remembering)
    assert isinstance(made, Converting)
    if start:
        made.start()
    return made


def rows(count: int, speed: float = 1.0, load: float = 3.0, begin: float = 0) -> list[Reading]:
    return [
        Reading(point, START + round((begin + second) * SECOND), value)
        for second in range(count)
        for point, value in (("belt-1/speed", speed), ("belt-1/load", load))
    ]


def ask(made: Processor, readings: Sequence[Reading]) -> list[Reading]:
    return [told for reading in readings for told in made.process(reading)]


def of(name: str, readings: Sequence[Reading]) -> list[tuple[float | None, str]]:
    return [(reading.value, str(reading.quality)) for reading in readings if reading.point == f"belt-1/state/{name}"]


def test_scores_come_when_the_window_is_full_and_carry_the_time_of_their_row(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path))
    told = ask(made, rows(6))
    assert of("score", told) == [(None, "bad:gathering")] * 2 + [(2.0, "good")] * 3
    assert [reading.time_ns for reading in told if reading.point.endswith("score")] == [START + second * SECOND for second in range(5)]
    assert {reading.point for reading in told} == set(made.points())


def test_points_say_which_model_they_come_from(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path), start=False, every=5)
    point = made.points()["belt-1/state/score"]
    sha = json.loads((tmp_path / "mean.json").read_text())["sha256"]
    assert point.description == {"es": f"Puntaje [mean 1.0.0, SHA-256 {sha[:16]}]", "en": f"Score [mean 1.0.0, SHA-256 {sha[:16]}]"}
    assert (point.unit, point.range, point.asset, point.period) == ("1", (-100.0, 100.0), "belt-1", 5.0)


def test_every_so_many_rows_one_is_scored(tmp_path: Path) -> None:
    told = ask(processor(tmp_path, install(tmp_path), every=4), rows(13))
    assert [quality for _, quality in of("score", told)] == ["bad:gathering"] * 2 + ["good"] * 2


def test_units_are_converted_and_what_is_no_such_quantity_is_refused(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path))
    declared = {"belt-1/speed": PointDeclaration("km/h"), "belt-1/load": PointDeclaration("N")}
    assert made.take_units(declared) == []
    assert of("score", ask(made, rows(4, speed=36.0, load=2000.0)))[-1] == (6.0, "good")
    ((point, text),) = made.take_units(declared | {"belt-1/load": PointDeclaration("degC")})
    assert point == "belt-1/load"
    assert "signal 'load' of model mean is in kN, point 'belt-1/load' in degC: degC (temperature) cannot become kN (force)" in text


def test_a_bad_or_missing_reading_gives_no_score_and_what_rests_on_a_gap_is_uncertain(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path))
    ask(made, rows(4))
    broken = [Reading("belt-1/speed", START + 4 * SECOND, None, bad("wire_break")), Reading("belt-1/load", START + 4 * SECOND, 3.0)]
    assert of("score", ask(made, broken)) == [(2.0, "good")]  # of second 3
    assert of("score", ask(made, rows(1, begin=5))) == [(None, "bad:wire_break")]
    silent = [Reading("belt-1/load", START + second * SECOND, 3.0) for second in (6, 7)]
    assert of("score", ask(made, silent)) == [(2.0, "uncertain:incomplete"), (None, "bad:stale")]
    told = of("score", ask(made, rows(4, begin=8)))
    assert told == [(None, "bad:stale"), (None, "bad:gap"), (2.0, "uncertain:incomplete"), (2.0, "good")]
    assert of("score", ask(made, rows(2, begin=20)))[-1] == (None, "bad:gap")  # eight seconds of which nothing was read


def test_doubt_about_an_input_and_values_outside_the_card_are_doubt_about_the_score(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path))
    doubted = [Reading(one.point, one.time_ns, one.value, uncertain("clock_unsure")) for one in rows(4)]
    assert of("score", ask(made, doubted))[-1] == (2.0, "uncertain:clock_unsure")
    assert of("score", ask(made, rows(4, speed=101.0, load=1.0, begin=4)))[-1] == (51.0, "uncertain:outside_training")


def test_drift_is_the_share_of_rows_outside_the_range_of_training(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path), drift_rows=40)
    inside = of("drift", ask(made, rows(60)))
    assert inside[20] == (None, "bad:gathering")
    assert inside[21:] == [(0.0, "good")] * 38
    outside = of("drift", ask(made, rows(41, speed=11.0, begin=60)))
    assert [value for value, _ in outside[1:]] == pytest.approx([number / 40 for number in range(1, 41)])  # the first is of second 59
    low = of("drift", ask(made, rows(41, load=-0.1, begin=101)))
    assert low[-1] == (1.0, "good")  # the worst of the features, not their mean


def test_a_candidate_is_given_the_same_and_only_its_difference_in_alarms_is_told(tmp_path: Path) -> None:
    candidate = install(tmp_path, "mean2", name="candidate")
    made = processor(tmp_path, install(tmp_path), candidate=candidate, candidate_rows=20)
    assert set(made.points()) == {f"belt-1/state/{name}" for name in ("score", "drift", "candidate/alarm_difference")}
    calm = ask(made, rows(30))
    assert of("candidate/alarm_difference", calm)[-1] == (0.0, "good")
    loud = ask(made, rows(11, speed=4.0, load=4.0, begin=30))  # 4, and 6 for the candidate: the limit is 5
    assert of("score", loud)[-1] == (4.0, "good")
    assert of("candidate/alarm_difference", loud)[-1] == (9 / 20, "good")  # ten rows, less two until the mean of three has risen, and 29's
    both = ask(made, rows(30, speed=9.0, load=9.0, begin=41))
    assert of("candidate/alarm_difference", both)[-1] == (0.0, "good")
    assert of("candidate/alarm_difference", calm)[2] == (None, "bad:gathering")


@pytest.mark.parametrize(
    ("kind", "changes", "says", "quality"),
    [
        ("nan", {}, "finite numbers are needed", "bad:candidate_failed"),
        ("fails", {}, "candidate: model", "bad:candidate_failed"),
        (
            "mean",
            {"rows": 3, "signals": [{"name": "speed", "unit": "km/h"}, {"name": "load", "unit": "kN"}]},
            "its feed differ",
            "bad:no_candidate",
        ),
        ("mean", {"alarm": None}, "names no output that calls for people", "bad:no_candidate"),
    ],
)
def test_a_candidate_that_fails_never_harms_the_active_model(  # noqa: PLR0917 - what is given and what is expected
    kind: str, changes: dict[str, Any], says: str, quality: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = processor(tmp_path, install(tmp_path), candidate=install(tmp_path, kind, name="candidate", **changes))
    told = ask(made, rows(9, speed=2.0, load=2.0))
    assert of("score", told)[2:] == [(2.0, "good")] * 6
    assert of("candidate/alarm_difference", told)[-1] == (None, quality)
    assert [says in record.message for record in caplog.records] == [True]  # once


@pytest.mark.parametrize("kind", ["nan", "fails"])
def test_a_model_that_fails_at_run_time_raises_what_the_worker_makes_a_malfunction_of(kind: str, tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path, kind))
    with pytest.raises(ModelFailed, match=rf"model {kind} 1\.0\.0"):
        ask(made, rows(4, speed=2.0, load=2.0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"inputs": {"speed": "belt-1/speed"}}, r"inputs: 'load' is missing; model mean takes speed \(m/s\), load \(kN\)"),
        ({"inputs": INPUTS | {"lod": "belt-1/x"}}, "'lod' is no signal of it"),
        ({"model": "people_vehicles"}, "its card has no feed: it does not score rows of readings"),
        ({"model": "no_such"}, r"no_such\.onnx: there is no such model file; known by name: .*pump_anomaly"),
    ],
)
def test_what_does_not_fit_the_card_is_said_before_anything_starts(settings: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=says):
        entry(tmp_path, **{"model": install(tmp_path)} | settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"inputs": {"speed": "a/b", "load": "a/b"}}, "a point is named for two signals"),
        ({"inputs": {"speed": "nonsense", "load": "a/b"}}, "write asset/signal"),
        ({"output": "belt-1/a/b/c/d/e"}, "2 to 6 parts"),
        ({"input": "belt-1/speed"}, "at most 0 characters"),
        ({"modle": "x"}, "Extra inputs"),
    ],
)
def test_settings_say_what_would_be_right(settings: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=says):
        entry(tmp_path, install(tmp_path), **settings)


@pytest.mark.parametrize("shape", [["N", 4, 2], ["N", 3, 5], ["N", 6]])
def test_a_card_whose_rows_do_not_fit_its_inputs_is_refused(shape: list[Any], tmp_path: Path) -> None:
    name = install(tmp_path)
    card = json.loads((tmp_path / "mean.json").read_text())
    card["inputs"][0]["shape"] = shape
    (tmp_path / "mean.json").write_text(json.dumps(card))
    with pytest.raises(Misconfigured, match="feed"):
        entry(tmp_path, name)


def test_a_card_that_changed_since_the_points_were_declared_is_refused(tmp_path: Path) -> None:
    made = processor(tmp_path, install(tmp_path), start=False)
    install(tmp_path, "mean7", name="mean")
    with pytest.raises(Misconfigured, match="its card has changed since the node began"):
        made.start()


def test_the_window_survives_a_restart_unless_it_is_of_another_baseline(tmp_path: Path) -> None:
    name = install(tmp_path)
    first = processor(tmp_path, name)
    ask(first, rows(6))
    again, other = processor(tmp_path, name), processor(tmp_path, name, baseline="overhaul of May")
    for made in (again, other):
        made.restore(first.state())
    told = rows(2, begin=6)
    assert of("score", ask(again, told)) == [(2.0, "uncertain:incomplete")]  # the second at which it stopped
    assert of("score", ask(other, told)) == [(None, "bad:gathering")]
    with pytest.raises((KeyError, ValueError)):
        again.restore("{}")


# --- the rest of the node goes on ---


async def at_work(
    entries: list[ConfiguredProcessor], readings: list[Reading], done: Callable[[list[Reading]], bool], **options: Any
) -> list[Reading]:
    """What a worker delivers until ``done``, given the readings one after the other."""
    worker = Worker(entries, "n", **options)
    found: list[Reading] = []
    worker.deliver = found.extend
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            for reading in readings:
                worker.offer(reading)
                await asyncio.sleep(0.002)
            while not done(found):
                assert not running.done()
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return found


def beside(folder: Path, model: str, policy: ModelPolicy = ANY_MODEL) -> list[ConfiguredProcessor]:
    """The model, and a sound one beside it."""
    sound = entry(folder, install(folder, "mean", name="sound"), name="sound", output="belt-1/sound")
    return [entry(folder, model, policy), sound]


def fault(readings: Sequence[Reading]) -> bool:
    """Whether the malfunction of b was told, and scores of the sound one after it."""
    points = [(reading.point, str(reading.quality), reading.value) for reading in readings]
    failed = ("belt-1/state/score", "bad:processor_fault", None)
    if failed not in points or not any("b" in point and value == 0 for point, _, value in points if point.startswith("n/")):
        return False
    return any(point == "belt-1/sound/score" and quality == "good" for point, quality, _ in points)


@pytest.mark.parametrize("kind", ["nan", "fails"])
def test_a_model_that_fails_is_a_malfunction_and_the_other_goes_on(kind: str, tmp_path: Path) -> None:
    assert fault(asyncio.run(at_work(beside(tmp_path, install(tmp_path, kind)), rows(12, 2.0, 2.0), fault)))


def test_a_model_whose_hash_is_wrong_is_a_malfunction_and_the_other_goes_on(tmp_path: Path) -> None:
    entries = beside(tmp_path, install(tmp_path))
    (tmp_path / "mean.onnx").write_bytes((tmp_path / "mean.onnx").read_bytes() + b"\0")
    assert fault(asyncio.run(at_work(entries, rows(12), fault)))


def test_a_model_without_the_signature_that_the_site_demands_is_a_malfunction_until_it_is_signed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    public = make_keys(tmp_path / "site")
    demanding = ModelPolicy((public,), "CPUExecutionProvider")
    entries = beside(tmp_path, install(tmp_path), demanding)
    assert fault(asyncio.run(at_work(entries, rows(12), fault)))
    assert "mean.sig: there is none, and this site demands one" in caplog.text
    sign(tmp_path / "site", tmp_path / "mean.onnx")
    found = asyncio.run(at_work([entry(tmp_path, "mean.onnx", demanding)], rows(12), lambda told: (2.0, "good") in of("score", told)))
    assert (None, "bad:processor_fault") not in of("score", found)


def test_an_accelerator_that_is_not_there_is_a_malfunction_and_nothing_runs_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = beside(tmp_path, install(tmp_path), ModelPolicy(None, "NoSuchAcceleratorExecutionProvider"))
    found = asyncio.run(at_work(entries, rows(12), fault))
    assert (2.0, "good") not in of("score", found)
    assert "execution provider 'NoSuchAcceleratorExecutionProvider' is not in ONNX Runtime" in caplog.text


def test_a_session_that_stalls_is_a_malfunction_and_the_other_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_model("bearing_life")  # what is slow the first time must not be taken for the stall
    entries = beside(tmp_path, install(tmp_path, "stalls"))
    readings = [
        *rows(3, 0.0, 0.0),
        *rows(1, 6.0, 6.0, begin=3),
        *rows(9, 0.0, 0.0, begin=4),
    ]  # three times two million rounds, a second and more
    stalled: list[bool] = []

    def back(told: list[Reading]) -> bool:
        stalled.append(fault(told))
        scores = of("score", told)
        return any(stalled) and (None, "bad:processor_fault") in scores and scores[-1][1] == "good"

    found = asyncio.run(at_work(entries, [*readings, *rows(40, 0.0, 0.0, begin=13)], back, stalled=0.5))
    assert any(stalled), [of("score", found)]
    assert "Stalled: its call does not come back" in caplog.text
    assert "does not start" not in caplog.text


# --- in a node's configuration ---

NODE = """
site: mine
node: belt-1-node
broker: {host: localhost}
models: {MODELS}
sources:
  - name: lines
    type: serial-line
    tcp: localhost:9
    lines: [{separator: ",", points: {belt-1/speed: {column: 1, unit: km/h, range: [0, 50]}, belt-1/load: {column: 2, unit: UNIT, range: [0, 50]}}}]
processing:
  - {name: b, type: scoring, model: mean.onnx, inputs: {speed: belt-1/speed, load: belt-1/load}, output: belt-1/state}
"""


def written(folder: Path, models: str = "", unit: str = "N") -> Path:
    install(folder)
    file = folder / "node.yaml"
    file.write_text(NODE.replace("MODELS", models).replace("UNIT", unit), "utf-8")
    return file


def test_a_node_scores_in_the_units_of_its_points(tmp_path: Path) -> None:
    config = load(written(tmp_path), {})
    (one,) = config.processing
    one.processor.start()
    assert of("score", ask(one.processor, rows(4, 36.0, 2000.0)))[-1] == (6.0, "good")
    assert config.points["belt-1/state/score"].unit == "1"


@pytest.mark.parametrize(
    ("models", "unit", "says"),
    [
        ("", "degC", r"node\.yaml:12: processing\[0\]\.inputs: signal 'load' of model mean is in kN, point 'belt-1/load' in degC"),
        ("require_signature: true", "N", r"models\.require_signature: no key is trusted"),
        ("trusted_keys: [gone.pub]", "N", r"models\.trusted_keys\[0\]: .*gone\.pub: cannot be read: No such file"),
        ("trusted_keys: [node.yaml]", "N", "no public Ed25519 key in PEM"),
        ("require_signatures: true", "N", "require_signatures"),
    ],
)
def test_a_configuration_that_cannot_be_right_says_where(models: str, unit: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=says):
        load(written(tmp_path, models, unit), {})


def test_the_demand_for_a_signature_reaches_every_processor(tmp_path: Path) -> None:
    make_keys(tmp_path / "site")
    config = load(written(tmp_path, "trusted_keys: [site.pub], require_signature: true"), {})
    with pytest.raises(Misconfigured, match="this site demands one"):
        config.processing[0].processor.start()
    sign(tmp_path / "site", tmp_path / "mean.onnx")
    config.processing[0].processor.start()
