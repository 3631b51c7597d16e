"""Writes scikit-learn's boosted trees and forests as one node of an ONNX graph: the same split for every float32, leaves in float32."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Node(NamedTuple):
    """Of a tree: a leaf with its value, or rows whose feature is not above the threshold go left. ``left`` and ``right`` are places in the tree."""

    leaf: bool
    feature: int
    threshold: float
    left: int
    right: int
    value: float


def ensemble_node(fitted: Any, rows: str, output: str) -> Any:
    """A TreeEnsembleRegressor (ai.onnx.ml 3) from ``rows`` float32 (N, features) to ``output`` float32 (N, 1).

    ``fitted``: a HistGradientBoostingRegressor with identity link, without categories, for rows without NaN.
    """
    trees = [
        [
            Node(
                bool(one["is_leaf"]),
                int(one["feature_idx"]),
                float(one["num_threshold"]),
                int(one["left"]),
                int(one["right"]),
                float(one["value"]),
            )
            for one in predictor.nodes
        ]
        for (predictor,) in fitted._predictors
    ]
    return _ensemble(trees, float(np.ravel(fitted._baseline_prediction)[0]), rows, output)


def forest_node(fitted: Any, rows: str, output: str) -> Any:
    """The same of a forest of scikit-learn: the mean of its trees, of one target."""
    share = 1 / len(fitted.estimators_)
    trees = []
    for one in fitted.estimators_:
        tree = one.tree_
        columns = (
            tree.children_left < 0,
            tree.feature,
            tree.threshold,
            tree.children_left,
            tree.children_right,
            tree.value[:, 0, 0] * share,
        )
        trees.append([Node(*(value.item() for value in row)) for row in zip(*columns, strict=True)])
    return _ensemble(trees, 0.0, rows, output)


def _ensemble(trees: Sequence[Sequence[Node]], base: float, rows: str, output: str) -> Any:
    from onnx import helper

    columns: dict[str, list[Any]] = {name: [] for name in ("tree", "node", "feature", "mode", "value", "true", "false")}
    leaves: list[tuple[int, int, float]] = []
    for tree, members in enumerate(trees):
        for node, one in enumerate(members):
            row = (
                tree,
                node,
                0 if one.leaf else one.feature,
                "LEAF" if one.leaf else "BRANCH_LEQ",
                0.0 if one.leaf else not_above(one.threshold),
                0 if one.leaf else one.left,
                0 if one.leaf else one.right,
            )
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            if one.leaf:
                leaves.append((tree, node, one.value))
    return helper.make_node(
        "TreeEnsembleRegressor",
        [rows],
        [output],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[base],
        nodes_treeids=columns["tree"],
        nodes_nodeids=columns["node"],
        nodes_featureids=columns["feature"],
        nodes_modes=columns["mode"],
        nodes_values=columns["value"],
        nodes_truenodeids=columns["true"],
        nodes_falsenodeids=columns["false"],
        target_treeids=[tree for tree, _, _ in leaves],
        target_nodeids=[node for _, node, _ in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[value for _, _, value in leaves],
    )


def not_above(threshold: float) -> float:
    """The greatest float32 that is not above: every float32 falls to the same side of it as of the threshold."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))
