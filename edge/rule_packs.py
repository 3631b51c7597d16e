"""Rule packs: alarm definitions by gas or signal, of a named version, bound to the points of a site; what the site changes stays visible.

The packs of the release are data files of this package, ``packs/NAME/vN.yaml``: a node must be able to read them without the tools that
deploy it. A version that was released is never changed; a correction is the next version.
"""

import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from contract.alarms import ConditionKind, Priority
from contract.documents import Document, DocumentError, Location
from contract.messages import PointDeclaration
from contract.units import check_unit
from rules.settings import AlarmSettings, Number, RuleSettings, Seconds, Text

_FOLDER = files(__package__).joinpath("packs")
_REFERENCE = re.compile(r"([a-z0-9][a-z0-9-]{0,31})@([1-9][0-9]{0,3})")
_SIGNAL = r"^[a-z0-9][a-z0-9-]{0,31}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackSignal(_Strict):
    unit: str
    name: Text


class PackAlarm(RuleSettings):
    """A rule for whatever point the signal is bound to. ``{place}`` in a text is what the site calls the place."""

    signal: str
    source: str = Field(min_length=1, description="Where the figure comes from")
    certainty: Literal["H", "M", "L"] = Field(description="How certain: high, medium, low")


class Pack(_Strict):
    pack: str
    version: int
    title: Text
    verify_against: str = Field(min_length=1, description="What a site reads before it relies on the figures")
    signals: dict[Annotated[str, Field(pattern=_SIGNAL)], PackSignal]
    alarms: list[PackAlarm]

    @property
    def reference(self) -> str:
        return f"{self.pack}@{self.version}"


class Override(_Strict):
    """What a site wants otherwise, and why."""

    reason: str = Field(min_length=1)
    limit: Number | None = None
    deadband: Number | None = None
    on_delay: Seconds | None = None
    off_delay: Seconds | None = None
    priority: Priority | None = None
    enabled: bool = True


class PackUse(_Strict):
    """One pack at one place of a node."""

    use: str = Field(description="NAME@VERSION")
    bind: dict[str, str] = Field(min_length=1, description="The point of each signal; a signal that is not here brings no alarms")
    place: Text | None = None
    prefix: str = Field("", pattern=r"^([a-z0-9][a-z0-9-]{0,31})?$", description="Begins the ids, where one pack is used twice")
    override: dict[str, Override] = {}


class Change(NamedTuple):
    """One thing that a site has otherwise than the pack. ``laxer``: it raises later, less urgently or never."""

    alarm: str
    what: str
    laxer: bool
    reason: str
    source: str

    def __str__(self) -> str:
        mark = "LESS STRICT than the pack  " if self.laxer else ""
        return f"{self.alarm}  {self.what}  {mark}(reason: {self.reason}; source of the pack: {self.source})"


class AppliedPack(NamedTuple):
    """A pack bound to points: its alarms, each with the place in the document that brought it."""

    reference: str
    bind: dict[str, str]
    unbound: list[str]
    changes: list[Change]
    alarms: list[tuple[AlarmSettings, Location]]


def released() -> dict[str, list[int]]:
    """The packs of the release and their versions."""
    found = {}
    for folder in _FOLDER.iterdir():
        if folder.is_dir():
            names = (entry.name for entry in folder.iterdir())
            versions = sorted(int(name[1:-5]) for name in names if re.fullmatch(r"v[1-9][0-9]*\.yaml", name))
            if versions:
                found[folder.name] = versions
    return dict(sorted(found.items()))


def read(reference: str) -> Pack:
    """The pack ``NAME@VERSION``. Raises ValueError for one that does not exist, DocumentError for one that is broken."""
    packs = released()
    offered = ", ".join(f"{name}@{version}" for name, versions in packs.items() for version in versions)
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r}: write NAME@VERSION; there is {offered}")
    name, version = match[1], int(match[2])
    if version not in packs.get(name, []):
        raise ValueError(f"there is no pack {reference!r}; there is {offered}")
    with as_file(_FOLDER.joinpath(name, f"v{version}.yaml")) as path:
        document = Document(path, {})
        pack = document.check(Pack)
        problems = [document.problem(location, text) for location, text in _pack_problems(pack, name, version)]
    if problems:
        raise DocumentError(problems)
    return pack


def _pack_problems(pack: Pack, name: str, version: int) -> Iterator[tuple[Location, str]]:
    if (pack.pack, pack.version) != (name, version):
        yield (), f"says that it is {pack.reference}: its folder and file say {name}@{version}"
    for signal, settings in pack.signals.items():
        try:
            check_unit(settings.unit)
        except ValueError as error:
            yield ("signals", signal, "unit"), str(error)
    ids = [alarm.id for alarm in pack.alarms]
    for index, alarm in enumerate(pack.alarms):
        if alarm.signal not in pack.signals:
            yield ("alarms", index, "signal"), f"{alarm.signal!r} is none of the pack's signals"
        if alarm.id in ids[:index]:
            yield ("alarms", index, "id"), f"{alarm.id!r} is taken"


