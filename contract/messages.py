"""The JSON messages of WIRE version 1. Unknown keys are ignored, known ones are checked; `schemas/` and `asyncapi.yaml` say the same to others."""

import gzip
import re
import zlib
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec

from contract import CONTRACT_VERSION
from contract.alarms import AlarmDefinition, AlarmEvent, Priority, SignalClass, State, Transition
from contract.values import GOOD, POINT, Quality, Reading

MAX_BYTES = 1 << 20  # as received
MAX_INFLATED_BYTES = 8 << 20  # after gzip: a bomb stops here
MAX_POINTS = 20_000

Boot = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}$", description="Names one line of sequence numbers")]
Seq = Annotated[int, msgspec.Meta(ge=1, le=(1 << 53) - 1, description="From 1 at each boot, without gaps")]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=253402300799999, description="Unix time in milliseconds, UTC; a fraction is allowed")]


class ContractError(ValueError):
    """A message that is refused. ``reason`` is one word for counters, ``where`` the place in the payload, the text says what would be right."""

    def __init__(self, reason: str, where: str, detail: str) -> None:
        super().__init__(f"{detail} (at {where})" if where else detail)
        self.reason = reason
        self.where = where
        self.detail = detail


class PointDeclaration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point, declared once in the birth. ``kind``: analog, digital, counter or score; ``range``: [low, high] in ``unit``."""

    unit: str
    kind: str = "analog"
    range: tuple[float, float] | None = None
    asset: str = ""
    description: dict[str, str] = {}
    period: float | None = None  # seconds between readings, where the node knows


class Standing(msgspec.Struct, frozen=True):
    """An alarm whose condition holds at birth, so that a gateway that was away knows it without history."""

    definition: str
    since: Milliseconds
    event: str  # the id of the event that raised it


class Birth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node is: published retained at each connection."""

    boot: Boot
    software: str
    contract: int
    points: dict[str, PointDeclaration]
    sent: Milliseconds
    alarms: list[AlarmDefinition] = []
    standing: list[Standing] = []


class NodeState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a node is online; the broker publishes the offline one as the node's will."""

    online: bool
    boot: Boot
    since: Milliseconds
    clock_synchronised: bool | None = None


