"""Fed row by row, a model gets what the training code makes of the whole recording."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import bearing_life, engine_life, pump
from models.cards import ARTIFACTS, Card, ModelError, card_path, read_card
from models.preparation import Preparation, preparation
from models.runtime import names
from models.train.feeds import FEEDS

GENERATOR = np.random.default_rng(7)


def card(name: str) -> Card:
    return read_card(card_path(ARTIFACTS / f"{name}.onnx"))


def fed(made: Preparation, rows: np.ndarray) -> Preparation:
    for row in rows:
        made.add(row)
    return made


@pytest.mark.parametrize("name", sorted(FEEDS))
def test_every_model_of_readings_says_how_it_is_fed_and_the_ranges_of_its_features(name: str) -> None:
    of = card(name)
    assert of.feed is not None
    assert all(feature.low < feature.high for feature in of.feed.features)
    made = preparation(of)
    width = len(of.feed.signals)
    fed(made, GENERATOR.uniform(1, 2, (500, width)))
    assert made.waiting == ""
    assert made.features().shape == (len(of.feed.features),)
    for tensor in of.inputs:
        values = made.inputs()[tensor.name]
        assert values.dtype == np.float32
        assert values.shape == tuple(1 if size == "N" else size for size in tensor.shape)


def test_models_of_waveforms_and_pictures_have_no_feed() -> None:
    for name in set(names()) & {"bearing_condition", "people_vehicles", "ppe_detector"}:
        with pytest.raises(ModelError, match="has no feed"):
            preparation(card(name))


@settings(max_examples=25, deadline=None)
@given(cycles=st.integers(20, 900), seed=st.integers(0, 99))
def test_an_engine_is_summed_up_as_its_whole_history_is(cycles: int, seed: int) -> None:
    rows = 500 + np.random.default_rng(seed).normal(size=(cycles, 14)).cumsum(axis=0)
    made = fed(preparation(card("engine_life")), rows[:-1])
    if not made.waiting:
        made.inputs()  # an answer must not be the last one's
    made.add(rows[-1])
    whole = engine_life.summaries(rows, np.array([cycles]))
    np.testing.assert_allclose(made.inputs()["summary"], whole.astype(np.float32), rtol=1e-5, atol=1e-5)
    assert made.inputs()["age"].item() == cycles


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(60, 300), seed=st.integers(0, 99))
def test_the_rise_of_a_bearing_is_that_of_its_whole_history(rows: int, seed: int) -> None:
    rms = np.exp(np.random.default_rng(seed).normal(0, 0.2, (rows, 2)).cumsum(axis=0))
    made = preparation(card("bearing_life"))
    states = [(made.add(row), made.features()[0], made.waiting)[1:] for row in rms]
    np.testing.assert_allclose([rise for rise, _ in states], bearing_life.history(rms).state[:, 0], atol=1e-6)
    assert [waiting for _, waiting in states].count("gathering") == bearing_life.FIRST - 1


def test_a_pump_is_judged_by_what_its_first_rows_taught() -> None:
    of = card("pump_anomaly")
    made = preparation(of)
    assert of.feed is not None
    smoothing = pump.Smoothing(of.feed.parameters["channels"], of.feed.parameters["score"])
    rows = GENERATOR.normal(5, 1, (600, 4))
    reasons = [made.add(row) or made.waiting for row in rows]
    assert reasons == ["learning"] * 400 + [""] * 200
    normal = pump.learn(rows[:400], smoothing)
    np.testing.assert_allclose(made.inputs()["whitening"], normal.whitening.astype(np.float32))
    np.testing.assert_allclose(made.inputs()["window"][0], rows[-24:].astype(np.float32))


def test_signals_go_to_the_inputs_in_order_and_rows_lie_as_the_input_wants_them() -> None:
    rows = np.arange(24 * 7, dtype=float).reshape(24, 7)
    gas = fed(preparation(card("gas_sensor_co")), rows).inputs()
    np.testing.assert_array_equal(gas["responses"][0], rows[:, :5])
    np.testing.assert_array_equal(gas["temperature"][0], rows[:, 5:6])
    np.testing.assert_array_equal(gas["humidity"][0], rows[:, 6:7])
    cooler = fed(preparation(card("hydraulic_cooler")), np.arange(240.0).reshape(60, 4)).inputs()
    np.testing.assert_array_equal(cooler["temperatures"][0], np.arange(240.0).reshape(60, 4).T)


def test_a_missing_row_repeats_the_one_before_and_half_may_be_missing() -> None:
    made = preparation(card("gas_sensor_co"))
    made.add(None)
    assert made.waiting == "gathering"
    fed(made, np.ones((23, 7)))
    assert (made.waiting, made.held) == ("gathering", False)  # what was before the first row is no row
    for _ in range(12):
        made.add(None)
        assert (made.waiting, made.held) == ("", True)
    made.add(None)
    assert made.waiting == "gap"
    fed(made, np.ones((24, 7)))
    assert (made.waiting, made.held) == ("", False)


def test_missing_cycles_count_and_dead_sensors_are_no_quiet_bearing() -> None:
    engine = fed(preparation(card("engine_life")), GENERATOR.normal(size=(30, 14)))
    engine.add(None)
    assert engine.held
    assert engine.inputs()["age"].item() == 31
    fed(engine, GENERATOR.normal(size=(80, 14)))
    assert not engine.held
    bearing = fed(preparation(card("bearing_life")), np.ones((100, 2)))
    before = bearing.features()
    assert bearing.add(np.array([1.0, 0.0])) == "not_positive"
    assert bearing.held
    np.testing.assert_array_equal(bearing.features(), before)


@pytest.mark.parametrize("name", sorted(FEEDS))
@pytest.mark.parametrize("cut", [0, 1, 25, 399, 400, 450])
def test_what_was_learnt_survives_a_restart(name: str, cut: int) -> None:
    of = card(name)
    assert of.feed is not None
    rows = GENERATOR.uniform(1, 2, (500, len(of.feed.signals)))
    whole, first, second = preparation(of), preparation(of), preparation(of)
    fed(whole, rows)
    state: dict[str, Any] = json.loads(json.dumps(fed(first, rows[:cut]).state()))
    second.restore(state)
    fed(second, rows[cut:])
    for key, values in whole.inputs().items():
        np.testing.assert_array_equal(second.inputs()[key], values)
    np.testing.assert_array_equal(second.features(), whole.features())
    assert len(json.dumps(whole.state())) < 130_000


def test_missing_rows_are_no_part_of_what_a_pump_learns() -> None:
    rows = GENERATOR.normal(5, 1, (400, 4))
    made = fed(preparation(card("pump_anomaly")), rows[:300])
    for _ in range(50):
        made.add(None)
    fed(made, rows[300:399])
    assert made.waiting == "learning"
    made.add(rows[399])
    assert made.state()["normal"] == fed(preparation(card("pump_anomaly")), rows).state()["normal"]


def test_a_model_of_single_rows_takes_them_as_they_are() -> None:
    of = card("seismic_hazard")
    made = preparation(of)
    made.add(np.array([5e4]))
    assert made.waiting == ""
    np.testing.assert_array_equal(made.inputs()["energy"], np.array([[5e4]], np.float32))
    made.add(None)
    assert made.waiting == "gap"  # nothing but what was before


def test_a_card_that_leaves_an_output_unreported_or_reports_one_too_many_is_refused() -> None:
    document = json.loads(card_path(ARTIFACTS / "gas_sensor_co.onnx").read_text("utf-8"))
    document["feed"]["outputs"].pop(0)
    with pytest.raises(ValueError, match=r"feed\.outputs has 2 entries; the outputs have 3, each is reported"):
        Card.model_validate_json(json.dumps(document))
