"""Arithmetic that a configuration writes as text: parsed once against a list of what is allowed, never handed to the interpreter."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from itertools import pairwise

MAX_LENGTH = 500  # characters
MAX_PARTS = 100  # nodes of the parsed text

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: lambda value: float(not value),
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}
_ALLOWED = "numbers, names, + - * /, comparisons, and, or, not, a if b else c, abs(), min(), max()"


class Expression:
    """A text such as ``running == 1 and flow < 0.8 * expected``; a comparison and a truth are 1 or 0.

    ``names`` are what it needs. Raises ValueError naming what is not allowed, and what is.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"{len(text)} characters: an expression has at most {MAX_LENGTH}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            raise ValueError(f"{text!r} cannot be read{where}: write {_ALLOWED}") from None
        parts = list(ast.walk(tree))
        if len(parts) > MAX_PARTS:
            raise ValueError(f"an expression has at most {MAX_PARTS} parts; this has {len(parts)}")
        called = [part.func for part in parts if isinstance(part, ast.Call)]
        self.text = text
        self.names = frozenset(part.id for part in parts if isinstance(part, ast.Name) and part not in called)
        self._tree = tree
        for part in parts:
            _allow(part, text)

    def evaluate(self, values: Mapping[str, float]) -> float | None:
        """The result; None where there is none: a division by zero, or no finite number. Raises KeyError for a name without a value."""
        try:
            result = float(_value(self._tree, values))
        except (ZeroDivisionError, OverflowError):
            return None
        return result if math.isfinite(result) else None


def _allow(part: ast.AST, text: str) -> None:
    if isinstance(part, ast.Constant):
        if type(part.value) not in {int, float} or not math.isfinite(float(part.value)):  # type: ignore[arg-type] # narrowed by its type
            raise ValueError(f"{part.value!r} in {text!r} is no number")
    elif isinstance(part, ast.Call):
        if not isinstance(part.func, ast.Name) or part.func.id not in _FUNCTIONS or part.keywords or not part.args:
            raise ValueError(f"{ast.unparse(part)!r} is not allowed: write {_ALLOWED}")
        if (part.func.id == "abs") != (len(part.args) == 1):
            raise ValueError(f"{ast.unparse(part)!r}: abs takes one value, min and max two or more")
    elif isinstance(part, ast.BinOp):
        _known(part.op, _BINARY, part)
    elif isinstance(part, ast.UnaryOp):
        _known(part.op, _UNARY, part)
    elif isinstance(part, ast.Compare):
        for op in part.ops:
            _known(op, _COMPARE, part)
    elif not isinstance(part, ast.Name | ast.BoolOp | ast.IfExp | ast.expr_context | ast.operator | ast.unaryop | ast.cmpop | ast.boolop):
        raise ValueError(f"{text!r} holds what is not allowed ({type(part).__name__}): write {_ALLOWED}")  # noqa: TRY004 - a wrong text


def _known(op: ast.AST, known: Mapping[type, object], part: ast.expr) -> None:
    if type(op) not in known:
        raise ValueError(f"{ast.unparse(part)!r} is not allowed: write {_ALLOWED}")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:  # noqa: PLR0911 - one return for each kind of part
    match node:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type] # `_allow` let numbers through only
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand, values))
        case ast.BoolOp(op=ast.And(), values=parts):
            return float(all(_value(part, values) for part in parts))
        case ast.BoolOp(values=parts):
            return float(any(_value(part, values) for part in parts))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, values) else orelse, values)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*(_value(argument, values) for argument in arguments))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_value(side, values) for side in (left, *comparators)]
            return float(all(_COMPARE[type(op)](a, b) for op, (a, b) in zip(ops, pairwise(sides), strict=True)))
    raise TypeError(type(node).__name__)  # `_allow` lets nothing else through
