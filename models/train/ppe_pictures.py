"""Training and held-out pictures of the PPE detector, made of the tiles that the list of leaks leaves."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from models.train.ppe_leaks import Leak
from models.train.ppe_mosaics import Array, Tile, boxes_of, read_boxes, read_image, tiles

CLASSES = ("hardhat", "no_hardhat", "vest", "no_vest", "person", "machinery", "vehicle")
INPUT = 608
"""The graph's input in pixels, square."""
OF_DATA_SET = {0: 0, 2: 1, 7: 2, 4: 3, 5: 4, 8: 5, 9: 6}
"""Their numbers in the data set; masks and cones (1, 3, 6) are left out."""
VEHICLE = 6
GRIDS = {1: 0.15, 2: 0.5, 3: 0.35}
"""A picture is 1, 2 x 2 or 3 x 3 tiles, large, middle and small objects, and how often."""
VISIBLE = 0.4  # of a box, to be kept after cutting


class Piece(NamedTuple):
    """A tile with its boxes (class of CLASSES, x0, y0, x1, y1 in pixels)."""

    tile: Tile
    image: Array
    boxes: Array


def seven(boxes: Array) -> Array:
    """The boxes of CLASSES, with their numbers here."""
    kept = [[OF_DATA_SET[int(row[0])], *row[1:]] for row in boxes if int(row[0]) in OF_DATA_SET]
    return np.array(kept, np.float32).reshape(-1, 5)


def pieces(train: Path, leaks: list[Leak], *, held_out: bool = False) -> Iterator[Piece]:
    """The tiles of the training folder that are in no list, or only those held out. No other folder is read."""
    of_tests = {leak.tile for leak in leaks if leak.why != "held_out"}
    kept_back = {leak.tile for leak in leaks if leak.why == "held_out"}
    for path in sorted((train / "images").iterdir()):
        image = read_image(path)
        boxes = seven(read_boxes((train / "labels" / path.name).with_suffix(".txt").read_text("ascii")))
        for tile in tiles(path.name, image):
            if tile not in of_tests and (tile in kept_back) == held_out:
                yield Piece(tile, np.ascontiguousarray(tile.cut(image)), boxes_of(tile, boxes))


def shares(found: list[Piece]) -> Array:
    """How often each piece is drawn: empty ones less, the rare vehicles more."""
    weights = np.array([0.35 if not len(p.boxes) else 2.0 if (p.boxes[:, 0] == VEHICLE).any() else 1.0 for p in found])
    result: Array = weights / weights.sum()
    return result


def draw(
    found: list[Piece], share: Array, side: int, generator: np.random.Generator, grids: Mapping[int, float] = GRIDS, *, empty: float = 0.0
) -> tuple[Array, Array]:
    """A picture (side, side, 3) uint8 of pieces drawn by share, turned, scaled and coloured by chance, and its boxes in pixels.

    In place of the share ``empty`` of the pieces there is nothing to see: see nothing.
    """
    grid = int(generator.choice(list(grids), p=list(grids.values())))
    canvas = np.zeros((side, side, 3), np.uint8)
    boxes: list[Array] = []
    columns, rows = _cuts(side, grid, generator), _cuts(side, grid, generator)
    for index in generator.choice(len(found), grid * grid, p=share):
        row, column = divmod(len(boxes), grid)
        x0, x1, y0, y1 = columns[column], columns[column + 1], rows[row], rows[row + 1]
        piece = nothing(generator) if empty and generator.random() < empty else found[int(index)]
        image, placed = _fit(piece, x1 - x0, y1 - y0, generator)
        canvas[y0:y1, x0:x1] = image
        boxes.append(placed + np.array([0, x0, y0, x0, y0], np.float32))
    return canvas, np.concatenate(boxes)


def nothing(generator: np.random.Generator) -> Piece:
    """A covered or dark lens, fog, sensor noise: a slope of one colour, mostly dark, with noise of some size. It holds no box."""
    size = 160
    level = 255 * generator.random() ** 3
    slope = generator.uniform(-40, 40, 2)
    plane = level + np.add.outer(np.linspace(-1, 1, size) * slope[0], np.linspace(-1, 1, size) * slope[1])
    noise: Array = generator.standard_normal((size, size)).astype(np.float32)
    grain = int(generator.choice((0, 3, 15, 61)))
    if grain:
        noise = cv2.GaussianBlur(noise, (grain, grain), 0)
    plane = plane + noise / max(float(noise.std()), 1e-6) * generator.choice((0.0, 3.0, 15.0, 40.0))
    tint = generator.uniform(0.8, 1.0, 3)
    image = (plane[:, :, None] * tint).clip(0, 255).astype(np.uint8)
    return Piece(Tile("nothing", 0, 0, size, size), image, np.zeros((0, 5), np.float32))


def _cuts(side: int, grid: int, generator: np.random.Generator) -> list[int]:
    step = side / grid
    return [0, *(int(step * (k + generator.uniform(-0.25, 0.25))) for k in range(1, grid)), side]


def _fit(piece: Piece, width: int, height: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """A part of the piece that fills width x height, with the boxes that are left of it."""
    tall, wide = piece.image.shape[:2]
    # Seldom the whole tile is squeezed in, as the pictures of the data set were squeezed to squares; mostly a part keeps its shape.
    scale = np.array([width / wide, height / tall]) if generator.random() < 0.3 else np.repeat(max(width / wide, height / tall), 2)
    scale = scale * generator.uniform(1, 1.25) * generator.uniform(1, 1.15, 2)
    part = np.minimum([wide, tall], np.maximum([2, 2], np.array([width, height]) / scale)).astype(int)
    left, top = (int(generator.integers(0, room + 1)) for room in np.array([wide, tall]) - part)
    cut = piece.image[top : top + part[1], left : left + part[0]]
    image = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA if part[0] > width else cv2.INTER_LINEAR)
    boxes = _cropped(piece.boxes, left, top, *(int(length) for length in part))
    boxes[:, 1:] *= np.tile(np.array([width, height]) / part, 2).astype(np.float32)
    boxes = boxes[(boxes[:, 3:] - boxes[:, 1:3]).min(axis=1, initial=np.inf) > 2.5]
    if generator.random() < 0.5:
        image = image[:, ::-1]
        boxes[:, [1, 3]] = width - boxes[:, [3, 1]]
    return _coloured(image, generator), boxes


def _cropped(boxes: Array, left: int, top: int, width: int, height: int) -> Array:
    moved = boxes - np.array([0, left, top, left, top], np.float32)
    clipped = moved.copy()
    clipped[:, [1, 3]] = clipped[:, [1, 3]].clip(0, width)
    clipped[:, [2, 4]] = clipped[:, [2, 4]].clip(0, height)
    area, left_of_it = ((b[:, 3:] - b[:, 1:3]).clip(0).prod(axis=1) for b in (moved, clipped))
    kept: Array = clipped[left_of_it >= VISIBLE * np.maximum(area, 1e-6)]
    return kept


def _coloured(image: Array, generator: np.random.Generator) -> Array:
    gain = generator.uniform(0.8, 1.25) * generator.uniform(0.94, 1.06, 3)
    table = (np.arange(256)[:, None] * gain + generator.uniform(-10, 10)).clip(0, 255).astype(np.uint8)
    result: Array = cv2.LUT(np.ascontiguousarray(image), table.reshape(1, 256, 3))
    return result
