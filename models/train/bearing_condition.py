"""Trains the bearing-condition model: ``python -m models.train.bearing_condition`` writes models/artifacts/bearing_condition.onnx and its card.

Two linear models on the features of models/bearing.py, multiplied:

- *evidence*: is there any sign of a bearing fault? Logistic regression on eight sums that are each 0 in noise; its healthy side is made from
  physics (simulated.py), and its threshold is set there, at one false alarm in a hundred windows;
- *type*: if there is a fault, which? Multinomial logistic regression on the lines, of recorded faults and, with less weight, simulated ones.

P(normal) = 1 - evidence, P(fault) = evidence x type. Everything is seeded; two runs give the same bytes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.bearing import FEATURE_NAMES
from models.train.recordings import Features, Recording, Windows, split
from models.train.simulated import faulty_windows, healthy_windows

Floats = np.ndarray[Any, np.dtype[Any]]

NAME = "bearing_condition"
LABELS = ("normal", "inner", "outer", "ball")
FAULTS = LABELS[1:]
SEED = 20251123
HEALTHY = 600
SIMULATED_FAULTS = 150  # of each type
SIMULATED_WEIGHT = 0.3  # of the recorded windows' weight: enough to learn textbook lines, too little to outvote a recording
FALSE_ALARMS = 0.01
EVIDENCE_C = 0.1


class Choice(NamedTuple):
    """What is chosen inside the training folds: which lines the type model sees, and its inverse regularisation."""

    lines: str
    c: float


COLUMNS: dict[str, tuple[str, ...]] = {"bands": ("bands_",), "whitened": ("whitened_",), "both": ("bands_", "whitened_")}
CHOICES = tuple(Choice(lines, c) for lines in COLUMNS for c in (1e-4, 1e-3, 1e-2, 1e-1, 1.0))

_EVIDENCE_GROUPS = (
    *("bands_bpfo_", "bands_bpfi_", "bands_ball_", "bands_bpfi_sidebands_", "bands_ball_sidebands_", "bands_bpfo_sidebands_"),
    *("bands_ftf_", "impulsiveness_mean"),
)


class Simulated(NamedTuple):
    """Features made from physics: healthy ones to train on and to set the threshold on (other draws), and faulty ones."""

    healthy: Floats
    healthy_check: Floats
    faults: Windows


class Linear(NamedTuple):
    """``rows @ weights + bias``: weights (len(FEATURE_NAMES), k), bias (k,)."""

    weights: Floats
    bias: Floats

    def logits(self, rows: Floats) -> Floats:
        values: Floats = rows @ self.weights + self.bias
        return values


class Fitted(NamedTuple):
    """The trained model. ``probabilities`` has the columns of LABELS."""

    evidence: Linear
    type: Linear

    def probabilities(self, rows: Floats) -> Floats:
        fault = 1 / (1 + np.exp(-self.evidence.logits(rows)))
        kinds = self.type.logits(rows)
        kinds = np.exp(kinds - kinds.max(axis=1, keepdims=True))
        return np.hstack([1 - fault, fault * kinds / kinds.sum(axis=1, keepdims=True)])


def evidence_matrix() -> Floats:
    """Means over the columns of each evidence group, shape (len(FEATURE_NAMES), groups)."""
    matrix = np.zeros((len(FEATURE_NAMES), len(_EVIDENCE_GROUPS)))
    for group, prefix in enumerate(_EVIDENCE_GROUPS):
        members = [i for i, name in enumerate(FEATURE_NAMES) if name.removeprefix(prefix).isdigit() or name == prefix]
        matrix[members, group] = 1 / len(members)
    return matrix


def logistic_pipeline(c: float, rows: Floats, classes: Floats, weights: Floats) -> Any:
    """Standardisation and logistic regression, fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000))
    return pipeline.fit(rows, classes, logisticregression__sample_weight=weights)


def class_weights(classes: Floats) -> Floats:
    """A weight for each window such that every class weighs the same and all together weigh their number."""
    kinds, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    weights: Floats = (len(classes) / len(kinds) / counts)[inverse]
    return weights


def folded(pipeline: Any, matrix: Floats) -> Linear:
    """Selection, standardisation and regression as one linear map of all features."""
    scaler, regression = pipeline
    weights = matrix @ (regression.coef_ / scaler.scale_).T
    return Linear(weights, regression.intercept_ - regression.coef_ @ (scaler.mean_ / scaler.scale_))


def type_matrix(lines: str) -> Floats:
    """Selects the columns of a choice, shape (len(FEATURE_NAMES), columns)."""
    return np.eye(len(FEATURE_NAMES))[:, [i for i, name in enumerate(FEATURE_NAMES) if name.startswith(COLUMNS[lines])]]


