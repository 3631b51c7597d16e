"""A detector model of the release or of the site: loaded and checked once, then asked about pictures. A picture that is none is no fault of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.values import GOOD, Quality, bad
from edge.errors import Misconfigured
from edge.processing import ProcessorContext
from edge.processing.models import ModelFailed, opened
from models.detection import BOX_CHANNELS, OVERLAP, SIDES, BadPicture, Detections, classes_of, decode, preprocess

if TYPE_CHECKING:
    from models.runtime import Model

Array = np.ndarray[Any, np.dtype[Any]]


class DetectorModel:
    """``processor`` is named in errors; ``name`` is a model of the release, or a path ending in .onnx beside the node's configuration."""

    def __init__(self, processor: str, name: str, context: ProcessorContext) -> None:
        self._processor = processor
        self._name = name
        self._context = context
        self._model: Model | None = None
        self._size = (0, 0)
        self.classes: tuple[str, ...] = ()
        self.threshold = 1.0  # of the card

    def load(self, needed: Sequence[str]) -> None:
        """Raises Misconfigured where there is none, its card is missing or wrong, or it is no detector of the ``needed`` classes."""
        import cv2

        cv2.setNumThreads(1)
        where, name = f"processor {self._processor}: model", self._name
        model = opened(self._processor, name, self._context)
        inputs, outputs = model.card.inputs, model.card.outputs
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[:2] != (1, 3) or not all(isinstance(size, int) for size in shape):
            raise Misconfigured(f"{where} {name}: is no detector: its input has shape {shape}; (1, 3, height, width) is needed")
        classes = classes_of(outputs[0].shape, outputs[0].labels)
        if len(outputs) != 1 or not classes:
            raise Misconfigured(
                f"{where} {name}: is no detector: it needs one output (1, rows, columns, {BOX_CHANNELS} + classes) "
                f"or (1, n, {SIDES} + classes), labelled"
            )
        if missing := [label for label in needed if label not in classes]:
            raise Misconfigured(f"{where} {name}: has no class {', '.join(missing)}; it has {', '.join(classes)}")
        self._size = int(shape[3]), int(shape[2])
        self.classes, self.threshold, self._model = classes, model.card.threshold.value, model

    def look(self, image: Array, threshold: float) -> tuple[Detections | None, Quality]:
        """What is in the picture (height, width, 3; uint8, BGR) with at least this score; None and why where it could not be looked at.

        Raises ModelFailed where the model, or the accelerator under it, fails, or gives what is no result.
        """
        if self._model is None:
            return None, bad("no_model")
        try:
            tensor, transform = preprocess(image, self._size)
            (output,) = self._model.run({self._model.card.inputs[0].name: tensor}, finite=True).values()
            found = decode(output, len(self.classes), transform, threshold, OVERLAP)
        except BadPicture:
            return None, bad("no_picture")
        except Exception as error:  # whatever the runtime or an accelerator under it raises
            raise ModelFailed(f"model {self._name}: {type(error).__name__}: {error}") from error
        return found, GOOD
