"""YAML documents read strictly: unknown keys refused, and every error with file, line, key and what would be right."""

import os
import re
import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MAX_BYTES = 4 << 20
MAX_NODES = 200_000  # what aliases of aliases may unfold to
MAX_DEPTH = 50
MAX_SHOWN = 80  # characters of a wrong value that an error repeats
_MERGE = "tag:yaml.org,2002:merge"


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
        self._from_environment: set[Location] = set()  # may be secrets: an error does not show them
        self._nodes = 0
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
            raise DocumentError([f"{self.path}: not YAML: {_one_line(error)}"]) from None
        except RecursionError:
            raise DocumentError([f"{self.path}: nested too deeply: a configuration has at most {MAX_DEPTH} levels"]) from None
        return node

    def _build(self, node: yaml.Node, location: Location) -> Any:
        self._lines.setdefault(location, node.start_mark.line + 1)
        self._count(location)
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            own: set[str] = set()
            for key, line, value_node, merged in self._pairs(node, location):
                here = (*location, key)
                if merged and key in result:
                    continue  # the nearer one wins, as YAML's merge key says
                if not merged and key in own:
                    self._problems.append(f"{self.path}:{line}: {_dotted(here)}: written twice; keep one")
                if not merged:
                    own.add(key)
                self._lines[here] = line
                result[key] = self._build(value_node, here)
            return result
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, location)

    def _count(self, location: Location) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(location) > MAX_DEPTH:
            limit = f"{MAX_DEPTH} levels" if len(location) > MAX_DEPTH else f"{MAX_NODES} values"
            raise DocumentError([f"{self.where(location)}: more than {limit} once its aliases are followed; write it out"])

    def _pairs(self, node: yaml.MappingNode, location: Location, depth: int = 0) -> Iterator[tuple[str, int, yaml.Node, bool]]:
        """Key, line, value and whether it came in by ``<<``: the mapping's own pairs first, because they win."""
        merges: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merges += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            elif isinstance(key_node, yaml.ScalarNode):
                yield str(key_node.value), line, value_node, depth > 0
            else:
                self._problems.append(
                    f"{self.path}:{line}: {_dotted(location) or 'document'}: a key is a plain text; put {{ }} or [ ] in quotes"
                )
        for merge in merges:
            self._count(location)
            if isinstance(merge, yaml.MappingNode) and depth < MAX_DEPTH:
                yield from self._pairs(merge, location, depth + 1)
            else:
                line = merge.start_mark.line + 1
                self._problems.append(f"{self.path}:{line}: {_dotted((*location, '<<'))}: takes an alias of a mapping, or a list of them")

    def _scalar(self, node: yaml.Node, location: Location) -> Any:
        text = str(node.value)
        missing = [name for name in _VARIABLE.findall(text) if name not in self._environment]
        if missing:
            self._problems.append(
                f"{self.where(location)}: {_dotted(location) or 'document'}: the environment has no {', '.join(missing)}; set it"
            )
            return None
        loader: Any = yaml.SafeLoader("")  # Any: the stubs leave resolve() untyped
        try:
            if _VARIABLE.search(text):
                self._from_environment.add(location)
                text = _VARIABLE.sub(lambda match: self._environment[match[1]], text)
                if getattr(node, "style", None):  # quoted: a text stays a text
                    return text
                # Only the type is resolved (a port becomes a number): the environment cannot bring in structure, nor break the YAML.
                node = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text)
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
            # `!!bool x` and its like end in a LookupError or AttributeError inside PyYAML.
            self._problems.append(f"{self.where(location)}: {_dotted(location) or 'document'}: {_one_line(error)}")
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

    def check(self, model: type[_Model], location: Location = (), value: object = None) -> _Model:
        """The part of the document at ``location`` as a model, or ``value`` where the caller has completed what stands there.

        Raises DocumentError with a line for every problem in it.
        """
        value = self.at(location) if value is None else value
        if value is not None and not isinstance(value, dict):
            raise DocumentError([self.problem(location, f"holds {_kind(value)}; write keys and values here, such as 'name: value'")])
        try:
            return model.model_validate({} if value is None else value)
        except ValidationError as errors:
            problems = [self._explain(model, location, error) for error in errors.errors(include_url=False)]
            raise DocumentError(problems) from None

    def _explain(self, model: type[BaseModel], base: Location, error: Any) -> str:
        location = (*base, *self._written(base, error["loc"], missing=error["type"] == "missing"))
        if error["type"] == "extra_forbidden":
            known = _keys_near(model, error["loc"][:-1])
            close = get_close_matches(str(error["loc"][-1]), known, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}" if known else "remove it"
            return self.problem(location, f"unknown key; {hint}")
        if error["type"] == "missing":
            return self.problem(location, "missing; it is required")
        return self.problem(location, f"{error['msg'].removeprefix('Value error, ')}{self._shown(location, error.get('input'))}")

    def _shown(self, location: Location, given: Any) -> str:
        if location in self._from_environment:
            return " (got what the environment holds; in quotes, '${NAME}', it stays a text)"
        if not (isinstance(given, str | int | float | bool) or given is None):
            return ""
        text = repr(given)
        return f" (got {text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '…'})"

    def _written(self, base: Location, loc: Location, *, missing: bool) -> Location:
        """The part of a pydantic location that stands in the document: names of union branches and marks such as ``[key]`` are dropped.

        The last key of a missing one stands nowhere and is kept.
        """
        kept: Location = ()
        for index, key in enumerate(loc):
            if (*base, *kept, key) in self._lines or (missing and index == len(loc) - 1):
                kept = (*kept, key)
        return kept


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def _dotted(location: Location) -> str:
    text = ""
    for key in location:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _keys_near(model: type[BaseModel], loc: Location) -> list[str]:
    """The keys that a model takes at a location; empty where the location leads to something that is no model."""
    current: list[Any] = [model]
    for key in loc:
        below = [inner for kind in current for inner in _below(kind, key)]
        # A key that leads nowhere is pydantic's name for a branch of a union: it narrows the branches where it names one of them.
        current = below or [kind for kind in current if _named(kind, key)] or current
    return sorted({field.alias or name for kind in current for name, field in _fields(kind)})


def _fields(kind: Any) -> list[tuple[str, Any]]:
    return list(kind.model_fields.items()) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _named(kind: Any, key: str | int) -> bool:
    """Whether pydantic means this branch: by the name of the class, or by a value that tells the branches apart."""
    return getattr(kind, "__name__", None) == key or any(
        get_origin(field.annotation) is Literal and key in get_args(field.annotation) for _, field in _fields(kind)
    )


def _below(kind: Any, key: str | int) -> list[Any]:
    """The types that stand under a key or index of a type, with unions opened."""
    for name, field in _fields(kind):
        if key in (name, field.alias):
            return _branches(field.annotation)
    origin, inner = get_origin(kind), get_args(kind)
    if not inner or not isinstance(origin, type):
        return []
    if issubclass(origin, Mapping):
        return _branches(inner[-1])
    return _branches(inner[0]) if isinstance(key, int) else []


def _branches(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _branches(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [inner for branch in get_args(kind) for inner in _branches(branch)]
    return [kind]
