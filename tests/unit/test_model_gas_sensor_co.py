"""The carbon monoxide calibration: what it may look at, the graph computes what was fitted, and what ships follows the sensors."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.cards import ModelError
from models.evaluate.gas_sensor_co import clock, power_law
from models.runtime import load
from models.train.boosted_trees import forest_node, not_above
from models.train.gas_blend import HIGHEST, Blend, fit_members, weigh
from models.train.gas_sensor_co import (
    CHANNELS,
    FILE,
    HOURS,
    MISSING,
    MOVES,
    TARGET,
    Calibration,
    Series,
    features,
    halves,
    inputs,
    read,
    to_onnx,
    trees,
    weights_of,
)

WIDEST = list(MOVES)[-1]


def made(hours: int = 600, seed: int = 1) -> np.ndarray:
    """(hours, 8): five sensors that follow powers of the gas, temperature, humidity, and the gas."""
    generator = np.random.default_rng(seed)
    gas = np.exp(0.6 * np.sin(np.arange(hours) / 4) + generator.normal(0, 0.2, hours))
    powers = np.array([0.3, 0.4, -0.4, 0.2, 0.5])
    sensors = 1000 * gas[:, None] ** powers * np.exp(generator.normal(0, 0.02, (hours, 5)))
    return np.column_stack([sensors, 15 + 5 * np.sin(np.arange(hours) / 9), np.full(hours, 50.0), gas])


def written(folder: Path, values: np.ndarray) -> Path:
    lines = [",".join((*CHANNELS, TARGET)), *(",".join(f"{value:.4f}" for value in row) for row in values)]
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_gaps_are_filled_from_the_past_and_never_judged(tmp_path: Path) -> None:
    values = made(100)
    values[40, :7] = MISSING
    values[50, 7] = MISSING
    series = read(written(tmp_path, values))
    assert set(range(HOURS - 1, 100)) - set(series.hour.tolist()) == {40, 50}
    after = series.windows[series.hour.tolist().index(41)]
    np.testing.assert_allclose(after[-1], values[41, :7], rtol=1e-5)
    np.testing.assert_allclose(after[-2], values[39, :7], rtol=1e-5)


def test_no_window_knows_a_later_hour(tmp_path: Path) -> None:
    values = made(100)
    before = read(written(tmp_path, values))
    values[60:, :7] *= 1.5
    after = read(written(tmp_path, values))
    np.testing.assert_array_equal(before.windows[before.hour < 60], after.windows[after.hour < 60])
    assert not np.array_equal(before.windows[before.hour == 60], after.windows[after.hour == 60])


def test_the_halves_share_no_hour_even_in_their_windows(tmp_path: Path) -> None:
    train, test = halves(read(written(tmp_path, made(400))))
    assert test.hour.min() - HOURS + 1 > train.hour.max()


def test_features_are_moves_of_logarithms() -> None:
    windows = np.full((1, HOURS, 7), 50, np.float32)
    windows[0, -1, :5] = 100
    row = features(windows, weights_of(MOVES[WIDEST]))[0]
    np.testing.assert_allclose(row[:7], [*np.full(5, np.log(100)), 50, 50], rtol=1e-5)
    np.testing.assert_allclose(row[8:28], np.log(2), rtol=1e-4)  # lags of 1, 2, 3 and 6 hours
    np.testing.assert_allclose(row[28:33], np.log(2) * 23 / 24, rtol=1e-4)
    np.testing.assert_allclose(row[33:], 0, atol=1e-4)


def test_a_hundred_percent_more_water_is_its_logarithm_in_absolute_humidity() -> None:
    windows = np.full((2, HOURS, 7), 20, np.float32)
    windows[1, :, 6] = 40
    dry, damp = features(windows, weights_of(MOVES["the hour alone"]))[:, 7]
    assert damp - dry == pytest.approx(np.log(2), abs=1e-5)


def test_the_graph_computes_what_was_fitted(tmp_path: Path) -> None:
    import onnxruntime

    series = read(written(tmp_path, made()))
    weights = weights_of(MOVES[WIDEST])
    rows = features(series.windows, weights)
    members = fit_members(rows, series.co, partial(trees, rounds=20), 1, forest=(5, 20))
    centre = Blend(members, np.array([0.4, 0.3, 0.2, 0.1]))
    spread = trees(rows, np.log(np.abs(centre.predict(rows) - series.co) + 0.02), loss="squared_error", rounds=10)
    calibration = Calibration(weights, centre, spread, 2.5)
    session = onnxruntime.InferenceSession(to_onnx(calibration), providers=["CPUExecutionProvider"])
    found = session.run(["co"], inputs(series.windows))[0]
    wanted = calibration.predict(series.windows)
    assert np.mean(np.abs(found - wanted).max(axis=1) < 1e-4) > 0.99  # a last bit of a logarithm may fall to the other side of a split
    assert np.ptp(wanted[:, 1]) > 0.5


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 7.0, 1e-40])
def test_a_float32_falls_to_the_same_side_of_the_rounded_threshold(threshold: float) -> None:
    rounded = np.float32(not_above(threshold))
    for value in (rounded, np.nextafter(rounded, np.float32(np.inf)), np.nextafter(rounded, np.float32(-np.inf))):
        assert (value <= rounded) == (float(value) <= threshold)


def test_the_graph_of_a_forest_computes_its_mean() -> None:
    import onnxruntime
    from onnx import TensorProto, helper
    from sklearn.ensemble import ExtraTreesRegressor

    rows = np.random.default_rng(3).normal(size=(400, 5)).astype(np.float32)
    forest = ExtraTreesRegressor(7, min_samples_leaf=3, random_state=1).fit(rows, rows[:, 0] * rows[:, 1])
    given, told = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("rows", 5), ("told", 1)))
    graph = helper.make_graph([forest_node(forest, "rows", "told")], "forest", [given], [told])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["told"], {"rows": rows})[0][:, 0], forest.predict(rows), atol=1e-6)


def test_the_weights_are_those_of_the_nearest_mean() -> None:
    told = np.random.default_rng(5).normal(2, 1, (4, 500))
    wanted = np.array([0.5, 0.0, 0.2, 0.3])
    np.testing.assert_allclose(weigh(told, wanted @ told), wanted, atol=0.02)


def test_no_estimate_is_below_nothing_or_without_end() -> None:
    rows = np.random.default_rng(7).normal(size=(200, 3))
    members = fit_members(rows, np.exp(rows[:, 0]), partial(trees, rounds=5), 1, forest=(3, 20))
    assert members.predict(np.array([[1e3, 0, 0], [-1e3, 0, 0]])).min() >= 0
    assert members.predict(np.array([[1e3, 0, 0]])).max() == HIGHEST


def test_the_power_law_finds_a_power_law() -> None:
    response = np.linspace(1, 9, 50)[:, None]
    np.testing.assert_allclose(power_law(np.log(response), 3 * response[:, 0] ** 0.7, np.log(response)), 3 * response[:, 0] ** 0.7)


def test_the_record_begins_on_a_wednesday_at_six_in_the_evening() -> None:
    np.testing.assert_array_equal(clock(np.array([0, 5, 6, 5 + 24 * 4])), [[18, 2], [23, 2], [0, 3], [23, 6]])


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"no column .*T, RH, CO\(GT\): not the data set"):
        read(tmp_path)


def street(level: float) -> np.ndarray:
    """A day of typical clean air whose last hours rise by ``level`` in the direction in which carbon monoxide moves the five sensors."""
    windows = np.empty((1, HOURS, 7), np.float32)
    windows[:] = (950, 750, 1000, 1400, 850, 18, 45)
    windows[0, -3:, :5] *= np.exp(level * np.array([0.35, 0.45, -0.45, 0.25, 0.5]))
    return windows


def test_what_ships_rises_with_the_gas_inside_its_band() -> None:
    model = load("gas_sensor_co")
    answers = []
    for level in (0.0, 0.5, 1.0):
        given = inputs(street(level))
        assert model.outside(given) == []
        lower, estimate, upper = model.run(given)["co"][0]
        assert 0 <= lower < estimate < upper
        answers.append(estimate)
    assert answers[0] < 1.5 < 2 * answers[0] + 1 < answers[2]
    assert answers[0] < answers[1] < answers[2]


def test_the_card_says_that_it_is_no_alarm_and_holds_what_was_asked() -> None:
    card = load("gas_sensor_co").card
    table = {metric.name: metric for metric in card.metrics}
    assert table["MAE in mg/m3"].value <= 0.37
    assert table["MAE in mg/m3 of a variant that is told the hour of the day and week, not shipped"].value <= 0.32
    assert table["MAE gained on trees of the hour alone, in mg/m3"].interval_95[0] > 0
    low, high = table["share of hours inside the 90% band"].interval_95
    assert low < 0.9 < high
    assert any("never a safety instrument" in text for text in card.failure_modes)


def test_a_series_is_taken_by_rows() -> None:
    series = Series(np.zeros((3, HOURS, 7), np.float32), np.arange(3.0), np.arange(3))
    assert series.rows(np.array([2, 0])).co.tolist() == [2, 0]
