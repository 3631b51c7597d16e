"""Rules of the site: conditions over points of several nodes, judged here by the engine that nodes use.

A point is written with its node first, ``gas-1/gallery-4/gas/co``; ``gas-1/node/link`` is 1 while the node tells and 0 while it is gone, which
only the gateway can know. What arrives behind, or out of order, decides nothing. A rule whose points do not come cannot be judged: that is a
malfunction of its own, because a quiet rule would look like a safe mine.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, SignalClass, State
from contract.values import Level, Quality, Reading, check_identifier, check_point
from gateway.alarms.view import AlarmView
from gateway.malfunctions import GATEWAY_NODE, OF_THE_GATEWAY, SILENCE_POINT
from gateway.store import Sample, Series, StoreFrame
from rules.engine import AlarmRule, AlarmRules, StandingAlarm, released, removed
from rules.inputs import MAX_AGE
from rules.moment import SECOND, Instant
from rules.problems import alarm_problems
from rules.settings import AlarmSettings

_BLIND = "-blind"
_LONGEST_ID = 64 - len(_BLIND)

Problem = tuple[tuple[str | int, ...], str]
Told = Callable[[AlarmEvent], None]
Malfunction = Callable[[AlarmDefinition, bool], None]


def rule_problems(rules: Sequence[AlarmSettings]) -> Iterator[Problem]:
    """What is wrong with the rules of a configuration, each by the key it is wrong at."""
    taken = {definition.id: "the gateway's own malfunction" for definition in OF_THE_GATEWAY}
    for index, rule in enumerate(rules):
        if rule.id in taken:
            yield (index, "id"), f"{rule.id!r} is taken by {taken[rule.id]}; choose another"
        if len(rule.id) > _LONGEST_ID:
            yield (index, "id"), f"{rule.id!r} has {len(rule.id)} characters; at most {_LONGEST_ID} here"
        taken[rule.id], taken[rule.id + _BLIND] = f"rule {index + 1}", f"the malfunction of rule {index + 1}"
        for key, point in rule.points():
            try:
                split(point)
            except ValueError as error:
                yield (index, *key), str(error)
        for where, text in alarm_problems(rule, None):
            yield (index, *where), text


def split(point: str) -> Series:
    """``NODE/asset/signal`` as node and point. Raises ValueError saying how it is written."""
    node, _, rest = point.partition("/")
    try:
        return Series(check_identifier(node, "node"), check_point(rest))
    except ValueError:
        raise ValueError(f"{point!r}: write NODE/asset/signal, for example gas-1/gallery-4/gas/co, or NODE/{SILENCE_POINT}") from None


class _Watched(NamedTuple):
    """A rule, what says that it cannot be judged, and after how many seconds without one of its points."""

    rule: AlarmRule
    blind: AlarmDefinition
    patience: float


class SiteRules:
    """Called on the event loop; never blocks. ``told`` gets each event, ``malfunction`` the state of each rule's own, as often as it is known."""

    def __init__(self, rules: Sequence[AlarmSettings], *, late_after: float, told: Told, malfunction: Malfunction) -> None:
        self._written = [rule.definition() for rule in rules]
        self._late_ns = round(late_after * SECOND)
        self._told = told
        self._malfunction = malfunction
        self._watched = [_Watched(AlarmRule(one, GATEWAY_NODE), _blind(one), _patience(one)) for one in self._written]
        needed = {split(point) for rule in rules for _, point in rule.points()}
        self._engine = AlarmRules(self._written, GATEWAY_NODE, {})
        self.links = frozenset(series.node for series in needed if series.point == SILENCE_POINT)
        self._points: dict[str, dict[str, str]] = {}  # by node: the point as the node names it, and as the rules do
        for node, point in sorted(needed):
            if point != SILENCE_POINT:  # a node cannot say of itself that it is gone
                self._points.setdefault(node, {})[point] = f"{node}/{point}"
        self._newest: dict[str, int] = {}  # wall ns, by point
        self._heard: dict[str, int] = {}  # steady ns of the last usable reading
        self._began_ns: int | None = None

    @property
    def definitions(self) -> list[AlarmDefinition]:
        """What the gateway declares: the rules and what says that they cannot be judged."""
        return [*self._written, *(watched.blind for watched in self._watched)]

    def series(self) -> list[Series]:
        """What `resume` wants the newest samples of."""
        return [Series(node, point) for node, points in self._points.items() for point in points]

    def resume(
        self, views: Iterable[AlarmView], samples: Mapping[Series, Sample], now: Instant, others: Iterable[AlarmDefinition] = ()
    ) -> None:
        """Goes on where the gateway ended: with what stood and was suppressed, and with values that are still young enough to count.

        ``others`` are alarms of the gateway that are not rules: one that stands and is none of all these is no longer written, and ends.
        """
        mine = [view for view in views if view.node == GATEWAY_NODE]
        active = [view for view in mine if view.now.active]
        standing = {view.definition.id: StandingAlarm(view.definition.id, view.point, view.now.event, view.now.since_ns) for view in active}
        suppressed = {view.definition.id: view.point for view in mine if view.state is State.SUPPRESSED}
        written = {one.id for one in self._written}
        own = {one.id for one in (*self.definitions, *OF_THE_GATEWAY, *others)}
        for alarm in standing.values():
            if alarm.definition not in own:
                self._told(removed(alarm, GATEWAY_NODE, now))
        for definition, point in suppressed.items():
            if definition not in own:
                self._told(released(definition, point, GATEWAY_NODE, now))
        kept = {name: alarm for name, alarm in standing.items() if name in written}
        self._engine = AlarmRules(self._written, GATEWAY_NODE, kept, [name for name in suppressed if name in written])
        for (node, point), sample in sorted(samples.items(), key=lambda pair: pair[1].time_ns):
            age_ns = now.wall_ns - sample.time_ns
            name = self._points.get(node, {}).get(point)
            if name is not None and 0 <= age_ns <= self._late_ns:
                then = Instant(now.wall_ns, now.steady_ns - age_ns)
                self._update(Reading(name, sample.time_ns, sample.value, Quality.parse(sample.quality)), then)

    def take(self, node: str, frames: Sequence[StoreFrame], now: Instant) -> None:
        """What a node told just now, as the store gets it."""
        wanted = self._points.get(node)
        if wanted is None:
            return
        for frame in sorted(frames, key=lambda frame: frame.time_ns):
            if now.wall_ns - frame.time_ns > self._late_ns:
                continue
            for point, name in wanted.items():
                if point in frame.values or point in frame.quality:
                    quality = Quality.parse(frame.quality.get(point, "good"))
                    self._update(Reading(name, frame.time_ns, frame.values.get(point), quality), now)

    def tick(self, links: Mapping[str, bool], now: Instant) -> None:
        """What the passing of time brings. ``links``: of each of the nodes in ``self.links`` that is known, whether it tells."""
        if self._began_ns is None:
            self._began_ns = now.steady_ns
        for node, up in links.items():
            self._update(Reading(f"{node}/{SILENCE_POINT}", now.wall_ns, float(up)), now)
        for event in self._engine.tick(now):
            self._told(event)
        for watched in self._watched:
            oldest = min(self._heard.get(point, self._began_ns) for point in watched.rule.points)
            self._malfunction(watched.blind, now.steady_ns - oldest > watched.patience * SECOND)

    def listen_again(self, now: Instant) -> None:
        """The gateway was deaf: nobody was silent meanwhile as far as it knows."""
        self._began_ns = now.steady_ns
        self._heard.clear()
        self._engine.listen_again(now)

    def clock_stepped(self) -> None:
        """The gateway's own clock was set: what came before says nothing about the order of what comes now."""
        self._newest.clear()

    def _update(self, reading: Reading, now: Instant) -> None:
        if reading.time_ns <= self._newest.get(reading.point, -1):
            return
        self._newest[reading.point] = reading.time_ns
        if reading.value is not None and reading.quality.level is not Level.BAD:
            self._heard[reading.point] = now.steady_ns
        for event in self._engine.update(reading, now):
            self._told(event)


