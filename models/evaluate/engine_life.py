"""How good the engine life model is: the official test engines, and folds of whole training engines, on which every choice was made."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.cards import Figure, Metric
from models.engine_life import LEVELS
from models.evaluate.resampling import RESAMPLES, figure
from models.train.datasets import data_folder
from models.train.engine_life import CAP, FOLDER, SEED, Fleet, Rows, fit, last_rows, read, rows

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Rows, Rows], Array]

FOLDS = 5
DATA = "NASA C-MAPSS FD001 (simulated turbofans, one operating condition, one kind of fault)"
OFFICIAL = f"official: fitted on the 100 training engines, one prediction after the last cycle of each of 100 test engines; truth capped at {CAP:g}"
FOLDED = (
    f"{FOLDS} folds of whole training engines, every second cycle from the 20th to the failure; truth capped at {CAP:g}; scales, directions and "
    "trees fitted without the engine"
)
RESAMPLED = f"{RESAMPLES} resamples of whole engines"


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(*read(data_folder(FOLDER)))


def table_of(train: Fleet, test: Fleet) -> list[Metric]:
    """The same of engines that are already read."""
    seen, last = rows(train), last_rows(test)
    official = {name: predict(seen, last) for name, predict in MODELS.items()}
    folded = {name: held_out(seen, predict) for name, predict in MODELS.items()}
    late = seen.life < CAP
    return [
        _metric("RMSE, cycles", OFFICIAL, last, official, rmse),
        _metric("PHM08 score, sum over 100 engines", OFFICIAL, last, official, phm08),
        _metric("RMSE, cycles", FOLDED, seen, folded, rmse),
        _metric("RMSE of the last 125 cycles, cycles", FOLDED, seen.of(late), {name: found[late] for name, found in folded.items()}, rmse),
    ]


def held_out(seen: Rows, predict: Predict) -> Array:
    """The prediction for each row by a model that was fitted without its engine; shape (n,)."""
    engines = np.random.default_rng(SEED).permutation(np.unique(seen.engine))
    found = np.empty(len(seen.life))
    for part in np.array_split(engines, FOLDS):
        inside = np.isin(seen.engine, part)
        found[inside] = predict(seen.of(~inside), seen.of(inside))
    return found


def rmse(error: Array) -> float:
    """Of errors in cycles, predicted minus true."""
    return float(np.sqrt(np.mean(error**2)))


def phm08(error: Array) -> float:
    """Saxena et al. 2008: a late prediction costs exp(d/10) - 1, an early one exp(-d/13) - 1; summed."""
    return float(np.where(error < 0, np.exp(-error / 13) - 1, np.exp(error / 10) - 1).sum())


def _metric(name: str, split: str, judged: Rows, found: dict[str, Array], score: Callable[[Array], float]) -> Metric:
    truth = np.minimum(judged.life, CAP)

    def of(predicted: Array) -> Figure:
        error = predicted - truth
        return figure(lambda chosen: score(error[chosen]), judged.engine, digits=3)

    main = of(found["this model"])
    beside = {rival: of(predicted) for rival, predicted in found.items() if rival != "this model"}
    return Metric(name=name, data=DATA, split=split, value=main.value, interval_95=main.interval_95, resampled=RESAMPLED, baselines=beside)


def _model(train: Rows, judged: Rows) -> Array:
    return fit(train).predict(judged.summary, judged.age)


def _boosting(train: Rows, judged: Rows) -> Array:
    """What is usual: gradient boosting on the sensors' levels, smoothed over ten cycles, and the age."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def given(some: Rows) -> Array:
        return np.hstack([some.summary[:, LEVELS[0]], some.age[:, None]])

    model = HistGradientBoostingRegressor(random_state=SEED, max_iter=100, learning_rate=0.05)
    found: Array = np.clip(model.fit(given(train), np.minimum(train.life, CAP)).predict(given(judged)), 0, CAP)
    return found


def _ridge(train: Rows, judged: Rows) -> Array:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def given(some: Rows) -> Array:
        return np.hstack([some.summary.reshape(len(some.age), -1), some.age[:, None]])

    model = make_pipeline(StandardScaler(), Ridge(50.0)).fit(given(train), np.minimum(train.life, CAP))
    found: Array = np.clip(model.predict(given(judged)), 0, CAP)
    return found


def _mean(train: Rows, judged: Rows) -> Array:
    return np.full(len(judged.life), np.minimum(train.life, CAP).mean())


MODELS: dict[str, Predict] = {
    "this model": _model,
    "gradient boosting on smoothed levels and age": _boosting,
    "ridge regression on the same summary": _ridge,
    "always the training mean": _mean,
}
