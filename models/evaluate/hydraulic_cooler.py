"""How good the cooler rule is: contiguous tenths of the series held out, with the learned models that it replaces beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES, blocks, figure
from models.train.datasets import data_folder
from models.train.hydraulic_cooler import FOLDER, PAIRS, SEED, STATES, Cycles, fit, read

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Cycles, Array], Array]

FOLDS = 10
BLOCK = 49  # cycles, about 50 minutes: neighbours are no independent draws
SPLIT = f"{FOLDS} contiguous parts held out in turn; each of the three states was run in one stretch, so parts cut through it"
DATA = "UCI condition monitoring of hydraulic systems, TS1-TS4, 2205 cycles of 60 s"
RESAMPLED = f"{RESAMPLES} resamples of blocks of {BLOCK} consecutive cycles"


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(read(data_folder(FOLDER)))


def table_of(cycles: Cycles) -> list[Metric]:
    """The same of cycles that are already read."""
    rivals = {"extra trees on mean, spread and slope of each sensor": _trees, "logistic regression on all differences": _regression}
    beside = {name: held_out(cycles, predict) for name, predict in rivals.items()}
    beside["always the most frequent state"] = np.full(len(cycles.state), np.bincount(cycles.state).argmax())
    predicted = held_out(cycles, _rule)
    settled = _settled(cycles.state)
    return [
        _metric("accuracy", cycles, predicted, beside, np.ones(len(predicted), bool)),
        _metric("accuracy without the 20 cycles after a start or a change of state", cycles, predicted, beside, settled),
        *(
            _metric(f"share of {STATES[index]} % cycles recognised", cycles, predicted, beside, cycles.state == index)
            for index in range(len(STATES))
        ),
    ]


def held_out(cycles: Cycles, predict: Predict) -> Array:
    """The prediction for each cycle by a model that was fitted without the part it lies in; shape (n,)."""
    everything = np.arange(len(cycles.state))
    predicted = np.empty(len(everything), int)
    for part in np.array_split(everything, FOLDS):
        rest = np.setdiff1d(everything, part)
        predicted[part] = predict(Cycles(cycles.temperatures[rest], cycles.state[rest]), cycles.temperatures[part])
    return predicted


def _metric(name: str, cycles: Cycles, predicted: Array, beside: dict[str, Array], chosen: Array) -> Metric:
    groups = blocks(len(chosen), BLOCK)[chosen]

    def of(values: Array) -> Figure:
        right = (values == cycles.state)[chosen]
        return figure(lambda rows: float(right[rows].mean()), groups)

    found = of(predicted)
    return Metric(
        name=name,
        data=DATA,
        split=SPLIT,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={rival: of(values) for rival, values in beside.items()},
    )


def _settled(state: Array) -> Array:
    changed = np.concatenate([[0], np.flatnonzero(np.diff(state)) + 1])
    since = np.arange(len(state)) - changed[np.searchsorted(changed, np.arange(len(state)), side="right") - 1]
    result: Array = since >= 20
    return result


def _rule(train: Cycles, temperatures: Array) -> Array:
    found: Array = fit(train).probabilities(temperatures).argmax(axis=1)
    return found


def _trees(train: Cycles, temperatures: Array) -> Array:
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(200, random_state=SEED).fit(_statistics(train.temperatures), train.state)
    found: Array = model.predict(_statistics(temperatures))
    return found


def _regression(train: Cycles, temperatures: Array) -> Array:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(_differences(train.temperatures), train.state)
    found: Array = model.predict(_differences(temperatures))
    return found


def _statistics(temperatures: Array) -> Array:
    slope = temperatures[:, :, -10:].mean(axis=2) - temperatures[:, :, :10].mean(axis=2)
    return np.hstack([temperatures.mean(axis=2), temperatures.std(axis=2), slope])


def _differences(temperatures: Array) -> Array:
    means = temperatures.mean(axis=2)
    return np.stack([means[:, warm] - means[:, cold] for warm, cold in PAIRS], axis=1)
