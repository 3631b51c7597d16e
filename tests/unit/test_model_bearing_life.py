"""The remaining life of bearings: nothing of the future is used, nothing of the held-out bearings is learnt, and the graph computes the rule."""

from pathlib import Path

import numpy as np
import pytest

from models.bearing_life import CONFIRM, FIRST, RISE, confirmed, history
from models.cards import ModelError
from models.evaluate.bearing_life import CONSTANT, ELAPSED, answers, score, table_of
from models.runtime import load
from models.train.bearing_life import LEARNING, Life, asked, fit, read, to_onnx

TEST = ("Bearing1_3", "Bearing1_5")


def worn(length: int, seed: int, from_share: float = 0.6) -> np.ndarray:
    """Quiet at 0.4 g, then growing to about nine times that at the end."""
    generator = np.random.default_rng(seed)
    growth = np.maximum(np.arange(length) / length - from_share, 0) / (1 - from_share)
    return 0.4 * np.exp(2.2 * growth)[:, None] * np.exp(generator.normal(0, 0.05, (length, 2)))


def lives() -> list[Life]:
    lengths = (500, 900, 700, 1_500, 1_100, 2_400, 2_400, 2_500)
    return [Life(bearing, worn(length, place)) for place, (bearing, length) in enumerate(zip(LEARNING + TEST, lengths, strict=True))]


def test_a_state_knows_the_past_only() -> None:
    rms = worn(400, 1)
    whole = history(rms)
    for seen in (FIRST, 100, 250, 399):
        np.testing.assert_array_equal(history(rms[:seen]).state, whole.state[:seen])


def test_wear_is_confirmed_and_a_knock_is_not() -> None:
    onset = history(worn(1_000, 2)).onset
    assert onset is not None
    assert 600 < onset < 800
    quiet = worn(1_000, 3, from_share=0.999)
    assert history(quiet).onset is None
    quiet[500:504] *= 50
    assert history(quiet).onset is None


def test_the_unit_of_the_vibration_does_not_matter() -> None:
    rms = worn(300, 4)
    np.testing.assert_allclose(history(rms).state, history(rms * 9.81).state, atol=1e-5)


def test_an_onset_needs_every_snapshot_and_the_first_minutes_do_not_count() -> None:
    rise = np.zeros(200)
    rise[100 : 100 + CONFIRM - 1] = RISE + 0.1
    assert confirmed(rise) is None
    rise[100 + CONFIRM - 1] = RISE + 0.1
    assert confirmed(rise) == 100 + CONFIRM - 1
    assert confirmed(np.full(200, RISE + 0.1)) == FIRST + CONFIRM - 1


@pytest.mark.parametrize("broken", [np.zeros((100, 2)), np.full((100, 2), np.nan), np.ones((FIRST - 1, 2)), np.ones(100)])
def test_a_dead_sensor_is_no_quiet_bearing(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rms"):
        history(broken)


def test_louder_is_never_promised_longer_and_the_graph_computes_the_rule() -> None:
    import onnxruntime

    rule = fit(lives()[: len(LEARNING)])
    state = np.linspace(-0.5, 4, 50, dtype=np.float32)[:, None]
    told = rule.remaining(state)
    assert (np.diff(told, axis=0) <= 0).all()
    assert (np.diff(told, axis=1) > 0).all()
    assert told[0, 1] > told[-1, 1]
    session = onnxruntime.InferenceSession(to_onnx(rule), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["remaining_s"], {"state": state})[0], told, rtol=1e-5)


def test_lives_in_which_the_louder_lasts_longer_teach_nothing() -> None:
    """Loud while new and quiet at the end, as in a running-in: such data must not turn the rule round."""
    turned = [Life(life.bearing, worn(len(life.rms), 9)[::-1]) for life in lives()[: len(LEARNING)]]
    for life in turned:
        life.rms[: len(life.rms) // 20] = 0.3
    told = fit(turned).remaining(np.array([[0.0], [2.0]]))
    np.testing.assert_array_equal(told[0], told[1])


def test_the_challenge_scores_half_at_20_percent_early_and_5_percent_late() -> None:
    assert score(np.array([100.0, 80.0, 105.0]), np.full(3, 100.0)) == pytest.approx([1, 0.5, 0.5])


def test_the_baselines_know_no_held_out_bearing() -> None:
    """Another life among the held-out ones moves what is scored, not what the baselines say."""
    everything = lives()
    learnt, held = everything[: len(LEARNING)], everything[len(LEARNING) :]
    rule = fit(learnt)
    alone, both = (answers(learnt, rule, [(life, *asked(life)) for life in chosen]) for chosen in (held[:1], held))
    assert set(alone.told) == {"model", CONSTANT, ELAPSED}
    for name, told in alone.told.items():
        np.testing.assert_array_equal(told, both.told[name][: len(told)])
    table = table_of(everything)
    assert len({(metric.name, metric.split) for metric in table}) == len(table)
    assert {CONSTANT, ELAPSED} == set(table[0].baselines)


def test_a_file_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features.csv").write_text("bearing,index,h_rms,v_rms\nBearing1_1,1,0.4,0.4\n")
    with pytest.raises(ModelError, match="Bearing1_2"):
        read(tmp_path)
    rows = "".join(f"{bearing},2,0.4,0.4\n" for bearing in LEARNING)
    (tmp_path / "features.csv").write_text("bearing,index,h_rms,v_rms\n" + rows)
    with pytest.raises(ModelError, match="gap"):
        read(tmp_path)


def test_what_ships_says_less_the_louder_it_gets_and_admits_what_it_is() -> None:
    model = load("bearing_life")
    told = model.run({"state": np.array([[0.0], [0.5], [1.0]], np.float32)})["remaining_s"]
    assert (np.diff(told, axis=0) < 0).all()
    assert (np.diff(told, axis=1) > 0).all()
    assert "no better than a constant" in model.card.failure_modes[0]
