"""The pump anomaly model: normal is learnt before what is judged, the choice never sees the judged half, and the graph computes the score."""

from pathlib import Path

import numpy as np
import pytest

from models.cards import ModelError
from models.evaluate.pump_anomaly import nested, table_of
from models.pump import Smoothing, learn, scores
from models.runtime import load
from models.train.pump_anomaly import GROUPS, REFERENCE, SETTINGS, SUBSETS, THRESHOLDS, Recording, Setting, counts, read, to_onnx

SMOOTHING = Smoothing(5, 20)


def made(seed: int, shift: float = 1.5, group: str = "other") -> Recording:
    """Correlated channels; from row 600 to 800 the flow falls by ``shift`` spreads."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 1, (900, 8)) + generator.normal(0, 1, (900, 1))
    anomalous = np.zeros(900, bool)
    anomalous[600:800] = True
    values[anomalous, 7] -= shift
    return Recording(50 + values * np.arange(1, 9), anomalous, group)


def test_a_change_is_found_and_normal_is_quiet() -> None:
    recording = made(1, shift=40)
    found = scores(recording.values, learn(recording.values[:REFERENCE], SMOOTHING), SMOOTHING)
    assert found[630:800].min() > 2
    assert np.median(found[REFERENCE:600]) < 1


def test_a_score_never_looks_ahead() -> None:
    values = made(2).values
    normal = learn(values[:REFERENCE], SMOOTHING)
    np.testing.assert_allclose(scores(values[:500], normal, SMOOTHING), scores(values, normal, SMOOTHING)[:500])


def test_units_do_not_matter() -> None:
    values = made(3).values
    other = values * np.geomspace(1e-3, 1e3, 8) + 7
    found = [scores(one, learn(one[:REFERENCE], SMOOTHING), SMOOTHING) for one in (values, other)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


@pytest.mark.parametrize("reference", [np.zeros((10, 4)), np.full((400, 4), np.nan), np.zeros(400)])
def test_a_reference_that_teaches_nothing_is_refused(reference: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rows of normal operation"):
        learn(reference, SMOOTHING)


def test_counts_are_those_of_comparing() -> None:
    generator = np.random.default_rng(4)
    score, anomalous = np.round(generator.uniform(0, 6, 300), 1), generator.random(300) < 0.5
    for found, threshold in zip(counts(score, anomalous), THRESHOLDS, strict=True):
        alarm = score > threshold
        assert list(found) == [
            (alarm & anomalous).sum(),
            (alarm & ~anomalous).sum(),
            (~alarm & anomalous).sum(),
            (~alarm & ~anomalous).sum(),
        ]


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_graph_computes_the_score(subset: str) -> None:
    import onnxruntime

    values = made(5).values[:, SUBSETS[subset]]
    normal = learn(values[:REFERENCE], SMOOTHING)
    session = onnxruntime.InferenceSession(to_onnx(Setting(subset, SMOOTHING, 2.0)), providers=["CPUExecutionProvider"])
    ends = range(REFERENCE, len(values), 37)
    windows = np.array([values[end - SMOOTHING.rows + 1 : end + 1] for end in ends], np.float32)
    given = {name: array.astype(np.float32) for name, array in normal._asdict().items()}
    found = session.run(["score"], {"window": windows, **given})[0][:, 0]
    np.testing.assert_allclose(found, scores(values, normal, SMOOTHING)[list(ends)], rtol=1e-3)


def test_a_recording_is_judged_by_a_choice_that_never_saw_it() -> None:
    """Each recording alone makes one setting right and all others wrong: a choice that had seen it would be right."""
    recordings = 12
    found = np.zeros((len(SETTINGS), recordings, len(THRESHOLDS), 4))
    found[..., 2] = 1
    for recording in range(recordings):
        found[recording, recording] = [100, 0, 0, 100]
    judged = nested(found, np.repeat(GROUPS, 4))
    assert judged[:, 0].sum() == 0


def test_the_table_is_as_good_as_the_data_is_plain() -> None:
    recordings = [made(seed, shift=60, group=group) for seed, group in enumerate(np.repeat(GROUPS, 2))]
    table = {metric.name: metric for metric in table_of(recordings)}
    assert table["F1"].value > 0.9
    assert table["F1"].baselines["everything is anomalous"].value == pytest.approx(2 * 0.4 / 1.4, abs=1e-3)
    assert table["false-alarm rate"].baselines["everything is anomalous"].value == 1


def test_a_folder_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not the data set"):
        read(tmp_path)
    (tmp_path / "valve1").mkdir()
    (tmp_path / "valve1" / "0.csv").write_text("a;b\n1;2\n")
    with pytest.raises(ModelError, match=r"0\.csv"):
        read(tmp_path)


def test_what_ships_tells_a_blocked_pump_from_a_sound_one() -> None:
    model = load("pump_anomaly")
    window = model.card.inputs[0].shape
    assert window[1:] == (SMOOTHING.rows, 4)
    assert model.card.inputs[0].labels[-1] == "Volume Flow RateRMS"
    values = made(6, shift=40).values[:, SUBSETS["vibration, current and flow"]]
    given = {name: array.astype(np.float32) for name, array in learn(values[:REFERENCE], SMOOTHING)._asdict().items()}
    windows = np.array([values[end - SMOOTHING.rows : end] for end in (500, 700)], np.float32)
    sound, blocked = model.run({"window": windows, **given})["score"][:, 0]
    assert sound < model.card.threshold.value < blocked
