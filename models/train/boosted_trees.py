"""Writes scikit-learn's histogram boosted trees as one node of an ONNX graph: the same split for every float32, leaves in float32."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def ensemble_node(fitted: Any, rows: str, output: str) -> Any:
    """A TreeEnsembleRegressor (ai.onnx.ml 3) from ``rows`` float32 (N, features) to ``output`` float32 (N, 1).

    ``fitted``: a HistGradientBoostingRegressor with identity link, without categories, for rows without NaN.
    """
    from onnx import helper

    columns: dict[str, list[Any]] = {name: [] for name in ("tree", "node", "feature", "mode", "value", "true", "false")}
    leaves: list[tuple[int, int, float]] = []
    for tree, (predictor,) in enumerate(fitted._predictors):
        for node, record in enumerate(predictor.nodes):
            leaf = bool(record["is_leaf"])
            row = (
                tree,
                node,
                0 if leaf else int(record["feature_idx"]),
                "LEAF" if leaf else "BRANCH_LEQ",
                0.0 if leaf else not_above(float(record["num_threshold"])),
                0 if leaf else int(record["left"]),
                0 if leaf else int(record["right"]),
            )
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            if leaf:
                leaves.append((tree, node, float(record["value"])))
    return helper.make_node(
        "TreeEnsembleRegressor",
        [rows],
        [output],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[float(np.ravel(fitted._baseline_prediction)[0])],
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
