"""What the PPE detector says of a picture: boxes of seven classes, from the graph's places to few boxes that do not overlap."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SIDE = 416
"""The graph's input in pixels, square."""
OVERLAP = 0.6
"""Of two boxes of one class that overlap more than this, the lower score is dropped: workers stand close together."""
MOST = 100


class Box(NamedTuple):
    """One detection: class name, sides as shares of the picture (0 to 1), and score."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float
    score: float


def blob(image: "Array", side: int = SIDE) -> "Array":
    """A picture (height, width, 3) of uint8, BGR, as the graph takes it: (1, 3, side, side) float32, 0 to 1, squeezed to a square."""
    import cv2
    import numpy as np

    shrunk = image.shape[0] > side
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR)
    result: Array = np.ascontiguousarray(small.transpose(2, 0, 1)[None], dtype=np.float32) / 255
    return result


def rows(boxes: "Array", scores: "Array", threshold: float, overlap: float = OVERLAP, most: int = MOST) -> "Array":
    """Places to detections (m, 6): class, x0, y0, x1, y1, score, in falling score.

    ``boxes`` (n, 4) and ``scores`` (n, classes) are the graph's outputs; a place can speak for several classes (a vest on a person).
    """
    import numpy as np

    place, kind = np.nonzero(scores >= threshold)
    values = scores[place, kind]
    order = np.argsort(-values, kind="stable")[:1000]
    place, kind, values = place[order], kind[order], values[order]
    chosen = boxes[place]
    area = (chosen[:, 2:] - chosen[:, :2]).clip(0).prod(axis=1)
    free = np.ones(len(chosen), bool)
    kept: list[int] = []
    for index in range(len(chosen)):
        if not free[index]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        low, high = np.maximum(chosen[index, :2], chosen[:, :2]), np.minimum(chosen[index, 2:], chosen[:, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        free &= ~((kind == kind[index]) & (shared > overlap * (area[index] + area - shared)))
    result: Array = np.column_stack([kind[kept], chosen[kept], values[kept]]).astype(np.float32)
    return result
