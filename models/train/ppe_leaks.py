"""Finds pieces of test and valid pictures in the training mosaics of ppe_css: ``python -m models.train.ppe_leaks`` writes ppe_leaks.csv.

Every test and valid picture, and its mirror image, is matched with every tile by ORB features and a similarity transform (RANSAC). The same is
done with a few training tiles drawn by seed: these and whatever matches them are the held-out sources on which checkpoints are chosen.
The trainer reads the list only; it opens no test or valid file.
"""

import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from models.train.datasets import data_folder
from models.train.ppe_mosaics import Array, Tile, boxes_of, read_boxes, read_image, tiles

LEAKS = Path(__file__).with_name("ppe_leaks.csv")
COLUMNS = ("picture", "x0", "y0", "x1", "y1", "why", "matches", "inliers")
HAMMING = 44  # of 256 bits: nearest neighbours by chance lie above it, mostly
PAIRS = 8  # fewer close pairs are not worth a RANSAC


class Search(NamedTuple):
    """How deep to look: features of a picture, features of a tile, and the agreeing ones that make a match.

    Chance reached 5 (16 test queries against 160 tiles at the deeper search); at 10 every match that was looked at was one.
    """

    of_picture: int
    of_tile: int
    inliers: int


EVERY = Search(400, 250, 10)
"""For every test and valid picture, and between training tiles."""
CLEAN = Search(500, 300, 7)
"""Once more for the pictures that are scored: those whose clip is not in training by name."""
HELD_OUT = 70
SEED = 20251125


class Leak(NamedTuple):
    """A tile not to be trained on: ``why`` is test, valid or held_out; ``matches`` the picture (or tile) it shares ``inliers`` features with."""

    tile: Tile
    why: str
    matches: str
    inliers: int


class Block(NamedTuple):
    """The features of some tiles, one below the other: ``tiles``, where each starts (and the end), places (n, 2), and bits as -1 and 1 (n, 256)."""

    tiles: list[Tile]
    starts: list[int]
    points: Array
    bits: Array


class Query(NamedTuple):
    """What is looked for: key points (n, 2) and descriptors (n, 32) of a picture or of its mirror image."""

    why: str
    name: str
    points: Array
    bits: Array


def bits_of(descriptors: Array) -> Array:
    """Descriptors (n, 32) as (n, 256) of -1 and 1: a product of two such tables counts bits exactly, at the speed of a matrix product."""
    bits: Array = np.unpackbits(descriptors, axis=1).astype(np.float32) * 2 - 1
    return bits


def features(image: Array, count: int) -> tuple[Array, Array]:
    """Key points (n, 2) and descriptors (n, 32), strongest first."""
    orb = cv2.ORB.create(nfeatures=count, fastThreshold=7)
    points, descriptors = orb.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)
    return np.array([point.pt for point in points], np.float32), descriptors


def both_flips(why: str, name: str, image: Array, count: int = EVERY.of_picture) -> Iterator[Query]:
    """The picture and its mirror image, each unless it has too few features to be found by."""
    for way in (image, np.ascontiguousarray(image[:, ::-1])):
        points, descriptors = features(way, count)
        if len(points) >= PAIRS:
            yield Query(why, name, points, bits_of(descriptors))


def _agreeing(first: Array, second: Array) -> int:
    """The largest number of pairs under one similarity transform of sane scale; pairs that share a place count once."""
    cv2.setRNGSeed(SEED & 0xFFFF)
    transform, mask = cv2.estimateAffinePartial2D(first, second, method=cv2.RANSAC, ransacReprojThreshold=4.0, maxIters=500)
    if transform is None or not 0.3 < float(np.hypot(transform[0, 0], transform[1, 0])) < 3:
        return 0
    chosen = mask.ravel().astype(bool)
    places = [np.unique((side[chosen] / 6).round(), axis=0) for side in (first, second)]
    return min(len(place) for place in places)


