"""The engine life model: the summary is what it says and looks back only, folds hold out whole engines, and what ships follows wear."""

from pathlib import Path

import numpy as np
import pytest

from models.cards import ModelError
from models.engine_life import BASELINE, MEANS, ROWS, SENSORS, SLOPES, summaries
from models.evaluate.engine_life import held_out, phm08, rmse
from models.runtime import load
from models.train.engine_life import Fleet, Rows, fit, last_rows, read, rows, to_onnx


def fleet(engines: int = 8, seed: int = 1) -> Fleet:
    """Sensors that drift faster and faster towards the end of each life."""
    generator = np.random.default_rng(seed)
    histories = []
    for _ in range(engines):
        cycles = int(generator.integers(120, 180))
        wear = np.exp(-np.arange(cycles)[::-1] / 30)
        histories.append(500 + wear[:, None] * np.linspace(1, 3, 14) + generator.normal(0, 0.2, (cycles, 14)))
    return Fleet(histories, np.zeros(engines))


def test_means_and_slopes_are_those_of_numpy() -> None:
    history = fleet(1).histories[0]
    end = 97
    found = summaries(history, np.array([end]))[0]
    baseline = history[:BASELINE].mean(axis=0)
    for row, window in enumerate(MEANS):
        np.testing.assert_allclose(found[row], history[max(0, end - window) : end].mean(axis=0) - baseline, atol=1e-9)
    for row, window in enumerate(SLOPES, len(MEANS) + 2):
        part = history[max(0, end - window) : end]
        slope = np.polyfit(np.arange(len(part)), part, 1)[0]
        np.testing.assert_allclose(found[row], slope * min(window, 100), atol=1e-8)
    assert found.shape == (len(ROWS), len(SENSORS))


def test_nothing_after_the_end_is_looked_at() -> None:
    history = fleet(1).histories[0]
    ends = np.array([20, 50, 90])
    np.testing.assert_allclose(summaries(history, ends), summaries(history[:90], ends), atol=1e-9)


@pytest.mark.parametrize("ends", [[19], [10_000], []])
def test_an_end_that_cannot_be_judged_is_refused(ends: list[int]) -> None:
    with pytest.raises(ValueError, match="ends must lie in 20"):
        summaries(fleet(1).histories[0], np.array(ends, int))


def test_the_graph_computes_the_trained_model() -> None:
    import onnxruntime

    seen = rows(fleet(), step=4)
    life = fit(seen)
    session = onnxruntime.InferenceSession(to_onnx(life), providers=["CPUExecutionProvider"])
    judged = rows(fleet(3, seed=2), step=4)
    found = session.run(["life"], {"summary": judged.summary.astype(np.float32), "age": judged.age[:, None].astype(np.float32)})[0][:, 0]
    predicted = life.predict(judged.summary, judged.age)
    np.testing.assert_allclose(np.median(np.abs(found - predicted)), 0, atol=1e-3)
    np.testing.assert_allclose(found, predicted, atol=3)  # a value that rounds across a split moves one tree
    assert rmse(predicted - np.minimum(judged.life, 125)) < 20


def test_a_fold_never_saw_the_engine_it_judges() -> None:
    judged: list[int] = []

    def spy(train: Rows, held: Rows) -> np.ndarray:
        assert not set(train.engine) & set(held.engine)
        judged.extend(held.engine)
        return held.life

    seen = rows(fleet())
    np.testing.assert_array_equal(held_out(seen, spy), seen.life)
    assert sorted(judged) == sorted(seen.engine)


def test_late_costs_more_than_early() -> None:
    assert phm08(np.array([10.0])) == pytest.approx(np.e - 1)
    assert phm08(np.array([-13.0])) == pytest.approx(np.e - 1)
    assert phm08(np.zeros(5)) == 0


def test_the_last_row_is_the_last_cycle() -> None:
    cut = Fleet(fleet(2).histories, np.array([30.0, 7.0]))
    last = last_rows(cut)
    assert list(last.age) == [len(history) for history in cut.histories]
    assert list(last.life) == [30, 7]


def test_a_folder_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "train_FD001.txt", np.zeros((3, 5)))
    with pytest.raises(ModelError, match="not the data set"):
        read(tmp_path)


def test_what_ships_sees_wear_come() -> None:
    """Typical levels of the data set; s4 and s11 rise and s12 falls by what they do there over a life."""
    model = load("engine_life")
    base = np.array([642.3, 1587, 1402, 554, 2388.05, 9060, 47.3, 522, 2388.05, 8140, 8.42, 392, 38.95, 23.37])
    change = np.array([1.3, 15, 25, -2, 0.15, 15, 0.8, -1.9, 0.15, 10, 0.09, 3.5, -0.5, -0.3])
    wear = np.exp(-np.arange(200)[::-1] / 40)
    history = base + wear[:, None] * change
    ends = np.array([100, 150, 180, 200])
    given = {"summary": summaries(history, ends).astype(np.float32), "age": ends[:, None].astype(np.float32)}
    found = model.run(given)["life"][:, 0]
    assert (np.diff(found) < 0).all()
    assert found[0] > 80
    assert found[-1] < model.card.threshold.value
