"""Trains the carbon monoxide calibration: ``python -m models.train.gas_sensor_co`` writes models/artifacts/gas_sensor_co.onnx and its card.

The resistance of a metal oxide follows a power of the concentration, so its logarithm is what counts, and temperature and humidity shift it.
Five such sensors of crossed sensitivity, and how they moved within the last day, give the concentration by four estimators of different kinds
(`gas_blend`); the hour of the day is left out, because it tells of traffic and not of gas.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError
from models.train import gas_blend
from models.train.boosted_trees import ensemble_node
from models.train.gas_blend import Blend, Members, fit_members, weigh

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "gas_sensor_co"
FOLDER = "airquality_uci"
FILE = "AirQualityUCI.csv"
SENSORS = ("PT08.S1(CO)", "PT08.S2(NMHC)", "PT08.S3(NOx)", "PT08.S4(NO2)", "PT08.S5(O3)")
CHANNELS = (*SENSORS, "T", "RH")
TARGET = "CO(GT)"
INPUTS = {"responses": len(SENSORS), "temperature": 1, "humidity": 1}
LABELS = ("lower", "estimate", "upper")
MISSING = -200
HOURS = 24
COVERAGE = 0.9
FOLDS = 5
SEED = 20251123
FOREST = (40, 8)  # extra trees, and rows of a leaf: what ships is to stay small
MOVES = {
    "the hour alone": ((), False, ()),
    "the hour and the three before": ((1, 2, 3), False, ()),
    "the hour, four of the six before and the mean of the day": ((1, 2, 3, 6), True, ()),
    "the hour, four of the six before, the mean of the day, and how temperature and humidity moved": ((1, 2, 3, 6), True, (1, 3, 6)),
}
"""What is looked at beside the hour itself: hours of lag of the sensors, whether the mean of the day, hours of lag of the weather."""


class Series(NamedTuple):
    """``windows`` float32 (n, 24, 7): hourly CHANNELS, oldest first. ``co`` (n,) in mg/m³; ``hour`` (n,) counts from the first of the record."""

    windows: Array
    co: Array
    hour: Array

    def rows(self, chosen: Array) -> "Series":
        return Series(self.windows[chosen], self.co[chosen], self.hour[chosen])


class Calibration(NamedTuple):
    """``centre`` and ``log_spread`` (fitted trees) are of ``windows`` times ``weights`` (192, features); the band is ``widening`` spreads wide."""

    weights: Array
    centre: Blend
    log_spread: Any
    widening: float

    def predict(self, windows: Array) -> Array:
        """(n, 3) mg/m³: lower end of the band, the estimate, upper end."""
        rows = features(windows, self.weights)
        centre = self.centre.predict(rows)
        half = self.widening * np.exp(self.log_spread.predict(rows))
        band: Array = np.maximum(np.stack([centre - half, centre, centre + half], axis=1), 0)
        return band


def read(folder: Path) -> Series:
    """The hours with sensors and reference; a gap of the sensors in the 23 hours before is filled with the last reading before it."""
    with (folder / FILE).open(encoding="utf-8", newline="") as stream:
        table = list(csv.reader(stream))
    absent = [name for name in (*CHANNELS, TARGET) if name not in table[0]]
    if absent:
        raise ModelError(f"{folder / FILE}: no column {', '.join(absent)}: not the data set")
    values = np.array(table[1:], float)
    values[values == MISSING] = np.nan
    channels = values[:, [table[0].index(name) for name in CHANNELS]]
    co = values[:, table[0].index(TARGET)]
    measured = np.isfinite(channels).all(axis=1)
    held = channels[np.maximum.accumulate(np.where(measured, np.arange(len(measured)), 0))]
    windows = np.lib.stride_tricks.sliding_window_view(held, HOURS, axis=0).transpose(0, 2, 1)
    hour = np.flatnonzero(measured & np.isfinite(co))
    hour = hour[hour >= HOURS - 1]
    return Series(windows[hour - HOURS + 1].astype(np.float32), co[hour], hour)


def halves(series: Series) -> tuple[Series, Series]:
    """The first half of the record by time, and the second, without its first day: its windows would reach into the first half."""
    middle = int(series.hour[-1] + 1) // 2
    return series.rows(series.hour < middle), series.rows(series.hour >= middle + HOURS)


def inputs(windows: Array) -> dict[str, Array]:
    """What the graph takes, of float32 (n, 24, 7)."""
    return {"responses": windows[..., :5], "temperature": windows[..., 5:6], "humidity": windows[..., 6:7]}


def weights_of(moves: tuple[Sequence[int], bool, Sequence[int]]) -> Array:
    """(24 x 8, features) float32: what the features are of the eight values of each hour; all are linear in them."""
    lags, day, weather_lags = moves
    parts = [_difference([0], range(8))]
    parts += [_difference([0, lag], range(5)) for lag in lags]
    parts += [_difference([0, *range(HOURS)], range(5))] if day else []
    parts += [_difference([0, lag], range(5, 8)) for lag in weather_lags]
    return np.hstack(parts).astype(np.float32)


def _difference(hours_ago: Sequence[int], columns: Sequence[int]) -> Array:
    """The value of the first hour less the mean over the others, one feature for each column."""
    weights = np.zeros((HOURS, 8, len(columns)))
    for place, column in enumerate(columns):
        for ago in hours_ago[1:]:
            weights[HOURS - 1 - ago, column, place] -= 1 / (len(hours_ago) - 1)
        weights[HOURS - 1 - hours_ago[0], column, place] += 1
    return weights.reshape(HOURS * 8, len(columns))


def features(windows: Array, weights: Array) -> Array:
    """(n, features) float32 of (n, 24, 7): logarithms of the sensors, temperature, relative and logarithm of absolute humidity, weighted."""
    sensors, air, damp = windows[..., :5], windows[..., 5:6], windows[..., 6:7]
    absolute = np.log(np.maximum(damp, 1)) + 17.62 * air / (243.12 + air) - np.log(273.15 + air)  # Magnus (WMO No. 8), up to a constant
    eight = np.concatenate([np.log(np.maximum(sensors, 1)), air, damp, absolute], axis=2).astype(np.float32)
    product: Array = eight.reshape(len(windows), -1) @ weights
    return product


def trees(rows: Array, target: Array, *, loss: str = "absolute_error", rounds: int = 300) -> Any:
    """Boosted trees, the same everywhere in this room."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss=loss,
        max_iter=rounds,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=SEED,
    ).fit(rows, target)


