"""Trains the silica in the concentrate one hour ahead: ``python -m models.train.flotation_silica`` writes models/artifacts/flotation_silica.onnx.

Three linear quantile regressions (5, 50 and 95 %) on the newest laboratory values. Absolute errors, because a lab value is now and then far off and a
square would follow it; no process variables, because within the training part they made it worse.
"""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError
from models.silica import INPUTS, interpolated, state

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "flotation_silica"
FOLDER = "flotation_silica"
TARGET, SAME_SAMPLE = "% Silica Concentrate", "% Iron Concentrate"
TEST_SHARE = 0.2
QUANTILES = (0.05, 0.5, 0.95)
ALPHA = 1e-3  # of 1e-3, 1e-2 and 1e-1: least error on the later four fifths of the training part, each told by what came before it
SEED = 20251125


class Hours(NamedTuple):
    """Hourly means in the order of time: ``silica`` (n,) in %, ``process`` (n, 21) without the iron assay, ``measured`` bool (n,)."""

    silica: Array
    process: Array
    measured: Array


class Asked(NamedTuple):
    """Questions: the ``hour`` (k,) that is told, the ``inputs`` (k, 9) known one hour before, and the ``truth`` (k,)."""

    hour: Array
    inputs: Array
    truth: Array


class Rule(NamedTuple):
    """``weights`` (9, 3) and ``bias`` (3,): low, median, high."""

    weights: Array
    bias: Array

    def told(self, inputs: Array) -> Array:
        """(k, 3), ascending."""
        found: Array = np.sort(inputs @ self.weights + self.bias, axis=1)
        return found


def read(folder: Path) -> Hours:
    """The file in its order. Raises ModelError where it is not the data set."""
    with (folder / "flotation_hourly_mean.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    names = rows[0] if rows else []
    if TARGET not in names or SAME_SAMPLE not in names:
        raise ModelError(f"{folder}: flotation_hourly_mean.csv has no column {TARGET!r}: not the data set")
    values = np.array([[float(text) for text in row[1:]] for row in rows[1:]])
    silica = values[:, names.index(TARGET) - 1]
    process = np.delete(values, [names.index(TARGET) - 1, names.index(SAME_SAMPLE) - 1], axis=1)
    return Hours(silica, process, ~interpolated(silica))


def split(hours: Hours) -> int:
    """The first hour of the test part: the last fifth."""
    return int((1 - TEST_SHARE) * len(hours.silica))


def asked(hours: Hours, start: int, end: int) -> Asked:
    """The measured hours from ``start`` to before ``end``, each with what was known one hour before."""
    found = [
        (hour, inputs, hours.silica[hour])
        for hour in range(start, end)
        if hours.measured[hour] and (inputs := state(hours.silica[:hour], hours.measured[:hour])) is not None
    ]
    if not found:
        return Asked(np.zeros(0, int), np.zeros((0, len(INPUTS))), np.zeros(0))
    places, states, truths = zip(*found, strict=True)
    return Asked(np.array(places), np.array(states, float), np.array(truths))


def fit(questions: Asked) -> Rule:
    """Each quantile by itself, on inputs of one scale."""
    from sklearn.linear_model import QuantileRegressor

    mean, spread = questions.inputs.mean(axis=0), questions.inputs.std(axis=0) + 1e-9
    unit = (questions.inputs - mean) / spread
    weights, bias = [], []
    for quantile in QUANTILES:
        model = QuantileRegressor(quantile=quantile, alpha=ALPHA, solver="highs").fit(unit, questions.truth)
        weights.append(model.coef_ / spread)
        bias.append(model.intercept_ - float(weights[-1] @ mean))
    return Rule(np.stack(weights, axis=1), np.array(bias))


def to_onnx(rule: Rule) -> bytes:
    """``lab`` float32 (N, 9) to ``silica`` float32 (N, 3) in %: low, median, high."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {"weights": rule.weights.astype(np.float32), "bias": rule.bias.astype(np.float32), "zero": np.zeros(1, np.float32)}
    constants["three"] = np.array([3], np.int64)
    nodes = [
        helper.make_node("Gemm", ["lab", "weights", "bias"], ["raw"]),
        helper.make_node("Max", ["raw", "zero"], ["positive"]),
        helper.make_node("TopK", ["positive", "three"], ["silica", "places"], axis=1, largest=0, sorted=1),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("lab", TensorProto.FLOAT, ["N", len(INPUTS)])],
        [helper.make_tensor_value_info("silica", TensorProto.FLOAT, ["N", len(QUANTILES)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.flotation_silica_card import publish_model

    publish_model()
