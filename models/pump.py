"""What a pump's own normal operation looks like: the centre, whitening and limit that its anomaly model is given. NumPy only."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SHRINKAGE = 0.1
"""Share of the unit matrix in the correlation: two channels that went in step for 400 s need not always."""
SETTLING = 60
"""Rows at the start of the reference whose scores do not count for the limit."""
QUANTILE = 0.99
MIN_REFERENCE = 200


class Smoothing(NamedTuple):
    """Rows of the mean of the channels, and rows of the mean of the score."""

    channels: int
    score: int

    @property
    def rows(self) -> int:
        """Rows of one window, at 1 Hz seconds."""
        return self.channels + self.score - 1


class Normal(NamedTuple):
    """``centre`` (1, k) in the units of the channels, ``whitening`` (k, k) per those units, ``limit`` (1, 1), the score's 0.99 quantile."""

    centre: Array
    whitening: Array
    limit: Array


def learn(reference: Array, smoothing: Smoothing) -> Normal:
    """From (n, k) rows of normal operation in the order of time, 400 in the benchmark.

    Raises ValueError where rows are too few or not finite; a channel that stands still gets the least spread that floats allow.
    """
    if reference.ndim != 2 or len(reference) < MIN_REFERENCE or not np.isfinite(reference).all():
        raise ValueError(f"reference has shape {reference.shape}; {MIN_REFERENCE} or more finite rows of normal operation are needed")
    smoothed = rolling(reference, smoothing.channels)[smoothing.channels :]
    centre, spread = smoothed.mean(axis=0), smoothed.std(axis=0) + 1e-9
    correlation = np.atleast_2d(np.cov(((smoothed - centre) / spread).T))
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(centre))
    values, vectors = np.linalg.eigh(shrunk)
    whitening = vectors / np.sqrt(values) / spread[:, None]
    scores = raw_scores(reference, centre[None], whitening, smoothing)[SETTLING:]
    return Normal(centre[None], whitening, np.array([[max(float(np.quantile(scores, QUANTILE)), 1e-6)]]))


def scores(series: Array, normal: Normal, smoothing: Smoothing) -> Array:
    """(n,): how many limits each row of (n, k) is from normal; each looks back ``smoothing.rows``, fewer at the start."""
    found: Array = raw_scores(series, normal.centre, normal.whitening, smoothing) / normal.limit[0, 0]
    return found


def raw_scores(series: Array, centre: Array, whitening: Array, smoothing: Smoothing) -> Array:
    """Hotelling's T² of the smoothed channels per channel, as log(1 + T²/k) so that one blow does not last, and smoothed again."""
    distance = (rolling(series, smoothing.channels) - centre) @ whitening
    return rolling(np.log1p((distance**2).mean(axis=1))[:, None], smoothing.score)[:, 0]


def rolling(values: Array, width: int) -> Array:
    """Mean of the last ``width`` rows, of those there are at the start."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    found: Array = (sums[ends] - sums[starts]) / (ends - starts)[:, None]
    return found
