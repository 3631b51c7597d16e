"""asyncapi.yaml: valid AsyncAPI 3.0, the same topics, bindings and names as the code, and examples that satisfy schema and code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from contract import CONTRACT_VERSION, frames, messages, schema_files, topics
from contract.alarms import DEFINITION
from contract.values import IDENTIFIER

FOLDER = Path(messages.__file__).parent
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
OFFICIAL = Path(__file__).parent / "asyncapi-3.0.0.schema.json"  # its licence is beside it
EXAMPLES = [
    (kind, example["name"], example["payload"])
    for kind, message in DOCUMENT["components"]["messages"].items()
    for example in message.get("examples", [])
]
RETAINED = {"birth", "state", "gateway-alarm"}


def follow(reference: str) -> Any:
    assert reference.startswith("#/"), reference
    node: Any = DOCUMENT
    for key in reference[2:].split("/"):
        node = node[key]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for inner in node.values() for found in references(inner)]
    return [found for inner in node for found in references(inner)] if isinstance(node, list) else []


def test_it_is_asyncapi_3() -> None:
    validator = Draft7Validator(json.loads(OFFICIAL.read_text("utf-8")))
    assert [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(DOCUMENT)] == []
    broken = {**DOCUMENT, "operations": {"x": {"action": "shout"}}}
    assert not validator.is_valid(broken), "the schema refuses nothing"


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 50
    for reference in found:
        if reference.startswith("./"):
            assert (FOLDER / reference).is_file(), reference
        else:
            assert follow(reference) is not None


def test_the_version_is_that_of_the_contract() -> None:
    assert DOCUMENT["info"]["version"].split(".")[0] == str(CONTRACT_VERSION)
    assert f"v{CONTRACT_VERSION}" == topics.VERSION


def test_the_channels_are_the_topics_of_the_code() -> None:
    values = {"site": "antares", "node": "gas-1", "event": "01JD", "key": "gas-1.co-high"}
    addresses = {name: channel["address"].format(**values) for name, channel in DOCUMENT["channels"].items()}
    expected = {kind: topics.node_topic("antares", "gas-1", kind, "01JD" if kind == "evidence" else "") for kind in topics.KINDS}
    expected["gateway-alarm"] = topics.gateway_alarm_topic("antares", "gas-1.co-high")
    expected["reject"] = topics.reject_topic("antares")
    assert addresses == expected


def test_the_parameters_are_those_of_the_addresses_with_the_patterns_of_the_code() -> None:
    for channel in DOCUMENT["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))
    parameters = DOCUMENT["components"]["parameters"]
    assert parameters["site"]["x-pattern"] == parameters["node"]["x-pattern"] == f"^{IDENTIFIER.pattern}$"
    assert parameters["key"]["x-pattern"] == rf"^{IDENTIFIER.pattern}\.{DEFINITION}$"
    for parameter in parameters.values():
        assert re.fullmatch(parameter["x-pattern"], parameter["examples"][0])


def test_each_channel_has_a_sender_and_a_receiver_with_qos_and_retain() -> None:
    actions: dict[str, set[tuple[str, str]]] = {}
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        actions.setdefault(channel, set()).add((operation["tags"][0]["name"], operation["action"]))
        assert operation["bindings"]["mqtt"] == {"qos": 1, "retain": channel in RETAINED, "bindingVersion": "0.2.0"}
    for channel in DOCUMENT["channels"]:
        if channel in topics.NODE_WRITES:
            assert actions[channel] == {("node", "send"), ("gateway", "receive")}
        elif channel in topics.GATEWAY_WRITES:
            assert actions[channel] == {("gateway", "send"), ("node", "receive")}
        else:
            assert actions[channel] == {("gateway", "send"), ("application", "receive")}


def test_every_json_message_has_its_schema_and_examples() -> None:
    described = DOCUMENT["components"]["messages"]
    assert set(described) == set(schema_files.KINDS) | {"evidence"}
    for kind in schema_files.KINDS:
        assert described[kind]["payload"]["schema"] == {"$ref": f"./schemas/{kind}.json"}
        assert described[kind]["examples"]


@pytest.mark.parametrize(("kind", "name", "payload"), EXAMPLES, ids=[f"{kind}-{name}" for kind, name, _ in EXAMPLES])
def test_every_example_satisfies_its_schema_and_decodes(kind: str, name: str, payload: dict[str, Any]) -> None:
    Draft202012Validator(schema_files.schema(kind)).validate(payload)
    struct = schema_files.KINDS[kind]
    message = messages.decode(json.dumps(payload).encode(), struct)
    known = set(struct.__struct_fields__)
    assert set(payload) <= known, f"{name} shows keys that nobody reads: {set(payload) - known}"
    if isinstance(message, messages.Data):
        assert [reading for frame in message.frames for reading in frames.readings_of(frame)]
    if isinstance(message, messages.Alarm):
        assert frames.event_from_wire("gas-1", message.event).definition == "co-high"
