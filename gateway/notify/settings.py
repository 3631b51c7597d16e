"""Whom the site tells, as its configuration writes it."""

from collections.abc import Iterator
from datetime import time
from fnmatch import fnmatchcase
from importlib import import_module
from importlib.metadata import entry_points
from shutil import which
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from contract.alarms import Priority, SignalClass
from gateway.alarms.view import AlarmView
from gateway.notify import REGISTRY
from rules.shifts import TimeOfDay, minutes_of

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Problem = tuple[tuple[str | int, ...], str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChannelSettings(BaseModel):
    """A channel; the keys beside these are of its ``type``, which checks them itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name
    type: str = "apprise"
    language: Literal["es", "en"] | None = None
    person: Annotated[str, Field(min_length=1, max_length=100)] | None = None  # who alone reads it: they may acknowledge by a link

    @property
    def own(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Hours(_Strict):
    """From one time of day to another, in the site's zone; over midnight where the second is earlier."""

    begin: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")

    def hold(self, local: time) -> bool:
        now, begin, end = local.hour * 60 + local.minute, minutes_of(self.begin), minutes_of(self.end)
        return begin <= now < end if begin < end else now >= begin or now < end


class Step(_Strict):
    """Whom else to tell of what nobody has acknowledged after so many seconds."""

    after: Annotated[float, Field(ge=30, le=86_400)]
    to: list[Name] = Field(min_length=1)


class _Chosen(_Strict):
    """Which alarms; patterns as in file names."""

    priorities: list[Priority] = [Priority.CRITICAL, Priority.HIGH]
    classes: list[SignalClass] = list(SignalClass)
    nodes: list[str] = ["*"]
    points: list[str] = ["*"]

    def takes(self, view: AlarmView) -> bool:
        """Whether the alarm is one of its."""
        definition = view.definition
        return (
            definition.priority in self.priorities
            and definition.signal_class in self.classes
            and any(fnmatchcase(view.node, pattern) for pattern in self.nodes)
            and any(fnmatchcase(view.point, pattern) for pattern in self.points)
        )


class Route(_Chosen):
    """Which alarms go to which channels. ``hours``: only then (a shift's roster); ``quiet``: then only critical ones, the others when it ends."""

    to: list[Name] = Field(min_length=1)
    hours: Hours | None = None
    quiet: Hours | None = None
    escalate: list[Step] = []


class SirenSettings(_Chosen):
    """A siren or beacon at the gateway, and the programs, with their words, that switch it on and off."""

    name: Name
    start: list[str] = Field(min_length=1)
    stop: list[str] = Field(min_length=1)
    priorities: list[Priority] = [Priority.CRITICAL]


class NotifySettings(_Strict):
    """``page``: the address of the page as people reach it, for the links in a message; ``links_for``: seconds that a link to acknowledge holds."""

    channels: list[ChannelSettings] = []
    routes: list[Route] = []
    sirens: list[SirenSettings] = []
    page: str = ""
    links_for: Annotated[float, Field(ge=60, le=604_800)] = 28_800.0


def channel_class(name: str) -> type[Any]:
    """The class of a kind of channel. Raises ValueError naming those that there are."""
    if name in REGISTRY:
        module, _, attribute = REGISTRY[name].partition(":")
        return cast(type[Any], getattr(import_module(module), attribute))
    foreign = {point.name: point for point in entry_points(group="muki.notifiers")}
    if name in foreign:
        return cast(type[Any], foreign[name].load())
    raise ValueError(f"channel type {name!r}: write one of {', '.join(sorted({*REGISTRY, *foreign}))}")


def notify_problems(settings: NotifySettings) -> Iterator[Problem]:
    """What is wrong, each by the key it is wrong at."""
    names: set[str] = set()
    for index, channel in enumerate(settings.channels):
        if channel.name in names:
            yield ("channels", index, "name"), f"{channel.name!r} is taken; choose another"
        names.add(channel.name)
        if channel.person is not None and not settings.page.startswith(("http://", "https://")):
            yield (
                ("channels", index, "person"),
                "a link to acknowledge needs notify.page: write the page's address as people reach it, https://…",
            )
        try:
            channel_class(channel.type).Settings.model_validate(channel.own)
        except ValueError as error:
            texts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in getattr(error, "errors", list)()]
            yield ("channels", index, "name"), f"{channel.name}: {'; '.join(texts) or error}"
    for index, siren in enumerate(settings.sirens):
        if siren.name in names or siren.name in [other.name for other in settings.sirens[:index]]:
            yield ("sirens", index, "name"), f"{siren.name!r} is taken; choose another"
        for which_one, words in (("start", siren.start), ("stop", siren.stop)):
            if which(words[0]) is None:
                yield ("sirens", index, which_one), f"there is no program {words[0]!r} that may be run"
    for index, route in enumerate(settings.routes):
        wanted = [(("to",), name) for name in route.to]
        wanted += [(("escalate", place, "to"), name) for place, step in enumerate(route.escalate) for name in step.to]  # type: ignore[misc]
        for key, name in wanted:
            if name not in names:
                yield ("routes", index, *key), f"{name!r} is no channel; there is {', '.join(sorted(names)) or 'none'}"