def block_of(train: Path, pictures: list[str], count: int = EVERY.of_tile) -> Block:
    """The tiles of some training pictures and their features."""
    found, starts, points, descriptors = [], [0], [], []
    for picture in pictures:
        image = read_image(train / "images" / picture)
        for tile in tiles(picture, image):
            places, described = features(np.ascontiguousarray(tile.cut(image)), count)
            found.append(tile)
            starts.append(starts[-1] + len(places))
            points.append(places)
            descriptors.append(described)
    return Block(found, starts, np.concatenate(points), bits_of(np.concatenate(descriptors)))


def matches(query: Query, block: Block, enough: int = EVERY.inliers) -> Iterator[Leak]:
    """The tiles of the block that share ``enough`` features or more with the query."""
    agreement = block.bits @ query.bits.T
    nearest = agreement.argmax(axis=1)
    close = agreement[np.arange(len(nearest)), nearest] > 256 - 2 * HAMMING
    for tile, start, end in zip(block.tiles, block.starts, block.starts[1:], strict=False):
        rows = start + np.flatnonzero(close[start:end])
        if len(rows) >= PAIRS and (count := _agreeing(block.points[rows], query.points[nearest[rows]])) >= enough:
            yield Leak(tile, query.why, query.name, count)


def held_out_queries(train: Path, count: int = HELD_OUT) -> Iterator[Query]:
    """Training tiles drawn by seed among those with two boxes or more; their sources are kept for choosing checkpoints."""
    pictures = sorted(path.name for path in (train / "images").iterdir())
    generator = np.random.default_rng(SEED)
    drawn = 0
    for index in generator.permutation(len(pictures)):
        image = read_image(train / "images" / pictures[index])
        tile = tiles(pictures[index], image)[int(generator.integers(4))]
        boxes = boxes_of(tile, read_boxes((train / "labels" / pictures[index]).with_suffix(".txt").read_text("ascii")))
        flips = list(both_flips("held_out", f"{tile.picture}:{tile.x0},{tile.y0}", np.ascontiguousarray(tile.cut(image)), EVERY.of_tile))
        if len(boxes) >= 2 and len(flips) == 2 and len(flips[0].points) >= 100:
            yield from flips
            drawn += 1
        if drawn == count:
            return


def find(folder: Path, pictures: list[str]) -> list[Leak]:
    """The leaks among some training pictures; the best match of each tile for each reason. ``folder`` holds train, test and valid."""
    cv2.setNumThreads(1)
    with (folder / "eval_groups.csv").open(encoding="utf-8", newline="") as stream:
        judged = [(row["split"], row["image"], row["group_also_in_train"] == "0") for row in csv.DictReader(stream)]
    best: dict[tuple[Tile, str], Leak] = {}
    for search in (EVERY, CLEAN):
        queries = [
            query
            for split, name, clean in judged
            if clean or search == EVERY
            for query in both_flips(split, name, read_image(folder / split / "images" / name), search.of_picture)
        ]
        queries += held_out_queries(folder / "train") if search == EVERY else ()
        for start in range(0, len(pictures), 32):
            block = block_of(folder / "train", pictures[start : start + 32], search.of_tile)
            for leak in (leak for query in queries for leak in matches(query, block, search.inliers)):
                known = best.get((leak.tile, leak.why))
                if known is None or known.inliers < leak.inliers:
                    best[leak.tile, leak.why] = leak
    return sorted(best.values())


def write(leaks: list[Leak], path: Path = LEAKS) -> None:
    """The list as a table with the columns COLUMNS."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows((*leak.tile, leak.why, leak.matches, leak.inliers) for leak in leaks)


def read(path: Path = LEAKS) -> list[Leak]:
    """What was found, as committed beside this file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            Leak(Tile(row["picture"], *(int(row[key]) for key in COLUMNS[1:5])), row["why"], row["matches"], int(row["inliers"]))
            for row in csv.DictReader(stream)
        ]


def publish() -> None:
    """Two processes; a quarter of an hour on two idle cores."""
    folder = data_folder("ppe_css")
    pictures = sorted(path.name for path in (folder / "train" / "images").iterdir())
    with ProcessPoolExecutor(2) as pool:
        halves = list(pool.map(find, [folder] * 2, [pictures[::2], pictures[1::2]]))
    write(sorted(halves[0] + halves[1]))


if __name__ == "__main__":
    publish()
