"""The documentation tells the truth: settings, metrics, routes, commands, examples and links are compared with the code."""

import importlib.util
import re
import shlex
import subprocess
import tomllib
import types
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import click
import pytest
from pydantic import BaseModel

import edge.outputs
import edge.processing
import edge.sources
import gateway.store
import muki
from contract.alarms import ConditionKind, Priority, SignalClass
from contract.documents import Document
from edge.config import load
from edge.counting import KINDS, RATE
from edge.disk_alarms import disk_points
from edge.health import health_points, malfunction_alarm, module_point
from edge.host_alarms import host_alarms
from edge.node_document import NodeDocument
from edge.outputs import OutputContext, OutputSettings
from edge.processing import ProcessorContext, ProcessorSettings
from edge.rule_packs import PackUse
from edge.scan.command import scan
from edge.sources import SourceContext, SourceSettings
from gateway.config import GatewayConfig
from gateway.live import Kind
from gateway.metrics import Metrics
from gateway.opening import check
from gateway.store.opening import store_class
from rules.settings import AlarmSettings
from tests.rig.webapp import WebSite

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


class Family(NamedTuple):
    """What stands in one list of a node's configuration, and where it is documented."""

    title: str
    page: str
    key: str
    registry: Mapping[str, str]
    common: type[BaseModel]


FAMILIES = [
    Family("Source", "sources.md", "sources", edge.sources.REGISTRY, SourceSettings),
    Family("Processor", "sources.md", "processing", edge.processing.REGISTRY, ProcessorSettings),
    Family("Output", "outputs.md", "outputs", edge.outputs.REGISTRY, OutputSettings),
]
# Other tests register sources of their own, as an installed package would: those are not ours to document.
MODULES = [(family, name) for family in FAMILIES for name, where in sorted(family.registry.items()) if where.startswith("edge.")]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MACHINE = re.compile(r"(?<![\w./}-])/(?:work|root|home)/\w")
_BINARY = {".png", ".jpg", ".onnx", ".ico", ".woff2", ".gz", ".npz", ".wav"}


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def section(text: str, title: str) -> str:
    """From a heading of the second level to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section '## {title}'"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(text) if kind == language]


def code(text: str) -> list[str]:
    """Every `text in backquotes` outside fenced blocks, on one line."""
    return [found.replace("\n", " ") for found in re.findall(r"`([^`]+)`", _FENCE.sub("", text))]


def documented(text: str, name: str) -> bool:
    return name in code(text)


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, with unions, lists, mappings and annotations opened."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) is Annotated:
        yield from models_in(get_args(kind)[0])
    elif get_origin(kind) in {Union, types.UnionType, list, dict, tuple}:
        for part in get_args(kind):
            yield from models_in(part)


def all_models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and every one below it."""
    found = [model]
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            found += [one for one in all_models(inner) if one not in found]
    return found


def keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def module_class(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@pytest.mark.parametrize(("family", "name"), MODULES, ids=[f"{family.title.lower()}-{name}" for family, name in MODULES])
def test_each_source_processor_and_output_has_a_section_with_every_setting_and_an_example(
    family: Family, name: str, tmp_path: Path
) -> None:
    whole = page(family.page)
    text = section(whole, f"{family.title} `{name}`")
    settings = module_class(family.registry[name]).Settings
    missing = {key for key in keys(settings) if key not in keys(family.common) and not documented(text, key)}
    missing |= {key for model in all_models(settings) for key in keys(model) if not documented(whole, key)}
    assert missing == set(), f"docs/{family.page}, {family.title} {name}"
    shown = [example for example in blocks(text, "yaml") if name in checked_entries(example, family, tmp_path)]
    assert shown, f"no yaml example with type: {name}"


def context(family: Family, folder: Path) -> Any:
    """What the agent gives to one of the family."""
    if family.key == "outputs":
        return OutputContext("docs", folder, {})
    return SourceContext("docs", folder) if family.key == "sources" else ProcessorContext("docs", folder)


def checked_entries(example: str, family: Family, folder: Path) -> list[str]:
    """The types of the entries that an example has; each entry is checked as the agent checks it."""
    file = folder / "example.yaml"
    file.write_text(example, "utf-8")
    document = Document(file, dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "value"))
    found = []
    for index, entry in enumerate(document.data.get(family.key, [])):
        cls = module_class(family.registry[entry["type"]])
        cls(document.check(cls.Settings, (family.key, index)), context(family, folder))
        found.append(entry["type"])
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=[family.key for family in FAMILIES])
def test_what_all_of_a_family_share_is_documented(family: Family, tmp_path: Path) -> None:
    text = page(family.page)
    assert [key for key in keys(family.common) if not documented(text, key)] == []
    titles = set(re.findall(rf"^## {family.title} `([^`]+)`", text, re.MULTILINE))
    assert titles <= set(family.registry), "sections of what does not exist"
    assert [checked_entries(example, family, tmp_path) for example in blocks(text, "yaml")]


