"""Where a value stands in a JSON document: ``data.phases[0].current`` or ``data["key.with.dots"]``. Pure."""

import re
from functools import lru_cache
from typing import Any

Path = tuple[str | int, ...]

_STEP = re.compile(
    r"""
    (?P<dot>\.)? (?P<key>[^.\[\]"'\s]+)            # a key by itself; a dot before every one but the first
    | \[ (?P<index>-?\d+) \]                       # an element of a list; -1 is the last
    | \[ (?: "(?P<double>[^"]+)" | '(?P<single>[^']+)' ) \]   # a key with dots, brackets or blanks in it
    """,
    re.VERBOSE | re.ASCII,
)
_NAMED = 6  # keys that an error lists


class NotThere(ValueError):
    """The document has nothing at the path; the text says how far it goes and what stands there."""


@lru_cache(maxsize=4096)
def parse(text: str) -> Path:
    """The steps of a path. Raises ValueError saying where it cannot be read and what would be right."""
    at = 2 if text.startswith("$.") else 1 if text.startswith("$") else 0
    steps: list[str | int] = []
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (match["key"] and (match["dot"] is not None) != bool(steps)):
            raise ValueError(
                f'path {text!r}: cannot be read from {text[at:]!r} on; write for example data.phases[0].current or data["a.b"]'
            )
        if match["index"] is not None:
            steps.append(int(match["index"]))
        else:
            steps.append(match["key"] or match["double"] or match["single"])
        at = match.end()
    if not steps:
        raise ValueError(f"path {text!r}: names nothing; write for example data.value or [0]")
    return tuple(steps)


def find(document: Any, path: Path) -> Any:
    """What stands at the path. Raises NotThere."""
    found = document
    for done, step in enumerate(path):
        try:
            if isinstance(step, int) and not isinstance(found, list):
                raise NotThere(f"{_written(path[:done])} is {_kind(found)}, so it has no [{step}]")
            if isinstance(step, str) and not isinstance(found, dict):
                raise NotThere(f"{_written(path[:done])} is {_kind(found)}, so it has no key {step!r}")
            found = found[step]
        except KeyError:
            raise NotThere(f"{_written(path[:done])} has no key {step!r}; it has: {_keys(found)}") from None
        except IndexError:
            raise NotThere(f"{_written(path[:done])} has {len(found)} elements, so no [{step}]") from None
    return found


def _written(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    return text or "the message"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"{value!r}"[:40]


def _keys(found: dict[str, Any]) -> str:
    listed = ", ".join(list(found)[:_NAMED])[:200]
    return f"{listed}{', …' if len(found) > _NAMED else ''}" or "nothing"
