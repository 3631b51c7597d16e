"""The seismic hazard: one number, fitted on the past only, and a graph that computes what was fitted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.cards import ModelError
from models.evaluate import seismic_hazard as evaluate
from models.evaluate.seismic_hazard import FIRST, LAST, ROLLING, area, rolling, table_of
from models.runtime import load
from models.train.seismic_hazard import COLUMNS, ENERGY, Shifts, balanced_accuracy, fit, read, to_onnx


def made(count: int = 900, *, decades: float = 1.0, seed: int = 1) -> Shifts:
    """Shifts of which those with a decade more energy are ``decades`` times as telling."""
    generator = np.random.default_rng(seed)
    attributes = generator.integers(0, 5, (count, COLUMNS)).astype(float)
    logarithm = generator.normal(4, 0.7, count)
    attributes[:, ENERGY] = 10**logarithm
    hazard = generator.random(count) < 1 / (1 + np.exp(-(3 * decades * (logarithm - 4) - 2.5)))
    return Shifts(attributes, hazard)


def test_the_curve_is_found_and_the_graph_computes_it() -> None:
    import onnxruntime

    shifts = made(4000)
    rule = fit(shifts)
    assert rule.weight == pytest.approx(3, abs=0.4)
    session = onnxruntime.InferenceSession(to_onnx(rule), providers=["CPUExecutionProvider"])
    energy = np.array([[0.0], [1e3], [1e5], [2.5e6]], np.float32)
    np.testing.assert_allclose(session.run(["hazard"], {"energy": energy})[0][:, 0], rule.probability(energy[:, 0]), atol=1e-5)
    said = rule.probability(shifts.attributes[:, ENERGY]) >= rule.threshold
    assert balanced_accuracy(shifts.hazard, said) > 0.75


def test_a_shift_is_judged_by_the_past_alone() -> None:
    shifts = made()

    def spy(train: Shifts, attributes: Any) -> tuple[Any, Any]:
        assert len(train.hazard) >= FIRST
        assert len(attributes) <= len(train.hazard) + evaluate.STEP
        np.testing.assert_array_equal(train.attributes, shifts.attributes[: len(train.hazard)])
        return np.zeros(len(attributes)), np.zeros(len(attributes), bool)

    scores, _ = rolling(shifts, spy)
    assert np.isnan(scores[:FIRST]).all()
    assert not np.isnan(scores[FIRST:]).any()


def test_what_comes_later_changes_no_earlier_judgement() -> None:
    shifts = made()
    other = Shifts(shifts.attributes.copy(), shifts.hazard.copy())
    other.attributes[800:] = 7.0
    other.hazard[800:] = True
    for predict in evaluate.PREDICTORS.values():
        np.testing.assert_allclose(rolling(shifts, predict)[0][FIRST:800], rolling(other, predict)[0][FIRST:800])


def test_the_area_is_that_of_the_textbook() -> None:
    truth = np.array([True, False, True, False])
    assert area(truth, np.array([4.0, 3.0, 2.0, 1.0])) == 0.75
    assert area(truth, np.array([1.0, 1.0, 1.0, 1.0])) == 0.5
    assert area(truth, np.array([2.0, 2.0, 3.0, 1.0])) == 0.875
    assert np.isnan(area(np.array([True]), np.array([1.0])))


def test_what_ships_says_that_nothing_beats_it() -> None:
    card = load("seismic_hazard").card
    added = [metric for metric in card.metrics if "would add" in metric.name]
    assert len(added) == 2
    for metric in added:
        assert metric.interval_95[0] < 0 < metric.interval_95[1], "if one does beat it, ship that one"
    splits = {metric.split for metric in card.metrics}
    assert {ROLLING, LAST} <= splits


def test_more_energy_is_never_less_hazard() -> None:
    model = load("seismic_hazard")
    found = model.run({"energy": np.logspace(0, 6.4, 50, dtype=np.float32)[:, None]})["hazard"][:, 0]
    assert (np.diff(found) > 0).all()


def test_the_table_of_a_series_that_tells() -> None:
    table = {(metric.name, metric.split): metric for metric in table_of(made())}
    assert table["area under the ROC curve", ROLLING].value > 0.8


def test_a_file_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seismic-bumps.arff").write_text("% a comment\n@data\n1,2,3\n")
    with pytest.raises(ModelError, match="not the data set"):
        read(tmp_path)
