"""FastestDet as its authors trained it on COCO: the baseline of the PPE detector for people and vehicles."""

from pathlib import Path
from typing import Any

import numpy as np

from models.train.ppe_pictures import CLASSES

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 352
OVERLAP = 0.45
PERSON, VEHICLES = 0, (2, 5, 7)
"""COCO's numbers: person; car, bus, truck. Its dump trucks are vehicles, those of ppe_css machinery."""


class FastestDet:
    """The published graph with the decoding of its example (dog-qiuqiu/FastestDet, example/onnx-runtime/runtime.py)."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def find(self, image: Array, lowest: float = 0.01) -> Array:
        """People and vehicles, (m, 6): class of CLASSES, sides in pixels, score."""
        import cv2

        from models.ppe import rows

        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)[None].astype(np.float32) / 255
        answer = np.asarray(self._session.run(None, {self._session.get_inputs()[0].name: small})[0])[0]
        height, width = answer.shape[1:]
        row, column = np.mgrid[:height, :width]
        middle = np.stack([(column + np.tanh(answer[1])) / width, (row + np.tanh(answer[2])) / height])
        half = 1 / (1 + np.exp(-answer[3:5])) / 2
        boxes = np.concatenate([middle - half, middle + half]).reshape(4, -1).T
        of_coco = (answer[:1] ** 0.6 * answer[5:] ** 0.4).reshape(80, -1).T
        # One class a place, as its authors do.
        of_coco = np.where(of_coco == of_coco.max(axis=1, keepdims=True), of_coco, 0)
        scores = np.zeros((len(boxes), len(CLASSES)))
        scores[:, CLASSES.index("person")] = of_coco[:, PERSON]
        scores[:, CLASSES.index("vehicle")] = of_coco[:, list(VEHICLES)].max(axis=1)
        return rows(boxes * np.tile(image.shape[1::-1], 2), scores, lowest, OVERLAP)
