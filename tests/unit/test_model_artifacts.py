"""What ships: every artifact has its card and hash, and the bearing model says sensible things of bearings it was not made with."""

import json
import re
from itertools import pairwise

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from models.bearing import FEATURE_NAMES, BearingGeometry, features
from models.bench import latencies_ms
from models.cards import ARTIFACTS, card_path, read_card
from models.cli import disagreements, main
from models.runtime import Model, load, names
from models.words import SPANISH, in_languages

LABELS = ("normal", "inner", "outer", "ball")
GEOMETRY = BearingGeometry(balls=9, ball_mm=7.94, pitch_mm=39.04)
RATE, RPM = 12_800.0, 1_480.0


@pytest.fixture(scope="module")
def model() -> Model:
    return load("bearing_condition")


def test_there_is_an_artifact() -> None:
    assert "bearing_condition" in names()


@pytest.mark.parametrize("name", names())
def test_every_artifact_loads_with_its_card(name: str) -> None:
    """Hash, names, shapes and a run are checked at load: an artifact rebuilt without its card, or a card without its artifact's hash, fails."""
    loaded = load(name)
    assert loaded.card.name == name
    assert loaded.size_bytes < 10 << 20


@pytest.mark.parametrize("name", names())
def test_every_artifact_runs_on_the_oldest_runtime_that_is_allowed(name: str) -> None:
    proto = onnx.load_model(ARTIFACTS / f"{name}.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version <= 10
    assert max(entry.version for entry in proto.opset_import) <= 21  # ONNX Runtime 1.18


def test_no_card_is_left_without_its_artifact() -> None:
    assert {path.stem for path in ARTIFACTS.glob("*.json")} == set(names())


def test_what_a_card_says_on_the_page_is_there_in_spanish_and_nothing_else_is() -> None:
    """By its English sentence: one that changes wants its Spanish again."""
    cards = [read_card(card_path(ARTIFACTS / f"{name}.onnx")) for name in names()]
    said = {sentence for card in cards for sentence in (card.purpose, card.threshold.why, *card.failure_modes)}
    spanish = json.loads(SPANISH.read_text("utf-8"))
    assert set(spanish) == said
    assert all(told.strip() and told != sentence for sentence, told in spanish.items())
    assert in_languages("A sentence of a site's own card.") == {"en": "A sentence of a site's own card."}


def test_every_number_of_a_sentence_is_in_its_spanish() -> None:
    for sentence, told in json.loads(SPANISH.read_text("utf-8")).items():
        assert sorted(re.findall(r"\d+(?:\.\d+)?", told)) == sorted(re.findall(r"\d+(?:\.\d+)?", sentence)), sentence


def test_the_card_names_the_features_of_the_code(model: Model) -> None:
    """Features that were changed without training again would be fed to weights of other features."""
    assert model.card.inputs[0].labels == FEATURE_NAMES
    assert model.card.labels("probabilities") == LABELS


def test_the_card_gives_every_fold_a_baseline_and_says_what_normal_rests_on(model: Model) -> None:
    three = [metric for metric in model.card.metrics if "inner, outer, ball, given" in metric.name]
    assert [metric.split.split()[0] for metric in three] == ["7", "14", "21"]
    assert all("envelope-line rule" in metric.baselines for metric in model.card.metrics)
    assert any("one healthy recording" in text for text in model.card.failure_modes)


def coloured(generator: np.random.Generator, size: int, slope: float) -> np.ndarray:
    frequency = np.maximum(np.fft.rfftfreq(size), 1 / size)
    noise: np.ndarray = np.fft.irfft(np.fft.rfft(generator.standard_normal(size)) * frequency ** (-slope / 2), size)
    unit: np.ndarray = noise / noise.std()
    return unit


def machine(seed: int, slope: float = 0.0, shaft_level: float = 1.0, seconds: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    time = np.arange(int(RATE * seconds)) / RATE
    shaft = sum(np.sin(2 * np.pi * k * RPM / 60 * time + generator.uniform(0, 6)) / k for k in (1, 2, 3))
    return coloured(generator, len(time), slope) + shaft_level * shaft


def impacts(seed: int, fault: str, resonance_hz: float = 3_000, seconds: float = 1.0) -> np.ndarray:
    """Decaying oscillations at the fault's rate with 1 % of slip, of amplitude 1, modulated as the fault turns through the load zone."""
    generator = np.random.default_rng(seed)
    orders, shaft = GEOMETRY.orders(), RPM / 60
    order, turning = {"outer": (orders.bpfo, 0.0), "inner": (orders.bpfi, 1.0), "ball": (2 * orders.bsf, orders.ftf)}[fault]
    period = 1 / (order * shaft)
    times = np.cumsum(period * (1 + 0.01 * generator.standard_normal(int(seconds / period))))
    times = times[times < seconds - 1 / RATE]
    train = np.zeros(int(RATE * seconds))
    np.add.at(train, (times * RATE).astype(int), 1 + (0.8 * np.cos(2 * np.pi * turning * shaft * times) if turning else 0.0))
    length = np.arange(int(0.01 * RATE)) / RATE
    return np.convolve(train, np.exp(-900 * length) * np.sin(2 * np.pi * resonance_hz * length))[: len(train)]


def probabilities(model: Model, signals: list[np.ndarray]) -> np.ndarray:
    rows = np.array([features(signal, RATE, RPM, GEOMETRY) for signal in signals])
    assert model.outside({"features": rows}) == []
    return model.run({"features": rows})["probabilities"]


@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("shaft_level", [0.0, 1.0, 5.0])
def test_a_sound_bearing_is_called_normal(model: Model, slope: float, shaft_level: float) -> None:
    found = probabilities(model, [machine(seed, slope, shaft_level) for seed in range(12)])
    assert np.mean(found.argmax(axis=1) == 0) >= 11 / 12
    assert found[:, 0].mean() > 0.6


def test_sound_bearings_raise_few_false_alarms(model: Model) -> None:
    found = probabilities(model, [machine(seed, slope) for seed in range(100, 130) for slope in (0.0, 1.0)])
    assert np.mean(found[:, 0] < 0.5) <= 0.05


@pytest.mark.parametrize("resonance_hz", [1_200, 3_000, 5_000])
def test_the_outer_race_wins_as_its_impulses_grow(model: Model, resonance_hz: float) -> None:
    steps = [
        probabilities(model, [machine(seed) + level * impacts(seed, "outer", resonance_hz) for seed in range(8)]).mean(axis=0)
        for level in (0, 1, 2, 4, 8, 16)
    ]
    outer = [step[LABELS.index("outer")] for step in steps]
    normal = [step[0] for step in steps]
    assert LABELS[int(np.argmax(steps[0]))] == "normal"
    assert LABELS[int(np.argmax(steps[-1]))] == "outer"
    assert outer[-1] > 0.7
    assert all(later >= earlier - 0.02 for earlier, later in pairwise(outer))
    assert all(later <= earlier + 0.02 for earlier, later in pairwise(normal))
    assert {LABELS[int(np.argmax(step))] for step in steps} == {"normal", "outer"}  # no other fault is named on the way


@pytest.mark.parametrize("fault", ["inner", "outer", "ball"])
def test_each_plain_fault_is_told_from_the_others(model: Model, fault: str) -> None:
    found = probabilities(model, [machine(seed, 1.0) + 10 * impacts(seed, fault) for seed in range(10)])
    assert np.mean(found.argmax(axis=1) == LABELS.index(fault)) >= 0.9


def test_a_longer_waveform_says_the_same(model: Model) -> None:
    signal = machine(3, seconds=4.0) + 6 * impacts(3, "outer", seconds=4.0)
    assert probabilities(model, [signal]).argmax() == LABELS.index("outer")


def test_one_inference_fits_any_budget(model: Model) -> None:
    assert np.percentile(latencies_ms(model, 200), 50) < 5


def test_list_and_verify_tell_what_ships(tmp_path_factory: pytest.TempPathFactory) -> None:
    listed = CliRunner().invoke(main, ["list"])
    assert listed.exit_code == 0
    assert "bearing_condition  1." in listed.output
    assert "threshold 0.5" in listed.output
    verified = CliRunner().invoke(main, ["verify"])
    assert verified.exit_code == 0, verified.output
    folder = tmp_path_factory.mktemp("changed")
    content = (ARTIFACTS / "bearing_condition.onnx").read_bytes()
    (folder / "bearing_condition.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (folder / "bearing_condition.json").write_bytes(card_path(ARTIFACTS / "bearing_condition.onnx").read_bytes())
    refused = CliRunner().invoke(main, ["verify", str(folder / "bearing_condition.onnx")])
    assert refused.exit_code == 1
    assert "SHA-256" in refused.output


def test_evaluate_without_data_says_where_it_looked(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    done = CliRunner(env={"MUKI_DATA": str(empty)}).invoke(main, ["evaluate", "bearing_condition"])
    assert done.exit_code == 1
    assert str(empty / "bearing_cwru") in done.output
    assert "MUKI_DATA" in done.output
    assert CliRunner().invoke(main, ["evaluate", "no_such"]).exit_code == 1
    assert CliRunner().invoke(main, ["evaluate"]).exit_code == 2


def test_bench_measures_in_a_process_of_its_own() -> None:
    done = CliRunner().invoke(main, ["bench", "bearing_condition"])
    assert done.exit_code == 0, done.output
    assert "p95" in done.output
    assert "MB" in done.output


def test_the_card_on_disk_is_what_people_can_read() -> None:
    path = card_path(ARTIFACTS / "bearing_condition.onnx")
    assert json.loads(path.read_text("utf-8"))["sha256"] == read_card(path).sha256
    assert path.read_text("utf-8").count("\n") > 100


def test_a_figure_that_is_not_the_cards_is_named(model: Model) -> None:
    """An artifact of other code or data, or a card that was written by hand."""
    table = list(model.card.metrics)
    assert disagreements(model.card, table) == []
    low, high = table[1].interval_95
    moved = table[1].model_copy(update={"value": high + 0.01, "interval_95": (low, high + 0.02)})
    assert [line.split(":")[0] for line in disagreements(model.card, [table[0], moved, *table[2:]])] == [f"{moved.name}, {moved.split}"]
    assert "no longer measured" in disagreements(model.card, table[1:])[0]
    other = table[0].model_copy(update={"split": "another"})
    assert "the card says nothing" in disagreements(model.card, [*table, other])[0]
