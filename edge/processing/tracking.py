"""Boxes of one kind of object, followed from picture to picture: ByteTrack (Zhang et al., ECCV 2022) of the library trackforge.

Boxes are (n, 4): left, top, right, bottom as fractions of the picture. Nothing here looks at a clock: the times are those of the pictures.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.processing.hold import Hold

Array = np.ndarray[Any, np.dtype[Any]]

LEAST_OVERLAP = 0.1  # intersection over union with where the filter expects the object
SCALE = 1000.0  # the library's filter has noise of fixed size in places: boxes of about a thousand units suit it
KEPT_PICTURES = 300  # the library forgets by pictures, we by time before it
WEAK = 0.5  # of the threshold: a box of so little score goes on with an object that is already followed, and begins none


@dataclass
class Track:
    """One object. ``box`` is where it was last seen, at ``seen_ns``; ``confirmed`` once k of n pictures showed it, and from then on."""

    number: int
    box: Array
    score: float
    first_ns: int
    seen_ns: int
    confirmed: bool = False


class Tracker:
    """``threshold``: score from which a box begins a track; ``forget``: seconds without a box after which one ends; ``confirm``: [k, n]."""

    def __init__(self, threshold: float, forget: float, confirm: tuple[int, int]) -> None:
        self._threshold = threshold
        self._forget_ns = forget * 1e9
        self._confirm = confirm
        self._numbers = 0
        self._last_ns: int | None = None
        self._begin()

    def _begin(self) -> None:
        from trackforge import BYTETRACK

        self._library = BYTETRACK(
            track_thresh=self._threshold,
            det_thresh=self._threshold,
            track_buffer=KEPT_PICTURES,
            match_thresh=1 - LEAST_OVERLAP,
        )
        self._tracks: dict[int, tuple[Track, Hold]] = {}  # by the number of the library

    def update(self, boxes: Array, scores: Array, time_ns: int) -> list[Track]:
        """The tracks that live, with the boxes of this picture. Boxes that are not finite or hold no area are left out.

        After a gap in the pictures longer than ``forget``, or a clock that was set back, all begin anew: nobody knows who is who.
        """
        if self._last_ns is not None and not 0 <= time_ns - self._last_ns <= self._forget_ns:
            self._begin()
        self._last_ns = time_ns
        usable = np.isfinite(boxes).all(axis=1) & np.isfinite(scores) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores = boxes[usable], scores[usable]
        scaled = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]) * SCALE
        given = [(box, score, 0) for box, score in zip(scaled.tolist(), scores.tolist(), strict=True)]
        found = {name: index for name, _, _, _, index in self._library.update(given) if index is not None}
        for name, index in found.items():
            self._see(name, boxes[index], float(scores[index]), time_ns)
        for name, (track, hold) in list(self._tracks.items()):
            track.confirmed |= hold.update(name in found)
            if time_ns - track.seen_ns > self._forget_ns:
                del self._tracks[name]
        return [track for track, _ in self._tracks.values()]

    def _see(self, name: int, box: Array, score: float, time_ns: int) -> None:
        if name in self._tracks:
            track = self._tracks[name][0]
            track.box, track.score, track.seen_ns = box, score, time_ns
        else:
            self._numbers += 1
            self._tracks[name] = Track(self._numbers, box, score, time_ns, time_ns), Hold(*self._confirm)