def apply(document: Document, location: Location, points: dict[str, PointDeclaration]) -> AppliedPack:
    """The entry of a node's ``packs`` at ``location``, bound. Raises DocumentError with a line for every problem in it."""
    use = document.check(PackUse, location)
    try:
        pack = read(use.use)
    except ValueError as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError([document.problem((*location, "use"), str(error))]) from None
    problems = [document.problem((*location, *key), text) for key, text in _use_problems(use, pack, points)]
    if problems:
        raise DocumentError(problems)
    alarms: list[tuple[AlarmSettings, Location]] = []
    changes: list[Change] = []
    for rule in pack.alarms:
        if rule.signal not in use.bind:
            continue
        override = use.override.get(rule.id)
        name = f"{use.prefix}-{rule.id}" if use.prefix else rule.id
        if override is not None:
            changes += _changes(name, rule, override, pack)
            if not override.enabled:
                continue
        alarms.append((_bound(name, rule, override, use, pack), (*location, "bind", rule.signal, rule.id)))
    return AppliedPack(pack.reference, dict(use.bind), sorted(pack.signals.keys() - use.bind.keys()), changes, alarms)


def _use_problems(use: PackUse, pack: Pack, points: dict[str, PointDeclaration]) -> Iterator[tuple[tuple[str, ...], str]]:
    known = ", ".join(sorted(pack.signals))
    for signal, point in use.bind.items():
        if signal not in pack.signals:
            yield ("bind", signal), f"{pack.reference} has no signal {signal!r}; it has {known}"
        elif point in points and points[point].unit != pack.signals[signal].unit:
            yield (
                ("bind", signal),
                f"{point!r} is in {points[point].unit}, the limits of {pack.reference} in {pack.signals[signal].unit}:"
                " nothing is converted unasked; bind a point in that unit",
            )
    signals = {alarm.id: alarm.signal for alarm in pack.alarms}
    for name, override in use.override.items():
        if name not in signals:
            yield ("override", name), f"{pack.reference} has no alarm {name!r}; it has {', '.join(signals)}"
        elif signals[name] not in use.bind:
            yield ("override", name), f"its signal {signals[name]!r} is bound to no point; bind it, or remove this"
        elif not override.model_fields_set - {"reason"}:
            yield ("override", name), "changes nothing; write limit, deadband, on_delay, off_delay, priority or enabled"


def _changes(name: str, rule: PackAlarm, override: Override, pack: Pack) -> Iterator[Change]:
    source = f"{rule.source}; certainty {rule.certainty}"
    if not override.enabled:
        yield Change(name, "switched off", True, override.reason, source)
        return
    unit = pack.signals[rule.signal].unit
    limit = rule.condition.limit
    if override.limit is not None and override.limit != limit:
        below = rule.condition.kind is ConditionKind.BELOW
        laxer = limit is not None and (override.limit < limit if below else override.limit > limit)
        yield Change(name, f"limit: pack {_number(limit)} → site {override.limit:g} {unit}", laxer, override.reason, source)
    for key in ("deadband", "on_delay", "off_delay"):
        old, new = getattr(rule, key), getattr(override, key)
        if new is not None and new != old:
            kind = unit if key == "deadband" else "s"
            yield Change(name, f"{key}: pack {old:g} → site {new:g} {kind}", key == "on_delay" and new > old, override.reason, source)
    if override.priority is not None and override.priority is not rule.priority:
        order = list(Priority)
        laxer = order.index(override.priority) > order.index(rule.priority)
        yield Change(name, f"priority: pack {rule.priority} → site {override.priority}", laxer, override.reason, source)


def _number(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"


def _source(rule: PackAlarm, pack: Pack) -> str:
    return f"{pack.reference}: {rule.source}; certainty {rule.certainty}; verify against {pack.verify_against}"


def _bound(name: str, rule: PackAlarm, override: Override | None, use: PackUse, pack: Pack) -> AlarmSettings:
    point = use.bind[rule.signal]
    place = use.place or Text(es=point.partition("/")[0], en=point.partition("/")[0])
    written: dict[str, Any] = rule.model_dump(exclude={"signal", "certainty"}, by_alias=True)
    for key in ("title", "consequence", "action"):
        if written[key] is not None:
            written[key] = {"es": written[key]["es"].replace("{place}", place.es), "en": written[key]["en"].replace("{place}", place.en)}
    source = _source(rule, pack)
    if override is not None:
        changed = override.model_dump(exclude={"reason", "limit", "enabled"}, exclude_none=True)
        written.update(changed)
        if override.limit is not None:
            written["condition"]["limit"] = override.limit
        what = "; ".join(change.what for change in _changes(name, rule, override, pack))
        source = f"site: {what} ({override.reason}); {source}" if what else source
    return AlarmSettings.model_validate({**written, "id": name, "point": point, "source": source})
