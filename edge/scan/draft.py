"""The first configuration of a node, out of what a scan found: correct as it is, and with comments that say what a person must fill in."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from edge.scan.found import Finding

WIDTH = 110  # of a comment
_HEAD = """\
# A first configuration, written by `muki edge scan`. It is correct as it is, and it measures nothing yet: what a number means
# only a person knows. Go through every line marked FILL IN, then:
#   muki edge check {file}
#   muki edge run {file} --once
"""


def draft(findings: Sequence[Finding], *, file: str, hostname: str) -> str:
    """The text of the configuration. Raises ValueError where nothing was found that a source can read."""
    readable = [finding for finding in findings if finding.source is not None]
    if not readable:
        raise ValueError("nothing was found that a source can read")
    parts = [
        _HEAD.format(file=file),
        f"site: my-site  # FILL IN: the mine, the same for all its nodes (a-z, 0-9, -)\n"
        f"node: {_node(hostname)}  # FILL IN: the name of this computer; no other node of the site may have it\n"
        "broker:\n"
        "  host: localhost  # FILL IN: name or address of the MQTT broker; username, password_file and tls_ca where it wants them\n"
        "sources:\n",
        "".join(_entry(finding, finding.source) for finding in readable if finding.source is not None),
    ]
    processing = [finding for finding in readable if finding.processing is not None]
    if processing:
        parts.append("processing:\n")
        parts += [_yaml_item(finding.processing) for finding in processing if finding.processing is not None]
    parts.append(
        "# FILL IN: alarms, or packs of them. A node without alarms only records. What exists: docs/nodes.md and docs/alarms.md\nalarms: []\n"
    )
    others = [finding for finding in findings if finding.source is None]
    if others:
        parts.append("\n# Also seen, and not read by this configuration:\n")
        parts += [
            _comment(f"{finding.kind} {finding.where}: {'; '.join([*finding.says, *_list(finding.trouble)])}", "#  ") for finding in others
        ]
    return "".join(parts)


def _entry(finding: Finding, source: Mapping[str, Any]) -> str:
    heading = _comment(f"{finding.where}: {finding.says[0] if finding.says else finding.trouble}", "  # ")
    return (
        "\n"
        + heading
        + "".join(_comment(f"FILL IN {each}" if _asks(each) else each, "  #   ") for each in finding.fill_in)
        + _yaml_item(source)
    )


def _asks(text: str) -> bool:
    """Whether a remark asks for something; the others tell what was found."""
    return not re.match(r"heard: |unit \d", text)


def _yaml_item(entry: Mapping[str, Any]) -> str:
    text = yaml.dump([_plain(entry)], Dumper=_Compact, sort_keys=False, allow_unicode=True, width=10_000)
    return textwrap.indent(text, "  ")


def _comment(text: str, lead: str) -> str:
    """One paragraph; no character of a device's own words may end the comment or the file."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return "".join(f"{lead}{line}\n" for line in textwrap.wrap(clean, WIDTH, break_long_words=False, break_on_hyphens=False))


def _node(hostname: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", hostname.partition(".")[0].lower()).strip("-")[:32].rstrip("-")
    # A computer may be called "true" or "1e5", which is no text in YAML.
    return name if name and isinstance(yaml.safe_load(name), str) else f"node-{name}"[:32].rstrip("-")


def _list(text: str | None) -> list[str]:
    return [] if text is None else [text]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


class _Compact(yaml.SafeDumper):
    """A mapping or list of plain values stands on one line, as people write points."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _represent(dumper: yaml.SafeDumper, data: Mapping[Any, Any]) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
    node.flow_style = all(not isinstance(value, dict | list) for value in data.values())
    return node


def _sequence(dumper: yaml.SafeDumper, data: Sequence[Any]) -> yaml.Node:
    flow = all(not isinstance(value, dict | list) for value in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Compact.add_representer(dict, _represent)
_Compact.add_representer(list, _sequence)
