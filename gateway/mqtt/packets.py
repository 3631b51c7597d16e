"""Packets of MQTT 5 and 3.1.1: those that are sent, and what the answers mean. Section numbers are those of the OASIS standard for MQTT 5.0."""

from typing import NamedTuple

from gateway.mqtt import MalformedPacket

V311, V5 = 4, 5

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP, DISCONNECT = 2, 3, 4, 9, 13, 14
PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
FAILED = 0x80  # reason codes from here on
NOT_THE_VERSION = {1, 0x84}

_REASONS = {  # 2.4
    0x01: "unacceptable protocol version",
    0x02: "identifier rejected",
    0x03: "server unavailable",
    0x04: "wrong user name or password",
    0x05: "not authorised",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "refused by this broker's implementation",
    0x84: "protocol version not supported",
    0x85: "client identifier not valid",
    0x86: "wrong user name or password",
    0x87: "not authorised",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8D: "keep alive timeout",
    0x8E: "session taken over by another client of the same name",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x93: "receive maximum exceeded",
    0x95: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x99: "payload format invalid",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
    0xA2: "wildcard subscriptions not supported",
}
_FIXED = {  # 2.2.2.2: bytes of each property that is no string; strings and pairs are read by their own length
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
_STRINGS = {0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F}
_PAIR, _SUBSCRIPTION = 0x26, 0x0B


def reason(code: int) -> str:
    """A reason code in words."""
    return _REASONS.get(code, f"reason code 0x{code:02X}")


class Answer(NamedTuple):
    """What a CONNACK says: ``code`` 0 is yes. The limits are the broker's, for what we send (3.2.2.3)."""

    code: int
    said: str = ""
    receive_maximum: int = 65_535
    maximum_packet: int = 268_435_460
    maximum_qos: int = 1
    retains: bool = True
    keepalive: int | None = None


def varint(value: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (128 if value else 0))
        if not value:
            return bytes(encoded)


def read_varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """The integer and the place after it. Raises MalformedPacket where it has more than four bytes, IndexError where it is cut off."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
        if shift > 21:
            raise MalformedPacket("a length of more than four bytes")


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    if len(raw) > 65_535:
        raise ValueError(f"{len(raw)} bytes where MQTT has room for 65,535")
    return len(raw).to_bytes(2, "big") + raw


def _packet(head: int, body: bytes) -> bytes:
    return bytes((head,)) + varint(len(body)) + body


class Will(NamedTuple):
    """What the broker publishes for a client that is gone without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


def connect(
    version: int, client: str, *, keepalive: int, username: str | None = None, password: str | None = None, will: Will | None = None
) -> bytes:
    """CONNECT with a clean start (3.1). Raises ValueError for a text that is too long."""
    flags = 0x02
    properties = b"\x00" if version == V5 else b""
    payload = _text(client)
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        payload += properties + _text(will.topic) + _text(will.payload)
    if username is not None:
        flags |= 0x80
        payload += _text(username)
    if password is not None:
        flags |= 0x40
        payload += _text(password)
    return _packet(0x10, _text("MQTT") + bytes((version, flags)) + keepalive.to_bytes(2, "big") + properties + payload)


def subscribe(version: int, packet_id: int, topic: str, qos: int) -> bytes:
    """SUBSCRIBE to one filter (3.8). With MQTT 5 the broker does not send us what we published ourselves (3.8.3.1, No Local)."""
    options = qos | (0x04 if version == V5 else 0)
    return _packet(0x82, packet_id.to_bytes(2, "big") + (b"\x00" if version == V5 else b"") + _text(topic) + bytes((options,)))


def publish(version: int, topic: str, payload: bytes, *, retain: bool, packet_id: int | None) -> bytes:
    """PUBLISH, at QoS 1 with a packet id and at QoS 0 without (3.3)."""
    identifier = b"" if packet_id is None else packet_id.to_bytes(2, "big")
    head = 0x30 | (0 if packet_id is None else 2) | retain
    return _packet(head, _text(topic) + identifier + (b"\x00" if version == V5 else b"") + payload)


def goodbye(version: int, code: int = 0) -> bytes:
    """DISCONNECT (3.14); a reason travels with MQTT 5 alone."""
    return bytes((0xE0, 1, code)) if code and version == V5 else GOODBYE


def connack(version: int, body: bytes) -> Answer:
    """Reads a CONNACK. Raises MalformedPacket."""
    if len(body) < 2:
        raise MalformedPacket("a CONNACK that is cut off")
    code = body[1]
    if version != V5 or len(body) == 2:  # a broker of 3.1.1 answers in its own form
        return Answer(code)
    found = properties(body, 2)
    number = {name: int.from_bytes(value, "big") for name, value in found.items() if name in _FIXED}
    if number.get(0x21) == 0 or number.get(0x27) == 0:
        raise MalformedPacket("a CONNACK with a receive maximum or a maximum packet size of 0")
    return Answer(
        code,
        found.get(0x1F, b"").decode(errors="replace"),
        number.get(0x21, 65_535),
        number.get(0x27, 268_435_460),
        number.get(0x24, 1),
        bool(number.get(0x25, 1)),
        number.get(0x13),
    )


def answered(version: int, body: bytes) -> tuple[int, int]:
    """Packet id and reason code of a PUBACK or a SUBACK of one filter. Raises MalformedPacket."""
    if len(body) < 2:
        raise MalformedPacket("an acknowledgement that is cut off")
    code = body[2] if version == V5 and len(body) > 2 else 0
    return int.from_bytes(body[:2], "big"), code


def subscribed(version: int, body: bytes) -> tuple[int, int]:
    """Packet id and code of a SUBACK to one filter: the QoS that was granted, or a failure. Raises MalformedPacket."""
    if len(body) < 3:
        raise MalformedPacket("a SUBACK that is cut off")
    return int.from_bytes(body[:2], "big"), body[-1]


def farewell(version: int, body: bytes) -> str:
    """What the broker's DISCONNECT says."""
    code = body[0] if body else 0
    said = properties(body, 1).get(0x1F, b"").decode(errors="replace") if version == V5 and len(body) > 1 else ""
    text = reason(code) if code else "normal disconnection"
    return f"{text} ({said})" if said else text


def properties(body: bytes, at: int) -> dict[int, bytes]:
    """The properties from ``at`` on by identifier, raw; of a repeated one the last. Raises MalformedPacket."""
    try:
        length, at = read_varint(body, at)
        end = at + length
        if end > len(body):
            raise MalformedPacket("properties that are cut off")
        found: dict[int, bytes] = {}
        while at < end:
            name = body[at]
            first = at + 1
            at = _after_property(body, name, first)
            found[name] = body[first + 2 : at] if name in _STRINGS else body[first:at]
    except IndexError:
        raise MalformedPacket("properties that are cut off") from None
    if at != end:
        raise MalformedPacket("properties that are longer than they say")
    return found


def _after_property(body: bytes, name: int, at: int) -> int:
    if name in _FIXED:
        return at + _FIXED[name]
    if name in _STRINGS:
        return at + 2 + (body[at] << 8 | body[at + 1])
    if name == _PAIR:
        at += 2 + (body[at] << 8 | body[at + 1])
        return at + 2 + (body[at] << 8 | body[at + 1])
    if name == _SUBSCRIPTION:
        return read_varint(body, at)[1]
    raise MalformedPacket(f"an unknown property 0x{name:02X}")
