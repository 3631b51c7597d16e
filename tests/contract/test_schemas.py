"""The published JSON Schemas: they are those of the structs, real messages satisfy them, and what satisfies them decodes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from contract.messages import ContractError, decode, encode
from contract.schema_files import FOLDER, KINDS, main, schema, stale, text
from tests.contract import strategies as draw
from tests.contract.from_schema import instances

VALIDATORS = {kind: Draft202012Validator(json.loads((FOLDER / f"{kind}.json").read_text("utf-8"))) for kind in KINDS}
# What a schema cannot say: the order of two numbers, ids that differ, a limit that only some conditions need.
BEYOND_A_SCHEMA = re.compile(r"first <= last|is defined twice|a limit is required")


def test_the_files_are_those_of_the_structs() -> None:
    assert stale() == [], "run python -m contract.schema_files --write"
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(KINDS)


def test_the_command_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert main(["--wirte"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_command_runs_as_it_is_written() -> None:
    done = subprocess.run([sys.executable, "-m", "contract.schema_files"], cwd=Path(__file__).parents[2], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_schema_is_a_schema_and_says_what_it_is(kind: str) -> None:
    made = schema(kind)
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["$id"] == f"urn:muki:v1:{kind}"
    assert made["description"]
    assert "``" not in text(kind)
    assert "(?!" not in text(kind)
    assert 'additionalProperties": false' not in text(kind)


@given(st.data())
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_message_of_ours_satisfies_its_schema(kind: str, data: st.DataObject) -> None:
    message = json.loads(encode(data.draw(draw.BY_KIND[kind])))
    message["a_key_of_tomorrow"] = 1
    VALIDATORS[kind].validate(message)


@given(st.data())
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_whatever_satisfies_a_schema_decodes(kind: str, data: st.DataObject) -> None:
    instance = data.draw(instances(schema(kind)))
    VALIDATORS[kind].validate(instance)
    try:
        decoded: Any = decode(json.dumps(instance).encode(), KINDS[kind])
    except ContractError as error:
        decoded = BEYOND_A_SCHEMA.search(error.detail)
    assert decoded


@pytest.mark.parametrize(
    ("kind", "message", "at"),
    [
        ("data", {"boot": "a", "seq": 0, "frames": []}, "seq"),
        ("data", {"boot": "a b", "seq": 1, "frames": []}, "boot"),
        ("data", {"boot": "a", "seq": 1, "frames": [{"t": 1, "v": {"pump": 1}}]}, "v"),
        ("data", {"boot": "a", "seq": 1, "frames": [{"t": 1, "q": {"pump": "bad:stale"}}]}, "q"),
        ("data", {"boot": "a", "seq": 1, "frames": [{"t": 1, "q": {"a/b": "good:x"}}]}, "a/b"),
        ("birth", {"boot": "a", "software": "x", "contract": 2, "points": {}, "sent": 1}, "contract"),
        ("birth", {"boot": "a", "software": "x", "contract": 1, "points": {"Pump/x": {"unit": "1"}}, "sent": 1}, "points"),
        ("ack", {"boot": "a", "ranges": [[1, 2, 3]]}, 0),
        ("result", {"id": "a", "status": "maybe"}, "status"),
        ("state", {"online": "yes", "boot": "a", "since": 1}, "online"),
    ],
)
def test_a_schema_refuses_what_we_refuse(kind: str, message: dict[str, Any], at: str | int) -> None:
    with pytest.raises(ValidationError) as caught:
        VALIDATORS[kind].validate(message)
    assert caught.value.absolute_path[-1] == at
