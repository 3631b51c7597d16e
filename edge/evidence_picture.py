"""The picture that goes with an alarm: who is no part of it cannot be recognised, and no byte of it says more than the picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST = 256 << 10  # bytes of a picture on MQTT
WIDEST = 1280  # pixels
_BLOCKS = 5  # a hidden box is left with so many averages along each side: a face has no more than two of them
_HEAD = 0.25  # of a person's box, from above
_MARGIN = 0.08  # of a box's sides, hidden around it: a detector's box may cut off an ear
_QUALITIES = (85, 70, 55, 40)


def black_out(image: Array, polygons: Sequence[Array]) -> Array:
    """A copy of the picture (height, width, 3; uint8) with the polygons (m, 2; fractions of the picture) black."""
    import cv2

    hidden = image.copy()
    for polygon in polygons:
        corners = np.round(polygon * [image.shape[1], image.shape[0]]).astype(np.int32)
        cv2.fillPoly(hidden, [corners], (0, 0, 0))
    return hidden


def hide(image: Array, box: Array) -> None:
    """Takes the detail out of a box (left, top, right, bottom; pixels) of the picture, in place: averages of few blocks, blurred.

    The averages cannot be turned back: of each block one colour is left.
    """
    import cv2

    margin = _MARGIN * np.array([box[2] - box[0], box[3] - box[1]])
    left, top = np.floor(np.maximum(box[:2] - margin, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(box[2:] + margin, [image.shape[1], image.shape[0]])).astype(int)
    if right <= left or bottom <= top:
        return
    size = (int(right - left), int(bottom - top))
    few = cv2.resize(image[top:bottom, left:right], (min(_BLOCKS, size[0]), min(_BLOCKS, size[1])), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(few, size, interpolation=cv2.INTER_NEAREST)
    image[top:bottom, left:right] = cv2.GaussianBlur(coarse, (0, 0), max(1.0, min(size) / 10))


def picture(image: Array, event: Array, hidden: Array, *, heads: bool, doubtful: Array | None = None) -> bytes:
    """A JPEG of at most `LARGEST` bytes without metadata. Boxes (n, 4) in pixels: those of the event are drawn, ``hidden`` ones are hidden.

    ``doubtful`` boxes are hidden likewise, but not where they lie over the event: those of a weak model would cover it whole. ``heads``: the upper
    quarter of the event's boxes is hidden too. Raises ValueError for a picture that does not get small enough.
    """
    import cv2

    shown = image.copy()
    if doubtful is not None:
        for box in doubtful:
            hide(shown, box)
        for left, top, right, bottom in np.round(np.maximum(event, 0)).astype(int).tolist():
            shown[top:bottom, left:right] = image[top:bottom, left:right]
    for box in hidden:
        hide(shown, box)
    if heads:
        for left, top, right, bottom in event:
            hide(shown, np.array([left, top, right, top + (bottom - top) * _HEAD]))
    for left, top, right, bottom in np.round(event).astype(int).tolist():
        cv2.rectangle(shown, (left, top), (right, bottom), (0, 0, 0), 4)
        cv2.rectangle(shown, (left, top), (right, bottom), (0, 220, 255), 2)
    while min(shown.shape[:2]) >= 1:
        for quality in _QUALITIES:
            done, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(data) <= LARGEST:
                return bytes(data)
        if min(shown.shape[:2]) < 4:
            break
        shown = cv2.resize(shown, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    raise ValueError(f"a picture of {image.shape[1]} x {image.shape[0]} pixels gives no JPEG of {LARGEST} bytes")


def smaller(image: Array) -> tuple[Array, float]:
    """The picture at most `WIDEST` pixels wide, and its scale."""
    import cv2

    scale = min(1.0, WIDEST / image.shape[1])
    if scale == 1.0:
        return image, scale
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale
