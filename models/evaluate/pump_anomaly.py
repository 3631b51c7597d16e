"""How good the pump anomaly model is: settings chosen on half of the recordings, judged on the other half, twenty times both ways."""

from typing import Any

import numpy as np

from models.cards import Figure, Metric
from models.evaluate.resampling import RESAMPLES, figure
from models.pump import Smoothing
from models.train.datasets import data_folder
from models.train.pump_anomaly import (
    FOLDER,
    GROUPS,
    REFERENCE,
    SEED,
    THRESHOLDS,
    Recording,
    choose,
    counts,
    f1,
    false_alarm_rate,
    missed_alarm_rate,
    read,
    scored,
    table,
)

Array = np.ndarray[Any, np.dtype[Any]]

HALVINGS = 20
FIGURES = {"F1": f1, "false-alarm rate": false_alarm_rate, "missed-alarm rate": missed_alarm_rate}
SPLIT = (
    f"the first {REFERENCE} rows of each recording teach its normal, the rest is judged row by row, pooled; channels, smoothing and threshold "
    f"chosen on one half of the recordings (of each folder) and judged on the other, both ways, {HALVINGS} random halvings"
)
DATA = "SKAB, 34 labelled recordings of valve1, valve2 and other"
RESAMPLED = f"{RESAMPLES} resamples of whole recordings, within folders; the choice of settings is not repeated"


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    return table_of(read(data_folder(FOLDER)))


def table_of(recordings: list[Recording], found: Array | None = None) -> list[Metric]:
    """The same of recordings that are already read; ``found`` is their table of counts."""
    found = table(recordings) if found is None else found
    groups = np.array([one.group for one in recordings])
    judged = nested(found, groups)
    beside = {
        "chosen for F1 alone": nested(found, groups, allowed=1.0),
        "T² of all channels, unsmoothed, at its 0.99 quantile": _plain(recordings),
        "everything is anomalous": _everything(recordings),
    }
    everyone = np.arange(len(recordings))

    def of(values: Array, score: Any) -> Figure:
        return figure(lambda rows: float(score(values[rows].sum(axis=0))), everyone, groups)

    return [
        Metric(
            name=name,
            data=DATA,
            split=SPLIT,
            value=(main := of(judged, score)).value,
            interval_95=main.interval_95,
            resampled=RESAMPLED,
            baselines={rival: of(values, score) for rival, values in beside.items()},
        )
        for name, score in FIGURES.items()
    ]


def nested(found: Array, groups: Array, **choice: float) -> Array:
    """(recordings, 4): counts summed over the halvings, each recording judged by a choice that never saw it."""
    generator = np.random.default_rng(SEED)
    total = np.zeros((found.shape[1], 4))
    for _ in range(HALVINGS):
        half = np.zeros(len(groups), bool)
        for group in GROUPS:
            members = generator.permutation(np.flatnonzero(groups == group))
            half[members[: len(members) // 2]] = True
        for seen in (half, ~half):
            setting, threshold = choose(found[:, seen], **choice)
            total[~seen] += found[setting, ~seen, threshold]
    return total


def _plain(recordings: list[Recording]) -> Array:
    at = int(np.abs(THRESHOLDS - 1).argmin())
    return np.array([counts(scored(one, "all", Smoothing(1, 1)), one.anomalous[REFERENCE:])[at] for one in recordings])


def _everything(recordings: list[Recording]) -> Array:
    judged = [one.anomalous[REFERENCE:] for one in recordings]
    return np.array([[flags.sum(), (~flags).sum(), 0, 0] for flags in judged])
