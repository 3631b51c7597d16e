"""How a processor comes by its model: by name or path, verified as the site demands."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from contract.messages import ModelFigure, ModelUse
from edge.errors import Misconfigured
from edge.processing import Modelled, Processor, ProcessorContext
from models.cards import Card, ModelError, card_path, read_card
from models.words import in_languages

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


def cards(processor: str, context: ProcessorContext, *names: str | None) -> list[Card]:
    """See `edge.processing.Modelled`."""
    found = []
    for name in names:
        try:
            found += [card_of(processor, name, context)] if name is not None else []
        except Misconfigured:
            continue
    return found


def uses(processors: Iterable[Processor]) -> Iterator[ModelUse]:
    """What a birth says of the models that these processors ask."""
    for processor in processors:
        if isinstance(processor, Modelled):
            for place, card in enumerate(processor.cards()):
                yield _use(card, sorted(processor.points()), candidate=place > 0)


def _use(card: Card, points: list[str], *, candidate: bool) -> ModelUse:
    return ModelUse(
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        points=points,
        purpose=in_languages(card.purpose),
        threshold=card.threshold.value,
        why=in_languages(card.threshold.why),
        data=[f"{data.name}: {data.split}" for data in card.data],
        figures=[
            ModelFigure(
                figure.name,
                figure.value,
                *figure.interval_95,
                figure.data,
                figure.split,
                {name: baseline.value for name, baseline in figure.baselines.items()},
            )
            for figure in card.metrics
        ],
        fails=[in_languages(sentence) for sentence in card.failure_modes],
        shadow=card.shadow,
        candidate=candidate,
    )
