"""Trains the seismic hazard of a longwall: ``python -m models.train.seismic_hazard`` writes models/artifacts/seismic_hazard.onnx and its card.

One number decides: the seismic energy that the most active geophone recorded in the shift before, in decades. A logistic curve makes a probability
of it. Learned models on all eighteen attributes and on histories of them stand beside it in the evaluation: none beats it with an interval.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "seismic_hazard"
FOLDER = "seismic_bumps"
ENERGY, PULSES, BUMPS, SHIFT = 3, 4, 8, 2  # columns
COLUMNS = 18
_CODES = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0, "N": 0.0, "W": 1.0}
SEED = 20251125


class Shifts(NamedTuple):
    """``attributes`` float64 (n, 18) in the order of time and of the data set's header, letters as numbers; ``hazard`` bool (n,): a bump of more
    than 10 kJ came in the shift after."""

    attributes: Array
    hazard: Array


class Rule(NamedTuple):
    """P(hazard) = 1 / (1 + exp(-(weight · log10(1 + energy) + bias))), energy in J; ``threshold`` of it, from which a shift counts as hazardous."""

    weight: float
    bias: float
    threshold: float

    def probability(self, energy: Array) -> Array:
        """(n,) of energies (n,) in J."""
        found: Array = 1 / (1 + np.exp(-(self.weight * np.log10(1 + energy) + self.bias)))
        return found


def read(folder: Path) -> Shifts:
    """The file in its order. Raises ModelError where it is not the data set."""
    lines = (folder / "seismic-bumps.arff").read_text("ascii", "replace").splitlines()
    rows = [line.split(",") for line in lines if line.strip() and line[0] not in "%@"]
    if not rows or any(len(row) != COLUMNS + 1 for row in rows):
        raise ModelError(f"{folder}: seismic-bumps.arff has no rows of {COLUMNS + 1} values: not the data set")
    values = np.array([[_CODES[text] if text in _CODES else float(text) for text in row] for row in rows])
    return Shifts(values[:, :-1], values[:, -1] == 1)


def fit(shifts: Shifts) -> Rule:
    """Logistic regression on one variable; the threshold has the highest balanced accuracy on the same shifts."""
    from sklearn.linear_model import LogisticRegression

    decades = np.log10(1 + shifts.attributes[:, ENERGY])
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(decades[:, None], shifts.hazard)
    rule = Rule(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]), 0.5)
    probability = rule.probability(shifts.attributes[:, ENERGY])
    candidates = np.quantile(probability, np.linspace(0.02, 0.98, 97))
    scores = [balanced_accuracy(shifts.hazard, probability >= candidate) for candidate in candidates]
    return rule._replace(threshold=float(candidates[int(np.argmax(scores))]))


def balanced_accuracy(truth: Array, said: Array) -> float:
    """The mean of the shares of hazardous and of other shifts that are told right."""
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)


def to_onnx(rule: Rule) -> bytes:
    """``energy`` float32 (N, 1) in J to ``hazard`` float32 (N, 1)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "one": np.array([1], np.float32),
        "weight": np.array([rule.weight / np.log(10)], np.float32),
        "bias": np.array([rule.bias], np.float32),
    }
    nodes = [
        helper.make_node("Add", ["energy", "one"], ["shifted"]),
        helper.make_node("Log", ["shifted"], ["logarithm"]),
        helper.make_node("Mul", ["logarithm", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["hazard"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("energy", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("hazard", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.seismic_hazard_card import publish_model

    publish_model()
