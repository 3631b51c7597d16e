"""Polygons of a picture, and how long somebody has been in one. Places are fractions of the picture from its upper left corner. Pure."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edge.processing.hold import Hold

Array = np.ndarray[Any, np.dtype[Any]]
Share = Annotated[float, Field(ge=0, le=1)]
Place = tuple[Share, Share]
Polygon = Annotated[list[Place], Field(min_length=3, max_length=64)]


def inside(points: Array, polygon: Array) -> Array:
    """Whether each of points (n, 2) lies in the polygon (m, 2): a ray to the right crosses its edges an odd number of times. (n,) of bool.

    Both are fractions of the picture. A point on the lower edge of the picture counts as just above it, else feet that are cut off lie nowhere.
    """
    x, y = points[:, :1], np.minimum(points[:, 1:], 1 - 1e-6)
    (x1, y1), (x2, y2) = polygon.T, np.roll(polygon, -1, axis=0).T
    between = (y1 <= y) != (y2 <= y)
    rise = np.where(y2 == y1, 1.0, y2 - y1)
    crossed = between & (x < x1 + (y - y1) / rise * (x2 - x1))
    result: Array = crossed.sum(axis=1) % 2 == 1
    return result


def outside_all(boxes: Array, polygons: Iterable[Array]) -> Array:
    """Whether the middle of each of boxes (n, 4) lies in none of the polygons: (n,) of bool."""
    seen = np.ones(len(boxes), bool)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    for polygon in polygons:
        seen &= ~inside(middle, polygon)
    return seen


def feet(boxes: Array) -> Array:
    """Where what is in boxes (n, 4) stands: the middle of the lower edge. (n, 2)."""
    result: Array = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
    return result


def is_flat(polygon: Sequence[Place]) -> bool:
    """Whether the polygon holds no area (shoelace formula), so that nothing can ever be in it."""
    x, y = np.array(polygon).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) < 1e-6


class Stay:
    """One person and one zone: in it once k of the last n pictures that show the person say so, and since when."""

    def __init__(self, k: int, n: int) -> None:
        self._hold = Hold(k, n)
        self._since_ns: int | None = None

    def update(self, is_in: bool, time_ns: int) -> None:
        if not self._hold.update(is_in) and not is_in:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = time_ns

    def seconds(self, now_ns: int) -> float | None:
        """How long it lasts already, counted from the first picture in the zone; None while not in it."""
        return (now_ns - self._since_ns) / 1e9 if self._hold.active and self._since_ns is not None else None