def held_out(series: Series, rows: Array, fit: Callable[[Array, Array], Any]) -> Array:
    """The estimates (…, n) for each hour by what ``fit(rows, co)`` made without its contiguous fold and the day on either side of it."""
    estimates = []
    for part in np.array_split(np.arange(len(series.co)), FOLDS):
        first, last = series.hour[part[0]], series.hour[part[-1]]
        rest = (series.hour < first - HOURS) | (series.hour > last + HOURS)
        estimates.append(fit(rows[rest], series.co[rest]).predict(rows[part]))
    return np.concatenate(estimates, axis=-1)


def choose(series: Series) -> str:
    """The key of MOVES with which the held-out estimates of boosted trees lie closest."""
    errors = {
        name: float(np.abs(held_out(series, features(series.windows, weights_of(moves)), trees) - series.co).mean())
        for name, moves in MOVES.items()
    }
    return min(errors, key=lambda name: errors[name])


def fit(series: Series, chosen: str) -> Calibration:
    """The blend from all rows; the width of the band from how the first third of the rows fared on the other two, as a sensor ages."""
    weights = weights_of(MOVES[chosen])
    third = len(series.co) // 3
    early, later = series.rows(np.arange(third)), series.rows(np.arange(third, len(series.co)))
    trial = Calibration(weights, *_fitted(early, weights), 1.0)
    rows = features(later.windows, weights)
    scores = np.abs(trial.centre.predict(rows) - later.co) / np.exp(trial.log_spread.predict(rows))
    return Calibration(weights, *_fitted(series, weights), float(np.quantile(scores, COVERAGE)))


def blended(series: Series, rows: Array, forest: tuple[int, int] = FOREST) -> tuple[Blend, Array]:
    """The four estimators from all rows, weighted by their held-out estimates; and what the blend of those says, (n,)."""

    def members(rows: Array, co: Array) -> Members:
        return fit_members(rows, co, trees, SEED, forest=forest)

    told = held_out(series, rows, members)
    weights = weigh(told, series.co)
    return Blend(members(rows, series.co), weights), weights @ told


def _fitted(series: Series, weights: Array) -> tuple[Blend, Any]:
    rows = features(series.windows, weights)
    blend, told = blended(series, rows)
    return blend, trees(rows, np.log(np.abs(told - series.co) + 0.02), loss="squared_error", rounds=60)


def to_onnx(calibration: Calibration) -> bytes:
    """INPUTS, float32 of the last 24 h, oldest first, to ``co`` float32 (N, 3) in mg/m³."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants: dict[str, Array] = {
        "lowest": np.array(1, np.float32),
        "a": np.array(17.62, np.float32),
        "b": np.array(243.12, np.float32),
        "zero": np.array(273.15, np.float32),
        "flat": np.array([-1, HOURS * 8], np.int64),
        "weights": calibration.weights,
        "band": np.array([[-calibration.widening, 0, calibration.widening]], np.float32),
    }
    nodes = [
        *(
            node
            for name in ("responses", "humidity")
            for node in (
                helper.make_node("Max", [name, "lowest"], [f"{name}_kept"]),
                helper.make_node("Log", [f"{name}_kept"], [f"{name}_log"]),
            )
        ),
        helper.make_node("Mul", ["temperature", "a"], ["above"]),
        helper.make_node("Add", ["temperature", "b"], ["below"]),
        helper.make_node("Div", ["above", "below"], ["magnus"]),
        helper.make_node("Add", ["temperature", "zero"], ["kelvin"]),
        helper.make_node("Log", ["kelvin"], ["kelvin_log"]),
        helper.make_node("Add", ["humidity_log", "magnus"], ["pressure"]),
        helper.make_node("Sub", ["pressure", "kelvin_log"], ["absolute"]),
        helper.make_node("Concat", ["responses_log", "temperature", "humidity", "absolute"], ["eight"], axis=2),
        helper.make_node("Reshape", ["eight", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["features"]),
    ]
    blend, of_the_blend = gas_blend.nodes(calibration.centre, "features", "estimate")
    nodes += [
        *blend,
        ensemble_node(calibration.log_spread, "features", "log_spread"),
        helper.make_node("Exp", ["log_spread"], ["spread"]),
        helper.make_node("Mul", ["spread", "band"], ["offset"]),
        helper.make_node("Add", ["estimate", "offset"], ["ends"]),
        helper.make_node("Relu", ["ends"], ["co"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", HOURS, size]) for name, size in INPUTS.items()],
        [helper.make_tensor_value_info("co", TensorProto.FLOAT, ["N", len(LABELS)])],
        [numpy_helper.from_array(value, name) for name, value in (constants | of_the_blend).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


if __name__ == "__main__":
    from models.train.gas_sensor_co_card import publish_model

    publish_model()
