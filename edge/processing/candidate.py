"""A second detector model beside the active one: it looks at the same pictures, and only how much oftener it would call is told."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contract.values import GOOD, Quality, bad
from edge.errors import Misconfigured
from edge.processing import ProcessorContext
from edge.processing.comparison import AlarmRates
from edge.processing.detector_model import DetectorModel
from edge.processing.models import ModelFailed
from models.detection import Detections

log = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]


class CandidateDetector:
    """Whatever is wrong with it is logged once and told as its quality, and never disturbs the active model. ``pictures``: see `AlarmRates`."""

    def __init__(self, processor: str, name: str, context: ProcessorContext, pictures: int) -> None:
        self._processor = processor
        self._name = name
        self._pictures = pictures
        self._model = DetectorModel(f"{processor} (candidate)", name, context)
        self._rates: dict[str, AlarmRates] = {}
        self._complaint = ""

    @property
    def classes(self) -> tuple[str, ...]:
        return self._model.classes

    @property
    def threshold(self) -> float:
        """Of its card."""
        return self._model.threshold

    def load(self, needed: Sequence[str]) -> None:
        """One that cannot be loaded, or lacks a class, is left out."""
        try:
            self._model.load(needed)
        except Misconfigured as error:
            self._complain(f"is left out: {error}")

    def look(self, image: Array, threshold: float) -> tuple[Detections | None, Quality]:
        """What it finds in the picture (height, width, 3; uint8, BGR) with at least this score; None and why where there is nothing to compare."""
        try:
            return self._model.look(image, threshold)
        except ModelFailed as error:
            self._complain(f"failed: {error}")
            return None, bad("candidate_failed")

    def compared(self, active: Mapping[str, bool], candidate: Mapping[str, bool]) -> dict[str, tuple[float | None, Quality]]:
        """By what is called, the share of pictures with its call less the active model's, with this picture.

        To a hundredth, else each picture would bring a message.
        """
        told: dict[str, tuple[float | None, Quality]] = {}
        for name, calls in active.items():
            rates = self._rates.setdefault(name, AlarmRates(self._pictures))
            difference = rates.add(calls, candidate[name])
            told[name] = (None, bad("gathering")) if difference is None else (round(difference, 2), GOOD)
        return told

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            log.error("processor %s: candidate %s: %s", self._processor, self._name, what)
            self._complaint = what
