"""One node's configuration: YAML, checked without starting anything; every problem names file, line, key and what would be right."""

import importlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import edge.outputs
import edge.processing
import edge.sources
from contract.alarms import AlarmDefinition
from contract.documents import Document, DocumentError, Location
from contract.messages import ModelUse, PointDeclaration
from contract.values import check_point
from edge.counting import counter_points
from edge.disk_alarms import NAMES as DISK_ALARMS
from edge.disk_alarms import disk_alarms, disk_points
from edge.errors import Misconfigured
from edge.health import PERIOD, health_points, malfunction_alarm, module_point, module_points
from edge.host_alarms import PREFIX, host_alarms
from edge.model_settings import ANY_MODEL, policy
from edge.node_document import BrokerSettings, NodeDocument, OutboxSettings
from edge.outputs import ConfiguredOutput, OutputContext
from edge.outputs.silence import SilenceSettings
from edge.processing import Converting, Processor, ProcessorContext, ProcessorSettings, in_shadow
from edge.processing.models import uses
from edge.rule_packs import AppliedPack, apply
from edge.sources import Source, SourceContext, SourceSettings
from edge.trust_problems import declared_problems, trust_problems
from edge.trust_settings import TrustSettings, resolve
from rules.problems import alarm_problems
from rules.settings import AlarmSettings


class ConfiguredSource(NamedTuple):
    settings: SourceSettings
    source: Source


class ConfiguredProcessor(NamedTuple):
    settings: ProcessorSettings
    processor: Processor


class NodeConfig(NamedTuple):
    """A node that can be started: everything is constructed, nothing is opened. ``points`` and ``alarms`` hold the automatic ones too."""

    site: str
    node: str
    broker: BrokerSettings
    data_dir: Path
    outbox: OutboxSettings
    sources: list[ConfiguredSource]
    processing: list[ConfiguredProcessor]
    points: dict[str, PointDeclaration]
    alarms: list[AlarmDefinition]
    outputs: list[ConfiguredOutput]
    silence_button: SilenceSettings | None
    packs: list[AppliedPack]
    trust: dict[str, TrustSettings]
    models: list[ModelUse]


def load(path: Path, environment: Mapping[str, str] | None = None) -> NodeConfig:
    """The node of a configuration file. Raises DocumentError with one line for every problem."""
    document = Document(path) if environment is None else Document(path, environment)
    return _Loader(document).load()


