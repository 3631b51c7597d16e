"""A candidate of a person watch: the same pictures, places and rules with a second model, followed by itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from contract.messages import PointDeclaration
from contract.values import Quality
from edge.processing import ProcessorContext
from edge.processing.candidate import CandidateDetector
from edge.processing.tracking import WEAK
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.watching import View, Watch

Array = np.ndarray[Any, np.dtype[Any]]

UNDER = "candidate/"


class WatchCandidate:
    """Tells of each count of the watch in which share of pictures the candidate's is above zero, less that of the active model's."""

    def __init__(self, settings: PersonWatchSettings, name: str, context: ProcessorContext) -> None:
        self._settings = settings
        self._model = CandidateDetector(settings.name, name, context, settings.candidate_pictures)
        self._watch: Watch | None = None
        nothing = View(0, 0, dict.fromkeys(settings.zones, (0, 0.0)), {}, dict.fromkeys(settings.equipment, 0), 0, None, ())
        self._names = list(_calls(nothing, near=settings.ground is not None))
        self._model_names = f"{name} menos {settings.model}", f"{name} less {settings.model}"

    def points(self) -> dict[str, PointDeclaration]:
        """By their names under the watch."""
        asset, (spanish, english) = self._settings.input, self._model_names
        texts = {
            name: {"es": f"Imágenes con {name}: {spanish}, parte de todas", "en": f"Pictures with {name}: {english}, share of all"}
            for name in self._names
        }
        return {UNDER + name: PointDeclaration("1", "analog", (-1, 1), asset, text) for name, text in texts.items()}

    def load(self) -> None:
        """One that cannot be loaded is logged and left out."""
        self._model.load(self._settings.classes)
        self._watch = Watch(self._settings, dict.fromkeys(self._settings.classes, self._model.threshold))

    def compared(self, image: Array, active: View) -> Mapping[str, tuple[float | None, Quality]]:
        """With the picture (height, width, 3) of which the active model says ``active``."""
        found, quality = self._model.look(image, WEAK * self._model.threshold)
        if found is None or self._watch is None:
            return dict.fromkeys((UNDER + name for name in self._names), (None, quality))
        height, width = image.shape[:2]
        boxes = found.boxes / np.array([width, height] * 2, np.float32)
        view = self._watch.update(boxes, found.scores, [self._model.classes[label] for label in found.labels], active.time_ns)
        near = self._settings.ground is not None
        told = self._model.compared(_calls(active, near=near), _calls(view, near=near))
        return {UNDER + name: value for name, value in told.items()}


def _calls(view: View, *, near: bool) -> dict[str, bool]:
    counts = {"people": view.people, **{f"zone/{zone}/people": people for zone, (people, _) in view.zones.items()}}
    counts |= {f"no_{item}": count for item, count in view.lacking.items()}
    if near:
        counts["near_vehicle"] = view.near
    return {name: count > 0 for name, count in counts.items()}