class ReadingFrame(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Readings of one instant: values by point, and the quality of those that are not good. A point only in ``q`` was not read."""

    t: Milliseconds
    v: dict[str, float] = {}
    q: dict[str, str] = {}


class Data(msgspec.Struct, frozen=True):
    """A batch of readings."""

    boot: Boot
    seq: Seq
    frames: list[ReadingFrame]
    sent: Milliseconds | None = None


class WireEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alarm event as it travels; the node is in the topic."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    definition: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    point: str
    t: Milliseconds
    transition: Transition
    value: float | None = None
    quality: str = "good"
    evidence: list[str] = []


class Alarm(msgspec.Struct, frozen=True):
    """One alarm event, in the same line of sequence numbers as the data, so that nothing overtakes."""

    boot: Boot
    seq: Seq
    event: WireEvent
    sent: Milliseconds | None = None


class Ack(msgspec.Struct, frozen=True):
    """What the gateway has committed to disk: ranges of ``seq``, both ends included."""

    boot: Boot
    ranges: list[tuple[int, int]]


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway refused, from whom, where in the payload and why."""

    topic: str
    reason: str
    where: str
    detail: str
    received: Milliseconds
    boot: str | None = None
    seq: int | None = None


class Command(msgspec.Struct, frozen=True):
    """A command to a node; ``ttl`` in seconds. Idempotent by ``id``."""

    id: str
    name: str
    ttl: float
    sent: Milliseconds
    arguments: dict[str, float | str | bool | None] = {}


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command went: ``accepted``, ``done``, ``rejected`` or ``expired``."""

    id: str
    status: str
    detail: str = ""


class GatewayAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """The current state of one alarm that is not normal, retained by the gateway."""

    key: str
    node: str
    definition: str
    point: str
    state: State
    active: bool
    priority: Priority
    signal_class: SignalClass
    since: Milliseconds
    value: float | None = None
    acknowledged_by: str | None = None


Message = Birth | NodeState | Data | Alarm | Ack | Reject | Command | Result | GatewayAlarm
BY_KIND: dict[str, type[Birth | NodeState | Data | Alarm | Ack | Command | Result]] = {
    "birth": Birth,
    "state": NodeState,
    "data": Data,
    "alarm": Alarm,
    "ack": Ack,
    "cmd": Command,
    "result": Result,
}

_T = TypeVar("_T")
_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[object]] = {}


def encode(message: Message) -> bytes:
    """The message as compact JSON, UTF-8."""
    return _encoder.encode(message)


def inflate(payload: bytes) -> bytes:
    """The payload, decompressed if its first two bytes say gzip. Raises ContractError ``oversized`` or ``malformed``."""
    if len(payload) > MAX_BYTES:
        raise ContractError("oversized", "", f"{len(payload)} bytes: a message has at most {MAX_BYTES}")
    if payload[:2] != b"\x1f\x8b":
        return payload
    try:
        stream = zlib.decompressobj(wbits=31)
        plain = stream.decompress(payload, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise ContractError("malformed", "gzip", f"the payload begins like gzip but does not decompress: {error}") from None
    if stream.unconsumed_tail:
        raise ContractError("oversized", "gzip", f"more than {MAX_INFLATED_BYTES} bytes after decompression")
    if not stream.eof:
        raise ContractError("malformed", "gzip", "the gzip stream is truncated")
    return plain


def deflate(payload: bytes) -> bytes:
    """The payload as gzip, level 1."""
    return gzip.compress(payload, compresslevel=1)


def decode(payload: bytes, kind: type[_T]) -> _T:
    """The message of one kind. Raises ContractError whose ``reason`` is oversized, not_utf8, malformed, wrong_shape or contract_version."""
    plain = inflate(payload)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message = decoder.decode(plain)
    except msgspec.ValidationError as error:
        detail, _, where = str(error).partition(" - at `")
        raise ContractError("wrong_shape", where.rstrip("`"), detail) from None
    except msgspec.DecodeError as error:
        raise _not_json(plain, str(error)) from None
    except UnicodeDecodeError as error:
        raise ContractError("not_utf8", f"byte {error.start}", "the payload is not UTF-8") from None
    except RecursionError:
        raise ContractError("malformed", "", "JSON nested too deeply") from None
    if isinstance(message, Birth):
        _check_birth(message)
    return message  # type: ignore[return-value]


def _not_json(plain: bytes, text: str) -> ContractError:
    try:
        plain.decode()
    except UnicodeDecodeError as error:
        return ContractError("not_utf8", f"byte {error.start}", "the payload is not UTF-8")
    position = re.search(r"\(byte (\d+)\)", text)
    return ContractError("malformed", f"byte {position[1]}" if position else "", f"not JSON: {text}")


def _check_birth(birth: Birth) -> None:
    if birth.contract != CONTRACT_VERSION:
        raise ContractError("contract_version", "$.contract", f"contract {birth.contract}: this side speaks {CONTRACT_VERSION}")
    if len(birth.points) > MAX_POINTS:
        raise ContractError("oversized", "$.points", f"{len(birth.points)} points: a node has at most {MAX_POINTS}")
    for name in birth.points:
        if not POINT.fullmatch(name):
            raise ContractError("wrong_shape", "$.points", f"point {name!r}: write asset/signal, for example pump-3/process/flow")


def to_ms(time_ns: int) -> float:
    """Unix nanoseconds as the milliseconds of the wire; whole ones stay integers in JSON."""
    ms, rest = divmod(time_ns, 1_000_000)
    return ms if rest == 0 else time_ns / 1e6


def to_ns(ms: float) -> int:
    """The milliseconds of the wire as Unix nanoseconds."""
    return int(ms) * 1_000_000 + round((ms % 1) * 1e6)


def frames_of(readings: Iterable[Reading]) -> list[ReadingFrame]:
    """Readings grouped by instant, in the order in which the instants first appear."""
    frames: dict[int, ReadingFrame] = {}
    for reading in readings:
        frame = frames.get(reading.time_ns)
        if frame is None:
            frame = frames[reading.time_ns] = ReadingFrame(to_ms(reading.time_ns), {}, {})
        if reading.value is not None:
            frame.v[reading.point] = reading.value
        if not reading.quality.good:
            frame.q[reading.point] = str(reading.quality)
    return list(frames.values())


def readings_of(frame: ReadingFrame) -> list[Reading]:
    """The readings of one frame. Raises ContractError for a quality that is none, or a point in ``q`` alone that claims to be good."""
    time_ns = to_ns(frame.t)
    quality: dict[str, Quality] = {}
    for point, text in frame.q.items():
        try:
            quality[point] = Quality.parse(text)
        except ValueError as error:
            raise ContractError("wrong_shape", f"$.frames[...].q[{point!r}]", str(error)) from None
    readings = [Reading(point, time_ns, value, quality.pop(point, GOOD)) for point, value in frame.v.items()]
    readings += [Reading(point, time_ns, None, q) for point, q in quality.items()]
    return readings


def event_to_wire(event: AlarmEvent) -> WireEvent:
    return WireEvent(
        event.id,
        event.definition,
        event.point,
        to_ms(event.time_ns),
        event.transition,
        event.value,
        str(event.quality),
        list(event.evidence),
    )


def event_from_wire(node: str, event: WireEvent) -> AlarmEvent:
    """The event as the gateway keeps it. Raises ContractError for a quality or point that is none."""
    try:
        quality = Quality.parse(event.quality)
    except ValueError as error:
        raise ContractError("wrong_shape", "$.event.quality", str(error)) from None
    if not POINT.fullmatch(event.point):
        raise ContractError("wrong_shape", "$.event.point", f"point {event.point!r}: write asset/signal")
    return AlarmEvent(
        event.id,
        event.definition,
        node,
        event.point,
        to_ns(event.t),
        event.transition,
        event.value,
        quality,
        tuple(event.evidence),
    )
