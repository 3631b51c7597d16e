"""Trains the hydraulic cooler rule: ``python -m models.train.hydraulic_cooler`` writes models/artifacts/hydraulic_cooler.onnx and its card.

A cooler that works takes heat out between two sensors: one difference of two mean temperatures, and the nearest of three centres learnt from
the training cycles. Differences, because the level of every temperature follows the hall and the warm-up; one, because more do not help.
"""

from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "hydraulic_cooler"
FOLDER = "hydraulic_zema"
SENSORS = 4
SAMPLES = 60  # of one cycle, 1 Hz
STATES = (3, 20, 100)
"""Cooler efficiency in percent, as the rig was set: close to failure, reduced, full."""
LABELS = ("close_to_failure", "reduced", "full")
PAIRS = tuple(combinations(range(SENSORS), 2))
SEED = 20251123


class Cycles(NamedTuple):
    """``temperatures`` float64 (n, 4, 60) in °C in the order of time, and the ``state`` (n,), an index of STATES."""

    temperatures: Array
    state: Array


class Rule(NamedTuple):
    """``warm`` minus ``cold`` (indices of sensors) in K, the centre of each of STATES, and the common spread in K."""

    warm: int
    cold: int
    centres: tuple[float, ...]
    spread: float

    def probabilities(self, temperatures: Array) -> Array:
        """(n, 3) of (n, 4, 60): equal priors, normal densities of one spread around the centres."""
        means = temperatures.mean(axis=2)
        distance = (means[:, self.warm] - means[:, self.cold])[:, None] - np.array(self.centres)
        logits = -(distance**2) / (2 * self.spread**2)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Array = weights / weights.sum(axis=1, keepdims=True)
        return shares


def read(folder: Path) -> Cycles:
    """TS1 to TS4 and the profile. Raises ModelError where the files do not fit each other."""
    temperatures = np.stack([np.loadtxt(folder / f"TS{sensor}.txt") for sensor in range(1, SENSORS + 1)], axis=1)
    cooler = np.loadtxt(folder / "profile.txt")[:, 0].astype(int)
    if temperatures.shape != (len(cooler), SENSORS, SAMPLES) or set(cooler) != set(STATES):
        raise ModelError(f"{folder}: TS1-TS4 have shape {temperatures.shape}, cooler states {sorted(set(cooler))}: not the data set")
    return Cycles(temperatures, np.searchsorted(STATES, cooler))


def fit(cycles: Cycles) -> Rule:
    """The pair of sensors whose centres lie furthest apart for their spread: the least gap between neighbours, in spreads."""
    means = cycles.temperatures.mean(axis=2)
    rules = [_rule(means[:, warm] - means[:, cold], cycles.state, warm, cold) for warm, cold in PAIRS]
    return max(rules, key=lambda rule: float(np.diff(np.sort(rule.centres)).min()) / rule.spread)


def _rule(difference: Array, state: Array, warm: int, cold: int) -> Rule:
    """Medians and the median absolute deviation: the warm-up and the minutes after a change of state must not move them."""
    centres = [float(np.median(difference[state == index])) for index in range(len(STATES))]
    deviation = np.abs(difference - np.array(centres)[state])
    return Rule(warm, cold, tuple(centres), 1.4826 * float(np.median(deviation)))


def to_onnx(rule: Rule) -> bytes:
    """``temperatures`` float32 (N, 4, 60) in °C to ``probabilities`` float32 (N, 3)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    select = np.zeros((SENSORS, 1), np.float32)
    select[rule.warm], select[rule.cold] = 1, -1
    constants = {
        "difference": select,
        "centres": np.array([rule.centres], np.float32),
        "scale": np.array([-1 / (2 * rule.spread**2)], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["temperatures"], ["means"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["means", "difference"], ["drop"]),
        helper.make_node("Sub", ["drop", "centres"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("Mul", ["squared", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("temperatures", TensorProto.FLOAT, ["N", SENSORS, SAMPLES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(STATES)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.hydraulic_cooler_card import publish_model

    publish_model()
