"""What the silica model is given: the newest laboratory values of the concentrate that are measurements, not values drawn between two of them."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

LAST = 6
"""Newest measurements that it is given."""
MEANS = (12, 48)
"""Hours over which measurements are averaged."""
INPUTS = (
    *(f"lab value {place} back" for place in range(1, LAST + 1)),
    "hours since the newest",
    *(f"mean of {hours} h" for hours in MEANS),
)
_TINY = 1e-6


def interpolated(values: Array) -> Array:
    """Which of hourly values (n,) were drawn between two others, bool (n,): they lie exactly on the line of their neighbours, which differ, or they
    have more digits than the laboratory writes (two). Such an hour tells of the one after it, and is no measurement."""
    on_line = np.zeros(len(values), bool)
    bend = np.abs(values[2:] - 2 * values[1:-1] + values[:-2])
    on_line[1:-1] = (bend < _TINY) & (np.abs(values[2:] - values[:-2]) > _TINY)
    digits: Array = np.abs(values * 100 - np.round(values * 100)) > _TINY
    return on_line | digits


def state(values: Array, measured: Array) -> Array | None:
    """INPUTS, float32 (9,), after hourly ``values`` (n,), of which ``measured`` (n,) are measurements; None where there are too few of them.

    The last entry is the newest hour whose analysis is known, one hour before the hour that is told.
    """
    places = np.flatnonzero(measured)
    if len(places) < LAST or len(values) < MEANS[-1]:
        return None
    newest = values[places[-LAST:]][::-1]
    since = len(values) - places[-1]
    means = []
    for hours in MEANS:
        recent = places[places >= len(values) - hours]
        means.append(values[recent].mean() if len(recent) else newest.mean())
    found: Array = np.array([*newest, since, *means], np.float32)
    return found
