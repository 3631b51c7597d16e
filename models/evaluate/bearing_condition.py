"""How good the bearing-condition model is: one fault size held out, every choice made without it, intervals over recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.bearing import FEATURE_NAMES, HARMONICS
from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES
from models.evaluate.resampling import figure as resampled
from models.train.bearing_condition import FAULTS, LABELS, Choice, Fitted, Simulated, choose, fit, simulate
from models.train.datasets import data_folder
from models.train.recordings import EXTERNAL_SIZE, FOLDER, SIZES, Features, Recording, Windows, recordings, split

Array = np.ndarray[Any, np.dtype[Any]]
Score = Callable[[Array, Array], float]

DATA = "CWRU drive end, 12 kHz, windows of 1 s"
RESAMPLED = f"{RESAMPLES} resamples of whole recordings within each class"


class Outcome(NamedTuple):
    """Predictions for windows that were not trained on: labels of all four classes, fault types given that there is a fault, and the rule's."""

    windows: Windows
    predicted: Array
    predicted_type: Array
    rule: Array
    rule_type: Array


class Fold(NamedTuple):
    """One held-out fault size, what was chosen without it, and what came out."""

    held_out: int
    choice: Choice
    outcome: Outcome
    normal: Outcome


def rule_scores(rows: Array, healthy: Array) -> Array:
    """The physics baseline: how far the lines of each of FAULTS stand above healthy noise, in its standard deviations; shape (n, 3)."""
    columns = [[FEATURE_NAMES.index(f"bands_{line}_{h}") for h in range(1, HARMONICS + 1)] for line in ("bpfi", "bpfo", "ball")]
    scores = np.stack([rows[:, c].mean(axis=1) for c in columns], axis=1)
    noise = np.stack([healthy[:, c].mean(axis=1) for c in columns], axis=1)
    result: Array = (scores - noise.mean(axis=0)) / noise.std(axis=0)
    return result


def judge(model: Fitted, windows: Windows, healthy: Array) -> Outcome:
    """The model's and the baseline's answers; the rule says normal below the 99 % quantile of simulated healthy machines."""
    probabilities = model.probabilities(windows.rows)
    scores = rule_scores(windows.rows, healthy)
    limit = np.quantile(rule_scores(healthy, healthy).max(axis=1), 0.99)
    rule_type = np.array(FAULTS)[scores.argmax(axis=1)]
    return Outcome(
        windows=windows,
        predicted=np.array(LABELS)[probabilities.argmax(axis=1)],
        predicted_type=np.array(FAULTS)[probabilities[:, 1:].argmax(axis=1)],
        rule=np.where(scores.max(axis=1) > limit, rule_type, "normal"),
        rule_type=rule_type,
    )


class Bench:
    """The data set and what was simulated, ready for folds."""

    def __init__(self, folder: Path, simulated: Simulated | None = None) -> None:
        self.found = recordings(folder)
        self.store = Features(folder)
        self.simulated = simulated or simulate()
        self.normal = self.store.of([recording for recording in self.found if recording.label == "normal"])

    def fold(self, held_out: int, sizes: tuple[int, ...] = SIZES) -> Fold:
        """Trains and chooses on the other ``sizes``; the real healthy recording is trained on in no fold, and judged in every one."""
        train, test = split(self.found, held_out, sizes)
        model, choice = self._train(train)
        healthy = self.simulated.healthy
        return Fold(held_out, choice, judge(model, self.store.of(test), healthy), judge(model, self.normal, healthy))

    def final(self) -> tuple[Fitted, Choice]:
        """The model that ships: trained on all of SIZES, chosen by leaving each of them out in turn."""
        return self._train(split(self.found, EXTERNAL_SIZE, (*SIZES, EXTERNAL_SIZE))[0])

    def _train(self, train: list[Recording]) -> tuple[Fitted, Choice]:
        choice = choose(train, self.store, self.simulated.faults)
        return fit(self.store.of(train), choice, self.simulated), choice


