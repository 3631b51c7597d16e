"""Object detection: a picture in, boxes out, of a FastestDet head or of rows. Pure functions, shared by training, evaluation and the edge.

Boxes are float32 of shape (n, 4): left, top, right, bottom in pixels of the picture, from its upper left corner. Formulas of preprocessing and
head: dog-qiuqiu/FastestDet, commit 50473cd155cb, example/onnx-runtime (BSD 3-Clause).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

BOX_CHANNELS = 5  # of a FastestDet head: objectness, then the four of the box
SIDES = 4  # of rows: left, top, right, bottom
CANDIDATES = 2000  # rows that are compared with each other, best first
OVERLAP = 0.45  # intersection over union from which two boxes of a class count as one object


class BadPicture(ModelError):
    """What was given is no picture of shape (height, width, 3) and dtype uint8."""


class BadOutput(ModelError):
    """The output of the model is not that of such a head: wrong shape, or not finite."""


class Transform(NamedTuple):
    """From the tensor back to the picture: x_picture = (x - left) / x_scale, in pixels; the same for y."""

    x_scale: float
    y_scale: float
    left: float
    top: float
    width: int  # of the picture
    height: int
    size: tuple[int, int]  # width and height of the tensor, pixels

    def to_picture(self, boxes: Array) -> Array:
        """Boxes (n, 4) in pixels of the tensor, in pixels of the picture and cut off at its edges."""
        moved = (boxes - np.array([self.left, self.top] * 2, np.float32)) / np.array([self.x_scale, self.y_scale] * 2, np.float32)
        result: Array = np.clip(moved, 0, np.array([self.width, self.height] * 2, np.float32)).astype(np.float32)
        return result


class Detections(NamedTuple):
    """Boxes (n, 4) float32 in pixels of the picture, scores (n,) float32 from 0 to 1 in falling order, labels (n,) of indexes of a class."""

    boxes: Array
    scores: Array
    labels: Array


def preprocess(image: Array, size: tuple[int, int], *, letterbox: bool = False) -> tuple[Array, Transform]:
    """The picture (height, width, 3; uint8, BGR) as tensor (1, 3, size[1], size[0]), float32 from 0 to 1, BGR; and the way back.

    ``size`` is (width, height) in pixels. The picture is stretched, as FastestDet was trained; with ``letterbox`` its proportions are kept and
    the rest is grey. Raises BadPicture.
    """
    import cv2

    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise BadPicture(f"{found} was given; a picture is uint8 of shape (height, width, 3)")
    (width, height), (rows, columns) = size, image.shape[:2]
    if not letterbox:
        small, transform = cv2.resize(image, size), Transform(width / columns, height / rows, 0.0, 0.0, columns, rows, size)
    else:
        scale = min(width / columns, height / rows)
        inner = max(1, round(columns * scale)), max(1, round(rows * scale))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        small = np.full((height, width, 3), 114, np.uint8)
        small[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner)
        transform = Transform(inner[0] / columns, inner[1] / rows, left, top, columns, rows, size)
    tensor = np.empty((1, 3, height, width), np.float32)
    np.multiply(small.transpose(2, 0, 1), np.float32(1 / 255), out=tensor[0])
    return tensor, transform


def classes_of(shape: Sequence[int | str], labels: Sequence[str]) -> tuple[str, ...]:
    """The classes of a detector's output as its card describes it; none where it is no output of a detector."""
    before = {4: BOX_CHANNELS, 3: SIDES}.get(len(shape))
    return () if before is None else tuple(labels[before:])


def decode(output: Array, classes: int, transform: Transform, threshold: float, overlap: float = OVERLAP) -> Detections:
    """What the output says, in either of two forms; float.

    A FastestDet head (1, rows, columns, 5 + classes): objectness 0 to 1, four of the box, class probabilities. Channels come last, so that the
    labels of the card name them (a head that gives them first is transposed at export). Score = objectness^0.6 · probability^0.4; centre =
    (cell + tanh) / grid, size = sigmoid, both as fractions of the tensor.

    Rows (1, n, 4 + classes) of a graph that decodes by itself: left, top, right, bottom as fractions of the tensor, and a score of each class;
    a row can speak for several classes, as a person and a vest.

    Boxes below ``threshold`` are left out, and of each class those that overlap a better one. Raises BadOutput.
    """
    if (
        classes < 1
        or output.shape[:1] != (1,)
        or not output.size
        or output.shape[-1] != {4: BOX_CHANNELS, 3: SIDES}.get(output.ndim, 0) + classes
    ):
        raise BadOutput(
            f"the output has shape {output.shape}; (1, rows, columns, {BOX_CHANNELS + classes}) is needed for a head of {classes} classes, "
            f"(1, n, {SIDES + classes}) for rows"
        )
    if not np.isfinite(output).all():
        raise BadOutput("the output holds values that are not finite")
    found = (_of_head if output.ndim == 4 else _of_rows)(output[0], transform, threshold)
    boxes = transform.to_picture(found.boxes)
    kept = non_maximum_suppression(boxes, found.scores, found.labels, overlap)
    return Detections(boxes[kept], found.scores[kept].astype(np.float32), found.labels[kept])


def _of_head(output: Array, transform: Transform, threshold: float) -> Detections:
    """The cells above the threshold, in pixels of the tensor."""
    rows, columns = output.shape[:2]
    head = output.reshape(rows * columns, -1)
    labels = head[:, BOX_CHANNELS:].argmax(axis=1)
    best = head[:, BOX_CHANNELS:].max(axis=1)
    scores = np.clip(head[:, 0], 0, 1) ** 0.6 * np.clip(best, 0, 1) ** 0.4
    cells = np.flatnonzero(scores >= threshold)
    offset_x, offset_y, width_logit, height_logit = head[cells, 1:BOX_CHANNELS].T
    width, height = transform.size
    x, y = (cells % columns + np.tanh(offset_x)) / columns * width, (cells // columns + np.tanh(offset_y)) / rows * height
    half_width, half_height = _sigmoid(width_logit) * width / 2, _sigmoid(height_logit) * height / 2
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1).astype(np.float32)
    return Detections(boxes, scores[cells], labels[cells])


def _of_rows(output: Array, transform: Transform, threshold: float) -> Detections:
    """The same of rows; at most CANDIDATES, the best."""
    row, label = np.nonzero(output[:, SIDES:] >= threshold)
    scores = np.clip(output[row, SIDES + label], 0, 1)
    best = np.argsort(-scores, kind="stable")[:CANDIDATES]
    sides = output[row[best], :SIDES] * np.array(transform.size * 2, np.float32)
    low, high = np.minimum(sides[:, :2], sides[:, 2:]), np.maximum(sides[:, :2], sides[:, 2:])
    return Detections(np.hstack([low, high]).astype(np.float32), scores[best], label[best])


def non_maximum_suppression(boxes: Array, scores: Array, labels: Array, overlap: float = OVERLAP) -> Array:
    """Indexes of the boxes (n, 4) to keep, best score first: a box goes when a better one of its class overlaps it by more than ``overlap``."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        first, order = int(order[0]), order[1:]
        kept.append(first)
        same = labels[order] == labels[first]
        order = order[~(same & (intersection_over_union(boxes[first], boxes[order]) > overlap))]
    return np.array(kept, np.intp)


def intersection_over_union(box: Array, boxes: Array) -> Array:
    """Of one box (4,) with each of boxes (n, 4): (n,) from 0 to 1; 0 where both are empty."""
    corner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inside = np.prod(np.clip(corner, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - inside
    result: Array = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return result


def _sigmoid(values: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-np.clip(values, -60, 60)))
    return result
