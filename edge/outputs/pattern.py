"""How an output speaks: which alarms drive it, in what rhythm, and what silencing does. Pure: the steady clock is passed in, in seconds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contract.alarms import AlarmDefinition, Priority, SignalClass

SHORTEST = 0.05  # s: what a relay, and the ear, can follow
HEARD = 0.2  # s: nobody reacts faster; a press so soon after a new alarm was meant for what sounded before


class Pattern(BaseModel):
    """``on`` seconds sounding, then ``off`` seconds not, and again. ``off`` 0 is continuous."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: float = Field(ge=SHORTEST, le=3600, allow_inf_nan=False, description="Seconds")
    off: float = Field(ge=0, le=3600, allow_inf_nan=False, description="Seconds; 0 is continuous")

    @classmethod
    def parse(cls, value: Any) -> Any:
        """``continuous``, or what the model itself takes."""
        if value == "continuous":
            return CONTINUOUS
        if not isinstance(value, dict | Pattern):
            raise ValueError("write continuous, or {on: seconds, off: seconds}")  # noqa: TRY004 - pydantic reports a ValueError
        return value


CONTINUOUS = Pattern(on=1.0, off=0.0)
Rhythm = Annotated[Pattern, BeforeValidator(Pattern.parse)]

# Our own choice: faster and denser is more urgent. A relay switches something on, and does not beat.
RHYTHMS: dict[Priority, Pattern] = {
    Priority.CRITICAL: CONTINUOUS,
    Priority.HIGH: Pattern(on=1.0, off=1.0),
    Priority.MEDIUM: Pattern(on=0.5, off=2.5),
    Priority.LOW: Pattern(on=0.5, off=9.5),
}
STEADY: dict[Priority, Pattern] = dict.fromkeys(Priority, CONTINUOUS)
_RANK = {priority: rank for rank, priority in enumerate(Priority)}  # critical first


class Drives(BaseModel):
    """Which alarms drive an output: those to which everything written here applies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: tuple[Priority, ...] = Field(tuple(Priority), min_length=1)
    signal_class: tuple[SignalClass, ...] | None = Field(None, min_length=1, description="[alarm] if not said; any with alarms")
    alarms: tuple[str, ...] | None = Field(None, min_length=1, description="Only these ids")
    without: tuple[str, ...] = Field((), description="Not these ids")

    def takes(self, definition: AlarmDefinition) -> bool:
        classes: Sequence[SignalClass] | None = self.signal_class
        if classes is None:
            classes = (SignalClass.ALARM,) if self.alarms is None else tuple(SignalClass)
        return (
            definition.priority in self.priority
            and definition.signal_class in classes
            and (self.alarms is None or definition.id in self.alarms)
            and definition.id not in self.without
        )


class Show(NamedTuple):
    """Whether the output sounds now, and the steady second at which that changes by itself (None: it does not)."""

    on: bool
    until: float | None = None


class Demand:
    """What the standing alarms demand of one output. Nothing latches: with the last alarm gone it falls quiet."""

    def __init__(self, drivers: Iterable[AlarmDefinition], patterns: Mapping[Priority, Pattern], *, silenceable: bool) -> None:
        self.drivers = {definition.id: definition.priority for definition in drivers}
        self._patterns = patterns
        self._silenceable = silenceable
        self._standing: set[str] = set()
        self._since = 0.0
        self._newest = 0.0  # when the latest alarm came
        self.silenced = False

    @property
    def standing(self) -> bool:
        """Whether an alarm demands it, silenced or not."""
        return bool(self._standing)

    @property
    def priority(self) -> Priority | None:
        """The most urgent one that stands."""
        return min((self.drivers[name] for name in self._standing), key=_RANK.__getitem__, default=None)

    def raised(self, name: str, now: float) -> bool:
        """An alarm became active; returns whether that concerns this output. It is heard at once, whatever the rhythm had come to."""
        if name not in self.drivers or name in self._standing:
            return False
        self._standing.add(name)
        self.silenced = False
        self._since = self._newest = now
        return True

    def cleared(self, name: str, now: float) -> bool:
        """An alarm became normal; returns whether that concerns this output."""
        if name not in self._standing:
            return False
        before = self.priority
        self._standing.discard(name)
        if self.priority is not before:
            self._since = now
        if not self._standing:
            self.silenced = False
        return True

    def silence(self, now: float) -> bool:
        """The button: quiet until a new alarm comes. Returns whether that changes anything here."""
        if not self._silenceable or not self._standing or self.silenced or now - self._newest < HEARD:
            return False
        self.silenced = True
        return True

    def at(self, now: float) -> Show:
        priority = self.priority
        if priority is None or self.silenced:
            return Show(on=False)
        pattern = self._patterns[priority]
        if pattern.off == 0:
            return Show(on=True)
        cycle, place = divmod(max(0.0, now - self._since), pattern.on + pattern.off)
        begin = self._since + cycle * (pattern.on + pattern.off)
        if place < pattern.on:
            return Show(on=True, until=begin + pattern.on)
        return Show(on=False, until=begin + pattern.on + pattern.off)
