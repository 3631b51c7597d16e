"""A wrong configuration says which file, which line, which key, and what would be right."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from contract.documents import MAX_BYTES, Document, DocumentError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Modbus(Strict):
    type: Literal["modbus"]
    host: str
    port: int = 502


class Camera(Strict):
    type: Literal["camera"]
    address: str
    frames_per_second: float = 5.0


class Broker(Strict):
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    password: str | None = None


class Node(Strict):
    node: str
    broker: Broker
    spare: Broker | None = None
    sources: list[Annotated[Modbus | Camera, Field(discriminator="type")]] = []
    places: dict[str, Broker] = {}
    enabled: bool = True


GOOD = """\
node: gas-1
broker:
  host: 10.0.0.1
sources:
  - type: modbus
    host: 10.0.0.2
"""


def read(folder: Path, text: str | bytes, **environment: str) -> Document:
    path = folder / "node.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Document(path, environment)


def problems(folder: Path, text: str | bytes, **environment: str) -> list[str]:
    """What is wrong with it, without the folder in front."""
    with pytest.raises(DocumentError) as caught:
        read(folder, text, **environment).check(Node)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_right_document_becomes_the_model(tmp_path: Path) -> None:
    node = read(tmp_path, GOOD).check(Node)
    assert node == Node(node="gas-1", broker=Broker(host="10.0.0.1"), sources=[Modbus(type="modbus", host="10.0.0.2")])


def test_a_part_of_a_document(tmp_path: Path) -> None:
    document = read(tmp_path, GOOD)
    assert document.check(Broker, ("broker",)).host == "10.0.0.1"
    assert document.at(("sources", 0, "type")) == "modbus"
    with pytest.raises(KeyError):
        document.at(("outputs",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "nodee: x\n", ["node.yaml:7: nodee: unknown key; did you mean 'node'?"]),
        (GOOD + "zz9: 1\n", ["node.yaml:7: zz9: unknown key; known here: broker, enabled, node, places, sources, spare"]),
        (
            GOOD.replace("  host: 10.0.0.1", "  host: 10.0.0.1\n  prot: 1"),
            ["node.yaml:4: broker.prot: unknown key; did you mean 'port'?"],
        ),
        (GOOD + "    prot: 1\n", ["node.yaml:7: sources[0].prot: unknown key; did you mean 'port'?"]),
        (
            GOOD + "  - type: camera\n    address: rtsp://c\n    hots: 1\n",
            ["node.yaml:9: sources[1].hots: unknown key; known here: address, frames_per_second, type"],
        ),
        (GOOD + "spare:\n  hos: a\n  host: b\n", ["node.yaml:8: spare.hos: unknown key; did you mean 'host'?"]),
        (GOOD + "places:\n  a:\n    host: b\n    prt: 1\n", ["node.yaml:10: places.a.prt: unknown key; did you mean 'port'?"]),
        ("node: a\n", ["node.yaml:1: broker: missing; it is required"]),
        ("node: a\nbroker:\n  port: 1\n", ["node.yaml:2: broker.host: missing; it is required"]),
        (GOOD + "  - type: camera\n", ["node.yaml:7: sources[1].address: missing; it is required"]),
        (
            GOOD.replace("host: 10.0.0.1", "host: a\n  port: lots"),
            ["node.yaml:4: broker.port: Input should be a valid integer, unable to parse string as an integer (got 'lots')"],
        ),
        (
            GOOD.replace("host: 10.0.0.1", "host: a\n  port: 70000"),
            ["node.yaml:4: broker.port: Input should be less than or equal to 65535 (got 70000)"],
        ),
        (GOOD + "enabled: [1]\n", ["node.yaml:7: enabled: Input should be a valid boolean"]),
        (
            GOOD + "  - type: modbuss\n",
            ["node.yaml:7: sources[1]: Input tag 'modbuss' found using 'type' does not match any of the expected tags: 'modbus', 'camera'"],
        ),
    ],
)
def test_what_the_model_refuses(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "nodee: a\nbroker:\n  port: x\n")
    assert [line.split(": ")[1] for line in found] == ["node", "broker.host", "broker.port", "nodee"]


def test_a_long_wrong_value_is_cut(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD.replace("host: 10.0.0.1", "host: a\n  port: " + "x" * 5000))
    assert len(found) < 250
    assert found.endswith("…)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node: a\nnode: b\n", "node.yaml:2: node: written twice; keep one"),
        ("node: a\nbroker: {host: a, host: b}\n", "node.yaml:2: broker.host: written twice; keep one"),
        ("node: a\n  broker: b\n", "node.yaml:2: not YAML: mapping values are not allowed here"),
        ("node: [a\n", "node.yaml:2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("node: a\n\tbroker: b\n", "node.yaml:2: not YAML: found character '\\t' that cannot start any token"),
        ("node: *nowhere\n", "node.yaml:1: not YAML: found undefined alias 'nowhere'"),
        ("node: a\n---\nnode: b\n", "node.yaml:2: not YAML: but found another document"),
        (b"node: \xff\n", "node.yaml: not UTF-8 text (byte 6)"),
        (GOOD.encode("utf-16"), "node.yaml: not UTF-8 text (byte 0)"),
        ("node: !secret a\n", "node.yaml:1: node: could not determine a constructor for the tag '!secret'"),
        ("node: !!bool a\n", "node.yaml:1: node: "),
        ("node: !!timestamp a\n", "node.yaml:1: node: "),
        ("node: 2024-13-45\n", "node.yaml:1: node: month must be in 1..12"),
        ("node: {{ name }}\n", "node.yaml:1: node: a key is a plain text; put { } or [ ] in quotes"),
        ("- a\n- b\n", "node.yaml:1: document: holds a list; write keys and values here"),
        ("just words\n", "node.yaml:1: document: holds a single value; write keys and values here"),
        ("a: " + "[" * 5000 + "]" * 5000, "node.yaml: nested too deeply: a configuration has at most 50 levels"),
        ("a: " + "[" * 60 + "]" * 60, "node.yaml:1: more than 50 levels"),
        ("a: &a [*a]\n", "node.yaml:1: more than 50 levels once its aliases are followed"),
        ("<<: 5\n", "node.yaml:1: <<: takes an alias of a mapping, or a list of them"),
        (f"#{'x' * MAX_BYTES}\n", f"node.yaml: larger than {MAX_BYTES} bytes: this is no configuration"),
        ("node: \x00\n", "node.yaml: not YAML: unacceptable character #x0000"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str | bytes, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(expected)
    assert "\n" not in found[0]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"absent\.yaml: there is no such file"):
        Document(tmp_path / "absent.yaml")
    with pytest.raises(DocumentError, match="cannot be read: Is a directory"):
        Document(tmp_path)


def test_an_empty_file_misses_what_is_required(tmp_path: Path) -> None:
    for text in ("", "\n", "# only a comment\n", "---\n"):
        found = [problem.split(": ", 1)[1] for problem in problems(tmp_path, text)]
        assert found == ["node: missing; it is required", "broker: missing; it is required"]


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "once its aliases are followed" in problems(tmp_path, "\n".join(lines))[0]
    merges = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert "once its aliases are followed" in problems(tmp_path, "\n".join(merges))[0]


# anchors and merge keys


def test_an_alias_repeats_what_it_names(tmp_path: Path) -> None:
    document = read(tmp_path, "node: a\nbroker: &main\n  host: b\nspare: *main\n")
    assert document.check(Node).spare == Broker(host="b")


def test_a_merge_key_fills_in_and_the_nearer_key_wins(tmp_path: Path) -> None:
    text = "node: a\nbroker: &main\n  host: b\n  port: 1000\nspare:\n  port: 2000\n  <<: *main\n"
    assert read(tmp_path, text).check(Node).spare == Broker(host="b", port=2000)


def test_of_several_merged_mappings_the_first_wins_and_merges_nest(tmp_path: Path) -> None:
    text = (
        "node: a\nplaces:\n  x: &x {host: x, port: 1}\n  y: &y {host: y, password: p}\n"
        "  z: &z {<<: [*x, *y]}\nbroker: {<<: *z, password: q}\n"
    )
    node = read(tmp_path, text).check(Node)
    assert node.places["z"] == Broker(host="x", port=1, password="p")
    assert node.broker == Broker(host="x", port=1, password="q")


def test_a_wrong_merged_key_is_found_where_it_was_written(tmp_path: Path) -> None:
    text = "node: a\nbroker:\n  <<: {host: b,\n    prot: 5}\n"
    assert problems(tmp_path, text) == ["node.yaml:4: broker.prot: unknown key; did you mean 'port'?"]


# the environment


def test_a_variable_is_replaced(tmp_path: Path) -> None:
    node = read(tmp_path, "node: n-${N}\nbroker: {host: '${H}', port: '${P}', password: '${W}'}\n", N="7", H="::1", P="1884", W="s").check(
        Node
    )
    assert node == Node(node="n-7", broker=Broker(host="::1", port=1884, password="s"))


def test_plain_is_typed_and_quoted_stays_text(tmp_path: Path) -> None:
    data = read(tmp_path, "plain: ${P}\nquoted: '${P}'\nflag: ${F}\nempty: ${E}\n", P="1884", F="true", E="").data
    assert data == {"plain": 1884, "quoted": "1884", "flag": True, "empty": None}


@pytest.mark.parametrize(
    "value", ["a: b", "[1, 2", "{x: 1}", "%x", "@x", "'x", "*x", "&x", "!x", "a\nb: c", "#x", "x #y", "`x", "- a", "|"]
)
def test_the_environment_brings_in_a_text_and_never_structure(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, "password: ${W}\nnext: 1\n", W=value).data == {"password": value, "next": 1}


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    text = "node: ${SITE}-${NODE}\nbroker:\n  host: ${HOST}\n"
    assert problems(tmp_path, text, NODE="x") == [
        "node.yaml:1: node: the environment has no SITE; set it",
        "node.yaml:3: broker.host: the environment has no HOST; set it",
    ]


def test_what_came_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "node: a\nbroker:\n  host: b\n  port: ${SECRET}\n", SECRET="hunter2")
    assert found.startswith("node.yaml:4: broker.port: ")
    assert "hunter2" not in found
    (found,) = problems(tmp_path, "node: a\nbroker:\n  host: b\n  password: ${SECRET}\n", SECRET="1234567")
    assert found.endswith("(got what the environment holds; in quotes, '${NAME}', it stays a text)")
    assert "1234567" not in found


def test_the_line_of_what_is_not_written_is_that_of_the_nearest_above(tmp_path: Path) -> None:
    document = read(tmp_path, GOOD)
    assert document.where(("sources", 0, "port")).endswith("node.yaml:5")
    assert document.where(("outputs",)).endswith("node.yaml:1")
    assert document.problem((), "is wrong").endswith("node.yaml:1: document: is wrong")
