"""The split, the training and the export: nothing of a held-out size is read, and the graph computes what was trained."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from models.bearing import FEATURE_NAMES
from models.evaluate.bearing_condition import figure, macro_f1
from models.train.bearing_condition import (
    COLUMNS,
    FAULTS,
    LABELS,
    Choice,
    Simulated,
    choose,
    class_weights,
    evidence_matrix,
    fit,
    fit_type,
    logistic_pipeline,
    to_onnx,
    type_matrix,
)
from models.train.datasets import DataMissing, data_folder
from models.train.recordings import BEARING, SIZES, Features, Recording, Windows, recordings, split
from models.train.simulated import fault_signal, healthy_signal, healthy_windows

N = len(FEATURE_NAMES)


def listed() -> list[Recording]:
    faults = [
        Recording(f"{rpm}_{label}_{size}_{position}", "DE", rpm, label, size, 12_000)
        for rpm, label, size, position in product((1730, 1797), FAULTS, (7, 14, 21, 28), range(2))
    ]
    return [*faults, Recording("healthy", "DE", 1797, "normal", 0, 12_000), Recording("healthy", "FE", 1797, "normal", 0, 12_000)]


@pytest.mark.parametrize("held_out", SIZES)
def test_the_split_holds_out_a_whole_size_and_no_file_is_on_both_sides(held_out: int) -> None:
    train, test = split(listed(), held_out)
    assert {recording.fault_mil for recording in train} == set(SIZES) - {held_out}
    assert {recording.fault_mil for recording in test} == {held_out}
    assert not {recording.file for recording in train} & {recording.file for recording in test}
    assert {recording.label for recording in train} == {recording.label for recording in test} == set(FAULTS)


def test_a_size_that_is_never_trained_on_cannot_be_held_out_by_mistake() -> None:
    with pytest.raises(ValueError, match="28 mil"):
        split(listed(), 28)


def small_data(folder: Path) -> list[Recording]:
    """A data set in the format of the real one: two seconds of each fault and size, made from physics."""
    generator = np.random.default_rng(3)
    rows = []
    for label, size in product(FAULTS, SIZES):
        name = f"{label}_{size}"
        one = [healthy_signal(generator, 12_000, 1750) + 8 * fault_signal(generator, label, 12_000, 1750, BEARING) for _ in range(2)]
        samples = np.concatenate(one)
        scale = float(np.abs(samples).max() / 32_000)
        np.savez(folder / f"{name}.npz", DE=np.round(samples / scale).astype(np.int16), DE_scale=scale)
        rows.append({"file": name, "channel": "DE", "rpm": 1750, "class": label, "fault_mil": size, "fs_hz": 12_000})
    with (folder / "index.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return recordings(folder)


def test_training_and_choosing_read_no_file_of_the_held_out_size(tmp_path: Path) -> None:
    found = small_data(tmp_path)
    train, test = split(found, 14)
    for recording in test:
        (tmp_path / f"{recording.file}.npz").unlink()
    store = Features(tmp_path)
    none = Windows(np.empty((0, N)), np.empty(0, str), np.empty(0, str))
    choice = choose(train, store, none)
    assert choice.lines in COLUMNS
    fit_type(store.of(train), none, choice)
    with pytest.raises(FileNotFoundError):
        store.of(test)


def random_training(seed: int = 4) -> tuple[Windows, Simulated]:
    generator = np.random.default_rng(seed)
    labels = np.repeat(FAULTS, (30, 50, 20))
    rows = generator.normal(0.5, 0.3, (100, N)) + 0.5 * np.array([FAULTS.index(label) for label in labels])[:, None] * generator.random(N)
    windows = Windows(rows, labels, np.array([f"r{i // 5}" for i in range(100)]))
    made = Windows(generator.normal(0.6, 0.3, (30, N)), np.repeat(FAULTS, 10), np.array([f"s{i}" for i in range(30)]))
    healthy = generator.normal(0.3, 0.2, (2, 80, N))
    return windows, Simulated(healthy[0], healthy[1], made)


@pytest.mark.parametrize("lines", COLUMNS)
def test_the_graph_computes_what_scikit_learn_computes(lines: str) -> None:
    import onnxruntime

    windows, simulated = random_training()
    choice = Choice(lines, 0.1)
    content = to_onnx(fit(windows, choice, simulated))
    rows = np.random.default_rng(9).normal(0.7, 0.6, (200, N)).astype(np.float32)
    found = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(["probabilities"], {"features": rows})[0]

    classes = np.array([FAULTS.index(label) for label in (*windows.labels, *simulated.faults.labels)])
    weights = np.concatenate([class_weights(classes[:100]), np.full(30, 0.3 * 100 / 30)])
    kinds = logistic_pipeline(0.1, np.vstack([windows.rows, simulated.faults.rows]) @ type_matrix(lines), classes, weights)
    sides = np.repeat([0, 1], [80, 100])
    signs = logistic_pipeline(0.1, np.vstack([simulated.healthy, windows.rows]) @ evidence_matrix(), sides, class_weights(sides))
    shift = np.quantile(signs.decision_function(simulated.healthy_check @ evidence_matrix()), 0.99)
    fault = 1 / (1 + np.exp(shift - signs.decision_function(rows @ evidence_matrix())))[:, None]
    expected = np.hstack([1 - fault, fault * kinds.predict_proba(rows @ type_matrix(lines))])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_two_trainings_give_the_same_bytes() -> None:
    windows, simulated = random_training()
    assert to_onnx(fit(windows, Choice("both", 0.01), simulated)) == to_onnx(fit(windows, Choice("both", 0.01), simulated))


def test_a_fault_that_was_never_recorded_cannot_be_trained() -> None:
    windows, simulated = random_training()
    kept = windows.labels != "ball"
    with pytest.raises(ValueError, match="ball"):
        fit_type(Windows(*(part[kept] for part in windows)), simulated.faults, Choice("both", 0.01))


def test_simulated_windows_are_seeded() -> None:
    np.testing.assert_array_equal(healthy_windows(2, 11), healthy_windows(2, 11))
    assert not np.array_equal(healthy_windows(1, 11), healthy_windows(1, 12))


def test_data_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUKI_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="MUKI_DATA"):
        data_folder("bearing_cwru")
    small_data_folder = tmp_path / "bearing_cwru"
    small_data_folder.mkdir()
    (small_data_folder / "README.txt").touch()
    small_data(small_data_folder)
    (small_data_folder / "ball_21.npz").unlink()
    with pytest.raises(DataMissing, match=r"ball_21\.npz"):
        recordings(data_folder("bearing_cwru"))


def test_macro_f1_is_the_textbook_one() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(8)
    truth, predicted = generator.choice(LABELS, 200), generator.choice(LABELS, 200)
    assert macro_f1(truth, predicted, LABELS) == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_intervals_are_over_recordings_not_windows() -> None:
    truth = np.repeat("ball", 400)
    groups = np.repeat(["a", "b", "c", "d"], 100)
    predicted = np.where(np.isin(groups, ["a", "b"]), "ball", "inner")
    found = figure(lambda t, p: float(np.mean(t == p)), truth, predicted, groups)
    assert found.value == 0.5
    assert found.interval_95[1] - found.interval_95[0] >= 0.75  # over windows it would be about 0.1
