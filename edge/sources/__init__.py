"""Sources: what reads a device. The protocol, and the registry of those that exist; each is imported only when it is configured."""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from contract.messages import PointDeclaration
from edge.items import Item


class SourceSettings(BaseModel):
    """What every source has in the configuration; a source adds its own keys in a subclass. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Names the source in logs and in its malfunction alarm")
    type: str = Field(description="Which kind of source: a name of the registry")


class SourceContext(NamedTuple):
    """What the agent gives a source: the node's name and the folder against which relative paths are resolved."""

    node: str
    folder: Path


@runtime_checkable
class Source(Protocol):
    """One device. The lifecycle that the agent relies on and the shared suite checks:

    - construction checks settings only: it touches no device, starts no thread, opens no file;
    - ``points()`` says, before anything runs, what readings will come;
    - ``items()`` opens the device, yields batches in order until cancelled, and releases everything on every way out;
    - after any exit ``items()`` may be called again: that is how the agent restarts a source;
    - a device that is absent or stops answering raises ``Retry``; what no retry can mend raises ``Misconfigured``.
    """

    Settings: ClassVar[type[SourceSettings]]

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None: ...

    def points(self) -> Mapping[str, PointDeclaration]:
        """The declaration of each point this source reads (waveforms and cameras declare none: their processors do)."""
        ...

    def items(self) -> AsyncIterator[Sequence[Item]]:
        """Batches of items, in order of time."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A source that counts what goes wrong on its way: optional, and shown as points by `edge.counting`."""

    def counters(self) -> Mapping[str, int]:
        """What was counted since construction, by name; a part may say of whom: ``unit-3/timeouts``. Always the same names, from the start,
        numbers that never go back, and nothing that blocks."""
        ...


REGISTRY: dict[str, str] = {
    "camera": "edge.sources.camera:CameraSource",
    "can": "edge.sources.can:CanSource",
    "modbus": "edge.sources.modbus:ModbusSource",
    "mqtt-in": "edge.sources.mqtt_in:MqttInSource",
    "nmea": "edge.sources.nmea:NmeaSource",
    "opcua": "edge.sources.opcua:OpcUaSource",
    "serial-line": "edge.sources.serial_line:SerialLineSource",
    "waveform": "edge.sources.waveform:WaveformSource",
}


def known() -> dict[str, str]:
    """Source types and where each lives: the built-in ones and those of installed packages (entry-point group ``muki.sources``)."""
    return {**{entry.name: entry.value for entry in entry_points(group="muki.sources")}, **REGISTRY}
