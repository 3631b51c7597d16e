"""Outputs: horns, beacons and relays that the node drives by itself. The protocol, and the registry of those that exist.

Each is imported only when it is configured.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from contract.alarms import AlarmDefinition, Priority
from edge.outputs.pattern import RHYTHMS, STEADY, Drives, Pattern, Rhythm
from edge.outputs.self_test import SelfTest
from edge.outputs.silence import BUTTON, SilenceSettings


class OutputSettings(BaseModel):
    """What every output has in the configuration; an output adds its own keys in a subclass. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Names the output in logs and in its malfunction alarm")
    type: str = Field(description="Which kind of output: a name of the registry")
    role: Literal["horn", "beacon", "relay"] = Field(description="A horn can be silenced by the button; a relay does not beat")
    drives: Drives = Field(default_factory=lambda: Drives.model_validate({}), description="Which alarms drive it")
    patterns: dict[Priority, Rhythm] = Field(default_factory=dict, description="Rhythm by priority, where it differs from the default")
    de_energise_to_alarm: bool = Field(False, description="Fail-safe wiring: energised while nothing is wrong")
    refresh: float = Field(5.0, ge=0.5, le=600, description="Seconds after which its state is written again, so that a dead one is found")
    self_test: SelfTest | None = None

    def rhythms(self) -> Mapping[Priority, Pattern]:
        """The pattern of every priority."""
        return {**(STEADY if self.role == "relay" else RHYTHMS), **self.patterns}


class OutputContext(NamedTuple):
    """What the agent gives an output: the node's name, the folder of relative paths, and a place where outputs on one line find each other."""

    node: str
    folder: Path
    shared: dict[str, Any]


@runtime_checkable
class Output(Protocol):
    """One thing that is energised or not. The lifecycle that the agent relies on:

    - construction checks settings only: it touches no device, starts no thread, opens no file;
    - ``open()`` reaches the device and leaves it as it is or de-energised; it raises ``Retry`` when the device is absent and
      ``Misconfigured`` when no retry can mend it;
    - ``write()`` returns once the device has taken the state, as far as it can tell, and raises ``Retry`` when it has not;
    - ``close()`` releases everything, raises nothing, and may be called after an ``open()`` that failed;
    - after ``close()`` it may be opened again: that is how the agent gets a lost output back.

    Patterns, wiring (``de_energise_to_alarm``), silence and self-tests are not its business: `edge.output_driver` has them.
    """

    Settings: ClassVar[type[OutputSettings]]

    def __init__(self, settings: OutputSettings, context: OutputContext) -> None: ...

    async def open(self) -> None: ...

    async def write(self, energised: bool) -> None: ...

    async def close(self) -> None: ...


class ConfiguredOutput(NamedTuple):
    settings: OutputSettings
    output: Output


REGISTRY: dict[str, str] = {
    "gpio": "edge.outputs.gpio:GpioOutput",
    "log": "edge.outputs.log:LogOutput",
    "modbus-coil": "edge.outputs.modbus_coil:ModbusCoil",
    "serial-beacon": "edge.outputs.serial_beacon:SerialBeacon",
}


def known() -> dict[str, str]:
    """Output types and where each lives: the built-in ones and those of installed packages (entry-point group ``muki.outputs``)."""
    return {**{entry.name: entry.value for entry in entry_points(group="muki.outputs")}, **REGISTRY}


def names(outputs: Sequence[ConfiguredOutput], silence: SilenceSettings | None) -> list[str]:
    """What can fail and has a malfunction alarm ``output-NAME``: the outputs, and a silence button on a pin of the device."""
    return [entry.settings.name for entry in outputs] + ([BUTTON] if silence is not None and silence.gpio is not None else [])


def problems(
    outputs: Sequence[ConfiguredOutput],
    alarms: Sequence[AlarmDefinition],
    silence: SilenceSettings | None,
    sources: Sequence[BaseModel],
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong between outputs, alarms, button and sources, by the output's number and the key it is wrong at."""
    ids = {alarm.id for alarm in alarms}
    lines = {line.port for line in (getattr(settings, "rtu", None) for settings in sources) if line is not None}
    for index, (settings, _) in enumerate(outputs):
        for key, listed in (("alarms", settings.drives.alarms or ()), ("without", settings.drives.without)):
            for name in sorted(set(listed) - ids):
                close = get_close_matches(name, ids, 1, 0.6)
                hint = f"did you mean {close[0]!r}?" if close else "write the id of one"
                yield (index, "drives", key), f"there is no alarm {name!r}; {hint}"
        if not any(settings.drives.takes(alarm) for alarm in alarms):
            yield (index, "drives"), f"no alarm drives output {settings.name!r}: it would never sound; widen it, or remove the output"
        if settings.name == BUTTON:
            yield (index, "name"), f"{BUTTON!r} is the name of the button: choose another"
        if silence is not None and silence.gpio is not None and getattr(settings, "pin", None) == silence.gpio:
            yield (index, "pin"), f"GPIO{silence.gpio} is the silence button: each has a pin of its own"
        line = getattr(settings, "rtu", None)
        if line is not None and line.port in lines:
            yield (index, "rtu"), f"{line.port} is read by a source: two masters garble each other; give the output a line of its own"
