"""What a bearing's vibration so far says of its wear: the state that the remaining-life model is given, and the onset of degradation.

Everything is relative to the bearing's own quietest time: a machine's level means nothing, its rise does. Only the past is used.
"""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

STEP_S = 10.0
"""Time between two snapshots."""
STATE = ("rise",)
FIRST = 60
"""Snapshots (ten minutes) before anything is said."""
RISE = 0.5
"""The onset: the rms stands this far (natural logarithm; a factor 1.65) above the quietest level so far."""
CONFIRM = 12
"""Snapshots running (two minutes) that it must stand there."""
SMOOTH = 11
"""Snapshots whose median is the level: one knock is no wear."""


class History(NamedTuple):
    """``state`` float32 (n, 1) at each snapshot, entries as in STATE; ``onset``, the index at which degradation was confirmed, or None."""

    state: Array
    onset: int | None


def history(rms: Array) -> History:
    """Of ``rms`` (n, axes) in g, one row each 10 s since the bearing was new: the rise of the level, as a natural logarithm, above the
    quietest so far. Row i depends on rows up to i only.

    Raises ValueError where there are fewer than 60 rows, or values that are not positive and finite.
    """
    if rms.ndim != 2 or len(rms) < FIRST:
        raise ValueError(f"rms has shape {rms.shape}; (n, axes) with n of {FIRST} or more is needed")
    if not (np.isfinite(rms).all() and (rms > 0).all()):
        raise ValueError("rms must be positive and finite: a dead sensor is no quiet bearing")
    level = _smooth(np.log((rms.astype(float) ** 2).sum(axis=1)) / 2)
    rise = level - np.minimum.accumulate(level)
    return History(rise[:, None].astype(np.float32), confirmed(rise))


def confirmed(rise: Array) -> int | None:
    """The first index at which ``rise`` (n,) has been above RISE for CONFIRM snapshots running, or None; the first ten minutes do not count."""
    running = 0
    for place, high in enumerate(rise > RISE):
        running = running + 1 if high and place >= FIRST else 0
        if running == CONFIRM:
            return place
    return None


def _smooth(values: Array) -> Array:
    """The median of the last eleven: one knock is no wear."""
    padded = np.concatenate([np.full(SMOOTH - 1, values[0]), values])
    smooth: Array = np.median(np.lib.stride_tricks.sliding_window_view(padded, SMOOTH), axis=1)
    return smooth
