"""How good the silica is one hour ahead: the last fifth of the series, measured hours only, beside persistence and beside the process alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES, blocks, figure
from models.train.datasets import data_folder
from models.train.flotation_silica import FOLDER, SEED, Asked, Hours, asked, fit, read, split

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 24  # hours
DATA = "flotation plant in Brazil, 3948 hourly means of 2017"
SPLIT = (
    "trained on the first 80 %, judged on the measured hours of the last 20 %; hours drawn between two lab values are neither told nor used"
)
RESAMPLED = f"{RESAMPLES} resamples of blocks of {BLOCK} consecutive questions"
PERSISTENCE, MEAN = "persistence: the newest measured lab value", "the mean of the training part"
BAND = "the errors of persistence in training as a band"
WITHOUT = "mean absolute error without any lab value, % SiO2 (boosted trees on the process of the last 3 hours; does not ship)"
RAW = "persistence with the hour before as it is written, drawn hours included (these tell of the hour after them)"
NOTHING = Figure(value=0.0, interval_95=(0.0, 0.0))


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(read(data_folder(FOLDER)))


def table_of(hours: Hours) -> list[Metric]:
    """The same of hours that are already read."""
    cut = split(hours)
    train, test = asked(hours, 0, cut), asked(hours, cut, len(hours.silica))
    told = fit(train).told(test.inputs)
    off = np.abs(told[:, 1] - test.truth)
    persisted = np.abs(test.inputs[:, 0] - test.truth)
    mean = np.abs(train.truth.mean() - test.truth)
    raw = np.abs(hours.silica[test.hour - 1] - test.truth)
    alone = np.abs(without_lab(hours, train, test) - test.truth)
    inside = (told[:, 0] <= test.truth) & (test.truth <= told[:, 2])
    naive = _spread_around_persistence(train, test)
    return [
        _metric("mean absolute error, % SiO2", off, {PERSISTENCE: persisted, RAW: raw, MEAN: mean}),
        _share("share by which that error is less than that of persistence", off, persisted),
        _metric(
            "share of hours inside the band of 90 %",
            inside.astype(float),
            {BAND: naive.astype(float)},
        ),
        _metric(
            "width of the band, % SiO2",
            told[:, 2] - told[:, 0],
            {BAND: _width(train, len(off))},
        ),
        _metric(
            "mean absolute error without any lab value, % SiO2 (boosted trees on the process of the last 3 hours; does not ship)",
            alone,
            {MEAN: mean},
        ),
    ]


def without_lab(hours: Hours, train: Asked, test: Asked) -> Array:
    """What the process alone tells: boosted trees on the means of the last hour and of the last three."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def features(questions: Asked) -> Array:
        return np.stack([np.concatenate([hours.process[hour - 1], hours.process[hour - 3 : hour].mean(axis=0)]) for hour in questions.hour])

    model = HistGradientBoostingRegressor(
        loss="absolute_error", learning_rate=0.05, max_iter=150, max_leaf_nodes=8, min_samples_leaf=40, random_state=SEED
    )
    found: Array = model.fit(features(train), train.truth).predict(features(test))
    return found


def _spread_around_persistence(train: Asked, test: Asked) -> Array:
    low, high = np.quantile(train.truth - train.inputs[:, 0], [0.05, 0.95])
    error = test.truth - test.inputs[:, 0]
    found: Array = (low <= error) & (error <= high)
    return found


def _width(train: Asked, count: int) -> Array:
    low, high = np.quantile(train.truth - train.inputs[:, 0], [0.05, 0.95])
    return np.full(count, high - low)


def _metric(name: str, values: Array, beside: dict[str, Array]) -> Metric:
    def of(own: Array) -> Figure:
        return figure(lambda rows: float(own[rows].mean()), blocks(len(own), BLOCK))

    found = of(values)
    baselines = {rival: of(own) for rival, own in beside.items()}
    return Metric(
        name=name, data=DATA, split=SPLIT, value=found.value, interval_95=found.interval_95, resampled=RESAMPLED, baselines=baselines
    )


def _share(name: str, off: Array, persisted: Array) -> Metric:
    score: Callable[[Array], float] = lambda rows: float(1 - off[rows].mean() / persisted[rows].mean())  # noqa: E731 - typed here
    found = figure(score, blocks(len(off), BLOCK))
    return Metric(
        name=name,
        data=DATA,
        split=SPLIT,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={"no gain": NOTHING},
    )
