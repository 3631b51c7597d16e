"""How good the energy rule is, beside what could be learned: rolling origin over the series, the last 30 %, and the header's ten folds."""

from collections.abc import Callable
from typing import Any

import numpy as np

from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES, blocks, figure
from models.train.datasets import data_folder
from models.train.seismic_hazard import BUMPS, ENERGY, FOLDER, PULSES, SEED, SHIFT, Shifts, balanced_accuracy, fit, read

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[
    [Shifts, Array], tuple[Array, Array]
]  # train, all attributes up to the last judged row -> scores and verdicts of all rows

FIRST, STEP = 600, 100  # shifts before the first judgement, and between two trainings
BLOCK = 21  # shifts, a week: neighbours are no independent draws
FOLDS = 10
TREES = "extra trees on energy, pulses, bumps and their histories"
REGRESSION = "logistic regression on the same"
DATA = "UCI seismic-bumps, one coal mine, 2584 shifts, 170 hazardous"
ROLLING = f"rolling origin: trained on all shifts before, anew each {STEP} shifts, from shift {FIRST} on"
LAST = "chronological: trained on the first 70 %, judged on the last 30 % (26 hazardous shifts)"
HEADER = "ten stratified folds drawn at random, as in the data set's header: neighbouring shifts lie on both sides, so it flatters what is learned"
RESAMPLED = f"{RESAMPLES} resamples of blocks of {BLOCK} consecutive shifts"
AREA, BALANCED = "area under the ROC curve", "balanced accuracy"
NOTHING = Figure(value=0.0, interval_95=(0.0, 0.0))
PUBLISHED = Figure(value=0.691, interval_95=(0.0, 1.0))


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(read(data_folder(FOLDER)))


def table_of(shifts: Shifts) -> list[Metric]:
    """The same of shifts that are already read."""
    rolled = {name: rolling(shifts, predict) for name, predict in PREDICTORS.items()}
    late = {name: _late(shifts, predict) for name, predict in PREDICTORS.items()}
    folded = {name: _folds(shifts, predict) for name, predict in PREDICTORS.items()}
    last = np.arange(int(0.7 * len(shifts.hazard)), len(shifts.hazard))
    judged = np.arange(FIRST, len(shifts.hazard))
    everything = np.arange(len(shifts.hazard))
    table = [
        _metric(AREA, ROLLING, shifts.hazard, judged, {name: scores for name, (scores, _) in rolled.items()}),
        _metric(AREA, LAST, shifts.hazard, last, {name: scores for name, (scores, _) in late.items()}),
        _metric(BALANCED, ROLLING, shifts.hazard, judged, {name: said for name, (_, said) in rolled.items()}),
        _metric(BALANCED, HEADER, shifts.hazard, everything, {name: said for name, (_, said) in folded.items()}),
    ]
    for name in (TREES, REGRESSION):
        table.append(_gain(f"{AREA} that {name} would add", shifts, judged, rolled[name][0], rolled["rule"][0]))
    return table


def area(truth: Array, scores: Array) -> float:
    """The share of pairs of a hazardous and another shift in which the hazardous one scores higher; ties count half."""
    if truth.all() or not truth.any():
        return float("nan")
    order = np.argsort(scores, kind="stable")
    values, ranks = scores[order], np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    for value in np.unique(values[:-1][values[:-1] == values[1:]]):
        same = scores == value
        ranks[same] = ranks[same].mean()
    positives = int(truth.sum())
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * (len(truth) - positives)))


def rolling(shifts: Shifts, predict: Predict) -> tuple[Array, Array]:
    """Scores and verdicts of every shift from FIRST on, each by a model of the shifts before its hundred; others are NaN and False."""
    scores, said = np.full(len(shifts.hazard), np.nan), np.zeros(len(shifts.hazard), bool)
    for start in range(FIRST, len(shifts.hazard), STEP):
        end = min(start + STEP, len(shifts.hazard))
        found = predict(Shifts(shifts.attributes[:start], shifts.hazard[:start]), shifts.attributes[:end])
        scores[start:end], said[start:end] = found[0][start:end], found[1][start:end]
    return scores, said


