"""The card that every model artifact must have: what it is for, how it was judged, and the hash of the file it speaks about."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from models.feed import Feed, Part, Text

ARTIFACTS = Path(__file__).parent / "artifacts"
MAX_CARD_BYTES = 1 << 20

Probability = Annotated[float, Field(ge=0, le=1)]


class ModelError(Exception):
    """The root of what can be wrong with a model: the message says what, where, and what would be right."""


class CardMissing(ModelError):
    """An artifact without its card: it is not loaded."""


class CardInvalid(ModelError):
    """A card that is no card: the message names the file and each key."""


class Tensor(Part):
    """One input or output of the graph. A text in ``shape`` names a free dimension, which is a multiple of the number that the text begins with, if
    any (``16H``); ``labels`` name the entries of the last one."""

    name: Text
    shape: tuple[Annotated[int, Field(ge=1)] | Text, ...]
    dtype: Literal["float32", "float64", "int64", "int32", "uint8", "bool"]
    units: Text
    valid_range: tuple[float, float]
    labels: tuple[Text, ...] = ()

    def smallest(self) -> list[int]:
        """The shape with every free dimension as small as it may be."""
        return [size if isinstance(size, int) else int(re.match(r"\d*", size)[0] or 1) for size in self.shape]  # type: ignore[index] # it matches

    @model_validator(mode="after")
    def _consistent(self) -> "Tensor":
        if not self.valid_range[0] < self.valid_range[1]:
            raise ValueError(f"valid_range is {self.valid_range}; the lower end comes first")
        if self.labels and (not self.shape or self.shape[-1] != len(self.labels)):
            raise ValueError(f"{len(self.labels)} labels for shape {self.shape}; one label for each entry of the last dimension")
        return self


class Threshold(Part):
    """The value at which the output means something, and why that one."""

    value: float
    why: Text


class Data(Part):
    """What it was trained or judged on."""

    name: Text
    licence: Text
    source: Text
    split: Text


class Figure(Part):
    """A value and its 95 % interval."""

    value: float
    interval_95: tuple[float, float]

    @model_validator(mode="after")
    def _inside(self) -> "Figure":
        low, high = self.interval_95
        if not low <= self.value <= high:
            raise ValueError(f"value {self.value} lies outside its interval_95 {low} to {high}")
        return self


class Metric(Figure):
    """One figure of quality, never without its data, its split and how the interval was resampled; the baselines stand beside it."""

    name: Text
    data: Text
    split: Text
    resampled: Text
    baselines: dict[Text, Figure] = Field(min_length=1)


class Cost(Part):
    """What one inference costs with one intra-operator thread."""

    latency_ms_p50: float = Field(gt=0)
    latency_ms_p95: float = Field(gt=0)
    peak_memory_mb: float = Field(gt=0)
    machine: Text


class Training(Part):
    """How to make the artifact again: the command, and the commit whose code was run."""

    command: Text
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,40}$")]
    seed: int


class Card(Part):
    """What is known about one artifact. A card that claims less is refused at load; ``feed`` is of models that score rows of readings."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    date: Annotated[date, Field(strict=False)]
    purpose: Text
    artifact: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+\.onnx$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    inputs: tuple[Tensor, ...] = Field(min_length=1)
    outputs: tuple[Tensor, ...] = Field(min_length=1)
    threshold: Threshold
    data: tuple[Data, ...] = Field(min_length=1)
    leakage_check: Text
    metrics: tuple[Metric, ...] = Field(min_length=1)
    failure_modes: tuple[Text, ...] = Field(min_length=1)
    cost: Cost
    training: Training
    feed: Feed | None = None
    shadow: bool = False  # alarms on what it says are tried out in shadow unless a site says otherwise

    @model_validator(mode="after")
    def _reports_all(self) -> "Card":
        entries = sum(size for tensor in self.outputs if isinstance(size := tensor.shape[-1] if tensor.shape else 1, int))
        if self.feed is not None and len(self.feed.outputs) != entries:
            raise ValueError(f"feed.outputs has {len(self.feed.outputs)} entries; the outputs have {entries}, each is reported")
        return self

    def labels(self, output: str) -> tuple[str, ...]:
        """The names of an output's entries. Raises KeyError where the card declares no such output."""
        return {tensor.name: tensor.labels for tensor in self.outputs}[output]


def card_path(artifact: Path) -> Path:
    """Where the card of an artifact lies: beside it, same name, ``.json``."""
    return artifact.with_suffix(".json")


def read_card(path: Path) -> Card:
    """Raises CardMissing or CardInvalid; the message names the file and every key that is wrong."""
    return parse_card(card_bytes(path), path)


def card_bytes(path: Path) -> bytes:
    """The content of a card's file. Raises CardMissing, or CardInvalid where it cannot be read or is no card by its size."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_CARD_BYTES + 1)
    except FileNotFoundError:
        raise CardMissing(f"{path}: there is no card; every .onnx needs one beside it with the same name and .json") from None
    except OSError as error:
        raise CardInvalid(f"{path}: cannot be read: {error.strerror}; a readable JSON file is needed") from None
    if len(content) > MAX_CARD_BYTES:
        raise CardInvalid(f"{path}: larger than {MAX_CARD_BYTES} bytes; this is no card")
    return content


def parse_card(content: bytes, path: Path) -> Card:
    """The card of a file's content; ``path`` is for the message. Raises CardInvalid."""
    try:
        return Card.model_validate_json(content)
    except ValidationError as errors:
        lines = [_explain(path, error["loc"], error["type"], error["msg"]) for error in errors.errors(include_url=False)]
        raise CardInvalid("\n".join(lines)) from None


def write_card(card: Card, path: Path) -> None:
    """Writes a card as people read it: indented, keys in the order of the class."""
    path.write_text(json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _explain(path: Path, location: tuple[str | int, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location) or "document"
    if kind == "missing":
        return f"{path}: {key}: missing; every card must have it"
    if kind == "extra_forbidden":
        return f"{path}: {key}: unknown key; a card has only {', '.join(Card.model_fields)}"
    return f"{path}: {key}: {message.removeprefix('Value error, ')}"
