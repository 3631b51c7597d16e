"""The topic tree: what is built parses to the same parts, and what may not stand there is refused with the rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.alarms import alarm_key
from contract.topics import KINDS, Topic, from_nodes_filter, gateway_alarm_topic, node_topic, parse, reject_topic
from tests.contract import strategies as draw

SIMPLE = sorted(KINDS - {"evidence"})


@given(draw.identifiers, draw.identifiers, st.sampled_from(SIMPLE))
def test_a_node_topic_parses_to_its_parts(site: str, node: str, kind: str) -> None:
    assert parse(node_topic(site, node, kind)) == Topic("v1", site, node, kind)


@given(draw.identifiers, draw.identifiers, draw.unique_ids)
def test_evidence_names_its_event(site: str, node: str, event: str) -> None:
    assert parse(node_topic(site, node, "evidence", event)) == Topic("v1", site, node, "evidence", event)


@given(st.text(max_size=60))
def test_any_text_is_a_topic_or_a_value_error(text: str) -> None:
    for candidate in (text, f"muki/v1/{text}", f"muki/v1/s/n/{text}", f"muki/v1/s/n/evidence/{text}"):
        try:
            topic = parse(candidate)
        except ValueError:
            continue
        assert f"muki/{'/'.join(part for part in topic if part)}" == candidate


def test_topics_as_the_contract_writes_them() -> None:
    assert node_topic("antares", "gas-1", "data") == "muki/v1/antares/gas-1/data"
    assert node_topic("antares", "gas-1", "evidence", "01JD") == "muki/v1/antares/gas-1/evidence/01JD"
    assert gateway_alarm_topic("antares", alarm_key("gas-1", "co-high")) == "muki/v1/antares/_gateway/alarms/gas-1.co-high"
    assert reject_topic("antares") == "muki/v1/antares/_gateway/reject"
    assert from_nodes_filter("antares") == "muki/+/antares/+/#"


def test_another_version_parses_whatever_its_kinds() -> None:
    assert parse("muki/v2/antares/gas-1/telemetry/fast") == Topic("v2", "antares", "gas-1", "telemetry", "fast")


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("", "expected muki/v1/SITE/NODE/KIND"),
        ("muki/v1/antares/gas-1", "expected muki/v1/SITE/NODE/KIND"),
        ("other/v1/antares/gas-1/data", "expected muki/v1/SITE/NODE/KIND"),
        ("/muki/v1/antares/gas-1/data", "expected muki/v1/SITE/NODE/KIND"),
        ("muki/v1/Antares/gas-1/data", "site 'Antares' is not 1 to 32 of a-z"),
        ("muki/v1//gas-1/data", "site '' is not"),
        ("muki/v1/antares/_gateway/reject", "node '_gateway' is not"),
        (f"muki/v1/antares/{'n' * 33}/data", "is not 1 to 32"),
        ("muki/v1/antares/gas-1\n/data", "is not 1 to 32"),
        ("muki/v1/antares/gas-1/dat", "'dat' is not one of ack, alarm, birth, cmd, data, evidence, result, state"),
        ("muki/v1/antares/gas-1/data/", "nothing may follow 'data'"),
        ("muki/v1/antares/gas-1/data/x", "nothing may follow 'data'"),
        ("muki/v1/antares/gas-1/evidence", "write the id of an alarm event"),
        ("muki/v1/antares/gas-1/evidence/", "write the id of an alarm event"),
        ("muki/v1/antares/gas-1/evidence/a/b", "write the id of an alarm event"),
    ],
)
def test_a_topic_that_is_none(topic: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(topic)


@pytest.mark.parametrize("name", ["", "Antares", "a/b", "+", "#", "-a", "a_b", "a" * 33, "a\n", "ñ", "_gateway"])
def test_a_site_or_node_that_may_not_stand_in_a_topic(name: str) -> None:
    with pytest.raises(ValueError, match=r"site .*: write 1 to 32 of a-z"):
        node_topic(name, "n", "data")
    with pytest.raises(ValueError, match=r"node .*: write 1 to 32 of a-z"):
        node_topic("s", name, "data")
    for build in (from_nodes_filter, reject_topic, lambda site: gateway_alarm_topic(site, "n.d")):
        with pytest.raises(ValueError, match=r"site .*: write 1 to 32 of a-z"):
            build(name)


def test_what_may_not_follow() -> None:
    with pytest.raises(ValueError, match="topic kind 'dat': write one of ack"):
        node_topic("s", "n", "dat")
    with pytest.raises(ValueError, match="nothing may follow 'data'"):
        node_topic("s", "n", "data", "x")
    for rest in ("+", "#", "a/b", "a\0", "a" * 65):
        with pytest.raises(ValueError, match="write the id of an alarm event"):
            node_topic("s", "n", "evidence", rest)
    for key in ("", "a/b", "+", "#", "a\0"):
        with pytest.raises(ValueError, match="one topic level"):
            gateway_alarm_topic("s", key)
