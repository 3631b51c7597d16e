"""docs/integration.md: its JSON is of the contract, its units and reasons exist, and its device is a program."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from contract import topics
from contract.messages import decode
from contract.schema_files import KINDS, schema
from contract.units import check_unit
from contract.values import Quality

TEXT = (Path(__file__).parents[2] / "docs" / "integration.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("json"))
def test_every_json_block_is_a_message(block: str) -> None:
    kind = "alarm" if "event" in json.loads(block) else "data"
    Draft202012Validator(schema(kind)).validate(json.loads(block))
    assert decode(block.encode(), KINDS[kind])


def test_the_shell_block_publishes_messages_of_the_contract() -> None:
    (shell,) = blocks("sh")
    payloads = re.findall(r"-t \$T/(\w+) -m '(\{.*?\})'$", shell, re.DOTALL | re.MULTILINE)
    assert [kind for kind, _ in payloads] == ["birth", "state", "data"]
    for kind, payload in payloads:
        filled = re.sub(r"'\$(\(date \+%s%3N\)|NOW)'", "1763870400123", payload)
        Draft202012Validator(schema(kind)).validate(json.loads(filled))


def test_the_device_is_a_program() -> None:
    (program,) = blocks("python")
    compile(program, "device.py", "exec")


def test_every_topic_unit_and_reason_exists() -> None:
    table = TEXT[TEXT.index("## The topics") : TEXT.index("## Readings")]
    for kind in topics.KINDS:
        assert f"`{kind}" in table
    units = re.findall(r"`([^`]+)`", TEXT[TEXT.index("- Units are written as") : TEXT.index("where there is none")])
    assert len(units) > 8
    for symbol in units:
        if not symbol.startswith("contract/"):
            check_unit(symbol)
    reasons = re.findall(r"`((?:bad|uncertain):\w+)`", TEXT)
    assert len(reasons) > 4
    for reason in reasons:
        assert str(Quality.parse(reason)) == reason
