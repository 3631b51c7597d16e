"""Four estimators of different kinds from the same rows, and their mean, weighted by how near they came to hours that they had not seen.

Trees follow the sensors closely and cannot answer beyond what they saw; a line in logarithms goes on beyond it and is coarse. As the sensors age and
the seasons change, their errors go different ways.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.train.boosted_trees import ensemble_node, forest_node

Array = np.ndarray[Any, np.dtype[Any]]

MEMBERS = (
    "boosted trees",
    "support vectors of the logarithm",
    "a line of the logarithm with boosted trees on what it leaves",
    "extra trees",
)
OFFSET = 0.1  # mg/m³, added before the logarithm
HIGHEST = 50.0  # mg/m³: four times what was ever seen; a line of logarithms could answer anything


class Members(NamedTuple):
    """Of rows (n, features) to CO in mg/m³; ``kernel``, ``line`` and ``rest`` to log(CO + OFFSET), the first two of rows that ``scale`` made."""

    scale: Any
    direct: Any
    kernel: Any
    line: Any
    rest: Any
    forest: Any

    def predict(self, rows: Array) -> Array:
        """(4, n) mg/m³, in the order of MEMBERS."""
        scaled = self.scale.transform(rows)
        told = [
            self.direct.predict(rows),
            _back(self.kernel.predict(scaled)),
            _back(self.line.predict(scaled) + self.rest.predict(rows)),
            self.forest.predict(rows),
        ]
        kept: Array = np.clip(np.array(told), 0, HIGHEST)
        return kept


class Blend(NamedTuple):
    """``weights`` (4,) are none below zero and add up to one."""

    members: Members
    weights: Array

    def predict(self, rows: Array) -> Array:
        """(n,) mg/m³."""
        told: Array = self.weights @ self.members.predict(rows)
        return told


def fit_members(rows: Array, co: Array, trees: Callable[..., Any], seed: int, *, forest: tuple[int, int]) -> Members:
    """``trees(rows, target)`` fits boosted trees; ``forest``: how many extra trees, and the fewest rows of a leaf."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    scale = StandardScaler().fit(rows)
    scaled, target = scale.transform(rows), np.log(co + OFFSET)
    line = RidgeCV(np.logspace(-2, 4, 13)).fit(scaled, target)
    return Members(
        scale,
        trees(rows, co),
        SVR(C=30, epsilon=0.05, gamma=0.001).fit(scaled, target),
        line,
        trees(rows, target - line.predict(scaled)),
        ExtraTreesRegressor(forest[0], min_samples_leaf=forest[1], max_features=0.5, random_state=seed).fit(rows, co),
    )


def weigh(told: Array, co: Array) -> Array:
    """The weights (4,) with which estimates (4, n) come nearest to ``co`` (n,), in mean absolute error."""
    from scipy.optimize import minimize

    def error(free: Array) -> float:
        return float(np.abs(_share(free) @ told - co).mean())

    starts = (np.ones(len(told)), np.r_[3, np.ones(len(told) - 1)])
    found = [minimize(error, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-4, "fatol": 1e-7}) for start in starts]
    return _share(min(found, key=lambda one: float(one.fun)).x)


def _share(free: Array) -> Array:
    share: Array = np.abs(free) / np.abs(free).sum()
    return share


def _back(logarithm: Array) -> Array:
    co: Array = np.exp(np.minimum(logarithm, np.log(HIGHEST + OFFSET))) - OFFSET
    return co


def nodes(blend: Blend, rows: str, output: str) -> tuple[Sequence[Any], dict[str, Array]]:
    """From ``rows`` float32 (N, features) to ``output`` float32 (N, 1): ONNX nodes of opset 17, and the constants that they need by name."""
    from onnx import TensorProto, helper

    members, gamma = blend.members, float(blend.members.kernel._gamma)
    support = members.kernel.support_vectors_
    constants: dict[str, Array] = {
        "centre": members.scale.mean_,
        "unit": members.scale.scale_,
        "support": 2 * gamma * support.T,
        "support_square": -gamma * np.square(support).sum(axis=1)[None],
        "minus_gamma": np.array(-gamma),
        "dual": members.kernel.dual_coef_.T,
        "dual_offset": members.kernel.intercept_,
        "line": members.line.coef_[:, None],
        "line_offset": np.ravel(members.line.intercept_),
        "log_highest": np.array(np.log(HIGHEST + OFFSET)),
        "shift": np.array(OFFSET),
        "none": np.array(0.0),
        "highest": np.array(HIGHEST),
        "shares": blend.weights[:, None],
    }
    made = [
        helper.make_node("Sub", [rows, "centre"], ["centred"]),
        helper.make_node("Div", ["centred", "unit"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "scaled"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "columns"], ["square"], keepdims=1),
        helper.make_node("Mul", ["square", "minus_gamma"], ["own_square"]),
        helper.make_node("MatMul", ["scaled", "support"], ["products"]),
        helper.make_node("Add", ["products", "own_square"], ["nearer"]),
        helper.make_node("Add", ["nearer", "support_square"], ["distance"]),
        helper.make_node("Exp", ["distance"], ["likeness"]),
        # Thousands of large terms that cancel: in float32 the third decimal of the sum would hang on their order.
        helper.make_node("Cast", ["likeness"], ["likeness_double"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["likeness_double", "dual"], ["kernel_sum"]),
        helper.make_node("Add", ["kernel_sum", "dual_offset"], ["kernel_double"]),
        helper.make_node("Cast", ["kernel_double"], ["kernel_log"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["scaled", "line"], ["line_sum"]),
        helper.make_node("Add", ["line_sum", "line_offset"], ["line_log"]),
        ensemble_node(members.rest, rows, "rest_log"),
        helper.make_node("Add", ["line_log", "rest_log"], ["both_log"]),
        helper.make_node("Concat", ["kernel_log", "both_log"], ["logs"], axis=1),
        helper.make_node("Min", ["logs", "log_highest"], ["logs_kept"]),
        helper.make_node("Exp", ["logs_kept"], ["powers"]),
        helper.make_node("Sub", ["powers", "shift"], ["from_logs"]),
        helper.make_node("Split", ["from_logs"], ["of_kernel", "of_line"], axis=1),
        ensemble_node(members.direct, rows, "of_trees"),
        forest_node(members.forest, rows, "of_forest"),
        helper.make_node("Concat", ["of_trees", "of_kernel", "of_line", "of_forest"], ["four"], axis=1),
        helper.make_node("Clip", ["four", "none", "highest"], ["four_kept"]),
        helper.make_node("MatMul", ["four_kept", "shares"], [output]),
    ]
    doubles = {"dual", "dual_offset"}
    kept = {name: np.asarray(value, np.float64 if name in doubles else np.float32) for name, value in constants.items()}
    return made, kept | {"columns": np.array([1], np.int64)}
