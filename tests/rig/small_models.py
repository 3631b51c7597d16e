"""Real ONNX models of three rows of two signals that do one thing each: the mean, no number, a failure at run time, or a loop that takes its time."""

import hashlib
import json
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto, checker, helper

from models.cards import ARTIFACTS

ROWS, SIGNALS = 3, ("speed", "load")


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], **attributes)


def _score(kind: str) -> tuple[list[Any], list[Any]]:
    """Nodes from ``mean`` (1, 1) to ``score`` (1, 1), and constants. The middle of the range, 0, is no trouble for any of them."""
    if kind.startswith("mean"):
        return [_node("Add", ["mean", "shift"], "score")], [helper.make_tensor("shift", TensorProto.FLOAT, [1, 1], [float(kind[4:] or 0)])]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1.0])
    if kind == "nan":  # log(1 - mean): no number from 2 on
        return [_node("Sub", ["one", "mean"], "rest"), _node("Log", ["rest"], "score")], [one]
    if kind == "fails":  # takes entry number int(mean) of one: there is one, number 0
        return [
            _node("Cast", ["mean"], "place", to=TensorProto.INT64),
            _node("Reshape", ["place", "flat"], "places"),
            _node("Gather", ["one", "places"], "score", axis=0),
        ], [one, helper.make_tensor("flat", TensorProto.INT64, [1], [-1])]
    # "stalls": mean million rounds of a loop
    body = helper.make_graph(
        [_node("Identity", ["go"], "go_on"), _node("Sin", ["value"], "next")],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1, 1]),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 1])],
    )
    return [
        _node("Mul", ["mean", "million"], "many"),
        _node("Cast", ["many"], "counted", to=TensorProto.INT64),
        _node("Reshape", ["counted", "scalar"], "rounds"),
        _node("Loop", ["rounds", "", "mean"], "score", body=body),
    ], [helper.make_tensor("million", TensorProto.FLOAT, [1, 1], [1e6]), helper.make_tensor("scalar", TensorProto.INT64, [0], [])]


def graph(kind: str) -> ModelProto:
    nodes, constants = _score(kind)
    made = helper.make_graph(
        [_node("ReduceMean", ["window"], "average", axes=[1, 2], keepdims=0), _node("Reshape", ["average", "square"], "mean"), *nodes],
        kind,
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["N", ROWS, len(SIGNALS)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor("square", TensorProto.INT64, [2], [1, 1]), *constants],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model


def install(folder: Path, kind: str = "mean", *, name: str = "", period: float | None = 1.0, **changes: Any) -> str:
    """Writes ``NAME.onnx`` and its card; returns the file's name. ``changes`` are of the card's feed."""
    content, name = graph(kind).SerializeToString(), name or kind.replace(".", "")
    (folder / f"{name}.onnx").write_bytes(content)
    card = json.loads((ARTIFACTS / "hydraulic_cooler.json").read_text("utf-8"))
    card |= {
        "name": name,
        "artifact": f"{name}.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "threshold": {"value": 5.0, "why": "a test"},
    }
    card["inputs"] = [{"name": "window", "shape": ["N", ROWS, 2], "dtype": "float32", "units": "m/s, kN", "valid_range": [-100, 100]}]
    card["outputs"] = [{"name": "score", "shape": [1, 1], "dtype": "float32", "units": "1", "valid_range": [-100, 100]}]
    card["feed"] = {
        "preparation": "window",
        "period_s": period,
        "rows": ROWS,
        "signals": [{"name": "speed", "unit": "m/s"}, {"name": "load", "unit": "kN"}],
        "outputs": [{"name": "score", "unit": "1", "es": "Puntaje", "en": "Score"}],
        "alarm": {"output": "score", "side": "above"},
        "features": [{"name": "speed", "low": 0.0, "high": 10.0}, {"name": "load", "low": 0.0, "high": 10.0}],
        "features_of": "a test",
    } | changes
    (folder / f"{name}.json").write_text(json.dumps(card), "utf-8")
    return f"{name}.onnx"
