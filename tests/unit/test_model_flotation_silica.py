"""Silica one hour ahead: drawn hours are found, only the past is used, and the graph computes what was fitted."""

from pathlib import Path

import numpy as np
import pytest

from models.cards import ModelError
from models.evaluate.flotation_silica import table_of
from models.runtime import load
from models.silica import INPUTS, LAST, interpolated, state
from models.train.flotation_silica import Hours, asked, fit, read, split, to_onnx


def made(count: int = 800, seed: int = 3) -> Hours:
    """A slow wander with noise of the laboratory, in two digits."""
    generator = np.random.default_rng(seed)
    wander = np.empty(count)
    wander[0] = 2.0
    for hour in range(1, count):
        wander[hour] = 2.0 + 0.95 * (wander[hour - 1] - 2.0) + generator.normal(0, 0.1)
    silica = np.round(wander + generator.normal(0, 0.3, count), 2)
    return Hours(silica, generator.normal(0, 1, (count, 21)), ~interpolated(silica))


def test_hours_on_a_line_and_with_too_many_digits_are_no_measurements() -> None:
    values = np.array([2.0, 2.1, 2.2, 2.3, 2.3, 2.3, 1.0, 1.234, 1.5, 1.0])
    assert interpolated(values).tolist() == [False, True, True, False, False, False, False, True, False, False]


def test_the_state_is_of_measurements_only() -> None:
    values = np.arange(60, dtype=float) / 10
    measured = np.ones(60, bool)
    measured[[59, 58, 50]] = False
    found = state(values, measured)
    assert found is not None
    assert found[:LAST] == pytest.approx([5.7, 5.6, 5.5, 5.4, 5.3, 5.2])
    assert found[LAST] == 3, "hours since the newest measurement, when the hour after is asked for"
    assert state(values, np.zeros(60, bool)) is None
    assert state(values[:20], measured[:20]) is None
    assert len(found) == len(INPUTS)


def test_what_comes_later_changes_no_question() -> None:
    hours = made()
    changed = Hours(hours.silica.copy(), hours.process, hours.measured)
    changed.silica[500:] = 9.99
    before, after = asked(hours, 0, 500), asked(changed, 0, 500)
    np.testing.assert_array_equal(before.inputs, after.inputs)
    first = asked(hours, 100, 101)
    moved = Hours(hours.silica.copy(), hours.process, hours.measured)
    moved.silica[100] = 0.0
    np.testing.assert_array_equal(asked(moved, 100, 101).inputs, first.inputs)


def test_noise_of_the_laboratory_is_smoothed_and_the_band_holds() -> None:
    hours = made(2000)
    table = {metric.name: metric for metric in table_of(hours)}
    assert table["share by which that error is less than that of persistence"].interval_95[0] > 0.05
    assert table["share of hours inside the band of 90 %"].value == pytest.approx(0.9, abs=0.05)


def test_the_graph_computes_the_rule() -> None:
    import onnxruntime

    hours = made()
    questions = asked(hours, 0, split(hours))
    rule = fit(questions)
    session = onnxruntime.InferenceSession(to_onnx(rule), providers=["CPUExecutionProvider"])
    found = session.run(["silica"], {"lab": questions.inputs.astype(np.float32)})[0]
    np.testing.assert_allclose(found, np.maximum(rule.told(questions.inputs), 0), atol=1e-4)


def test_what_ships_says_what_it_gains_and_what_it_misses() -> None:
    model = load("flotation_silica")
    (gain,) = [metric for metric in model.card.metrics if metric.name.startswith("share by which")]
    assert gain.interval_95[0] > 0, "else persistence should ship"
    low, median, high = model.run({"lab": np.array([[2.0] * 6 + [1, 2.0, 2.0]], np.float32)})["silica"][0]
    assert low < median < high
    assert median == pytest.approx(2.0, abs=0.2)


def test_a_file_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flotation_hourly_mean.csv").write_text("date,a\n2017,1\n")
    with pytest.raises(ModelError, match="not the data set"):
        read(tmp_path)
