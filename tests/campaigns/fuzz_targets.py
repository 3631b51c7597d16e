"""What the fuzzer feeds: each takes any bytes, and raises only where the code under it is wrong."""

import math
import time
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.messages import Birth, PointDeclaration
from contract.topics import Topic, parse
from gateway.admission import admit
from gateway.decoding import Decoder, Readable
from gateway.inbox import Arrival
from gateway.mqtt import MalformedPacket, packets
from gateway.mqtt.reader import KEPT_BYTES, Reader
from gateway.nodes import limits_of
from gateway.session import Incoming
from tests.unit.test_gateway_fuzz import mutated

KINDS = ("data", "alarm", "birth", "state", "result")
_POINTS = {"gas-2/co": PointDeclaration(unit="ppm", range=(0, 500)), "gas-2/o2": PointDeclaration(unit="%vol")}
_LIMITS = {"known": limits_of(Birth("b1", "x", 1, _POINTS, 0.0))}
_DECODER = Decoder(_LIMITS.get)


def mqtt(data: bytes) -> None:
    """What a broker sends. The first byte says the version and where the network cuts: the messages are the same whatever way it does."""
    if not data:
        return
    version, step, data = (packets.V5 if data[0] & 1 else packets.V311), 1 + (data[0] >> 1) % 60, data[1:]
    whole = _read(version, [data])
    pieces = _read(version, [data[at : at + step] for at in range(0, len(data), step)])
    assert whole == pieces, "what the network cuts otherwise is read otherwise"
    for read in (packets.connack, packets.answered, packets.subscribed, packets.farewell):
        try:
            read(version, data)
        except MalformedPacket:
            continue


def _read(version: int, pieces: list[bytes]) -> tuple[list[object], bytes, bool]:
    found: list[object] = []
    reader = Reader(
        version,
        message=lambda topic, payload, retained: found.append((topic, bytes(payload), retained)),
        other=lambda kind, flags, body: found.append((kind, flags, bytes(body))),
    )
    answers = b""
    for piece in pieces:
        try:
            answers += reader.feed(piece)
        except MalformedPacket:
            return found, b"", True  # acknowledgements of a buffer that ends in nonsense are not sent
    assert all(len(one[1]) <= KEPT_BYTES for one in found if isinstance(one, tuple) and isinstance(one[1], bytes))
    return found, answers, False


def messages(data: bytes) -> None:
    """A payload. The first byte says its kind and whether its node has said what it is."""
    if not data:
        return
    kind, node, payload = KINDS[(data[0] >> 1) % len(KINDS)], ("known" if data[0] & 1 else "stranger"), data[1:]
    arrival = Arrival(Topic("v1", "test", node, kind, ""), Incoming("", payload, False, 0))
    (found,) = _DECODER.decode([arrival])
    if not isinstance(found, Readable):
        return
    frames = found.data.frames
    assert len(found.judged) == len(frames)
    now_ns = time.time_ns()
    for frame, judged in zip(frames, found.judged, strict=True):
        assert all(math.isfinite(value) for value in judged.values.values()), judged
        assert judged.values.items() <= frame.v.items(), "a value that nobody sent"
        assert node == "stranger" or judged.values.keys() | judged.quality.keys() <= _LIMITS["known"].keys(), "a point that nobody declared"
        left_out = (
            (frame.v.keys() | {point for point, text in frame.q.items() if text != "good"}) - judged.values.keys() - judged.quality.keys()
        )
        assert not left_out or found.refusals, f"{left_out} is neither stored nor refused"
    admitted = admit(node, frames, found.judged, now_ns=now_ns, skew_ns=0, shift_ns=0)
    assert all(0 < frame.time_ns < 1 << 63 for frame in admitted.frames)


def topics(data: bytes) -> None:
    """A topic's name."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse(text)
    except ValueError:
        return
    assert text.split("/")[2:4] == [found.site, found.node]


@settings(database=None, deadline=None)
@given(mutated(), st.booleans())
def structured(message: tuple[str, bytes], known: bool) -> None:
    """Messages that are almost right: bytes become decisions of a strategy, so that what is reached is behind the JSON."""
    kind, payload = message
    messages(bytes(((KINDS.index(kind) << 1) | known,)) + payload)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "mqtt": mqtt,
    "messages": messages,
    "structured": structured.hypothesis.fuzz_one_input,  # type: ignore[attr-defined]
    "topics": topics,
}
