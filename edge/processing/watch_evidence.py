"""The pictures that a person watch keeps for evidence: whom an alarm is about stays, everybody else is hidden."""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from edge.evidence_picture import picture, smaller
from edge.processing.protection import ASIDE
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.watching import Seen, View

Array = np.ndarray[Any, np.dtype[Any]]

LOOKS = 6  # pictures kept, at most 3 MiB each


class Look(NamedTuple):
    """One picture, at most `edge.evidence_picture.WIDEST` wide, with what is hidden in it unless it is part of the event.

    ``boxes`` (n, 4) as fractions of it; ``whole`` (n,): which are persons; ``sure`` (n,): which count. ``people``: who of the confirmed
    is seen in this very picture.
    """

    time_ns: int
    image: Array
    boxes: Array
    whole: Array
    sure: Array
    people: tuple[Seen, ...]


class WatchEvidence:
    """Written by the processor's thread, read by that of the evidence."""

    def __init__(self, settings: PersonWatchSettings) -> None:
        self._settings = settings
        self._looks: deque[Look] = deque(maxlen=LOOKS)

    def remember(self, image: Array, boxes: Array, names: Sequence[str], sure: Array, view: View) -> None:
        """``boxes`` (n, 4) as fractions, with the class of each: all that the model found, whether or not it counts, masked places as well;
        ``sure`` (n,): which of them reach their threshold."""
        labels = np.array(names, dtype=object)
        hidden = np.isin(labels, self._settings.blurred)
        people = tuple(seen for seen in view.seen if seen.seen_ns == view.time_ns and seen.label == "person")
        self._looks.append(
            Look(view.time_ns, smaller(image)[0], boxes[hidden], labels[hidden] == self._settings.person, sure[hidden], people)
        )

    def picture(self, name: str, time_ns: int) -> bytes | None:
        """A JPEG for the point CAMERA/UNDER/``name``; None where no picture is kept, or the point is about nobody (latency)."""
        looks = tuple(self._looks)
        if not looks or name == "latency":
            return None
        chosen = [[seen for seen in look.people if _is_about(name, seen)] for look in looks]
        best = min(range(len(looks)), key=lambda index: (not chosen[index], abs(looks[index].time_ns - time_ns)))
        look = looks[best]
        event = np.array([seen.box for seen in chosen[best]], float).reshape(-1, 4)
        sides = np.array([look.image.shape[1], look.image.shape[0]] * 2)
        others = ~_part_of(look.boxes, look.whole, event)
        hidden, doubtful = look.boxes[others & look.sure] * sides, look.boxes[others & ~look.sure] * sides
        return picture(look.image, event * sides, hidden, heads=self._settings.blur_heads, doubtful=doubtful)


def _is_about(name: str, seen: Seen) -> bool:
    """``people`` is about everybody; the others about those who have it among their reasons."""
    if name == "people":
        return True
    reason = "near_vehicle" if name.startswith("vehicle_distance") else name
    return any(reason == because or reason.startswith(f"{because}/") for because in seen.because)


def _part_of(boxes: Array, whole: Array, event: Array) -> Array:
    """(n,) of bool: the boxes of the persons of the event themselves, and what they wear: heads, helmets, vests.

    Another person in front of one of the event is no part of it, and hidden: what it covers of the event is then hidden too.
    """
    part = np.zeros(len(boxes), bool)
    for person in event:
        width, height = person[2] - person[0], person[3] - person[1]
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        on = (np.abs(x - (person[0] + person[2]) / 2) <= (0.5 + ASIDE) * width) & (y >= person[1] - ASIDE * height) & (y <= person[3])
        part |= np.where(whole, np.all(boxes == person, axis=1), on)
    return part