def _late(shifts: Shifts, predict: Predict) -> tuple[Array, Array]:
    start = int(0.7 * len(shifts.hazard))
    return predict(Shifts(shifts.attributes[:start], shifts.hazard[:start]), shifts.attributes)


def _folds(shifts: Shifts, predict: Predict) -> tuple[Array, Array]:
    from sklearn.model_selection import StratifiedKFold

    scores, said = np.empty(len(shifts.hazard)), np.empty(len(shifts.hazard), bool)
    features = _History.of(shifts.attributes)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(features, shifts.hazard):
        part = Shifts(shifts.attributes[train], shifts.hazard[train])
        found = (
            predict(part, shifts.attributes[test]) if predict is _rule else _learned(predict, features[train], part.hazard, features[test])
        )
        scores[test], said[test] = found
    return scores, said


def _rule(train: Shifts, attributes: Array) -> tuple[Array, Array]:
    """Its score is the energy itself: what ships rises with it, whatever the curve."""
    rule, energy = fit(train), attributes[:, ENERGY]
    return energy, rule.probability(energy) >= rule.threshold


class _History:
    """What the learned rivals are given: this shift, and running means over the past (half-lives of 3, 8 and 24 shifts)."""

    @staticmethod
    def of(attributes: Array) -> Array:
        plain = [np.log10(1 + attributes[:, ENERGY]), np.log10(1 + attributes[:, PULSES]), np.log1p(attributes[:, BUMPS])]
        means = [_running(values, half) for values in plain for half in (3, 8, 24)]
        return np.stack([*plain, *means, attributes[:, SHIFT]], axis=1)


def _running(values: Array, half: float) -> Array:
    share, found, state = 1 - 0.5 ** (1 / half), np.empty(len(values)), float(values[0])
    for place, value in enumerate(values):
        state += share * (float(value) - state)
        found[place] = state
    return found


def _trees(train: Shifts, attributes: Array) -> tuple[Array, Array]:
    features = _History.of(attributes)
    return _learned(_trees, features[: len(train.hazard)], train.hazard, features)


def _regression(train: Shifts, attributes: Array) -> tuple[Array, Array]:
    features = _History.of(attributes)
    return _learned(_regression, features[: len(train.hazard)], train.hazard, features)


def _learned(predict: Predict, features: Array, hazard: Array, asked: Array) -> tuple[Array, Array]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if predict is _trees:
        model: Any = ExtraTreesClassifier(200, min_samples_leaf=15, class_weight="balanced", random_state=SEED)
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000))
    probability: Array = model.fit(features, hazard).predict_proba(asked)[:, 1]
    return probability, probability >= 0.5


PREDICTORS: dict[str, Predict] = {"rule": _rule, TREES: _trees, REGRESSION: _regression}


def _balanced(truth: Array, said: Array) -> float:
    return balanced_accuracy(truth, said.astype(bool)) if truth.any() and not truth.all() else float("nan")


def _metric(name: str, split: str, hazard: Array, rows: Array, told: dict[str, Array]) -> Metric:
    groups, score = blocks(len(rows), BLOCK), area if name == AREA else _balanced

    def of(values: Array) -> Figure:
        return figure(lambda drawn: score(hazard[rows][drawn], values[rows][drawn]), groups)

    found = of(told["rule"])
    beside = {rival: of(values) for rival, values in told.items() if rival != "rule"}
    if split == HEADER:
        beside["q-ModLEM, the best of the data set's header (interval unknown)"] = PUBLISHED
    return Metric(
        name=name, data=DATA, split=split, value=found.value, interval_95=found.interval_95, resampled=RESAMPLED, baselines=beside
    )


def _gain(name: str, shifts: Shifts, rows: Array, learned: Array, rule: Array) -> Metric:
    truth = shifts.hazard[rows]
    found = figure(lambda drawn: area(truth[drawn], learned[rows][drawn]) - area(truth[drawn], rule[rows][drawn]), blocks(len(rows), BLOCK))
    return Metric(
        name=name,
        data=DATA,
        split=ROLLING,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={"no gain": NOTHING},
    )
