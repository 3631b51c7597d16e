"""How a processor comes by its model: by name or path, verified as the site demands."""

from typing import TYPE_CHECKING

from edge.errors import Misconfigured
from edge.processing import ProcessorContext
from models.cards import Card, ModelError, card_path, read_card

if TYPE_CHECKING:
    from models.runtime import Model


class ModelFailed(Exception):
    """A model that does not run, or gives what is no result: a malfunction of the processor that asked it."""


def opened(processor: str, name: str, context: ProcessorContext) -> "Model":
    """The model of that name, or of a path ending in .onnx beside the node's configuration, ready to run. Raises Misconfigured."""
    from models.runtime import load

    try:
        return load(context.folder / name if name.endswith(".onnx") else name, keys=context.models.keys, provider=context.models.provider)
    except ModelError as error:
        raise Misconfigured(f"processor {processor}: model: {error}") from None


def card_of(processor: str, name: str, context: ProcessorContext) -> Card:
    """Its card alone, not yet verified against the artifact. Raises Misconfigured."""
    from models.runtime import existing

    try:
        return read_card(card_path(existing(context.folder / name if name.endswith(".onnx") else name)))
    except ModelError as error:
        raise Misconfigured(f"processor {processor}: model: {error}") from None