def test_the_configuration_of_a_node_is_documented_and_its_examples_are_correct(tmp_path: Path) -> None:
    text = page("nodes.md")
    assert [key for key in keys(NodeDocument) if not documented(text, key)] == []
    others = {"alarm-states.md", "gateway.md", "integration.md", "sources.md", "stores.md"}
    whole = "".join(path.read_text("utf-8") for path in sorted(DOCS.glob("*.md")) if path.name not in others)
    models = all_models(NodeDocument) + all_models(AlarmSettings) + all_models(PackUse)
    undocumented = {field for model in models for field in keys(model) if field not in {"es", "en"} and not documented(whole, field)}
    assert undocumented == set()
    values = [value for kind in (ConditionKind, Priority, SignalClass) for value in kind]
    assert [str(value) for value in values if not documented(whole, value)] == []
    examples = blocks(text, "yaml")
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"node-{number}.yaml"
        file.write_text(example, "utf-8")
        assert load(file, {}).sources


def test_the_configuration_of_a_gateway_is_documented_and_its_examples_are_correct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page("gateway.md")
    alarms = text + page("alarms.md") + page("nodes.md")  # rules of the site are written like alarms of a node
    models = [(model, alarms if model.__module__.startswith("rules.") else text) for model in all_models(GatewayConfig)]
    undocumented = [field for model, where in models for field in keys(model) if not documented(where, field)]
    assert undocumented == []
    monkeypatch.setenv("MUKI_DATABASE_PASSWORD", "secret")
    examples = blocks(text, "yaml")
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"gateway-{number}.yaml"
        file.write_text(example, "utf-8")
        for beside in re.findall(r"(?:password_file|client_secret_file|tls_ca): (\S+)", example):
            (tmp_path / beside).write_text("secret\n")
        assert check(file).site
    assert set(Document(tmp_path / "gateway-0.yaml").data) == set(keys(GatewayConfig)), "the whole configuration shows every key"


@pytest.mark.parametrize("name", sorted(gateway.store.REGISTRY))
def test_each_store_is_documented(name: str) -> None:
    text = page("stores.md")
    assert documented(text, name)
    settings = keys(store_class(name).Settings)
    if settings:
        assert [field for field in settings if not documented(section(text, f"`{name}`"), field)] == []


def test_the_metrics_of_the_gateway_are_those_of_the_page() -> None:
    metrics = Metrics().registry.collect()
    exposed = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}
    table = section(page("gateway.md"), "Metrics")
    assert set(re.findall(r"^\| `(muki_\w+)`", table, re.MULTILINE)) == exposed
    everywhere = {found for path in PAGES for found in re.findall(r"\bmuki_[a-z_]+_total\b", path.read_text("utf-8"))}
    assert everywhere <= exposed


