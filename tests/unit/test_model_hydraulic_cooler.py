"""The cooler rule: fitted without what it is judged on, and the graph computes what was fitted."""

from pathlib import Path

import numpy as np
import pytest

from models.cards import ModelError
from models.evaluate.hydraulic_cooler import held_out, table_of
from models.runtime import load
from models.train.hydraulic_cooler import LABELS, SAMPLES, STATES, Cycles, fit, read, to_onnx

DROPS = (1.5, 2.2, 2.9)  # K between the first and the third sensor


def made(cycles: int = 60, seed: int = 1) -> Cycles:
    """Three states, each in one stretch, under a hall temperature that wanders more than the states differ."""
    generator = np.random.default_rng(seed)
    state = np.repeat(range(len(STATES)), cycles)
    hall = 40 + 5 * np.sin(np.arange(len(state)) / 7)
    temperatures = hall[:, None, None] + generator.normal(0, 0.3, (len(state), 4, SAMPLES))
    temperatures[:, 2] -= np.array(DROPS)[state][:, None]
    temperatures[:, 1] += generator.normal(0, 2, len(state))[:, None]
    return Cycles(temperatures, state)


def test_the_pair_that_tells_the_states_is_found() -> None:
    rule = fit(made())
    assert (rule.warm, rule.cold) in {(0, 2), (2, 3)}  # 0 and 3 are alike here
    assert np.abs(rule.centres) == pytest.approx(DROPS, abs=0.1)


def test_the_graph_computes_the_rule() -> None:
    import onnxruntime

    cycles = made(seed=2)
    rule = fit(cycles)
    session = onnxruntime.InferenceSession(to_onnx(rule), providers=["CPUExecutionProvider"])
    found = session.run(["probabilities"], {"temperatures": cycles.temperatures.astype(np.float32)})[0]
    np.testing.assert_allclose(found, rule.probabilities(cycles.temperatures), atol=1e-4)


def test_a_part_is_judged_by_a_rule_that_never_saw_it() -> None:
    """Where the held-out part contradicts the rest, a rule that had seen it would be moved by it."""
    cycles = made()
    seen: list[int] = []

    def spy(train: Cycles, temperatures: np.ndarray) -> np.ndarray:
        for part in temperatures:
            assert not (train.temperatures == part).all(axis=(1, 2)).any()
        seen.append(len(temperatures))
        return np.zeros(len(temperatures), int)

    held_out(cycles, spy)
    assert sum(seen) == len(cycles.state)


def test_the_table_is_as_good_as_the_data_is_plain() -> None:
    table = {metric.name: metric for metric in table_of(made())}
    assert table["accuracy"].value > 0.99
    assert table["accuracy"].baselines["always the most frequent state"].value == pytest.approx(1 / 3, abs=1e-3)


def test_a_folder_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    for sensor in range(1, 5):
        np.savetxt(tmp_path / f"TS{sensor}.txt", np.zeros((5, SAMPLES)))
    np.savetxt(tmp_path / "profile.txt", np.full((5, 5), 3))
    with pytest.raises(ModelError, match="not the data set"):
        read(tmp_path)


def test_what_ships_follows_the_cooler() -> None:
    model = load("hydraulic_cooler")
    rule_input = np.full((1, 4, SAMPLES), 45, np.float32)
    answers = []
    for drop in (-1.55, -2.23, -2.92):
        rule_input[:, 2] = 45 - drop
        answers.append(LABELS[int(model.run({"temperatures": rule_input})["probabilities"].argmax())])
    assert answers == list(LABELS)
