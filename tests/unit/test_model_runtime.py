"""The runtime runs only what its card describes, and says what is wrong with everything else."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from models.cards import Card, read_card
from models.runtime import BadInput, CardInvalid, CardMissing, HashMismatch, ModelError, ModelMissing, NotAModel, load

LABELS = ["normal", "fault"]


def graph(width: int = 3, factor: float = 2.0) -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["factor"], value_float=factor),
        helper.make_node("Mul", ["features", "factor"], ["scaled"]),
        helper.make_node("ReduceSum", ["scaled"], ["sum"], keepdims=1),
        helper.make_node("Concat", ["sum", "sum"], ["probabilities"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])],
    )
    content: bytes = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return content


def card(content: bytes, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "small",
        "version": "1.2.3",
        "date": "2025-01-31",
        "purpose": "A test",
        "artifact": "small.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "inputs": [{"name": "features", "shape": [1, 3], "dtype": "float32", "units": "g", "valid_range": [-1.0, 5.0]}],
        "outputs": [
            {"name": "probabilities", "shape": [1, 2], "dtype": "float32", "units": "probability", "valid_range": [0, 1], "labels": LABELS}
        ],
        "threshold": {"value": 0.5, "why": "a test"},
        "data": [{"name": "none", "licence": "none", "source": "here", "split": "none"}],
        "leakage_check": "none",
        "metrics": [
            {
                "name": "accuracy",
                "data": "none",
                "split": "none",
                "value": 0.5,
                "interval_95": [0.1, 0.9],
                "resampled": "never",
                "baselines": {"chance": {"value": 0.5, "interval_95": [0.4, 0.6]}},
            }
        ],
        "failure_modes": ["all"],
        "cost": {"latency_ms_p50": 1, "latency_ms_p95": 1, "peak_memory_mb": 1, "machine": "none"},
        "training": {"command": "none", "commit": "0123abc", "seed": 1},
    }
    return {**base, **changes}


def installed(folder: Path, content: bytes | None = None, **changes: Any) -> Path:
    content = graph() if content is None else content
    path = folder / "small.onnx"
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(card(content, **changes)))
    return path


def ones(shape: tuple[int, ...] = (1, 3), dtype: str = "float32") -> dict[str, np.ndarray]:
    return {"features": np.ones(shape, dtype)}


def test_a_model_that_is_what_its_card_says_runs(tmp_path: Path) -> None:
    model = load(installed(tmp_path))
    np.testing.assert_allclose(model.run(ones())["probabilities"], [[6, 6]])
    assert model.card.labels("probabilities") == tuple(LABELS)
    assert (model.name, model.card.version) == ("small", "1.2.3")
    assert model.size_bytes == len(graph())


def test_an_artifact_without_a_card_is_refused(tmp_path: Path) -> None:
    path = installed(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(CardMissing, match=r"small\.json"):
        load(path)


def test_a_file_that_was_changed_after_its_card_was_written_is_refused(tmp_path: Path) -> None:
    path = installed(tmp_path)
    path.write_bytes(graph(factor=3.0))
    with pytest.raises(HashMismatch, match="SHA-256"):
        load(path)


def test_a_card_for_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HashMismatch, match=r"other\.onnx"):
        load(installed(tmp_path, artifact="other.onnx"))


def test_the_verified_bytes_are_what_runs_even_if_the_file_is_swapped(tmp_path: Path) -> None:
    path = installed(tmp_path)
    model = load(path)
    path.write_bytes(graph(factor=100.0))
    np.testing.assert_allclose(model.run(ones())["probabilities"], [[6, 6]])


@pytest.mark.parametrize("content", [b"", b"this is no model", graph()[:60]])
def test_a_file_that_is_no_onnx_is_refused_even_with_a_right_hash(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotAModel, match=r"small\.onnx"):
        load(installed(tmp_path, content))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"inputs": [{"name": "x", "shape": [1, 3], "dtype": "float32", "units": "g", "valid_range": [0, 1]}]}, "features"),
        ({"inputs": [{"name": "features", "shape": [1, 4], "dtype": "float32", "units": "g", "valid_range": [0, 1]}]}, "shape"),
        ({"inputs": [{"name": "features", "shape": [1, 3], "dtype": "float64", "units": "g", "valid_range": [0, 1]}]}, "float64"),
        ({"outputs": [{"name": "y", "shape": [1, 2], "dtype": "float32", "units": "1", "valid_range": [0, 1]}]}, "probabilities"),
    ],
)
def test_a_card_that_describes_another_graph_is_refused(tmp_path: Path, changes: dict[str, Any], word: str) -> None:
    with pytest.raises(NotAModel, match=word):
        load(installed(tmp_path, **changes))


def test_there_is_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"known by name: .*bearing_condition"):
        load("no_such_model")
    with pytest.raises(ModelMissing, match=r"gone\.onnx"):
        load(tmp_path / "gone.onnx")
    with pytest.raises(NotAModel, match="not an ONNX file by its name"):
        load(tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="threads is 0"):
        load("bearing_condition", threads=0)


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({}, "'features'"),
        ({"feature": np.ones((1, 3), "float32")}, "'features'"),
        ({**ones(), "more": np.ones(1)}, "more"),
        (ones(dtype="float64"), "float64 was given; float32"),
        (ones((3,)), r"\(3,\) was given; \(1, 3\)"),
        (ones((1, 4)), r"\(1, 4\) was given"),
        (ones((1, 0)), r"\(1, 0\) was given"),
        (ones((2, 3)), r"\(2, 3\) was given"),
        ({"features": [[1.0, 2.0, 3.0]]}, "list was given"),
        ({"features": np.array([[1, np.nan, 3]], "float32")}, r"\(0, 1\) is nan"),
        ({"features": np.array([[1, 2, np.inf]], "float32")}, r"\(0, 2\) is inf"),
    ],
)
def test_input_that_does_not_fit_the_card_is_refused(tmp_path: Path, inputs: Any, word: str) -> None:
    model = load(installed(tmp_path))
    with pytest.raises(BadInput, match=word):
        model.run(inputs)


def test_values_outside_the_valid_range_are_told(tmp_path: Path) -> None:
    model = load(installed(tmp_path))
    assert model.outside(ones()) == []
    assert "-1 to 5" in model.outside({"features": np.array([[1, 2, 9]], "float32")})[0]


@pytest.mark.parametrize("key", [name for name, field in Card.model_fields.items() if field.is_required()])
def test_every_key_of_a_card_is_required_and_named(tmp_path: Path, key: str) -> None:
    path = installed(tmp_path).with_suffix(".json")
    path.write_text(json.dumps({name: value for name, value in card(graph()).items() if name != key}))
    with pytest.raises(CardInvalid, match=rf"small\.json: {key}: missing"):
        read_card(path)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"purpse": "x"}, "purpse: unknown key"),
        ({"sha256": "abc"}, "sha256: "),
        ({"threshold": {"value": "0.5", "why": "x"}}, "threshold.value: "),
        ({"threshold": {"value": 0.5, "why": " "}}, "threshold.why: "),
        ({"metrics": []}, "metrics: "),
        ({"metrics": [{**card(b"")["metrics"][0], "interval_95": [0.6, 0.9]}]}, "metrics.0: value 0.5 lies outside"),
        ({"metrics": [{**card(b"")["metrics"][0], "baselines": {}}]}, "metrics.0.baselines: "),
        ({"outputs": [{**card(b"")["outputs"][0], "labels": ["one"]}]}, "outputs.0: 1 labels"),
        ({"training": {"command": "x", "commit": "unknown", "seed": 1}}, "training.commit: "),
        ({"date": "yesterday"}, "date: "),
    ],
)
def test_a_wrong_card_is_refused_with_file_and_key(tmp_path: Path, changes: dict[str, Any], where: str) -> None:
    path = installed(tmp_path, **changes).with_suffix(".json")
    with pytest.raises(CardInvalid, match=r"small\.json") as refused:
        read_card(path)
    assert where in str(refused.value)


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = installed(tmp_path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(CardInvalid, match=r"small\.json: document"):
        load(path)
