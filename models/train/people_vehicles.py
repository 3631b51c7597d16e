"""Makes the people and vehicles detector: ``python -m models.train.people_vehicles`` writes models/artifacts/people_vehicles.onnx and its card.

Nothing is trained here: the COCO-trained FastestDet of its authors is cut to the classes that a mine has, channels last, so that the card can
name them. The weight is found through the environment's MUKI_WEIGHTS.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from models.cards import ModelError

NAME = "people_vehicles"
FILE = "fastestdet_coco_352.onnx"
SHA256 = "31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880"
DEFAULT = Path(__file__).parents[2].parent / "shared" / "weights"
SIZE = 352  # pixels, both ways
GRID = SIZE // 16
COCO = {"person": 0, "bicycle": 1, "car": 2, "motorcycle": 3, "bus": 5, "truck": 7}
"""The classes that are kept, and their index among the 80 of COCO."""
LABELS = ("objectness", "x", "y", "width", "height", *COCO)
SEED = 0  # nothing is drawn


class WeightMissing(ModelError):
    """The weight is not where it was looked for, or is another one."""


def weight() -> bytes:
    """The authors' ONNX file: under MUKI_WEIGHTS, else beside the project in shared/weights. Raises WeightMissing."""
    path = Path(os.environ.get("MUKI_WEIGHTS", DEFAULT)) / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightMissing(f"{path}: cannot be read: {error.strerror}; set MUKI_WEIGHTS to the folder that holds {FILE}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise WeightMissing(f"{path}: its SHA-256 is {found}; the weight of dog-qiuqiu/FastestDet at 50473cd155cb has {SHA256}")
    return content


def to_onnx(content: bytes) -> bytes:
    """``image`` float32 (1, 3, 352, 352), BGR from 0 to 1, to ``boxes`` float32 (1, 22, 22, 11): see models/detection.py."""
    import onnx
    from onnx import TensorProto, checker, helper, numpy_helper

    model = onnx.load_from_string(content)
    graph = model.graph
    before, after = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = ["image" if name == before else name for name in node.input]
    channels = [*range(5), *(5 + index for index in COCO.values())]
    graph.initializer.append(numpy_helper.from_array(_int64(channels), "kept_channels"))
    graph.node.extend(
        [
            helper.make_node("Gather", [after, "kept_channels"], ["kept"], axis=1),
            helper.make_node("Transpose", ["kept"], ["boxes"], perm=[0, 2, 3, 1]),
        ]
    )
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE]))
    graph.output.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, GRID, GRID, len(LABELS)]))
    checker.check_model(model, full_check=True)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


def _int64(values: list[int]) -> Any:
    import numpy as np

    return np.array(values, np.int64)


if __name__ == "__main__":
    from models.train.people_vehicles_card import publish_model

    publish_model()
