"""What goes onto the wire comes off it again."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.alarms import AlarmEvent, Transition
from contract.frames import event_from_wire, event_to_wire, frames_of, readings_of, to_ms, to_ns
from contract.messages import Ack, Alarm, Data, Message, ReadingFrame, decode, deflate, encode
from contract.values import GOOD, Quality, Reading, bad, uncertain
from tests.contract import strategies as draw

NOON = 1_763_870_400_000_000_000


def through_the_wire(readings: list[Reading], *, compressed: bool) -> list[Reading]:
    payload = encode(Data("boot", 1, frames_of(readings)))
    message = decode(deflate(payload) if compressed else payload, Data)
    return [reading for frame in message.frames for reading in readings_of(frame)]


@given(draw.batches(), st.booleans())
def test_readings_of_whole_milliseconds_come_back_exactly(readings: list[Reading], compressed: bool) -> None:
    back = through_the_wire(readings, compressed=compressed)
    assert sorted(back, key=lambda r: (r.time_ns, r.point)) == sorted(readings, key=lambda r: (r.time_ns, r.point))


@given(draw.readings(draw.times_ns))
def test_any_time_comes_back_within_a_microsecond(reading: Reading) -> None:
    (back,) = through_the_wire([reading], compressed=False)
    assert abs(back.time_ns - reading.time_ns) < 1_000
    assert (back.point, back.value, back.quality) == (reading.point, reading.value, reading.quality)


@given(draw.times_ns)
def test_times(time_ns: int) -> None:
    assert abs(to_ns(to_ms(time_ns)) - time_ns) < 1_000
    whole = time_ns // 1_000_000 * 1_000_000
    assert to_ns(to_ms(whole)) == whole
    assert isinstance(to_ms(whole), int)


def test_a_whole_millisecond_is_written_without_a_fraction() -> None:
    assert encode(ReadingFrame(to_ms(NOON), {"a/b": 1.5})) == b'{"t":1763870400000,"v":{"a/b":1.5}}'  # type: ignore[arg-type]


@given(draw.events())
def test_alarm_events(event: AlarmEvent) -> None:
    message = decode(encode(Alarm("boot", 7, event_to_wire(event))), Alarm)
    assert message.seq == 7
    assert event_from_wire(event.node, message.event) == event


@given(draw.acks)
def test_acknowledgements(ack: Ack) -> None:
    assert decode(encode(ack), Ack) == ack


@given(draw.messages)
def test_every_message(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@given(draw.messages)
def test_keys_that_nobody_knows_are_ignored(message: Message) -> None:
    plain = json.loads(encode(message))
    plain["a_key_of_tomorrow"] = {"deep": [1, None, {"x": "y"}]}
    assert decode(json.dumps(plain).encode(), type(message)) == message


@given(draw.qualities)
def test_a_quality_parses_from_what_it_prints(quality: Quality) -> None:
    assert Quality.parse(str(quality)) == quality


@pytest.mark.parametrize(
    "text", ["", "Good", "good:", "good:stale", "bad:", "bad:Stale", "bad:a b", "bad:a:b", "ugly:x", " good", "bad:x\n"]
)
def test_what_is_no_quality(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quality: write good, uncertain:reason or bad:reason"):
        Quality.parse(text)


# what a node may hand over, and JSON has no word for


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("given_quality", "sent"),
    [(GOOD, bad("not_finite")), (uncertain("stuck"), bad("not_finite")), (bad("wire_break"), bad("wire_break"))],
)
def test_a_value_that_is_no_number_is_sent_as_not_read(value: float, given_quality: Quality, sent: Quality) -> None:
    readings = [Reading("a/b", NOON, value, given_quality), Reading("a/c", NOON, 1.0)]
    back = through_the_wire(readings, compressed=False)
    assert {r.point: (r.value, r.quality) for r in back} == {"a/b": (None, sent), "a/c": (1.0, GOOD)}


def test_a_missing_value_that_claims_to_be_good_is_sent_as_not_read() -> None:
    (back,) = through_the_wire([Reading("a/b", NOON, None)], compressed=False)
    assert back == Reading("a/b", NOON, None, bad("not_read"))


def test_an_event_without_a_number_keeps_its_transition() -> None:
    wire = event_to_wire(AlarmEvent("e", "d", "n", "a/b", NOON, Transition.ACTIVE, math.nan))
    assert decode(encode(Alarm("b", 1, wire)), Alarm).event.value is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Reading("a/b", NOON, None, bad("stale")), Reading("a/b", NOON, 2.0)),
        (Reading("a/b", NOON, 2.0), Reading("a/b", NOON, None, bad("stale"))),
        (Reading("a/b", NOON, 2.0, uncertain("stuck")), Reading("a/b", NOON, 3.0)),
    ],
)
def test_of_two_readings_of_one_instant_the_last_counts_whole(first: Reading, second: Reading) -> None:
    assert through_the_wire([first, second], compressed=False) == [second]


def test_readings_of_one_instant_share_a_frame_in_the_order_of_the_instants() -> None:
    later = NOON + 1_000_000
    frames = frames_of([Reading("a/b", later, 1.0), Reading("a/b", NOON, 2.0), Reading("a/c", later, 3.0)])
    assert [(frame.t, frame.v) for frame in frames] == [(1763870400001, {"a/b": 1.0, "a/c": 3.0}), (1763870400000, {"a/b": 2.0})]
