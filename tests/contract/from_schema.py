"""Instances of a JSON Schema, for the part of the vocabulary that ours use; an unknown keyword fails, so that none is overlooked."""

import re
from typing import Any

from hypothesis import strategies as st

UNDERSTOOD = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "default", "type", "properties", "required", "propertyNames", "const"),
    *("additionalProperties", "pattern", "minimum", "maximum", "enum", "anyOf", "items", "prefixItems", "minItems", "maxItems"),
}
_texts = st.text(st.characters(codec="utf-8"), max_size=10)
_anything = st.none() | st.booleans() | st.integers(-5, 5) | _texts


def instances(root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that satisfy the schema, with keys that it does not name here and there."""
    return _draw(root, root)


def _draw(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    assert set(node) <= UNDERSTOOD, f"teach this generator {set(node) - UNDERSTOOD}"
    if "$ref" in node:
        return _draw(root["$defs"][node["$ref"].removeprefix("#/$defs/")], root)
    if "const" in node or "enum" in node:
        return st.sampled_from(node.get("enum") or [node["const"]])
    if "anyOf" in node:
        return st.one_of([_draw(branch, root) for branch in node["anyOf"]])
    return _of_type(node, root)


def _of_type(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = node.get("minimum"), node.get("maximum")
    integers = st.integers(-(1 << 53) if low is None else int(low), 1 << 53 if high is None else int(high))
    match node["type"]:
        case "object":
            return _object(node, root)
        case "array":
            return _array(node, root)
        case "string":
            return _string(node)
        case "integer":
            return integers
        case "number":
            return integers | st.floats(low, high, allow_nan=False, allow_infinity=False)
    return {"boolean": st.booleans(), "null": st.none()}[node["type"]]


def _string(node: dict[str, Any]) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(node["pattern"]), fullmatch=True) if "pattern" in node else _texts


def _array(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in node:
        return st.tuples(*(_draw(item, root) for item in node["prefixItems"])).map(list)
    return st.lists(_draw(node["items"], root), max_size=3)


def _object(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in node:
        keys = _string(node.get("propertyNames", {}))
        return st.dictionaries(keys, _draw(node["additionalProperties"], root), max_size=3)
    required = {key: _draw(node["properties"][key], root) for key in node.get("required", [])}
    optional = {key: _draw(inner, root) for key, inner in node["properties"].items() if key not in required}
    return st.fixed_dictionaries(required, optional={**optional, "a_key_of_tomorrow": _anything})
