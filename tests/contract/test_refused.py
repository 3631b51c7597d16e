"""Whatever arrives is a message or a ContractError that says what is wrong and where; never anything else."""

import gzip
import json
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.alarms import Transition
from contract.frames import event_from_wire, readings_of
from contract.messages import (
    MAX_BYTES,
    MAX_INFLATED_BYTES,
    MAX_POINTS,
    Ack,
    Alarm,
    Birth,
    ContractError,
    Data,
    Message,
    NodeState,
    PointDeclaration,
    ReadingFrame,
    WireEvent,
    decode,
    deflate,
    encode,
)
from contract.schema_files import KINDS
from tests.contract import strategies as draw

REASONS = {"oversized", "not_utf8", "malformed", "wrong_shape", "contract_version"}
DATA = b'{"boot":"a","seq":1,"frames":[{"t":1763870400000,"v":{"gas-2/co":12.5},"q":{"gas-2/no2":"bad:wire_break"}}]}'
BIRTH = {"boot": "a", "software": "x", "contract": 1, "points": {"gas-2/co": {"unit": "ppm"}}, "sent": 1}
DEFINITION = {"id": "co-high", "point": "gas-2/co", "condition": {"kind": "above", "limit": 25}, "priority": "critical"}
EVENT = {"id": "e", "definition": "d", "point": "a/b", "t": 1, "transition": "active"}


def refused(payload: bytes, kind: type[Any]) -> ContractError:
    with pytest.raises(ContractError) as caught:
        decode(payload, kind)
    assert caught.value.reason in REASONS
    assert caught.value.detail
    assert caught.value.detail in str(caught.value)
    return caught.value


def outcome(payload: bytes, kind: type[msgspec.Struct]) -> str:
    """``taken``, or the reason of the refusal; anything but a ContractError goes through. A frame and an event are looked into."""
    try:
        message = decode(payload, kind)
        if isinstance(message, Data):
            for frame in message.frames:
                readings_of(frame)
        elif isinstance(message, Alarm):
            event_from_wire("n", message.event)
    except ContractError as error:
        return error.reason
    return "taken" if isinstance(message, kind) else f"decoded as {type(message)}"


def as_json(message: object) -> bytes:
    return json.dumps(message).encode()


# any bytes at all


@given(st.binary(max_size=300), st.sampled_from(sorted(KINDS)))
@example(b"", "data")
@example(b"\x1f", "data")
@example(b"\x1f\x8b", "data")
@example(b"\x1f\x8b\x08", "birth")
@example(b"\x00" * 50, "alarm")
def test_any_bytes_are_a_message_or_a_contract_error(payload: bytes, kind: str) -> None:
    assert outcome(payload, KINDS[kind]) in REASONS | {"taken"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@given(draw.messages, st.data())
def test_a_message_with_any_part_replaced_is_a_message_or_a_contract_error(message: Message, data: st.DataObject) -> None:
    plain = json.loads(encode(message))
    key = data.draw(st.sampled_from(sorted(plain)))
    plain[key] = data.draw(json_values)
    assert outcome(as_json(plain), type(message)) in REASONS | {"taken"}


@given(draw.messages, st.binary(min_size=1, max_size=3), st.data())
def test_a_message_with_any_bytes_overwritten_is_a_message_or_a_contract_error(message: Message, noise: bytes, data: st.DataObject) -> None:
    payload = encode(message)
    at = data.draw(st.integers(0, len(payload) - 1))
    assert outcome(payload[:at] + noise + payload[at + len(noise) :], type(message)) in REASONS | {"taken"}


# truncated


@given(draw.messages, st.booleans(), st.data())
def test_a_truncated_message_is_refused(message: Message, compressed: bool, data: st.DataObject) -> None:
    payload = deflate(encode(message)) if compressed else encode(message)
    cut = data.draw(st.integers(0, len(payload) - 1))
    assert refused(payload[:cut], type(message)).reason in {"malformed", "not_utf8"}


@pytest.mark.parametrize("payload", [DATA, gzip.compress(DATA), gzip.compress(DATA * 50)[:200]])
def test_a_data_message_cut_at_each_byte_is_refused(payload: bytes) -> None:
    for cut in range(len(payload)):
        assert refused(payload[:cut], Data).reason == "malformed"


def test_text_after_the_message_is_refused() -> None:
    assert refused(DATA + b"x", Data).reason == "malformed"
    assert refused(DATA + DATA, Data).reason == "malformed"
    assert refused(gzip.compress(DATA) + b"x", Data).where == "gzip"


# too large


def test_the_largest_message_is_taken_and_one_byte_more_is_not() -> None:
    room = MAX_BYTES - len(DATA)
    assert decode(DATA + b" " * room, Data).seq == 1
    error = refused(DATA + b" " * (room + 1), Data)
    assert (error.reason, error.where) == ("oversized", "")
    assert str(MAX_BYTES) in error.detail


def test_the_largest_inflated_message_is_taken_and_one_byte_more_is_not() -> None:
    room = MAX_INFLATED_BYTES - len(DATA)
    assert decode(gzip.compress(DATA + b" " * room), Data).seq == 1
    error = refused(gzip.compress(DATA + b" " * (room + 1)), Data)
    assert (error.reason, error.where) == ("oversized", "gzip")


def test_a_gzip_bomb_costs_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(512 << 20), compresslevel=1)[: MAX_BYTES - 1]
    assert len(bomb) == MAX_BYTES - 1
    tracemalloc.start()
    started = time.perf_counter()
    try:
        assert refused(bomb, Data).reason == "oversized"
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_INFLATED_BYTES
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 2.0


