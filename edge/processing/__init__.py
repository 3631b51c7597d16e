"""Processors: waveforms and pictures in, readings out. The protocol and the registry; each is imported only when it is configured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from contract.messages import PointDeclaration
from contract.values import Reading
from edge.items import Item
from edge.model_settings import ANY_MODEL, ModelPolicy

if TYPE_CHECKING:
    from models.cards import Card


class ProcessorSettings(BaseModel):
    """What every processor has in the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Names the processor in logs and in its malfunction alarm")
    type: str = Field(description="Which kind of processor: a name of the registry")
    input: str = Field(description="The waveform point, camera or reading point that it works on")


class ProcessorContext(NamedTuple):
    """What the agent gives a processor: the node's name, the folder against which relative paths are resolved, and which models may run."""

    node: str
    folder: Path
    models: ModelPolicy = ANY_MODEL


@runtime_checkable
class Processor(Protocol):
    """Turns items of one input into readings.

    Construction checks settings only. ``start()`` loads what is heavy (a model) and may raise ``Misconfigured``. ``process()`` is called
    for each item that it wants, in order, in a worker thread, never twice at once; readings that could not be computed come out with a bad
    quality, and an exception makes the agent report a malfunction and go on.
    """

    Settings: ClassVar[type[ProcessorSettings]]

    def __init__(self, settings: ProcessorSettings, context: ProcessorContext) -> None: ...

    def wants(self) -> frozenset[str]:
        """The waveform points, cameras and reading points whose items ``process()`` is given: its input, and for example a speed point."""
        ...

    def points(self) -> Mapping[str, PointDeclaration]:
        """The declaration of each point it computes."""
        ...

    def start(self) -> None: ...

    def process(self, item: Item) -> Sequence[Reading]: ...


@runtime_checkable
class Remembering(Protocol):
    """A processor whose sums must outlive a restart of the node. Both are called between items, never during ``process()``."""

    def state(self) -> str:
        """What it knows, a few kB at most: kept about once a minute beside the outbox."""
        ...

    def restore(self, text: str) -> None:
        """What `state` gave, before ``start()``. An exception for a text that makes no sense; nothing of it is taken then."""
        ...


@runtime_checkable
class Converting(Protocol):
    """A processor that converts what it is given to the units it needs, once every point of the node is declared, before ``start()``."""

    def take_units(self, points: Mapping[str, PointDeclaration]) -> Sequence[tuple[str, str]]:
        """Notes the unit of each point it wants. Returns the point and what is wrong, for each that does not fit."""
        ...


@runtime_checkable
class Modelled(Protocol):
    """A processor that asks a model. Where the card wants it in shadow, alarms on its points alert nobody unless the site writes shadow: false."""

    def cards(self) -> "Sequence[Card]":
        """Of the model in use and of a candidate beside it. Reads the cards alone; leaves out those that are missing, which ``start()`` tells."""
        ...


def in_shadow(processor: Processor) -> bool:
    return isinstance(processor, Modelled) and any(card.shadow for card in processor.cards()[:1])


REGISTRY: dict[str, str] = {
    "bearing-condition": "edge.processing.scoring:BearingConditionProcessor",
    "belt-slip": "edge.processing.slip:BeltSlipProcessor",
    "blast": "edge.processing.blast:BlastProcessor",
    "camera-check": "edge.processing.vision:CameraCheckProcessor",
    "detector": "edge.processing.detection:DetectorProcessor",
    "exposure": "edge.processing.exposure:ExposureProcessor",
    "expression": "edge.processing.expression:ExpressionProcessor",
    "fragmentation": "edge.processing.fragmentation:FragmentationProcessor",
    "gas-mixture": "edge.processing.gas_mixture:GasMixtureProcessor",
    "o2-pressure": "edge.processing.o2_pressure:O2PressureProcessor",
    "scoring": "edge.processing.rows_scoring:ScoringProcessor",
    "person-watch": "edge.processing.person_watch:PersonWatchProcessor",
    "vibration": "edge.processing.vibration:VibrationProcessor",
}