def _patience(definition: AlarmDefinition) -> float:
    """Silence says so itself, and a rule on bad quality is about points that do not come."""
    condition = definition.condition
    if condition.kind in {ConditionKind.SILENCE, ConditionKind.BAD_QUALITY}:
        return float("inf")
    return MAX_AGE if condition.max_age is None else max(MAX_AGE, condition.max_age)


def _blind(definition: AlarmDefinition) -> AlarmDefinition:
    title = {"es": definition.title.get("es", definition.id), "en": definition.title.get("en", definition.id)}
    return AlarmDefinition(
        id=definition.id + _BLIND,
        point=definition.point,
        condition=Condition(ConditionKind.SILENCE, _patience(definition)) if _patience(definition) < float("inf") else definition.condition,
        priority=Priority.HIGH if definition.priority in {Priority.CRITICAL, Priority.HIGH} else Priority.MEDIUM,
        signal_class=SignalClass.MALFUNCTION,
        title={"es": f"No se puede evaluar: {title['es']}", "en": f"Cannot be judged: {title['en']}"},
        consequence={
            "es": "Falta un punto de esta regla: que no suene no significa que no pase.",
            "en": "A point of this rule does not come: that it is quiet does not mean that all is well.",
        },
        action={
            "es": "Revise los nodos y sensores de la regla; mientras tanto vigile por otro medio.",
            "en": "Check the nodes and sensors of the rule; watch by other means meanwhile.",
        },
        response_time=600.0,
        source="automatic",
    )
