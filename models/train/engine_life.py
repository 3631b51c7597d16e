"""Trains the engine life model: ``python -m models.train.engine_life`` writes models/artifacts/engine_life.onnx and its card.

Fourteen sensors tell one wear, so sums over all of them are less noisy than any: four principal directions of what changed since an engine's
first cycles are read in every window, the single sensors in a few. Three members of unlike errors are averaged.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ModelError
from models.engine_life import BASELINE, LEVELS, MEANS, ROWS, SENSORS, SLOPES, summaries

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "engine_life"
FOLDER = "cmapss_fd001"
CAP = 125.0
"""Cycles: before that no wear can be seen, and what is left is called that much (the convention of the field)."""
STEP = 2
"""Every second cycle of an engine is a row: neighbours are alike."""
DIRECTIONS = 4
MEMBERS = (("extra trees", 1.0), ("boosting", 1.0), ("boosting", 0.0))
"""Kind of trees, and the share of the levels' own variance beside the noise in the scale of a sensor: at 0 the directions are those that
stand out of the noise, at 1 those that stand out of the fleet. The mean of the members is the answer; folds of engines chose them."""
SEED = 20251124
_SENSOR_ROWS = {MEANS.index(10), MEANS.index(20), *LEVELS, len(MEANS) + 2 + SLOPES.index(30)}


class Fleet(NamedTuple):
    """Per engine its sensors (cycles, 14) and the cycles left after its last one."""

    histories: list[Array]
    left: Array


class Rows(NamedTuple):
    """``summary`` (n, 14, 14), ``age`` (n,) and ``life`` (n,) left, both in cycles, ``engine`` (n,) the index."""

    summary: Array
    age: Array
    life: Array
    engine: Array

    def of(self, chosen: Array) -> "Rows":
        return Rows(*(values[chosen] for values in self))


class Member(NamedTuple):
    """``offset`` (14, 14) is taken off a summary, ``projection`` (14, 18) applied to its sensors, ``columns`` go to the ``trees``."""

    offset: Array
    projection: Array
    columns: Array
    trees: Any

    def features(self, summary: Array, age: Array) -> Array:
        """float32 (n, 1 + columns)."""
        projected = (summary - self.offset).astype(np.float32) @ self.projection.astype(np.float32)
        return np.hstack([age[:, None].astype(np.float32), projected.reshape(len(age), -1)[:, self.columns]])


class Life(NamedTuple):
    """The mean of its members, within 0 to CAP."""

    members: tuple[Member, ...]

    def predict(self, summary: Array, age: Array) -> Array:
        """Cycles left (n,), at most CAP."""
        found = np.mean([member.trees.predict(member.features(summary, age)) for member in self.members], axis=0)
        capped: Array = np.clip(found, 0, CAP)
        return capped


def read(folder: Path) -> tuple[Fleet, Fleet]:
    """The training engines, run to failure, and the test engines, cut before. Raises ModelError where the files are not the data set."""
    fleets = []
    for name in ("train", "test"):
        table = np.loadtxt(folder / f"{name}_FD001.txt")
        if table.ndim != 2 or table.shape[1] != 26:
            raise ModelError(f"{folder / f'{name}_FD001.txt'}: shape {table.shape}; 26 columns are needed: not the data set")
        columns = [4 + sensor for sensor in SENSORS]
        fleets.append([table[table[:, 0] == engine][:, columns] for engine in np.unique(table[:, 0])])
    left = np.loadtxt(folder / "RUL_FD001.txt", ndmin=1)
    if len(left) != len(fleets[1]):
        raise ModelError(f"{folder}: {len(left)} values in RUL_FD001.txt for {len(fleets[1])} test engines")
    return Fleet(fleets[0], np.zeros(len(fleets[0]))), Fleet(fleets[1], left)


def rows(fleet: Fleet, step: int = STEP) -> Rows:
    """Every ``step``-th cycle from the baseline's end on; ``life`` is not capped."""
    parts = []
    for engine, (history, left) in enumerate(zip(fleet.histories, fleet.left, strict=True)):
        ends = np.arange(BASELINE, len(history) + 1, step)
        parts.append(Rows(summaries(history, ends), ends.astype(float), len(history) - ends + left, np.full(len(ends), engine)))
    return _joined(parts)


def last_rows(fleet: Fleet) -> Rows:
    """One row for each engine, after its last cycle."""
    parts = []
    for engine, (history, left) in enumerate(zip(fleet.histories, fleet.left, strict=True)):
        ends = np.array([len(history)])
        parts.append(Rows(summaries(history, ends), ends.astype(float), np.array([float(left)]), np.array([engine])))
    return _joined(parts)


def fit(train: Rows) -> Life:
    """Scales, directions and trees of these rows, and of nothing else."""
    return Life(tuple(_member(train, kind, share) for kind, share in MEMBERS))


def _member(train: Rows, kind: str, share: float) -> Member:
    levels = train.summary[:, LEVELS[0]]
    noise = (train.summary[:, MEANS.index(3)] - train.summary[:, MEANS.index(10)]).var(axis=0) / (1 / 3 - 1 / 10)
    spread = np.sqrt(share * levels.var(axis=0) + noise) + 1e-12
    directions = np.linalg.svd(train.summary[:, MEANS.index(3)] / spread, full_matrices=False)[2][:DIRECTIONS]
    projection = np.hstack([np.eye(len(SENSORS)), directions.T]) / spread[:, None]
    offset = np.zeros((len(ROWS), len(SENSORS)))
    offset[list(LEVELS)] = levels.mean(axis=0)
    places = [(row, column) for row in range(len(ROWS)) for column in range(projection.shape[1])]
    columns = np.array([row * projection.shape[1] + column for row, column in places if column >= len(SENSORS) or row in _SENSOR_ROWS])
    member = Member(offset, projection, columns, _trees(kind))
    member.trees.fit(member.features(train.summary, train.age), np.minimum(train.life, CAP))
    return member