def fit_type(windows: Windows, simulated: Windows, choice: Choice) -> Linear:
    """The type model; its columns are FAULTS. Raises ValueError where one of the faults was not recorded."""
    if missing := set(FAULTS) - set(windows.labels):
        raise ValueError(f"training windows have no {', '.join(sorted(missing))}: a fault that was never seen cannot be told")
    matrix = type_matrix(choice.lines)
    classes = np.array([FAULTS.index(label) for label in (*windows.labels, *simulated.labels)])
    recorded = class_weights(classes[: len(windows.labels)])
    added = np.full(len(simulated.labels), SIMULATED_WEIGHT * len(recorded) / max(1, len(simulated.labels)))
    rows = np.vstack([windows.rows, simulated.rows]) @ matrix
    return folded(logistic_pipeline(choice.c, rows, classes, np.concatenate([recorded, added])), matrix)


def fit_evidence(faulty: Floats, healthy: Floats, healthy_check: Floats) -> Linear:
    """The evidence model; ``healthy_check`` (other draws) sets the bias so that FALSE_ALARMS of it lie above one half."""
    matrix = evidence_matrix()
    rows = np.vstack([healthy, faulty]) @ matrix
    classes = np.repeat([0, 1], [len(healthy), len(faulty)])
    fitted = folded(logistic_pipeline(EVIDENCE_C, rows, classes, class_weights(classes)), matrix)
    return Linear(fitted.weights, fitted.bias - np.quantile(fitted.logits(healthy_check), 1 - FALSE_ALARMS))


def fit(windows: Windows, choice: Choice, simulated: Simulated) -> Fitted:
    """Both models on windows of faulty bearings and what was simulated."""
    evidence = fit_evidence(windows.rows, simulated.healthy, simulated.healthy_check)
    return Fitted(evidence, fit_type(windows, simulated.faults, choice))


def simulate(healthy: int = HEALTHY, faults: int = SIMULATED_FAULTS) -> Simulated:
    """The simulated part of the training data; smaller numbers are for tests."""
    tables = [faulty_windows(label, faults, SEED + 2 + place) for place, label in enumerate(FAULTS)]
    labels = np.repeat(FAULTS, faults)
    made = Windows(np.concatenate(tables), labels, np.array([f"simulated:{i}" for i in range(len(labels))]))
    return Simulated(healthy_windows(healthy, SEED), healthy_windows(healthy, SEED + 1), made)


def choose(train: Sequence[Recording], store: Features, simulated: Windows) -> Choice:
    """The choice with the least log loss when each fault size within ``train`` is held out in turn; every recording counts once.

    A proper score rather than F1, because with two sizes F1 cannot tell a cautious model from one that is sure and wrong.
    """
    losses = {choice: np.mean(list(_inner_losses(train, store, simulated, choice))) for choice in CHOICES}
    return min(CHOICES, key=lambda choice: losses[choice])


def _inner_losses(train: Sequence[Recording], store: Features, simulated: Windows, choice: Choice) -> Iterator[float]:
    sizes = sorted({recording.fault_mil for recording in train})
    for size in sizes:
        inner_train, inner_test = split(train, size, sizes)
        kinds = fit_type(store.of(inner_train), simulated, choice)
        windows = store.of(inner_test)
        logits = kinds.logits(windows.rows)
        totals = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
        truth = np.array([FAULTS.index(label) for label in windows.labels])
        losses = totals - logits[np.arange(len(truth)), truth]
        for label in FAULTS:
            of_label = windows.labels == label
            yield float(np.mean([losses[windows.recordings == r].mean() for r in np.unique(windows.recordings[of_label])]))


def to_onnx(fitted: Fitted) -> bytes:
    """The graph: ``features`` float32 (N, len(FEATURE_NAMES)) to ``probabilities`` float32 (N, 4). Opset 17, IR 8: ONNX Runtime 1.18 runs it."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "evidence_weights": fitted.evidence.weights,
        "evidence_bias": fitted.evidence.bias,
        "type_weights": fitted.type.weights,
        "type_bias": fitted.type.bias,
        "one": np.array([1.0]),
    }
    nodes = [
        helper.make_node("Gemm", ["features", "evidence_weights", "evidence_bias"], ["evidence_logit"]),
        helper.make_node("Sigmoid", ["evidence_logit"], ["fault"]),
        helper.make_node("Sub", ["one", "fault"], ["normal"]),
        helper.make_node("Gemm", ["features", "type_weights", "type_bias"], ["type_logits"]),
        helper.make_node("Softmax", ["type_logits"], ["type"], axis=1),
        helper.make_node("Mul", ["fault", "type"], ["faults"]),
        helper.make_node("Concat", ["normal", "faults"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURE_NAMES)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.bearing_card import publish_model

    publish_model()
