"""Average precision of detections, as the PASCAL VOC and COCO benchmarks count it, at one overlap."""

from typing import Any, NamedTuple

import numpy as np

from models.detection import Detections

Array = np.ndarray[Any, np.dtype[Any]]


class Seen(NamedTuple):
    """One picture: the true boxes (n, 5: class, x0, y0, x1, y1) and the found ones (m, 6: class, x0, y0, x1, y1, score), in one unit."""

    truth: Array
    found: Array


class Judged(NamedTuple):
    """One class in one picture: how many boxes are true; the scores found and whether each is a hit."""

    boxes: int
    scores: Array
    hits: Array


def table_of(found: Detections) -> Array:
    """Detections as rows (m, 6): class, x0, y0, x1, y1, score."""
    return np.column_stack([found.labels, found.boxes, found.scores])


def overlaps(first: Array, second: Array) -> Array:
    """IoU of boxes (n, 4) and (m, 4), shape (n, m)."""
    low, high = np.maximum(first[:, None, :2], second[None, :, :2]), np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    result: Array = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
    return result


def judged(seen: Seen, kind: int, at: float = 0.5) -> Judged:
    """Detections in falling score; each takes the true box it overlaps most, if that is free and overlaps ``at`` or more."""
    truth, found = seen.truth[seen.truth[:, 0] == kind][:, 1:], seen.found[seen.found[:, 0] == kind]
    found = found[np.argsort(-found[:, 5], kind="stable")]
    hits = np.zeros(len(found), bool)
    if len(truth) and len(found):
        table = overlaps(found[:, 1:5], truth)
        free = np.ones(len(truth), bool)
        for row in range(len(found)):
            best = int(np.where(free, table[row], -1).argmax())
            if free[best] and table[row, best] >= at:
                hits[row], free[best] = True, False
    return Judged(len(truth), found[:, 5], hits)


def average_precision(pictures: list[Judged]) -> float:
    """The area under the precision envelope over recall; NaN where nothing is true."""
    boxes = sum(picture.boxes for picture in pictures)
    if not boxes:
        return float("nan")
    scores, hits = (np.concatenate([np.asarray(getattr(picture, key)) for picture in pictures]) for key in ("scores", "hits"))
    hits = hits[np.argsort(-scores, kind="stable")].astype(bool)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits].sum() / boxes)
