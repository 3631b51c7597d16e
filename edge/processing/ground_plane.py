"""Metres on the ground from places in a picture, by marks that somebody measured: a plane homography.

Direct linear transformation with normalised points: Hartley and Zisserman, Multiple View Geometry, 2nd edition, algorithm 4.2. Pure.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

THIN = 0.02  # a set of points whose width is less of its length counts as one line
WORST_FIT = 0.1  # of the extent of the marks: how far a mark may lie from where the others put it (our own choice)
FOOT_ERROR = 0.04  # of the height of a box: how far its lower edge may be from the ground contact (our own choice, two sigma)


class Mark(NamedTuple):
    """One place: in the picture as fractions of it, and on the ground in metres, in any right-angled system of the site."""

    x: float
    y: float
    east: float
    north: float


class Distance(NamedTuple):
    """Metres between two things on the ground, how far off that may be, and whether both stand among the marks."""

    metres: float
    error: float
    among_marks: bool


class GroundPlane:
    """Raises ValueError for marks that fix no plane, or contradict each other."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        if len(marks) < 4:
            raise ValueError(f"{len(marks)} marks: four are needed, no three of them on one line")
        picture, ground = np.array(marks, float)[:, :2], np.array(marks, float)[:, 2:]
        for what, points in (("in the picture", picture), ("on the ground", ground)):
            _check_spread(points, what)
        self._matrix = _homography(picture, ground)
        self._hull = _hull(picture)
        if not np.isfinite(self._matrix).all() or not _one_side(self._matrix, picture):
            raise ValueError(
                "the marks contradict each other: the horizon would pass between them; check that each [x, y] has its own metres"
            )
        self._sign = np.sign(float((self._matrix @ [*picture[0], 1.0])[2]))
        mapped = self.metres(picture)
        off = np.full(len(marks), np.inf) if mapped is None else np.linalg.norm(mapped - ground, axis=1)
        extent = float(np.ptp(ground, axis=0).max())
        if off.max() > WORST_FIT * extent:
            worst = int(off.argmax()) + 1
            raise ValueError(
                f"mark {worst} lies {off.max():.1f} m from where the others put it: measure it again, or the ground is not flat"
            )
        self.fit = float(np.sqrt((off**2).mean()))  # m, root mean square; 0 of four marks, which always fit

    def metres(self, points: Array) -> Array | None:
        """Ground places (n, 2) in metres of picture places (n, 2); None when one lies at or above the horizon."""
        mapped = np.column_stack([points, np.ones(len(points))]) @ self._matrix.T
        scale = np.abs(self._matrix[2]).max()
        if not np.isfinite(mapped).all() or (mapped[:, 2] * self._sign <= 1e-6 * scale).any():
            return None
        result: Array = mapped[:, :2] / mapped[:, 2:]
        return result

    def distance(self, person: Array, vehicle: Array) -> Distance | None:
        """Between the feet of a person and the nearest point of a vehicle's lower edge; boxes (4,) as fractions of the picture.

        The error is what FOOT_ERROR of each box's height does to the distance, with the fit of the marks; None above the horizon.
        """
        nearest = self._between(person, vehicle, 0.0, 0.0)
        if nearest is None:
            return None
        moved = [self._between(person, vehicle, *shift) for shift in ((FOOT_ERROR, 0), (-FOOT_ERROR, 0), (0, FOOT_ERROR), (0, -FOOT_ERROR))]
        far = [abs(other - nearest) for other in moved if other is not None]
        error = float(np.hypot(max(far[:2], default=0.0), max(far[2:], default=0.0)) + self.fit) if len(far) == len(moved) else nearest
        spots = np.array([[(person[0] + person[2]) / 2, person[3]], [(vehicle[0] + vehicle[2]) / 2, vehicle[3]]])
        return Distance(nearest, error, bool(_among(spots, self._hull).all()))

    def _between(self, person: Array, vehicle: Array, person_down: float, vehicle_down: float) -> float | None:
        foot = person[3] + person_down * (person[3] - person[1])
        edge = vehicle[3] + vehicle_down * (vehicle[3] - vehicle[1])
        spots = self.metres(np.array([[(person[0] + person[2]) / 2, foot], [vehicle[0], edge], [vehicle[2], edge]]))
        if spots is None:
            return None
        at, start, end = spots
        along = end - start
        share = np.clip(np.dot(at - start, along) / max(float(np.dot(along, along)), 1e-12), 0, 1)
        return float(np.linalg.norm(at - start - share * along))


def _check_spread(points: Array, what: str) -> None:
    """Raises ValueError for marks on one line: three of four, or all of more."""
    everyone = list(range(len(points)))
    groups = [everyone] if len(points) > 4 else [everyone[:index] + everyone[index + 1 :] for index in everyone]
    for group in groups:
        chosen = points[group]
        length, width = np.linalg.svd(chosen - chosen.mean(axis=0), compute_uv=False)[:2]
        if width <= THIN * length:
            numbers = ", ".join(str(index + 1) for index in group)
            raise ValueError(f"marks {numbers} lie on one line {what}: choose the corners of an area, not places along an edge")


def _homography(picture: Array, ground: Array) -> Array:
    (a, first), (b, second) = _normalised(picture), _normalised(ground)
    rows = []
    for (x, y), (u, v) in zip(first, second, strict=True):
        rows += [[-x, -y, -1, 0, 0, 0, u * x, u * y, u], [0, 0, 0, -x, -y, -1, v * x, v * y, v]]
    inner = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    whole = np.linalg.inv(b) @ inner @ a
    result: Array = whole / np.abs(whole).max()
    return result


def _normalised(points: Array) -> tuple[Array, Array]:
    middle = points.mean(axis=0)
    scale = np.sqrt(2) / np.linalg.norm(points - middle, axis=1).mean()
    matrix = np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])
    return matrix, (points - middle) * scale


def _one_side(matrix: Array, points: Array) -> bool:
    depth = np.column_stack([points, np.ones(len(points))]) @ matrix[2]
    return bool((depth > 0).all() or (depth < 0).all())


def _hull(points: Array) -> Array:
    """The convex hull (m, 2), counter-clockwise: Andrew's monotone chain."""
    ordered = sorted(map(tuple, points.tolist()))

    def chain(given: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
        kept: list[tuple[float, ...]] = []
        for point in given:
            while len(kept) > 1 and _area(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def _area(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _among(points: Array, hull: Array) -> Array:
    edges = np.roll(hull, -1, axis=0) - hull
    away = points[:, None, :] - hull[None]
    result: Array = (edges[:, 0] * away[..., 1] - edges[:, 1] * away[..., 0] >= -1e-9).all(axis=1)
    return result