def _trees(kind: str) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

    if kind == "extra trees":
        return ExtraTreesRegressor(40, max_leaf_nodes=160, min_samples_leaf=8, max_features=0.3, random_state=SEED)
    return HistGradientBoostingRegressor(
        max_iter=200,
        learning_rate=0.045,
        max_leaf_nodes=16,
        min_samples_leaf=30,
        l2_regularization=5.0,
        max_features=0.1,
        early_stopping=False,
        random_state=SEED,
    )


def to_onnx(life: Life) -> bytes:
    """``summary`` float32 (N, 14, 14) and ``age`` float32 (N, 1) to ``life`` float32 (N, 1)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {"members": np.array(len(life.members), np.float32), "least": np.array(0, np.float32), "most": np.array(CAP, np.float32)}
    nodes: list[Any] = []
    for index, member in enumerate(life.members):
        constants[f"offset{index}"] = member.offset.astype(np.float32)
        constants[f"projection{index}"] = member.projection.astype(np.float32)
        constants[f"columns{index}"] = member.columns.astype(np.int64)
        nodes += [
            helper.make_node("Sub", ["summary", f"offset{index}"], [f"centred{index}"]),
            helper.make_node("MatMul", [f"centred{index}", f"projection{index}"], [f"projected{index}"]),
            helper.make_node("Flatten", [f"projected{index}"], [f"row{index}"], axis=1),
            helper.make_node("Gather", [f"row{index}", f"columns{index}"], [f"chosen{index}"], axis=1),
            helper.make_node("Concat", ["age", f"chosen{index}"], [f"features{index}"], axis=1),
            _tree_node(member, index),
        ]
    nodes += [
        helper.make_node("Sum", [f"life{index}" for index in range(len(life.members))], ["sum"]),
        helper.make_node("Div", ["sum", "members"], ["mean"]),
        helper.make_node("Clip", ["mean", "least", "most"], ["life"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [
            helper.make_tensor_value_info("summary", TensorProto.FLOAT, ["N", len(ROWS), len(SENSORS)]),
            helper.make_tensor_value_info("age", TensorProto.FLOAT, ["N", 1]),
        ],
        [helper.make_tensor_value_info("life", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="muki")
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _tree_node(member: Member, index: int) -> Any:
    """One TreeEnsembleRegressor. A split is rounded down to float32, so that it parts float32 values as the float64 one does."""
    from onnx import helper

    fields: dict[str, list[Any]] = {key: [] for key in ("tree", "node", "feature", "value", "left", "right", "leaf", "weight")}
    trees, base = _arrays(member.trees)
    for tree, (left, right, feature, split, weight, leaf) in enumerate(trees):
        down = split.astype(np.float32)
        down = np.where(down > split, np.nextafter(down, np.float32(-np.inf)), down)
        fields["tree"] += [tree] * len(leaf)
        fields["node"] += range(len(leaf))
        fields["feature"] += np.where(leaf, 0, feature).tolist()
        fields["value"] += np.where(leaf, 0, down).tolist()
        fields["left"] += np.where(leaf, 0, left).tolist()
        fields["right"] += np.where(leaf, 0, right).tolist()
        fields["leaf"] += leaf.tolist()
        fields["weight"] += weight.tolist()
    leaves = np.flatnonzero(fields["leaf"])
    return helper.make_node(
        "TreeEnsembleRegressor",
        [f"features{index}"],
        [f"life{index}"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[float(base)],
        nodes_treeids=fields["tree"],
        nodes_nodeids=fields["node"],
        nodes_featureids=fields["feature"],
        nodes_values=fields["value"],
        nodes_truenodeids=fields["left"],
        nodes_falsenodeids=fields["right"],
        nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in fields["leaf"]],
        target_treeids=[fields["tree"][place] for place in leaves],
        target_nodeids=[fields["node"][place] for place in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[fields["weight"][place] for place in leaves],
    )


def _arrays(trees: Any) -> tuple[list[Any], float]:
    """Per tree left, right, feature, split, weight and leaf of its nodes, and the base value, of either kind of trees."""
    if hasattr(trees, "estimators_"):
        inner = [one.tree_ for one in trees.estimators_]
        share = 1 / len(inner)
        return [
            (t.children_left, t.children_right, t.feature, t.threshold, t.value[:, 0, 0] * share, t.children_left < 0) for t in inner
        ], 0.0
    grown = [one[0].nodes for one in trees._predictors]
    found = [
        (n["left"].astype(int), n["right"].astype(int), n["feature_idx"].astype(int), n["num_threshold"], n["value"], n["is_leaf"] > 0)
        for n in grown
    ]
    return found, float(np.ravel(trees._baseline_prediction)[0])


def _joined(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate(values) for values in zip(*parts, strict=True)))


if __name__ == "__main__":
    from models.train.engine_life_card import publish_model

    publish_model()
