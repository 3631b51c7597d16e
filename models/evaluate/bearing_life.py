"""How good the remaining life is: six bearings that were not learnt from, asked at eighteen shares of their life and once where the challenge did."""

from typing import Any, NamedTuple

import numpy as np

from models.bearing_life import CONFIRM, FIRST, STEP_S, history
from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES, figure
from models.train.bearing_life import BAND, FOLDER, LEARNING, Life, Rule, asked, fit, read
from models.train.datasets import data_folder

Array = np.ndarray[Any, np.dtype[Any]]

OFFICIAL = {"Bearing1_3": 1802, "Bearing1_5": 2302, "Bearing1_6": 2302, "Bearing2_3": 1202, "Bearing2_4": 612, "Bearing2_6": 572}
"""Snapshots that the challenge of 2012 gave of each; the rest of the life was to be told."""
DATA = "PRONOSTIA, IEEE PHM 2012 challenge, six bearings of the full test set"
ALL = "official: fitted on the six of the learning set; asked at 10, 15, ... 95 % of each other bearing's life"
ONCE = "official: fitted on the six of the learning set; asked once at the challenge's truncation"
LIVES = "whole lives of the six test bearings; the two limits were set on the learning set"
RESAMPLED = f"{RESAMPLES} resamples of whole bearings"
HALF, LATE = 0.5, 0.8
CONSTANT, ELAPSED = "a constant (median of the learning set)", "elapsed time times a constant (median of the learning set)"
DOUBLED = "rms twice that of the first ten minutes, for two minutes"
NOTHING = Figure(value=0.0, interval_95=(0.0, 0.0))


class Answers(NamedTuple):
    """Per question: the ``bearing`` (k,), the ``truth`` in s (k,), and low, median, high in s (k, 3) of the model and of two baselines."""

    bearing: Array
    truth: Array
    told: dict[str, Array]


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(read(data_folder(FOLDER)))


def table_of(lives: list[Life]) -> list[Metric]:
    """The same of lives that are already read."""
    learnt = [life for life in lives if life.bearing in LEARNING]
    held = [life for life in lives if life.bearing not in LEARNING]
    rule = fit(learnt)
    every = answers(learnt, rule, [(life, *asked(life)) for life in held])
    once = answers(learnt, rule, [(life, *_official(life)) for life in held if life.bearing in OFFICIAL])
    error = {name: np.abs(np.log(told[:, 1] / every.truth)) for name, told in every.told.items()}
    covered = {name: ((told[:, 0] <= every.truth) & (every.truth <= told[:, 2])).astype(float) for name, told in every.told.items()}
    return [
        _metric("mean absolute error of the logarithm of the remaining life", ALL, every.bearing, error),
        *(
            _against_nothing(f"that error is less by, than that of {name}", every.bearing, error[name] - error["model"])
            for name in (CONSTANT, ELAPSED)
        ),
        _metric("share of truths inside the band", ALL, every.bearing, covered),
        _metric("challenge score", ALL, every.bearing, {name: score(told[:, 1], every.truth) for name, told in every.told.items()}),
        _metric("challenge score", ONCE, once.bearing, {name: score(told[:, 1], once.truth) for name, told in once.told.items()}),
        *_onsets(held),
    ]


def score(told: Array, truth: Array) -> Array:
    """The challenge's score (k,) of 0 to 1, by Nectoux et al. 2012: half at 20 % too early, half at 5 % too late."""
    percent = 100 * (truth - told) / truth
    points: Array = np.where(percent <= 0, 0.5 ** (-percent / 5), 0.5 ** (percent / 20))
    return points


def answers(learnt: list[Life], rule: Rule, questions: list[tuple[Life, Array, Array, Array]]) -> Answers:
    """What the model and the two baselines say; the baselines and their bands are of ``learnt`` alone."""
    elapsed, remained = (np.concatenate(parts) for parts in list(zip(*(asked(life) for life in learnt), strict=True))[1:])
    quantiles = (BAND[0], 0.5, BAND[1])
    bearing = np.concatenate([[life.bearing] * len(truth) for life, _, _, truth in questions])
    passed, truth = (np.concatenate([question[place] for question in questions]) for place in (2, 3))
    state = np.vstack([question[1] for question in questions])
    told = {
        "model": rule.remaining(state),
        CONSTANT: np.tile(np.quantile(remained, quantiles), (len(truth), 1)),
        ELAPSED: passed[:, None] * np.quantile(remained / elapsed, quantiles),
    }
    return Answers(bearing, truth, told)


def _official(life: Life) -> tuple[Array, Array, Array]:
    seen = OFFICIAL[life.bearing]
    state = history(life.rms[:seen]).state[-1:].astype(float)
    return state, np.array([STEP_S * seen]), np.array([STEP_S * (len(life.rms) - seen)])


def _onsets(held: list[Life]) -> list[Metric]:
    """Of a bearing none is known to wear before half of its life: an onset said there is counted as false."""
    shares = {"model": [_share(life, history(life.rms).onset) for life in held], DOUBLED: [_share(life, _doubled(life)) for life in held]}
    bearing = np.array([life.bearing for life in held])
    found = {name: np.array([HALF <= share <= LATE for share in values], float) for name, values in shares.items()}
    false = {name: np.array([share < HALF for share in values], float) for name, values in shares.items()}
    ever = {name: np.array([HALF <= share <= 1 for share in values], float) for name, values in shares.items()}
    return [
        _metric("share of bearings whose onset is said between 50 and 80 % of life", LIVES, bearing, found),
        _metric("share of bearings whose onset is said after 50 % of life and before its end", LIVES, bearing, ever),
        _metric("share of bearings with a false onset, before 50 % of life", LIVES, bearing, false),
    ]


def _doubled(life: Life) -> int | None:
    level = np.sqrt((life.rms**2).sum(axis=1))
    high = level > 2 * np.median(level[:FIRST])
    runs = np.convolve(high, np.ones(CONFIRM), "valid") == CONFIRM
    return int(runs.argmax()) + CONFIRM - 1 if runs.any() else None


def _share(life: Life, onset: int | None) -> float:
    return float("inf") if onset is None else onset / len(life.rms)


def _metric(name: str, split: str, bearing: Array, values: dict[str, Array]) -> Metric:
    def of(own: Array) -> Figure:
        return figure(lambda rows: float(own[rows].mean()), bearing)

    found = of(values["model"])
    return Metric(
        name=name,
        data=DATA,
        split=split,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={rival: of(own) for rival, own in values.items() if rival != "model"},
    )


def _against_nothing(name: str, bearing: Array, gain: Array) -> Metric:
    found = figure(lambda rows: float(gain[rows].mean()), bearing)
    return Metric(
        name=name,
        data=DATA,
        split=ALL,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={"no gain": NOTHING},
    )
