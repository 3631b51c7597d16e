"""Bytes from the broker to messages: many PUBLISH out of one buffer, whatever way the network has cut them."""

from collections.abc import Callable

from gateway.mqtt import MalformedPacket
from gateway.mqtt.packets import PUBLISH, V5, read_varint

KEPT_BYTES = 2 << 20  # of one packet: more than any message that is accepted, so that what is cut here is refused as too large
_KNOWN_TOPICS = 50_000
_LONGEST_HEAD = 5  # bytes: the type and a length of four

Message = Callable[[str, bytes, bool], None]
Other = Callable[[int, int, bytes], None]


class Reader:
    """``feed`` calls ``message(topic, payload, retained)`` for each PUBLISH and ``other(type, flags, body)`` for each packet of another kind.

    Both are called in the order of arrival and must not raise. A packet beyond `KEPT_BYTES` is handed on cut to that size, and the rest of it is
    passed over: memory is bounded, and the message can still be refused aloud.
    """

    def __init__(self, version: int, *, message: Message, other: Other) -> None:
        self._version = version
        self._message = message
        self._other = other
        self._rest = bytearray()
        self._wanted = 0  # bytes that the packet at the beginning of the rest needs
        self._skip = 0
        self._topics: dict[bytes, str] = {}

    def feed(self, data: bytes) -> bytes:
        """Takes what came and returns the PUBACKs that are due for it. Raises MalformedPacket, and is of no use afterwards."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return b""
            data = bytes(self._rest)
            self._rest.clear()
        try:
            return self._read(data)
        except UnicodeDecodeError:
            raise MalformedPacket("a topic that is no UTF-8") from None

    def _read(self, data: bytes) -> bytes:  # noqa: PLR0912 - one loop: a call for each message would cost as much as all the rest
        at, size = 0, len(data)
        acknowledgements: list[bytes] = []
        topics, message, five = self._topics, self._message, self._version == V5
        while size - at >= 2:
            head, length, body = data[at], data[at + 1], at + 2
            if length >= 128:
                try:
                    length, body = read_varint(data, at + 1)
                except IndexError:
                    break
            end = body + length
            if end > size:
                if end - at > KEPT_BYTES and size - at >= KEPT_BYTES:
                    self._skip, end = end - size, at + KEPT_BYTES
                    size = end
                else:
                    self._wanted = min(end - at, KEPT_BYTES)
                    break
            if head >> 4 != PUBLISH:
                self._other(head >> 4, head & 15, data[body:end])
                at = end
                continue
            after = body + 2
            if after > end:
                raise MalformedPacket("a PUBLISH without a topic")
            payload = after + (data[body] << 8 | data[body + 1])
            raw = data[after:payload]
            if head & 6:
                if head & 6 != 2:
                    raise MalformedPacket("a PUBLISH at a QoS that was not asked for")
                acknowledgements.append(data[payload : payload + 2])
                payload += 2
            if five:
                if payload < end and data[payload] == 0:
                    payload += 1
                else:
                    payload = _after_properties(data, payload, end)
            if payload > end:
                raise MalformedPacket("a PUBLISH that is shorter than its topic says")
            topic = topics.get(raw)
            if topic is None:
                topic = self._topic(raw)
            message(topic, data[payload:end], head & 1 == 1)
            at = end
        if at < size:
            self._rest += data[at:size]
            if len(self._rest) < _LONGEST_HEAD:
                self._wanted = 0
        return b"".join([b"\x40\x02" + one for one in acknowledgements])

    def _topic(self, raw: bytes) -> str:
        topic = raw.decode()
        if not raw:
            raise MalformedPacket("a PUBLISH with an empty topic")
        if len(self._topics) >= _KNOWN_TOPICS:
            self._topics.clear()
        self._topics[raw] = topic
        return topic


def _after_properties(data: bytes, at: int, end: int) -> int:
    if at >= end:
        raise MalformedPacket("a PUBLISH that is shorter than its topic says")
    try:
        length, after = read_varint(data, at)
    except IndexError:
        raise MalformedPacket("a PUBLISH whose properties are cut off") from None
    return after + length
