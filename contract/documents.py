"""YAML documents read strictly: unknown keys refused, and every error with file, line, key and what would be right."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MAX_BYTES = 4 << 20


class DocumentError(ValueError):
    """What is wrong with a document; ``problems`` holds one line each, ``file:line: key: what, and what would be right``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Document:
    """A parsed YAML file that still knows on which line each key stood. ``${NAME}`` in a text is replaced from the environment."""

    def __init__(self, path: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Raises DocumentError for a file that is missing, too large, no YAML, not UTF-8 or that names a variable that is not set."""
        self.path = path
        self._lines: dict[Location, int] = {}
        self._environment = environment
        self._problems: list[str] = []
        node = self._compose()
        self.data: Any = self._build(node, ()) if node is not None else None
        if self._problems:
            raise DocumentError(self._problems)

    def _compose(self) -> yaml.Node | None:
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise DocumentError([f"{self.path}: larger than {MAX_BYTES} bytes: this is no configuration"])
            node: yaml.Node | None = yaml.compose(self.path.read_text("utf-8"), Loader=yaml.SafeLoader)
        except FileNotFoundError:
            raise DocumentError([f"{self.path}: there is no such file"]) from None
        except OSError as error:
            raise DocumentError([f"{self.path}: cannot be read: {error.strerror}"]) from None
        except UnicodeDecodeError as error:
            raise DocumentError([f"{self.path}: not UTF-8 text (byte {error.start})"]) from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DocumentError([f"{self.path}:{line}: not YAML: {error.problem}"]) from None
        except yaml.YAMLError as error:
            raise DocumentError([f"{self.path}: not YAML: {error}"]) from None
        return node

    def _build(self, node: yaml.Node, location: Location) -> Any:
        self._lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                here = (*location, key)
                if key in result:
                    self._problems.append(f"{self.path}:{key_node.start_mark.line + 1}: {_dotted(here)}: written twice; keep one")
                self._lines[here] = key_node.start_mark.line + 1
                result[key] = self._build(value_node, here)
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, location)

    def _scalar(self, node: yaml.Node, location: Location) -> Any:
        text = str(node.value)
        missing = [name for name in _VARIABLE.findall(text) if name not in self._environment]
        if missing:
            self._problems.append(f"{self.where(location)}: {_dotted(location)}: the environment has no {', '.join(missing)}; set it")
            return None
        replaced = _VARIABLE.sub(lambda match: self._environment[match[1]], text)
        if replaced != text:
            return yaml.safe_load(replaced) if getattr(node, "style", None) is None else replaced
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            self._problems.append(f"{self.where(location)}: {_dotted(location)}: {error}")
            return None
        finally:
            loader.dispose()

    def where(self, location: Location) -> str:
        """``file:line`` of a key, or of the nearest one above it that is written down."""
        while location and location not in self._lines:
            location = location[:-1]
        return f"{self.path}:{self._lines.get(location, 1)}"

    def at(self, location: Location) -> Any:
        """The plain value at a location. Raises KeyError or IndexError where there is none."""
        value = self.data
        for key in location:
            value = value[key]
        return value

    def problem(self, location: Location, text: str) -> str:
        """One line for a DocumentError."""
        return f"{self.where(location)}: {_dotted(location) or 'document'}: {text}"

    def check(self, model: type[_Model], location: Location = ()) -> _Model:
        """The part of the document at ``location`` as a model. Raises DocumentError with a line for every problem in it."""
        value = self.at(location)
        try:
            return model.model_validate({} if value is None else value)
        except ValidationError as errors:
            problems = [self._explain(model, location, error) for error in errors.errors(include_url=False)]
            raise DocumentError(problems) from None

    def _explain(self, model: type[BaseModel], base: Location, error: Any) -> str:
        location = (*base, *self._written(base, error["loc"]))
        if error["type"] == "extra_forbidden":
            known = _keys_near(model, error["loc"][:-1])
            close = get_close_matches(str(error["loc"][-1]), known, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}" if known else "remove it"
            return self.problem(location, f"unknown key; {hint}")
        if error["type"] == "missing":
            return self.problem(location, "missing; it is required")
        given = error.get("input")
        shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
        return self.problem(location, f"{error['msg'].removeprefix('Value error, ')}{shown}")

    def _written(self, base: Location, loc: Location) -> Location:
        """The part of a pydantic location that stands in the document: names of union branches are dropped."""
        kept: Location = ()
        for index, key in enumerate(loc):
            if (*base, *kept, key) in self._lines or index == len(loc) - 1:
                kept = (*kept, key)
        return kept


def _dotted(location: Location) -> str:
    text = ""
    for key in location:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _keys_near(model: type[BaseModel], loc: Location) -> list[str]:
    """The keys that a model takes at a location; empty where the location leads through something that is no plain model."""
    current: Any = model
    for key in loc:
        if not (isinstance(current, type) and issubclass(current, BaseModel)) or key not in current.model_fields:
            return []
        current = current.model_fields[str(key)].annotation
    if isinstance(current, type) and issubclass(current, BaseModel):
        return sorted(field.alias or name for name, field in current.model_fields.items())
    return []
