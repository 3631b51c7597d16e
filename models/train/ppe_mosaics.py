"""The training pictures of ppe_css as what they are: 2 x 2 mosaics. Where the cross lies, and which boxes belong to which tile."""

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from models.train.datasets import DataMissing

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 640
EDGE = (0.19, 0.81)
"""The cross lies between these shares of the side."""


class Tile(NamedTuple):
    """A rectangle of one picture in whole pixels, the far edges exclusive."""

    picture: str
    x0: int
    y0: int
    x1: int
    y1: int

    def cut(self, image: Array) -> Array:
        piece: Array = image[self.y0 : self.y1, self.x0 : self.x1]
        return piece


def seam(grey: Array) -> int:
    """The column where the mosaic is joined: the step across it stands above the steps beside it, over the whole height.

    ``grey``: (height, width), uint8. Give the transposed picture for the row.
    """
    values = grey.astype(np.float32)
    step = np.abs(np.diff(values, axis=1))  # step[:, i] lies between columns i and i + 1
    beside = np.maximum(np.roll(step, 2, axis=1), np.roll(step, -2, axis=1))
    excess = np.clip(step - beside, -8, 24)
    halves = np.stack([part.mean(axis=0) for part in np.array_split(excess, 4, axis=0)])
    score = halves.mean(axis=0) + np.sort(halves, axis=0)[:2].mean(axis=0)
    low, high = (int(edge * grey.shape[1]) for edge in EDGE)
    return low + int(score[low:high].argmax()) + 1


def tiles(picture: str, image: Array) -> tuple[Tile, Tile, Tile, Tile]:
    """The four tiles, in reading order. ``image``: (height, width, 3), uint8."""
    grey = image.mean(axis=2)
    x, y = seam(grey), seam(grey.T)
    height, width = grey.shape
    return (Tile(picture, 0, 0, x, y), Tile(picture, x, 0, width, y), Tile(picture, 0, y, x, height), Tile(picture, x, y, width, height))


def boxes_of(tile: Tile, boxes: Array, side: int = SIDE, share: float = 0.6) -> Array:
    """The boxes (class, x0, y0, x1, y1 in pixels of the picture) of which ``share`` lies in the tile, in pixels of the tile."""
    if not len(boxes):
        return np.zeros((0, 5), np.float32)
    found = boxes.astype(np.float32).copy()
    found[:, [1, 3]] = found[:, [1, 3]].clip(tile.x0, tile.x1) - tile.x0
    found[:, [2, 4]] = found[:, [2, 4]].clip(tile.y0, tile.y1) - tile.y0
    area = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
    kept = (found[:, 3] - found[:, 1]) * (found[:, 4] - found[:, 2]) >= share * np.maximum(area, 1e-6)
    result: Array = found[kept]
    return result


def read_image(path: Path) -> Array:
    """A picture (height, width, 3), BGR. Raises DataMissing where the file is none."""
    image = cv2.imread(str(path))
    if image is None:
        raise DataMissing(f"{path}: not a picture that OpenCV can read; the data set's own file is needed")
    return image


def read_boxes(text: str, side: int = SIDE) -> Array:
    """YOLO text (class, centre x, centre y, width, height as shares) to (n, 5): class, x0, y0, x1, y1 in pixels."""
    rows = [[float(value) for value in line.split()] for line in text.splitlines() if line.strip()]
    values = np.array(rows, np.float32).reshape(-1, 5)
    low, high = values[:, 1:3] - values[:, 3:5] / 2, values[:, 1:3] + values[:, 3:5] / 2
    return np.hstack([values[:, :1], low * side, high * side])
