"""Trains the pump anomaly model: ``python -m models.train.pump_anomaly`` writes models/artifacts/pump_anomaly.onnx and its card.

What is learnt from the data set is which channels, how much smoothing and which threshold; the centre and spread are learnt on each machine
from its own first minutes. None of the data set (GPL-3.0) is in the artifact.
"""

from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError
from models.pump import Smoothing, learn, scores

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "pump_anomaly"
FOLDER = "skab"
GROUPS = ("valve1", "valve2", "other")
REFERENCE = 400
CHANNELS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
SUBSETS = {
    "all": tuple(range(8)),
    "without temperatures": (0, 1, 2, 3, 6, 7),
    "vibration, current and flow": (0, 1, 2, 7),
}
"""Temperatures drift with the hall; pressure and voltage of this rig are mostly quantisation and mains."""
WIDTHS = (5, 10, 20)
THRESHOLDS = np.round(np.geomspace(0.8, 5.0, 75), 3)
FALSE_ALARMS = 0.10
"""Share of normal rows; what exceeds it is taken off F1 when a setting is chosen: crews stop to listen to an alarm that cries often."""
SEED = 20251124


class Recording(NamedTuple):
    """``values`` (n, 8) of CHANNELS, ``anomalous`` (n,) bool, and its group, one of GROUPS."""

    values: Array
    anomalous: Array
    group: str


class Setting(NamedTuple):
    subset: str
    smoothing: Smoothing
    threshold: float


SETTINGS = tuple((subset, Smoothing(channels, score)) for subset, channels, score in product(SUBSETS, WIDTHS, WIDTHS))


def read(folder: Path) -> list[Recording]:
    """The 34 labelled recordings. Raises ModelError where a file has other columns or too few rows."""
    found = []
    for group in GROUPS:
        for path in sorted((folder / group).glob("*.csv")):
            header, *lines = path.read_text("utf-8").splitlines()
            if tuple(header.split(";")[1:10]) != (*CHANNELS, "anomaly") or len(lines) <= REFERENCE:
                raise ModelError(f"{path}: columns {header!r} and {len(lines)} rows: not the data set")
            table = np.array([[float(text) for text in line.split(";")[1:10]] for line in lines])
            found.append(Recording(table[:, :8], table[:, 8] > 0, group))
    if not found:
        raise ModelError(f"{folder}: no .csv in {', '.join(GROUPS)}: not the data set")
    return found


def scored(recording: Recording, subset: str, smoothing: Smoothing) -> Array:
    """Scores of the rows after the reference, by what the reference alone taught."""
    values = recording.values[:, SUBSETS[subset]]
    return scores(values, learn(values[:REFERENCE], smoothing), smoothing)[REFERENCE:]


def counts(score: Array, anomalous: Array) -> Array:
    """(thresholds, 4): true and false alarms, missed and rightly quiet rows, at each of THRESHOLDS."""
    order = [np.searchsorted(np.sort(score[which]), THRESHOLDS, side="right") for which in (anomalous, ~anomalous)]
    missed, quiet = order
    return np.stack([anomalous.sum() - missed, (~anomalous).sum() - quiet, missed, quiet], axis=1)


def table(recordings: list[Recording]) -> Array:
    """(settings, recordings, thresholds, 4) of counts: everything a choice needs."""
    return np.array([[counts(scored(one, *setting), one.anomalous[REFERENCE:]) for one in recordings] for setting in SETTINGS])


def f1(found: Array) -> Array:
    """Of counts (..., 4)."""
    result: Array = 2 * found[..., 0] / np.maximum(2 * found[..., 0] + found[..., 1] + found[..., 2], 1)
    return result


def false_alarm_rate(found: Array) -> Array:
    result: Array = found[..., 1] / np.maximum(found[..., 1] + found[..., 3], 1)
    return result


def missed_alarm_rate(found: Array) -> Array:
    result: Array = found[..., 2] / np.maximum(found[..., 0] + found[..., 2], 1)
    return result


def choose(found: Array, allowed: float = FALSE_ALARMS) -> tuple[int, int]:
    """The indices of setting and threshold that are best on the recordings in ``found`` (settings, recordings, thresholds, 4)."""
    pooled = found.sum(axis=1)
    worth = f1(pooled) - np.maximum(false_alarm_rate(pooled) - allowed, 0)
    setting, threshold = np.unravel_index(int(worth.argmax()), worth.shape)
    return int(setting), int(threshold)


def fit(found: Array) -> Setting:
    """What ships: chosen on all recordings."""
    setting, threshold = choose(found)
    return Setting(*SETTINGS[setting], float(THRESHOLDS[threshold]))


def to_onnx(setting: Setting) -> bytes:
    """``window`` float32 (N, rows, k), ``centre`` (1, k), ``whitening`` (k, k) and ``limit`` (1, 1) to ``score`` (N, 1)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    smoothing, width = setting.smoothing, len(SUBSETS[setting.subset])
    band = np.zeros((smoothing.score, smoothing.rows), np.float32)
    for row in range(smoothing.score):
        band[row, row : row + smoothing.channels] = 1 / smoothing.channels
    nodes = [
        helper.make_node("Sub", ["window", "centre"], ["centred"]),  # first: a mean of small numbers keeps its digits
        helper.make_node("MatMul", ["band", "centred"], ["smoothed"]),
        helper.make_node("MatMul", ["smoothed", "whitening"], ["distance"]),
        helper.make_node("Mul", ["distance", "distance"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["statistic"], axes=[2], keepdims=0),
        helper.make_node("Add", ["statistic", "one"], ["above"]),
        helper.make_node("Log", ["above"], ["logarithm"]),
        helper.make_node("ReduceMean", ["logarithm"], ["raw"], axes=[1], keepdims=1),
        helper.make_node("Div", ["raw", "limit"], ["score"]),
    ]
    inputs: dict[str, list[Any]] = {
        "window": ["N", smoothing.rows, width],
        "centre": [1, width],
        "whitening": [width, width],
        "limit": [1, 1],
    }
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(band, "band"), numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.pump_anomaly_card import publish_model

    publish_model()
