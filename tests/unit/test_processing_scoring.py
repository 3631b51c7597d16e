"""The bearing-condition processor: the model of the release on a simulated machine, models that fail, and waveforms that cannot be scored."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contract.values import Reading
from edge.errors import Misconfigured
from edge.items import Waveform
from edge.processing import Processor, ProcessorContext
from edge.processing.models import ModelFailed
from edge.processing.scoring import BearingConditionProcessor, BearingConditionSettings
from models.bearing import FEATURE_NAMES
from models.cards import ARTIFACTS
from simulators.plant.vibration import Vibration

START = 1_700_000_000_000_000_000
BEARING = {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04}
INPUT = "pump-1/vibration/de"
RPM = 1480


def processor(folder: Path = Path(), *, start: bool = True, **settings: Any) -> BearingConditionProcessor:
    speed = {} if "rpm_point" in settings else {"rpm": RPM}
    given = {"name": "b", "type": "bearing-condition", "input": INPUT, "bearing": BEARING} | speed | settings
    made = BearingConditionProcessor(BearingConditionSettings.model_validate(given), ProcessorContext("node", folder))
    assert isinstance(made, Processor)
    if start:
        made.start()
    return made


def waveform(severity: float = 0.0, part: str = "outer", *, seconds: float = 1.0, **more: Any) -> Waveform:
    samples = Vibration(3).block(round(12_800 * seconds), shaft_hz=RPM / 60, severity=severity, part=part)
    return Waveform(INPUT, START, 12_800.0, samples, **more)


def named(readings: Sequence[Reading]) -> dict[str, float | None]:
    return {reading.point.removeprefix(f"{INPUT}/bearing/"): reading.value for reading in readings}


def quality_of(readings: Sequence[Reading]) -> str:
    (quality,) = {str(reading.quality) for reading in readings}
    return quality


def write_model(
    folder: Path, expression: str, labels: tuple[str, ...] = ("normal", "inner", "outer", "ball"), *, name: str = "features"
) -> str:
    """A model whose output does not depend on its input, but for NaN: four numbers, or a failure at run time."""
    from onnx import TensorProto, checker, helper

    size = len(FEATURE_NAMES)
    values = {"scores": [0.7, 0.1, 0.15, 0.05], "too_large": [1.7, 0.1, 0.1, 0.1]}.get(expression, [0.7, 0.1, 0.15, 0.05])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [size, 4], [0.0] * (4 * size))
    # NaN only for an input that the warm-up (all in the middle of the range: 0) does not have: log(x * -1e9 + 1) of a positive sum.
    sums = helper.make_tensor("s", TensorProto.FLOAT, [size, 4], [-1e9] * (4 * size))
    bias = helper.make_tensor("b", TensorProto.FLOAT, [4], values)
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    if expression == "nan":
        nodes = [
            helper.make_node("Abs", [name], ["a"]),
            helper.make_node("MatMul", ["a", "s"], ["m"]),
            helper.make_node("Add", ["m", "one"], ["p"]),
            helper.make_node("Log", ["p"], ["probabilities"]),
        ]
    else:
        nodes = [helper.make_node("Gemm", [name, "w", "b"], ["probabilities"])]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 4])],
        [sums, one] if expression == "nan" else [weights, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    path = folder / f"{expression}.onnx"
    content = model.SerializeToString()
    path.write_bytes(content)
    card = json.loads((ARTIFACTS / "bearing_condition.json").read_text())
    card |= {"name": expression, "artifact": path.name, "sha256": hashlib.sha256(content).hexdigest()}
    card["inputs"][0] |= {"name": name, "valid_range": [-50.0, 50.0]}
    card["outputs"][0] |= {"name": "probabilities", "labels": list(labels)}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path.name


@pytest.mark.parametrize("part", ["outer", "inner"])
def test_the_model_of_the_release_tells_a_damaged_bearing_from_a_healthy_one(part: str) -> None:
    made = processor()
    healthy = named(made.process(waveform()))
    damaged = named(made.process(waveform(0.7, part)))
    assert (healthy["fault"] or 0) < 0.5 < (damaged["fault"] or 0)
    assert max(("inner", "outer", "ball"), key=lambda name: damaged[name] or 0) == part


def test_scores_add_up_and_are_declared() -> None:
    made = processor()
    readings = made.process(waveform(0.5))
    values = {name: value or 0.0 for name, value in named(readings).items()}
    assert values["normal"] + values["inner"] + values["outer"] + values["ball"] == pytest.approx(1, abs=1e-4)
    assert values["fault"] == pytest.approx(1 - values["normal"])
    assert [reading.point for reading in readings] == list(made.points())
    assert {reading.time_ns for reading in readings} == {START + 1_000_000_000}
    for declaration in made.points().values():
        assert (declaration.kind, declaration.unit, declaration.range) == ("score", "1", (0, 1))
        assert set(declaration.description) == {"es", "en"}


def test_a_waveform_is_scored_by_itself(tmp_path: Path) -> None:
    made = processor()
    once = named(made.process(waveform(0.7)))
    made.process(waveform(0.0))
    assert named(made.process(waveform(0.7))) == once  # nothing is smoothed


@pytest.mark.parametrize(
    ("given", "quality"),
    [
        (waveform(dropped=5), "uncertain:dropped_samples"),
        (waveform(unit="mm/s"), "bad:wrong_unit"),
        (waveform(seconds=0.9), "bad:short_waveform"),
        (Waveform(INPUT, START, 2000.0, np.ones(4000, np.float32)), "bad:rate_too_low"),
        (Waveform(INPUT, START, 12_800.0, np.ones(12_800, np.float32)), "bad:stuck"),
        (Waveform(INPUT, START, 12_800.0, np.full(12_800, np.nan, np.float32)), "bad:sensor_fault"),
    ],
)
def test_what_cannot_be_scored_has_a_reason(given: Waveform, quality: str) -> None:
    readings = processor().process(given)
    assert len(readings) == 5
    assert quality_of(readings) == quality
    assert all((reading.value is None) == quality.startswith("bad") for reading in readings)


def test_speed_comes_from_its_point(tmp_path: Path) -> None:
    made = processor(rpm_point="pump-1/speed")
    assert made.wants() == {INPUT, "pump-1/speed"}
    assert quality_of(made.process(waveform())) == "bad:no_speed"
    made.process(Reading("pump-1/speed", START, float(RPM)))
    assert quality_of(made.process(waveform())) == "good"
    made.process(Reading("pump-1/speed", START, 0.0))
    assert quality_of(made.process(waveform())) == "bad:not_running"


@pytest.mark.parametrize("expression", ["nan", "too_large"])
def test_a_model_that_gives_nonsense_is_a_malfunction(expression: str, tmp_path: Path) -> None:
    made = processor(tmp_path, model=write_model(tmp_path, expression))
    with pytest.raises(ModelFailed, match=r"scores are .*; 0 to 1 is expected"):
        made.process(waveform())


def test_a_model_that_gives_scores_is_none(tmp_path: Path) -> None:
    readings = processor(tmp_path, model=write_model(tmp_path, "scores")).process(waveform())
    assert quality_of(readings) == "good"
    assert named(readings)["fault"] == pytest.approx(0.3, abs=1e-6)


def test_features_outside_the_valid_range_of_the_card_are_uncertain(tmp_path: Path) -> None:
    name = write_model(tmp_path, "scores")
    card = json.loads((tmp_path / "scores.json").read_text())
    card["inputs"][0]["valid_range"] = [-0.001, 0.001]
    (tmp_path / "scores.json").write_text(json.dumps(card))
    assert quality_of(processor(tmp_path, model=name).process(waveform())) == "uncertain:outside_training"


def test_a_model_that_is_missing_or_is_another_one_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"processor b: model: .*no such model file"):
        processor(model="bearing_conditoin")
    with pytest.raises(Misconfigured, match="no output labelled normal, inner, outer, ball"):
        processor(tmp_path, model=write_model(tmp_path, "scores", ("cold", "mild", "warm", "hot")))
    with pytest.raises(Misconfigured, match="one named features is needed"):
        processor(tmp_path, model=write_model(tmp_path, "scores", name="image"))


def test_without_a_loaded_model_readings_are_bad_and_nothing_fails() -> None:
    assert quality_of(processor(start=False).process(waveform())) == "bad:no_model"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rpm": None}, "the model needs the shaft speed"),
        ({"bearing": None}, "valid dictionary or instance of BearingSettings"),
        ({"bearing": {"balls": 2, "ball_mm": 5, "pitch_mm": 40}}, "3 to 200 rolling elements"),
        ({"input": "a/b/c/d/e"}, "2 to 6 parts"),
        ({"modle": "x"}, "Extra inputs"),
    ],
)
def test_settings_say_what_would_be_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        processor(**change)
