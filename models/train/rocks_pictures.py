"""The pictures of rocks_belt with what they show: polygons to maps and to diameters. No folder but the one that is asked for is read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from models.rocks import LABELS
from models.train.datasets import DataMissing

Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = "rocks_belt"
BELT, ROCK, LUMP = 1, 2, 3  # categories of the data set
IGNORED = 255
CORE = 0.35
"""The inner part of a rock: pixels further from its outline than this share of the furthest."""
FEW = 5
"""Rocks below which a picture has no P50 and P80 worth the name."""
ALIKE = 6
"""Bits of 64 in which the difference hashes of two near-duplicates differ at most."""


class Picture(NamedTuple):
    """``image`` (250, 250, 3) BGR; ``polygons`` by category; see the functions below for what is made of them."""

    name: str
    image: Array
    polygons: dict[int, list[Array]]

    def diameters(self) -> Array:
        """Of the rocks, (n,), in pixels: of the circle with the polygon's area inside the picture."""
        areas = [float(self._filled(polygon).sum()) for polygon in self.polygons.get(ROCK, [])]
        return np.sqrt(np.array([area for area in areas if area > 0]) * 4 / np.pi)

    def mask(self, category: int) -> Array:
        """Where the category is, bool (height, width)."""
        canvas = np.zeros(self.image.shape[:2], bool)
        for polygon in self.polygons.get(category, []):
            canvas |= self._filled(polygon) > 0
        return canvas

    def map(self) -> Array:
        """Places of LABELS, uint8 (height, width); soft lumps are IGNORED: people draw them as they like."""
        canvas = np.zeros(self.image.shape[:2], np.uint8)
        canvas[self.mask(LUMP)] = IGNORED
        canvas[self.mask(BELT)] = LABELS.index("belt")
        for polygon in self.polygons.get(ROCK, []):
            filled = self._filled(polygon)
            inward = cv2.distanceTransform(cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)[1:-1, 1:-1]
            core = inward > CORE * max(float(inward.max()), 1e-6)
            canvas[(filled > 0) & (canvas != LABELS.index("core"))] = LABELS.index("edge")
            canvas[core] = LABELS.index("core")
        return canvas

    def _filled(self, polygon: Array) -> Array:
        canvas = np.zeros(self.image.shape[:2], np.uint8)
        return cv2.fillPoly(canvas, [np.round(polygon).astype(np.int32)], 1)


def pictures(folder: Path, part: str) -> Iterator[Picture]:
    """Those of ``train`` or ``val``, in the order of the file. Raises DataMissing."""
    try:
        listed = json.loads((folder / "labels" / f"{part}.json").read_text("utf-8"))
    except OSError as error:
        raise DataMissing(f"{folder}/labels/{part}.json: {error.strerror}; the data set's own file is needed") from None
    drawn: dict[int, dict[int, list[Array]]] = {}
    for one in listed["annotations"]:
        for polygon in one["segmentation"]:
            drawn.setdefault(one["image_id"], {}).setdefault(one["category_id"], []).append(np.array(polygon, float).reshape(-1, 2))
    for entry in listed["images"]:
        name = Path(entry["file_name"]).name
        image = cv2.imread(str(folder / "images" / name))
        if image is None:
            raise DataMissing(f"{folder}/images/{name}: not a picture that OpenCV can read; the data set's own file is needed")
        yield Picture(name, image, drawn.get(entry["id"], {}))


def fingerprint(image: Array) -> Array:
    """The difference hash, bool (64,): of 9 x 8 grey pixels, whether each is brighter than its left neighbour."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    bits: Array = (small[:, 1:] > small[:, :-1]).ravel()
    return bits


def alike(one: Picture, others: list[Picture]) -> bool:
    """Whether one of the others is a near-duplicate."""
    mine = fingerprint(one.image)
    return any(int((mine != fingerprint(other.image)).sum()) <= ALIKE for other in others)


def held_out(found: list[Picture]) -> list[bool]:
    """Which training pictures choices are made on: each fifth, and what is alike to one of them."""
    kept = [picture for place, picture in enumerate(found) if place % 5 == 2]
    names = {picture.name for picture in kept}
    return [picture.name in names or alike(picture, kept) for picture in found]
