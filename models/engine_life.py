"""What the engine life model is given: a run-to-failure history told by means, slopes and an engine's own first cycles. NumPy only.

Every entry but the age is linear in the sensors, so the graph may project sensors onto fewer directions after the summary was made.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SENSORS = (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)
"""Numbers of the C-MAPSS sensors that vary at all under one operating condition."""
BASELINE = 20
"""Cycles whose mean is the engine's own baseline; a shorter history cannot be judged."""
MEANS = (3, 5, 10, 20, 40, 80)
SLOPES = (10, 20, 30, 50, 80, 400)
ROWS = (
    *(f"mean of the last {window} cycles minus baseline" for window in MEANS),
    "mean of the last 10 cycles",
    "baseline",
    *(f"slope over the last {window} cycles" for window in SLOPES),
)
LEVELS = (len(MEANS), len(MEANS) + 1)
"""The two rows that are levels; all others are differences."""


def summaries(history: Array, ends: Array) -> Array:
    """float64 (len(ends), 14 rows, 14 sensors), after each of ``ends`` cycles of ``history`` (cycles, 14 sensors) in the units of C-MAPSS.

    A window that reaches before the first cycle ends there. A slope is the least-squares slope per cycle times the smaller of its window and
    100. Nothing after an end is looked at. Raises ValueError where an end lies before the baseline is complete or after the history.
    """
    if history.ndim != 2 or history.shape[1] != len(SENSORS):
        raise ValueError(f"history has shape {history.shape}; (cycles, {len(SENSORS)}) is needed")
    if len(ends) == 0 or ends.min() < BASELINE or ends.max() > len(history):
        raise ValueError(f"ends must lie in {BASELINE} to {len(history)} cycles, and there must be one")
    first = history[:BASELINE].mean(axis=0)
    values = history - first  # small numbers: sums of large ones lose digits
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate([zero, np.cumsum(values, axis=0)])
    moments = np.concatenate([zero, np.cumsum(values * np.arange(len(values))[:, None], axis=0)])
    means = [_mean(sums, ends, window) for window in MEANS]
    slopes = [_slope(sums, moments, ends, window) * min(window, 100) for window in SLOPES]
    level = _mean(sums, ends, 10) + first
    return np.stack([*means, level, np.broadcast_to(first, level.shape), *slopes], axis=1)


def _mean(sums: Array, ends: Array, window: int) -> Array:
    starts = np.maximum(ends - window, 0)
    found: Array = (sums[ends] - sums[starts]) / (ends - starts)[:, None]
    return found


def _slope(sums: Array, moments: Array, ends: Array, window: int) -> Array:
    starts = np.maximum(ends - window, 0)
    length = (ends - starts)[:, None]
    middle = ((ends + starts - 1) / 2)[:, None]
    found: Array = (moments[ends] - moments[starts] - middle * (sums[ends] - sums[starts])) / (length * (length**2 - 1) / 12)
    return found
