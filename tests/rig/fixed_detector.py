"""A real ONNX detector that is sure of the same boxes whatever it sees: what is tested is what happens then."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.cards import ARTIFACTS

SIDES = ["left", "top", "right", "bottom"]


def install(folder: Path, rows: Sequence[Sequence[float]], labels: Sequence[str], *, name: str = "fixed", shadow: bool = False) -> str:
    """Writes ``NAME.onnx`` and its card; returns the file's name. A row: the sides as fractions of the picture, then a score of each label."""
    from onnx import TensorProto, helper, numpy_helper

    values = np.array([rows], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
            helper.make_node("Add", ["rows", "zero"], ["boxes"]),
        ],
        "fixed",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, list(values.shape))],
        [numpy_helper.from_array(values, "rows"), numpy_helper.from_array(np.zeros((1, 1, 1), np.float32), "nothing")],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (folder / f"{name}.onnx").write_bytes(content)
    card = json.loads((ARTIFACTS / "people_vehicles.json").read_text())
    card |= {"name": name, "artifact": f"{name}.onnx", "sha256": hashlib.sha256(content).hexdigest(), "shadow": shadow}
    card["inputs"][0]["shape"] = [1, 3, 8, 8]
    card["outputs"][0] |= {"shape": list(values.shape), "labels": [*SIDES, *labels]}
    (folder / f"{name}.json").write_text(json.dumps(card))
    return f"{name}.onnx"


def small_model(folder: Path, *, weight: float, labels: list[str], size: int = 8) -> None:
    """Writes ``small.onnx`` and its card: a head of 2 x 2 cells that says ``weight`` everywhere, and no number for a black picture."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Mul", ["mean", "weight"], ["product"]),
            helper.make_node("Div", ["product", "mean"], ["boxes"]),  # not a number for a black picture
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 2, len(labels)])],
        [numpy_helper.from_array(np.full((1, 2, 2, len(labels)), weight, np.float32), "weight")],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (folder / "small.onnx").write_bytes(content)
    card = json.loads((ARTIFACTS / "people_vehicles.json").read_text())
    card |= {"name": "small", "artifact": "small.onnx", "sha256": hashlib.sha256(content).hexdigest()}
    card["inputs"][0]["shape"] = [1, 3, size, size]
    card["outputs"][0] |= {"shape": [1, 2, 2, len(labels)], "labels": labels}
    (folder / "small.json").write_text(json.dumps(card))
