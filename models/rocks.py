"""Rocks on a belt: from the map that a network makes of a picture to single rocks, their sizes, and how much of the belt is bare.

Sizes are those of the field's standard for pictures: the diameter of the circle with the rock's area, and the share of the rocks' area that is not
larger (percent passing by area). A picture shows the top layer only, and no fines.
"""

from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

LABELS = ("other", "belt", "edge", "core")
"""What each pixel can be: fines, background and soft lumps; bare belt; the outer part of a rock; its inner part, which touches no other rock's."""
MULTIPLE = 16
"""Height and width of the tensor are multiples of this."""
LEAST_AREA = 60.0
"""Pixels below which a spot is no rock."""


class BadPicture(ModelError):
    """What was given is no picture of shape (height, width, 3) and dtype uint8, 32 pixels or more on each side."""


class Rocks(NamedTuple):
    """``diameters`` (n,) in pixels of the picture, largest first; ``bare`` and ``covered`` are shares of the picture: bare belt, rocks."""

    diameters: Array
    bare: float
    covered: float

    def passing(self, share: float) -> float:
        """The diameter, in pixels, below which ``share`` of the rocks' area lies: P80 for 0.8. NaN without rocks."""
        return passing(self.diameters, share)

    def oversize(self, diameter: float) -> float:
        """The share of the rocks' area in rocks larger than ``diameter`` pixels. NaN without rocks."""
        area = self.diameters**2
        return float(area[self.diameters > diameter].sum() / area.sum()) if len(area) else float("nan")


def passing(diameters: Array, share: float) -> float:
    """Of diameters (n,) in any order: the one below which ``share`` of the area lies, between two rocks by a straight line."""
    if not len(diameters):
        return float("nan")
    sizes = np.sort(diameters)
    area = np.cumsum(sizes**2)
    middle = (area - sizes**2 / 2) / area[-1]  # half of a rock lies below its size
    return float(np.interp(share, middle, sizes))


def preprocess(image: Array) -> Array:
    """The picture (height, width, 3; uint8, BGR) as tensor (1, 3, h, w), float32 from 0 to 1, mirrored to multiples of MULTIPLE at its right and
    lower side. Raises BadPicture."""
    import cv2

    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 32:
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise BadPicture(f"{found} was given; a picture is uint8 of shape (height, width, 3), 32 pixels or more on each side")
    below, beside = (-side % MULTIPLE for side in image.shape[:2])
    whole = cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REFLECT)
    tensor: Array = np.ascontiguousarray(whole.transpose(2, 0, 1)[None], np.float32) / 255
    return tensor


def decode(shares: Array, size: tuple[int, int], *, core: float = 0.5, grow: float = 1.0) -> Rocks:
    """What the output (1, 4, h, w), probabilities of LABELS, shows in a picture of ``size`` (height, width).

    ``core`` is the probability from which a pixel is the inner part of a rock; ``grow`` multiplies diameters, for what the edge is wide.
    """
    import cv2

    other, belt, edge, inner = shares[0, :, : size[0], : size[1]]
    rock = (edge + inner) > np.maximum(belt, other)
    seeds = (inner >= core).astype(np.uint8)
    count, spots, stats, _ = cv2.connectedComponentsWithStats(seeds, connectivity=4)
    pixels = float(rock.size)
    bare = float((belt > np.maximum(other, edge + inner)).sum()) / pixels
    if count <= 1:
        return Rocks(np.zeros(0), bare, float(rock.sum()) / pixels)
    # Each pixel of a rock belongs to the nearest inner part.
    _, nearest = cv2.distanceTransformWithLabels(1 - seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_CCOMP)
    owner = np.zeros(int(nearest.max()) + 1, np.intp)
    owner[nearest[seeds > 0]] = spots[seeds > 0]
    areas = np.bincount(owner[nearest[rock | (seeds > 0)]], minlength=count)[1:].astype(float)
    areas = areas[(areas >= LEAST_AREA) & (stats[1:, cv2.CC_STAT_AREA] >= LEAST_AREA / 6)]
    diameters: Array = np.sort(np.sqrt(areas * 4 / np.pi) * grow)[::-1]
    return Rocks(diameters, bare, float(rock.sum()) / pixels)
