"""Trains the remaining life of bearings: ``python -m models.train.bearing_life`` writes models/artifacts/bearing_life.onnx and its card.

Six lives are few: the logarithm of the remaining time falls with the rise of the vibration by a ridge regression, and the band around it is what
the same regression misses on a bearing that it was not fitted on.
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.bearing_life import FIRST, STATE, STEP_S, history
from models.cards import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "bearing_life"
FOLDER = "bearing_pronostia"
LEARNING = ("Bearing1_1", "Bearing1_2", "Bearing2_1", "Bearing2_2", "Bearing3_1", "Bearing3_2")
TRUNCATIONS = tuple(percent / 100 for percent in range(10, 100, 5))
"""Shares of life after which the model is asked."""
RIDGE = 2.0  # of 0.01, 0.1, 0.5 and 2: least error on the learning bearings, each left out in turn; more still would leave a constant
BAND = (0.05, 0.95)
SEED = 20251123


class Life(NamedTuple):
    """One bearing run to failure: ``rms`` (n, 2) in g, horizontal and vertical, every 10 s from new to the end."""

    bearing: str
    rms: Array


class Rule(NamedTuple):
    """log remaining seconds = clipped state @ ``weights`` + ``bias``; ``band`` is added for low, median and high; ``lowest`` and
    ``highest`` (1,) are the states seen in training, to which others are clipped."""

    weights: Array
    bias: float
    band: tuple[float, float, float]
    lowest: Array
    highest: Array

    def remaining(self, state: Array) -> Array:
        """Seconds (n, 3) of (n, 1): low, median, high."""
        middle = np.clip(state, self.lowest, self.highest) @ self.weights + self.bias
        found: Array = np.exp(middle[:, None] + np.array(self.band))
        return found


def read(folder: Path) -> list[Life]:
    """Every bearing of features.csv in the order of the file. Raises ModelError where rows are missing."""
    rows: dict[str, list[tuple[int, float, float]]] = {}
    with (folder / "features.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault(row["bearing"], []).append((int(row["index"]), float(row["h_rms"]), float(row["v_rms"])))
    missing = sorted(set(LEARNING) - set(rows))
    if missing:
        raise ModelError(f"{folder}: features.csv has no {', '.join(missing)}: not the data set")
    for bearing, found in rows.items():
        if [index for index, *_ in found] != list(range(1, len(found) + 1)):
            raise ModelError(f"{folder}: features.csv: {bearing} is not numbered 1 to {len(found)} without a gap")
    return [Life(bearing, np.array([values for _, *values in found])) for bearing, found in rows.items()]


def asked(life: Life) -> tuple[Array, Array, Array]:
    """At each of TRUNCATIONS: the state (k, 1), the seconds elapsed (k,) and the seconds that truly remained (k,)."""
    total = len(life.rms)
    seen = np.maximum((np.array(TRUNCATIONS) * total).astype(int), FIRST)
    return history(life.rms).state[seen - 1].astype(float), STEP_S * seen, STEP_S * (total - seen)


def fit(lives: list[Life]) -> Rule:
    """The regression on all of ``lives``, and the band from each of them left out in turn."""
    parts = [asked(life) for life in lives]
    missed = []
    for out, (state, _, remained) in enumerate(parts):
        rest = _regression([part for place, part in enumerate(parts) if place != out])
        missed.append(np.log(remained) - np.log(rest.remaining(state)[:, 1]))
    low, high = np.quantile(np.concatenate(missed), BAND)
    return _regression(parts)._replace(band=(min(float(low), 0.0), 0.0, max(float(high), 0.0)))


def _regression(parts: list[tuple[Array, Array, Array]]) -> Rule:
    state = np.vstack([part[0] for part in parts])
    target = np.log(np.concatenate([part[2] for part in parts]))
    mean, spread = state.mean(axis=0), state.std(axis=0) + 1e-9
    unit = (state - mean) / spread
    weights = np.linalg.solve(unit.T @ unit + RIDGE * len(unit) * np.eye(len(STATE)), unit.T @ (target - target.mean())) / spread
    weights = np.minimum(weights, 0.0)  # a louder bearing must never be promised a longer life
    return Rule(weights, float(np.median(target - state @ weights)), (0.0, 0.0, 0.0), state.min(axis=0), state.max(axis=0))


def to_onnx(rule: Rule) -> bytes:
    """``state`` float32 (N, 1) to ``remaining_s`` float32 (N, 3)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "lowest": rule.lowest.astype(np.float32),
        "highest": rule.highest.astype(np.float32),
        "weights": rule.weights.astype(np.float32)[:, None],
        "offsets": (rule.bias + np.array([rule.band])).astype(np.float32),
    }
    nodes = [
        helper.make_node("Max", ["state", "lowest"], ["raised"]),
        helper.make_node("Min", ["raised", "highest"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "weights"], ["middle"]),
        helper.make_node("Add", ["middle", "offsets"], ["logarithms"]),
        helper.make_node("Exp", ["logarithms"], ["remaining_s"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, ["N", len(STATE)])],
        [helper.make_tensor_value_info("remaining_s", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.bearing_life_card import publish_model

    publish_model()