def test_the_routes_of_the_api_are_those_of_the_page(tmp_path: Path) -> None:
    site = WebSite(tmp_path, 8080)
    try:
        paths = site.app.openapi()["paths"]
    finally:
        site.close()
    real = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    table = section(page("gateway.md"), "API")
    written = set(re.findall(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)`", table, re.MULTILINE))
    assert written - {("GET", "/")} == real
    undocumented = {
        parameter["name"]
        for methods in paths.values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
        if not documented(table, parameter["name"])
    }
    assert undocumented == set()
    assert [kind for kind in get_args(Kind) if not documented(table, kind)] == []


def test_each_reason_of_a_refusal_is_explained() -> None:
    raised = re.compile(r"(?:ContractError|Refusal|_refuse)\((?:node, \"\w+\", |what\.node, \"\w+\", )?\s*\"([a-z0-9_]+)\"")
    files = [*(ROOT / "contract").glob("*.py"), *(ROOT / "gateway").glob("*.py")]
    reasons = {reason for file in files for reason in raised.findall(file.read_text("utf-8"))}
    assert {"wrong_shape", "clock_ahead", "store_refused", "journal_refused", "not_utf8", "wrong_topic"} <= reasons, "the search is broken"
    rows = " ".join(re.findall(r"^\|(.*?)\|", section(page("gateway.md"), "Who is let in, and when"), re.MULTILINE))
    assert {reason for reason in reasons if f"`{reason}`" not in rows} == set()


def test_each_point_that_a_node_writes_of_itself_is_explained() -> None:
    text = page("nodes.md")
    rows = dict(re.findall(r"^\| `(NODE/[^`]+)` \| (\S+) \|", text, re.MULTILINE))
    expected = {f"NODE/{name.partition('/')[2]}": point.unit for name, point in health_points("node").items()}
    expected |= {f"NODE/{name.partition('/')[2]}": point.unit for name, point in disk_points("node").items()}
    expected |= {module_point("NODE", kind, "NAME"): "bool" for kind in ("source", "processor", "output")}
    assert rows == expected


def test_each_counter_of_a_source_is_explained() -> None:
    table = section(page("nodes.md"), "What a source counts")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    assert rows == {name: kind.unit for name, kind in KINDS.items()}
    traffic = set(re.findall(r"^\| `(\w+)` .*\(traffic", table, re.MULTILINE))
    assert traffic == {name for name, kind in KINDS.items() if not kind.fault}
    assert documented(table, RATE)


def test_each_malfunction_that_a_node_reports_is_explained() -> None:
    table = section(page("nodes.md"), "The malfunctions that it reports")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\w+) \|", table, re.MULTILINE))
    own = [malfunction_alarm(kind, "NAME", "n/x") for kind in ("source", "processor", "output")] + host_alarms("n")
    assert rows.items() >= {alarm.id: str(alarm.priority) for alarm in own}.items()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text("utf-8"))
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{name_of(path)}: {target}: there is no such file"
        assert found.is_relative_to(ROOT), f"{name_of(path)}: {target} leads out of the repository"
        if anchor:
            assert anchor in anchors(found), f"{name_of(path)}: {target}: there is no such heading"


def anchors(path: Path) -> list[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_file_and_module_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    named = [name for name in code(text) if re.fullmatch(r"(?:[a-z_]+/)+(?:[\w.-]+\.(?:py|yaml|md|json|toml))?", name)]
    assert [name for name in named if not (ROOT / name).exists()] == []
    modules = re.findall(r"\b(?:benchmarks\.[a-z_]+|tests\.[a-z_.]+)\b", text)
    modules += [name for name in re.findall(r"python -m ([a-z_.]+)", text) if name not in {"pytest", "pip", "venv"}]
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    for test in re.findall(r"pytest (tests/\S+\.py)", text):
        assert (ROOT / test).exists(), test


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_make_target_that_a_page_names_exists(path: Path) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert "demo" in targets
    named = [line.split()[1] for line in command_lines(path.read_text("utf-8"), "make")]
    assert [name for name in named if name not in targets] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_extra_that_a_page_installs_exists(path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    named = [name for found in re.findall(r"(?:muki|\.)\[([a-z,]+)\]", path.read_text("utf-8")) for name in found.split(",")]
    assert [name for name in named if name not in extras] == []


def test_each_option_of_the_scan_is_explained() -> None:
    text = page("scan.md")
    options = [name for option in scan.params for name in option.opts]
    assert [name for name in options if not documented(text, name)] == []


def command_lines(text: str, program: str) -> list[str]:
    """Every line of a shell block, and every `text in backquotes`, that begins with a program and has an argument."""
    lines = [line.strip() for language in ("sh", "bash", "") for block in blocks(text, language) for line in block.splitlines()]
    return [line for line in [*lines, *code(text)] if line.startswith(f"{program} ")]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_command_that_a_page_shows_parses(path: Path) -> None:
    for line in command_lines(path.read_text("utf-8"), "muki"):
        parse_command(shlex.split(line, comments=True)[1:])


def parse_command(arguments: list[str]) -> None:
    """Parses as click does and runs nothing. Raises UsageError."""
    command: click.Command = muki.main
    context = click.Context(command, info_name="muki")
    while isinstance(command, click.Group):
        if not arguments or arguments == ["--help"]:
            return
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    try:
        command.make_context(context.info_name, list(arguments), parent=context.parent)
    except click.MissingParameter:
        assert not arguments, f"muki … {' '.join(arguments)}: something is missing"  # a bare name in a sentence


def test_commands_that_do_not_parse_are_found() -> None:
    for wrong in (["edge", "chek", "FILE"], ["edge", "run", "FILE", "--twice"], ["gateway", "run", "A", "B"]):
        with pytest.raises(click.UsageError):
            parse_command(wrong)


def test_the_changelog_says_what_is_not_released_yet() -> None:
    text = section((ROOT / "CHANGELOG.md").read_text("utf-8"), "Unreleased")
    assert re.search(r"^- \w", text, re.MULTILINE)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    found = [
        f"{name}: {match[0]}"
        for name in tracked()
        if (ROOT / name).suffix not in _BINARY and (match := _MACHINE.search((ROOT / name).read_text("utf-8", errors="replace")))
    ]
    assert found == []
    assert _MACHINE.search('open("/' + 'home/somebody/x")'), "the search is broken"


def tracked() -> list[str]:
    """The files of the repository; of an unpacked archive everything but hidden folders."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return [name for name in listed if name and (ROOT / name).is_file()]
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in files if not path.parts[0].startswith(".")]
