"""Which models a node may run, and on what: the ``models`` part of its configuration."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from models.cards import ModelError
from models.signing import TrustedKey, read_public


class ModelsSettings(BaseModel):
    """Whose signature is demanded, and which execution provider of ONNX Runtime computes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trusted_keys: list[Path] = Field([], max_length=16, description="Public keys that muki models keygen made; relative to the file")
    require_signature: bool = Field(False, description="No model is loaded without a signature by one of trusted_keys")
    provider: str = Field("CPUExecutionProvider", min_length=1, description="ONNX Runtime's name of what computes")


class ModelPolicy(NamedTuple):
    """``keys``: a signature by one of them is demanded; None where none is."""

    keys: tuple[TrustedKey, ...] | None
    provider: str


ANY_MODEL = ModelPolicy(None, "CPUExecutionProvider")


def policy(settings: ModelsSettings, folder: Path) -> tuple[ModelPolicy, list[tuple[tuple[str | int, ...], str]]]:
    """What the settings mean, and the key and text of each problem."""
    keys: list[TrustedKey] = []
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for index, path in enumerate(settings.trusted_keys):
        try:
            keys.append(read_public(folder / path.expanduser()))
        except ModelError as error:
            problems.append((("trusted_keys", index), str(error)))
    if settings.require_signature and not settings.trusted_keys:
        problems.append((("require_signature",), "no key is trusted: write trusted_keys: [FILE.pub], or no model would ever be loaded"))
    return ModelPolicy(tuple(keys) if settings.require_signature else None, settings.provider), problems