class _Loader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.folder = document.path.resolve().parent
        self.problems: list[str] = []
        self.points: dict[str, PointDeclaration] = {}
        self.declared_at: dict[str, Location] = {}
        self.packs: list[AppliedPack] = []
        self.models = ANY_MODEL

    def load(self) -> NodeConfig:
        node = self.document.check(NodeDocument)
        sources = [entry for index in range(len(node.sources)) for entry in self._source(node.node, index)]
        self.models, wrong = policy(node.models, self.folder)
        for key, text in wrong:
            self._problem(("models", *key), text)
        processing = [entry for index in range(len(node.processing)) for entry in self._processor(node.node, index)]
        self._names("sources", [entry.settings.name for entry in sources])
        self._names("processing", [entry.settings.name for entry in processing])
        outputs = self._outputs(node)
        complete = len(sources) == len(node.sources) and len(processing) == len(node.processing)
        if complete:  # otherwise each further line would only repeat that an entry is missing
            self._inputs(sources, processing)
        modules = [("source", e.settings.name) for e in sources] + [("processor", e.settings.name) for e in processing]
        modules += [("output", name) for name in edge.outputs.names(outputs, node.silence_button)]
        own = {**health_points(node.node), **disk_points(node.node), **module_points(node.node, modules)}
        for index, entry in enumerate(sources):
            try:
                own.update(counter_points(node.node, entry.settings.name, entry.source, PERIOD))
            except ValueError as error:
                self._problem(("sources", index, "type"), f"its counters() names what cannot be a point: {error}")
        for name in own.keys() & self.points.keys():
            self._problem(self.declared_at[name], f"point {name!r} is one that the agent itself writes: choose another asset")
        self.points.update(own)
        self.problems += declared_problems(self.document, self.points, self.declared_at)
        if complete:
            self.problems += trust_problems(self.document, node.trust, self.points)
        alarms = self._alarms(node, processing, complete)
        for kind, name in modules:
            alarms.append(malfunction_alarm(kind, name, module_point(node.node, kind, name)))
        alarms += disk_alarms(node.node, node.outbox.min_free)
        alarms += host_alarms(node.node)
        button = node.silence_button.point if node.silence_button else None
        if complete and button is not None and button not in self.points:
            self._problem(("silence_button", "point"), f"nobody declares point {button!r}; {_hint(button, list(self.points))}")
        if not self.problems:  # otherwise each further line would only repeat that an alarm is missing
            for key, text in edge.outputs.problems(outputs, alarms, node.silence_button, [entry.settings for entry in sources]):
                self._problem(("outputs", *key), text)
        if self.problems:
            raise DocumentError(self.problems)
        broker = node.broker.model_copy(
            update={key: self.folder / value for key in ("password_file", "tls_ca") if (value := getattr(node.broker, key))}
        )
        data_dir = (self.folder / node.data_dir.expanduser()).resolve()
        return NodeConfig(
            node.site,
            node.node,
            broker,
            data_dir,
            node.outbox,
            sources,
            processing,
            self.points,
            alarms,
            outputs,
            node.silence_button,
            self.packs,
            resolve(node.trust, self.points),
            list(uses(entry.processor for entry in processing)),
        )

    def _problem(self, location: Location, text: str) -> None:
        self.problems.append(self.document.problem(location, text))

    def _class(self, location: Location, known: Mapping[str, str]) -> Any:
        """The class that an entry's ``type`` names, or None after noting the problem."""
        entry = self.document.at(location)
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in known:
            close = get_close_matches(str(kind), known, 1, 0.6)
            hint = f"did you mean {close[0]!r}? " if close else ""
            what = f"type {kind!r} is unknown" if kind is not None else "type: missing; it is required"
            self._problem((*location, "type"), f"{what}; {hint}known here: {', '.join(sorted(known))}")
            return None
        module, _, name = known[kind].partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError as error:
            missing = error.name or str(error)
            self._problem((*location, "type"), f"type {kind!r} cannot be loaded: {missing!r} is not installed; pip install 'muki[edge]'")
        except AttributeError:
            self._problem((*location, "type"), f"type {kind!r} cannot be loaded: {module} has no {name}")
        return None

    def _source(self, node: str, index: int) -> Iterator[ConfiguredSource]:
        location = ("sources", index)
        kind = self._class(location, edge.sources.known())
        if kind is None:
            return
        try:
            settings = self.document.check(kind.Settings, location)
            source: Source = kind(settings, SourceContext(node, self.folder))
            self._declare(location, source.points())
        except DocumentError as error:
            self.problems += error.problems
        except Misconfigured as error:
            self._problem(location, str(error))
        else:
            yield ConfiguredSource(settings, source)

    def _processor(self, node: str, index: int) -> Iterator[ConfiguredProcessor]:
        location = ("processing", index)
        kind = self._class(location, edge.processing.REGISTRY)
        if kind is None:
            return
        try:
            settings = self.document.check(kind.Settings, location)
            processor: Processor = kind(settings, ProcessorContext(node, self.folder, self.models))
            self._declare(location, processor.points())
        except DocumentError as error:
            self.problems += error.problems
        except Misconfigured as error:
            self._problem(location, str(error))
        else:
            yield ConfiguredProcessor(settings, processor)

    def _outputs(self, node: NodeDocument) -> list[ConfiguredOutput]:
        context = OutputContext(node.node, self.folder, {})
        found: list[ConfiguredOutput] = []
        for index in range(len(node.outputs)):
            location: Location = ("outputs", index)
            kind = self._class(location, edge.outputs.known())
            if kind is None:
                continue
            try:
                settings = self.document.check(kind.Settings, location)
                found.append(ConfiguredOutput(settings, kind(settings, context)))
            except DocumentError as error:
                self.problems += error.problems
            except Misconfigured as error:
                self._problem(location, str(error))
        self._names("outputs", [entry.settings.name for entry in found])
        return found

    def _declare(self, location: Location, points: Mapping[str, PointDeclaration]) -> None:
        for name, declaration in points.items():
            try:
                check_point(name)
            except ValueError as error:
                self._problem(location, str(error))
            if name in self.points:
                first = self.document.where(self.declared_at[name])
                self._problem(location, f"point {name!r} is declared twice, first at {first}: each point has one origin; rename one")
            else:
                self.points[name] = declaration
                self.declared_at[name] = location

    def _names(self, key: str, names: list[str]) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                self._problem(
                    (key, index, "name"), f"{name!r} is the name of two entries of {key}: names tell them apart in alarms; rename one"
                )

    def _inputs(self, sources: list[ConfiguredSource], processing: list[ConfiguredProcessor]) -> None:
        """What a processor wants must come from somewhere: a point, or a waveform or camera that a source's settings name."""
        offered = set(self.points)
        for entry in sources:
            offered.update(_texts(entry.settings.model_dump(exclude={"name", "type"})))
        candidates = [name for name in offered if not name.startswith(("/", "."))]
        for index, processor in enumerate(processing):
            own = set(processor.processor.points())
            for wanted in sorted(processor.processor.wants()):
                location: Location = ("processing", index, _key_of(processor.settings, wanted))
                if wanted not in offered:
                    self._problem(location, f"no source provides {wanted!r}; {_hint(wanted, candidates)}")
                elif wanted in own:
                    self._problem(location, f"{wanted!r} is computed by this very processor: give it another input")
            if isinstance(processor.processor, Converting):
                for point, text in processor.processor.take_units(self.points):
                    self._problem(("processing", index, _key_of(processor.settings, point)), text)

    def _written_alarms(self, node: NodeDocument) -> Iterator[tuple[AlarmSettings, Location]]:
        for index in range(len(node.alarms)):
            location: Location = ("alarms", index)
            try:
                yield self.document.check(AlarmSettings, location), location
            except DocumentError as error:
                self.problems += error.problems
        for index in range(len(node.packs)):
            try:
                pack = apply(self.document, ("packs", index), self.points)
            except DocumentError as error:
                self.problems += error.problems
            else:
                self.packs.append(pack)
                yield from pack.alarms

    def _alarms(self, node: NodeDocument, processing: list[ConfiguredProcessor], complete: bool) -> list[AlarmDefinition]:
        definitions: list[AlarmDefinition] = []
        seen: dict[str, Location] = {}
        unproven = {point for entry in processing if in_shadow(entry.processor) for point in entry.processor.points()}
        for settings, location in self._written_alarms(node):
            if settings.id in seen:
                self._problem(
                    (*location, "id"), f"{settings.id!r} is taken, first at {self.document.where(seen[settings.id])}: choose another"
                )
            elif settings.id.startswith(("source-", "processor-", "output-", PREFIX)) or settings.id in DISK_ALARMS:
                self._problem(
                    (*location, "id"),
                    f"{settings.id!r}: source-…, processor-…, output-…, host-…, disk and disk-refuses are the agent's own malfunction alarms;"
                    " rename it",
                )
            seen[settings.id] = location
            for key, point in settings.points():
                if complete and point not in self.points:
                    self._problem((*location, *key), f"nobody declares point {point!r}; {_hint(point, list(self.points))}")
            for key, text in alarm_problems(settings, self.points.get(settings.point)):
                self._problem((*location, *key), text)
            definition = settings.definition()
            if not unproven.isdisjoint((settings.point, *settings.condition.points.values())) and "shadow" not in settings.model_fields_set:
                definition = msgspec.structs.replace(definition, shadow=True)
            definitions.append(definition)
        return definitions


def _hint(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    listed = ", ".join(sorted(known)[:8])
    return f"known here: {listed}{', …' if len(known) > 8 else ''}"


def _texts(value: object) -> Iterator[str]:
    """Every text in a settings tree, keys included: waveforms and cameras are named there, each source in its own way."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _key_of(settings: ProcessorSettings, wanted: str) -> str:
    for name, value in settings.model_dump().items():
        if value == wanted or (isinstance(value, dict) and wanted in value.values()):
            return name
    return "input"