def test_a_birth_of_too_many_points_is_refused() -> None:
    points = {f"a/{number}": PointDeclaration("1") for number in range(MAX_POINTS + 1)}
    error = refused(deflate(encode(Birth("a", "x", 1, points, 1))), Birth)
    assert (error.reason, error.where) == ("oversized", "$.points")


# malformed


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"   ", "malformed"),
        (b"not json", "malformed"),
        (b"{'boot': 'a'}", "malformed"),
        (b"\xef\xbb\xbf" + DATA, "malformed"),
        (DATA.decode().encode("utf-16"), "not_utf8"),
        (DATA.replace(b'"a"', b'"\xff"'), "not_utf8"),
        (DATA.replace(b"gas-2/co", b"gas-\xe9/co"), "not_utf8"),
        (DATA.replace(b'"a"', b'"\\ud800"'), "malformed"),
        (DATA.replace(b"12.5", b"NaN"), "malformed"),
        (DATA.replace(b"12.5", b"Infinity"), "malformed"),
        (DATA.replace(b"12.5", b"-Infinity"), "malformed"),
        (DATA.replace(b"12.5", b"1e999"), "wrong_shape"),
        (DATA.replace(b"12.5", b"1" * 5000), "wrong_shape"),
        (DATA.replace(b"12.5", b"null"), "wrong_shape"),
        (DATA.replace(b'"seq":1', b'"seq":' + b"9" * 5000), "wrong_shape"),
        (b"\x1f\x8b" + DATA, "malformed"),
        (gzip.compress(b"not json"), "malformed"),
        (gzip.compress(gzip.compress(DATA)), "not_utf8"),
        (b"[" * 500_000, "wrong_shape"),
        (b'{"x":' * 150_000, "malformed"),
        (DATA[:-1] + b',"x":' + b"[" * 500_000, "malformed"),
        (DATA[:-1] + b',"x":' + b"[" * 300_000 + b"]" * 300_000 + b"}", "malformed"),
    ],
)
def test_what_is_no_message(payload: bytes, reason: str) -> None:
    assert refused(payload, Data).reason == reason


def test_the_position_is_that_in_the_payload() -> None:
    assert refused(DATA.replace(b"gas-2/co", b"gas-\xe9/co"), Data).where == f"byte {DATA.index(b'gas-2/co') + 4}"
    assert refused(DATA.replace(b"12.5", b"NaN"), Data).where == f"byte {DATA.index(b'12.5')}"


# the shape


