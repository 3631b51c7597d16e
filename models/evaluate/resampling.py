"""Intervals: what a figure would have been had other groups (recordings, engines, days, pictures) been drawn."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.cards import Figure

Array = np.ndarray[Any, np.dtype[Any]]

RESAMPLES = 1000
SEED = 20251123


def figure(
    score: Callable[[Array], float], groups: Array, strata: Array | None = None, *, resamples: int = RESAMPLES, digits: int = 4
) -> Figure:
    """The score of all rows and its 95 % interval: whole groups are drawn with replacement, within each stratum where ``strata`` is given.

    ``score`` takes the indices of rows; ``groups`` (n,) names each row's group; ``strata`` (n,) is constant within a group.
    """
    generator = np.random.default_rng(SEED)
    pools = _pools(groups, strata)
    scores = []
    for _ in range(resamples):
        drawn = [pool[place] for pool in pools for place in generator.integers(0, len(pool), len(pool))]
        scores.append(score(np.concatenate(drawn)))
    value = score(np.arange(len(groups)))
    low, high = np.nanquantile(scores, [0.025, 0.975])
    return Figure(value=round(value, digits), interval_95=(round(float(min(low, value)), digits), round(float(max(high, value)), digits)))


def blocks(length: int, size: int) -> Array:
    """Groups of ``size`` consecutive rows: for a series, whose neighbours are no independent draws."""
    return np.arange(length) // size


def _pools(groups: Array, strata: Array | None) -> Sequence[Sequence[Array]]:
    order = np.argsort(groups, kind="stable")
    borders = np.flatnonzero(np.diff(np.unique(groups, return_inverse=True)[1][order])) + 1
    members = np.split(order, borders)
    if strata is None:
        return [members]
    by_stratum: dict[str, list[Array]] = {}
    for indices in members:
        by_stratum.setdefault(str(strata[indices[0]]), []).append(indices)
    return list(by_stratum.values())