def macro_f1(truth: Array, predicted: Array, labels: tuple[str, ...]) -> float:
    """Mean over ``labels`` of 2TP / (2TP + FP + FN); a label that is neither true nor predicted counts 0."""
    values = []
    for label in labels:
        hits = np.sum((truth == label) & (predicted == label))
        total = np.sum(truth == label) + np.sum(predicted == label)
        values.append(2 * hits / total if total else 0.0)
    return float(np.mean(values))


def figure(score: Score, truth: Array, predicted: Array, groups: Array) -> Figure:
    """The score and its interval: recordings are drawn with replacement within each class, their windows go together."""
    return resampled(lambda rows: score(truth[rows], predicted[rows]), groups, truth)


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(Bench(data_folder(FOLDER)))


def table_of(bench: Bench) -> list[Metric]:
    """The same of a bench that is already there."""
    folds, external = [bench.fold(size) for size in SIZES], bench.fold(EXTERNAL_SIZE, (*SIZES, EXTERNAL_SIZE))
    table = []
    for fold in folds:
        rest = " and ".join(str(size) for size in SIZES if size != fold.held_out)
        where = f"{fold.held_out} mil held out, trained and chosen ({fold.choice.lines} lines, C {fold.choice.c:g}) on {rest} mil"
        table.append(_metric("macro-F1 of inner, outer, ball, given a fault", where, fold.outcome, _three, typed=True))
        both = _joined(fold.outcome, fold.normal)
        table.append(_metric("macro-F1 of normal, inner, outer, ball", f"{where}; the real healthy recording in no training", both, _four))
        table.append(_metric("share of faulty windows not called normal", where, fold.outcome, _alarmed))
    where = f"{EXTERNAL_SIZE} mil (another maker's bearings, inner and ball only), never trained or chosen on"
    table.append(_metric("share of windows with the right fault type, given a fault", where, external.outcome, _right, typed=True))
    table.append(_metric("share of faulty windows not called normal", where, external.outcome, _alarmed))
    false = _alarmed(external.normal.windows.labels, external.normal.predicted)
    false_rule = _alarmed(external.normal.windows.labels, external.normal.rule)
    table.append(
        Metric(
            name="share of healthy windows called faulty",
            data="CWRU 1797_Normal, drive end and fan end, windows of 1 s",
            split="the only real healthy recording; never trained or chosen on",
            value=round(false, 4),
            interval_95=(0.0, 1.0),
            resampled="not possible: it is one recording of one machine, so nothing narrower than 0 to 1 is known",
            baselines={"envelope-line rule": Figure(value=round(false_rule, 4), interval_95=(0.0, 1.0))},
        )
    )
    return table


def _metric(name: str, where: str, outcome: Outcome, score: Score, *, typed: bool = False) -> Metric:
    predicted, rule = (outcome.predicted_type, outcome.rule_type) if typed else (outcome.predicted, outcome.rule)
    truth, groups = outcome.windows.labels, outcome.windows.recordings
    found = figure(score, truth, predicted, groups)
    return Metric(
        name=name,
        data=DATA,
        split=where,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={"envelope-line rule": figure(score, truth, rule, groups)},
    )


def _joined(first: Outcome, second: Outcome) -> Outcome:
    windows = Windows(*(np.concatenate(pair) for pair in zip(first.windows, second.windows, strict=True)))
    return Outcome(windows, *(np.concatenate(pair) for pair in zip(first[1:], second[1:], strict=True)))


def _three(truth: Array, predicted: Array) -> float:
    return macro_f1(truth, predicted, FAULTS)


def _four(truth: Array, predicted: Array) -> float:
    return macro_f1(truth, predicted, LABELS)


def _right(truth: Array, predicted: Array) -> float:
    return float(np.mean(truth == predicted))


def _alarmed(_truth: Array, predicted: Array) -> float:
    return float(np.mean(predicted != "normal"))