@pytest.mark.parametrize(
    ("kind", "message", "where", "detail"),
    [
        (Data, {"seq": 1, "frames": []}, "$", "missing required field `boot`"),
        (Data, {"boot": "a", "seq": 0, "frames": []}, "$.seq", ">= 1"),
        (Data, {"boot": "a", "seq": 1 << 53, "frames": []}, "$.seq", "<= 9007199254740991"),
        (Data, {"boot": "a", "seq": "1", "frames": []}, "$.seq", "Expected `int`, got `str`"),
        (Data, {"boot": "a", "seq": True, "frames": []}, "$.seq", "Expected `int`, got `bool`"),
        (Data, {"boot": "a b", "seq": 1, "frames": []}, "$.boot", "matching regex '^[0-9A-Za-z-]{1,64}$'"),
        (Data, {"boot": "a\n", "seq": 1, "frames": []}, "$.boot", "matching regex"),
        (Data, {"boot": "a", "seq": 1, "frames": {}}, "$.frames", "Expected `array`, got `object`"),
        (Data, {"boot": "a", "seq": 1, "frames": [{"t": 1}, {"t": "1"}]}, "$.frames[1].t", "Expected `float`, got `str`"),
        (Data, {"boot": "a", "seq": 1, "frames": [{"t": -1}]}, "$.frames[0].t", ">= 0"),
        (Data, {"boot": "a", "seq": 1, "frames": [{"t": 1, "v": {"a/b": "x"}}]}, "$.frames[0].v[...]", "Expected `float`, got `str`"),
        (Data, {"boot": "a", "seq": 1, "frames": [{"t": 1, "q": {"a/b": 1}}]}, "$.frames[0].q[...]", "Expected `str`, got `int`"),
        (NodeState, {"online": 1, "boot": "a", "since": 1}, "$.online", "Expected `bool`, got `int`"),
        (NodeState, [], "$", "Expected `object`, got `array`"),
        (Alarm, {"boot": "a", "seq": 1, "event": {**EVENT, "transition": "on"}}, "$.event.transition", "'on'"),
        (Alarm, {"boot": "a", "seq": 1, "event": {**EVENT, "transition": "x - at `$.y`"}}, "$.event.transition", "x - at `$.y`"),
        (Alarm, {"boot": "a", "seq": 1, "event": {**EVENT, "id": "a/b"}}, "$.event.id", "matching regex"),
        (Alarm, {"boot": "a", "seq": 1, "event": {**EVENT, "definition": "#"}}, "$.event.definition", "matching regex"),
        (Alarm, {"boot": "a", "seq": 1, "event": {**EVENT, "point": "pump"}}, "$.event.point", "matching regex"),
        (Ack, {"boot": "a", "ranges": [[1, 2], [5, 4]]}, "$.ranges[1]", "[5, 4]: write [first, last]"),
        (Ack, {"boot": "a", "ranges": [[1]]}, "$.ranges[0]", "length 2"),
        (Ack, {"boot": "a", "ranges": [[0, 1]]}, "$.ranges[0][0]", ">= 1"),
        (Birth, {**BIRTH, "points": {"gas-2": {"unit": "ppm"}}}, "$.points", "write asset/signal"),
        (Birth, {**BIRTH, "points": {"gas-2/co\n": {"unit": "ppm"}}}, "$.points", "write asset/signal"),
        (Birth, {**BIRTH, "points": {"gas-2/co": {"unit": "ppm", "kind": "analogue"}}}, "$.points[...].kind", "matching regex"),
        (Birth, {**BIRTH, "alarms": [{**DEFINITION, "id": "a/b"}]}, "$.alarms[0].id", "matching regex"),
        (Birth, {**BIRTH, "alarms": [{**DEFINITION, "on_delay": -1}]}, "$.alarms[0].on_delay", ">= 0"),
        (Birth, {**BIRTH, "alarms": [DEFINITION, DEFINITION]}, "$.alarms[1].id", "defined twice"),
        (
            Birth,
            {**BIRTH, "alarms": [{**DEFINITION, "condition": {"kind": "below"}}]},
            "$.alarms[0].condition.limit",
            "a limit is required",
        ),
    ],
)
def test_the_place_is_named(kind: type[msgspec.Struct], message: object, where: str, detail: str) -> None:
    error = refused(as_json(message), kind)
    assert (error.reason, error.where) == ("wrong_shape", where)
    assert detail in error.detail


def test_bad_quality_needs_no_limit() -> None:
    birth = {**BIRTH, "alarms": [{**DEFINITION, "condition": {"kind": "bad_quality"}}]}
    assert decode(as_json(birth), Birth).alarms[0].condition.limit is None


@pytest.mark.parametrize("other", [{}, {"points": ["another", "shape"]}, {"points": {"x": {}}}])
def test_another_version_of_the_contract_is_refused_as_such(other: dict[str, object]) -> None:
    error = refused(as_json({**BIRTH, "contract": 2, **other}), Birth)
    assert (error.reason, error.where) == ("contract_version", "$.contract")
    assert error.detail == "contract 2: this side speaks 1"


# what only a look into the frame tells


@pytest.mark.parametrize(
    ("frame", "where", "detail"),
    [
        (ReadingFrame(1, {"pump": 1.0}), "$.frames[...].v", "point 'pump': write asset/signal"),
        (ReadingFrame(1, {"gas-2/co": 1.0, "Gas/co": 1.0}), "$.frames[...].v", "point 'Gas/co'"),
        (ReadingFrame(1, {}, {"a/b/": "bad:stale"}), "$.frames[...].q", "point 'a/b/'"),
        (ReadingFrame(1, {"a/b": 1.0}, {"a/b": "poor"}), "$.frames[...].q['a/b']", "write good, uncertain:reason or bad:reason"),
        (ReadingFrame(1, {}, {"a/b": "good"}), "$.frames[...].q['a/b']", "good, but without a value in v"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(frame: ReadingFrame, where: str, detail: str) -> None:
    with pytest.raises(ContractError) as caught:
        readings_of(frame)
    assert (caught.value.reason, caught.value.where) == ("wrong_shape", where)
    assert detail in caught.value.detail


def test_a_point_that_was_refused_once_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(ContractError):
            readings_of(ReadingFrame(1, {"no point": 1.0}))


def test_an_event_with_an_unknown_quality_is_refused() -> None:
    with pytest.raises(ContractError, match="is not a quality") as caught:
        event_from_wire("n", WireEvent("e", "d", "a/b", 1, Transition.ACTIVE, quality="fine"))
    assert caught.value.where == "$.event.quality"
