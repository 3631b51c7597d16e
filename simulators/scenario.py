"""A scenario: what happens to the simulated mine and when, and which alarms a correct system must raise for it. Times are seconds of the cycle."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.field.camera_scene import Lens
from simulators.plant.conveyor import Conveyor
from simulators.plant.pump import Pump
from simulators.plant.ventilation import Fan, Heading

SHIPPED = Path(__file__).parent / "scenarios"
LOST = "communication_lost"  # the device, or one unit of it, stops answering
LENS = {f"lens_{lens.value}": lens for lens in Lens if lens is not Lens.CLEAR}
# device -> asset -> what can happen to it
HAPPENINGS: dict[str, dict[str, frozenset[str]]] = {
    "gas-rtu": {"heading-3": Heading.EFFECTS | {LOST}, "fan-3": Fan.EFFECTS | {LOST}},
    "pump-plc": {"slurry-pump-1": Pump.EFFECTS | {LOST}},
    "pump-vibration": {"slurry-pump-1": frozenset({LOST})},
    "conveyor-plc": {"conveyor-2": Conveyor.EFFECTS | {LOST}},
    "camera": {"gallery-cam": frozenset(LENS)},
}
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Window = tuple[Seconds, Seconds]


class ScenarioError(ValueError):
    """What is wrong with a scenario file: ``problems`` holds one line each, ``file: key: what, and what would be right``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(_Strict):
    """The alarm that must come: raised within the window ``raised`` and, unless it stays to the end, cleared within ``cleared`` ([from, to])."""

    node: str
    alarm: str = Field(description="The id of the alarm's definition")
    raised: Window
    cleared: Window | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, window in (("raised", self.raised), ("cleared", self.cleared)):
            if window is not None and window[0] > window[1]:
                raise ValueError(f"{name} {list(window)} ends before it begins; write [from, to]")
        if self.cleared is not None and self.cleared[1] < self.raised[0]:
            raise ValueError("cleared lies before raised")
        return self


class Event(_Strict):
    """Something that happens: it grows over ``ramp`` seconds to ``to`` (in the unit of the effect), lasts until ``at`` + ``for``, and then goes
    linearly within ``fall`` seconds or exponentially with the time constant ``decay`` in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    at: Seconds
    device: str
    asset: str
    what: str
    lasts: Annotated[float, Field(gt=0, allow_inf_nan=False, alias="for")]
    to: float = Field(default=1.0, allow_inf_nan=False)
    ramp: Seconds = 0.0
    fall: Seconds = 0.0
    decay: Seconds = 0.0
    expect: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        assets = HAPPENINGS.get(self.device)
        if assets is None:
            raise ValueError(f"device {self.device!r}: write one of {', '.join(HAPPENINGS)}")
        if self.asset not in assets:
            raise ValueError(f"asset {self.asset!r}: {self.device} has {', '.join(assets)}")
        if self.what not in assets[self.asset]:
            raise ValueError(f"what {self.what!r}: to {self.asset} can happen {', '.join(sorted(assets[self.asset]))}")
        if self.ramp > self.lasts:
            raise ValueError(f"ramp {self.ramp:g} is longer than the event itself, {self.lasts:g}: it would never reach {self.to:g}")
        if self.fall and self.decay:
            raise ValueError("fall and decay: write one of them")
        return self

    def intensity(self, seconds: float) -> float:
        """How strongly it happens, in the unit of the effect."""
        since = seconds - self.at
        if since < 0:
            return 0.0
        if since < self.ramp:
            return self.to * since / self.ramp
        after = since - self.lasts
        if after < 0:
            return self.to
        if self.decay:
            left = math.exp(-after / self.decay)
            return self.to * left if left > 0.001 else 0.0
        return self.to * (1 - after / self.fall) if after < self.fall else 0.0


class Scenario(_Strict):
    """A timeline that starts again every ``repeat_every`` seconds, as if everything had been repaired."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: dict[str, str]
    repeat_every: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    events: tuple[Event, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        missing = {"es", "en"} - self.title.keys()
        if missing:
            raise ValueError(f"title: say it in {' and '.join(sorted(missing))} too")
        for index, event in enumerate(self.events):
            if event.at + event.lasts > self.repeat_every:
                raise ValueError(f"events[{index}] ends at {event.at + event.lasts:g} s, after the cycle of {self.repeat_every:g} s")
        return self

    def cycle(self, seconds: float) -> tuple[int, float]:
        """Which repetition this is, from 0, and the seconds since it began."""
        number, within = divmod(seconds, self.repeat_every)
        return int(number), within

    def effects(self, device: str, asset: str, seconds: float) -> dict[str, float]:
        """What happens to an asset at ``seconds`` since the start, and how strongly: the strongest of equal events."""
        within = self.cycle(seconds)[1]
        found: dict[str, float] = {}
        for event in self.events:
            if event.device == device and event.asset == asset and (strength := event.intensity(within)):
                known = found.get(event.what, 0.0)
                found[event.what] = strength if abs(strength) > abs(known) else known
        return found

    def expectations(self) -> Iterator[tuple[Event, Expectation]]:
        """Every alarm that a correct system must raise in one cycle."""
        for event in self.events:
            for expectation in event.expect:
                yield event, expectation


class Change(NamedTuple):
    """An event that began or ended; ``time`` in seconds since the start."""

    time: float
    cycle: int
    began: bool
    event: Event


def changes(scenario: Scenario, after: float, until: float) -> list[Change]:
    """What began or ended in (after, until], in order. An event ends when nothing of it is left, or when the cycle does."""
    found = []
    for number in range(scenario.cycle(max(after, 0.0))[0], scenario.cycle(max(until, 0.0))[0] + 1):
        base = number * scenario.repeat_every
        for event in scenario.events:
            end = min(event.at + event.lasts + (event.fall or 7 * event.decay), scenario.repeat_every)
            for time, began in ((base + event.at, True), (base + end, False)):
                if after < time <= until:
                    found.append(Change(time, number, began, event))
    return sorted(found, key=lambda change: (change.time, change.began))


def find(name: str) -> Path:
    """The file of a scenario given as a path or by the name of a shipped one. Raises ScenarioError naming the shipped ones."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    shipped = SHIPPED / f"{name}.yaml"
    if not shipped.exists():
        names = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.yaml")))
        raise ScenarioError([f"{name}: no such file and no shipped scenario; shipped: {names}"])
    return shipped


def load(path: Path) -> Scenario:
    """The scenario in a YAML file. Raises ScenarioError with a line for every problem."""
    try:
        document: Any = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ScenarioError([f"{path}: not UTF-8 text (byte {error.start})"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ScenarioError([f"{path}:{line}: not YAML: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise ScenarioError([f"{path}: not YAML: {error}"]) from None
    try:
        return Scenario.model_validate(document)
    except ValidationError as errors:
        raise ScenarioError([_explain(path, error) for error in errors.errors(include_url=False)]) from None


def _explain(path: Path, error: Any) -> str:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".") or "document"
    match error["type"]:
        case "extra_forbidden":
            return f"{path}: {key}: unknown key; remove it or correct its name"
        case "missing":
            return f"{path}: {key}: missing; it is required"
        case "model_type":
            return f"{path}: {key}: write keys and values (name, title, repeat_every, events)"
        case _:
            given = error.get("input")
            shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
            return f"{path}: {key}: {error['msg'].removeprefix('Value error, ')}{shown}"
