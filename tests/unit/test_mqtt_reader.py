"""The reader of MQTT: the same messages whatever way the network cuts the bytes, bounded memory, and an error for garbage."""

import contextlib
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.mqtt import MalformedPacket
from gateway.mqtt.packets import V5, V311, connack, farewell, properties, publish, read_varint, varint
from gateway.mqtt.reader import KEPT_BYTES, Reader

Seen = list[tuple[str, bytes, bool]]
versions = st.sampled_from([V311, V5])


class Listening:
    def __init__(self, version: int) -> None:
        self.messages: Seen = []
        self.others: list[tuple[int, int, bytes]] = []
        self.acks = b""
        self.reader = Reader(version, message=lambda *one: self.messages.append(one), other=lambda *one: self.others.append(one))

    def feed(self, *pieces: bytes) -> "Listening":
        for piece in pieces:
            self.acks += self.reader.feed(piece)
        return self


topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
messages = st.lists(st.tuples(topics, st.binary(max_size=300), st.booleans(), st.none() | st.integers(1, 65_535)), max_size=6)


def encoded(version: int, wanted: list[tuple[str, bytes, bool, int | None]]) -> bytes:
    return b"".join(publish(version, topic, payload, retain=retain, packet_id=number) for topic, payload, retain, number in wanted)


@given(versions, messages, st.data())
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    version: int, wanted: list[tuple[str, bytes, bool, int | None]], data: st.DataObject
) -> None:
    stream = encoded(version, wanted) + b"\xd0\x00"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[low:high] for low, high in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    heard = Listening(version).feed(*pieces)
    assert heard.messages == [one[:3] for one in wanted]
    assert heard.acks == b"".join(b"\x40\x02" + number.to_bytes(2, "big") for *_, number in wanted if number)
    assert heard.others == [(13, 0, b"")]


@pytest.mark.parametrize("version", [V311, V5])
def test_every_single_cut_and_every_single_byte(version: int) -> None:
    wanted: list[tuple[str, bytes, bool, int | None]] = [
        ("a/b", b"x" * size, size % 2 == 1, size or None) for size in (0, 1, 120, 130, 300)
    ]
    stream = encoded(version, wanted)
    plain = [one[:3] for one in wanted]
    for cut in range(len(stream) + 1):
        assert Listening(version).feed(stream[:cut], stream[cut:]).messages == plain
    assert Listening(version).feed(*(bytes((byte,)) for byte in stream)).messages == plain


def test_properties_of_a_message_are_passed_over() -> None:
    extra = b"\x01\x01" + b"\x26\x00\x01a\x00\x01b" + b"\x02\x00\x00\x00\x09"
    body = b"\x00\x03a/b" + varint(len(extra)) + extra + b"payload"
    assert Listening(V5).feed(b"\x30" + varint(len(body)) + body).messages == [("a/b", b"payload", False)]


@pytest.mark.parametrize("version", [V311, V5])
def test_a_message_beyond_all_bounds_is_cut_told_and_passed_over(version: int) -> None:
    giant = publish(version, "a/b", b"x" * (9 << 20), retain=False, packet_id=7)
    after = publish(version, "a/c", b"y", retain=False, packet_id=8)
    heard = Listening(version)
    tracemalloc.start()
    for at in range(0, len(giant), 65_536):
        heard.feed(giant[at : at + 65_536])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    heard.feed(after)
    (first, second) = heard.messages
    assert (first[0], first[1].strip(b"x")) == ("a/b", b"")
    assert KEPT_BYTES - 100 < len(first[1]) <= KEPT_BYTES
    assert second == ("a/c", b"y", False)
    assert heard.acks == b"\x40\x02\x00\x07\x40\x02\x00\x08"
    assert peak < 4 * KEPT_BYTES


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\x01\x00",  # no topic
        b"\x30\x04\x00\x09ab",  # the topic is longer than the packet
        b"\x30\x04\x00\x00\x00a",  # no topic name
        b"\x30\x05\x00\x02\xff\xfe\x00",  # no UTF-8
        b"\x34\x05\x00\x01a\x00\x01",  # QoS 2, which nobody asked for
        b"\x32\x04\x00\x01a\x00",  # half a packet id
        b"\x30\x04\x00\x01a\x05",  # properties beyond the packet
    ],
)
def test_what_is_no_mqtt_is_an_error(packet: bytes) -> None:
    with pytest.raises(MalformedPacket):
        Listening(V5).feed(packet, b"\x00" * 16)


@settings(max_examples=500)
@given(versions, st.lists(st.binary(max_size=80), max_size=6))
@example(V5, [b"\x30\x80"])
def test_garbage_is_read_or_refused_and_nothing_else(version: int, pieces: list[bytes]) -> None:
    with contextlib.suppress(MalformedPacket):
        Listening(version).feed(*pieces)


@given(st.binary(max_size=60))
def test_garbage_in_the_answers_too(body: bytes) -> None:
    for read in (lambda: connack(V5, body), lambda: farewell(V5, body), lambda: properties(body, 0)):
        with contextlib.suppress(MalformedPacket):
            read()


@given(st.integers(0, 268_435_455))
def test_lengths_come_back(value: int) -> None:
    assert read_varint(varint(value), 0) == (value, len(varint(value)))
