"""The JSON messages of WIRE version 1. Unknown keys are ignored, known ones are checked; `schemas/` and `asyncapi.yaml` say the same to others."""

import math
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec

from contract import CONTRACT_VERSION
from contract.alarms import (
    AlarmDefinition,
    AlarmEvent,
    ConditionKind,
    DefinitionId,
    PointName,
    Priority,
    Seconds,
    SignalClass,
    State,
    Transition,
)
from contract.payload import MAX_BYTES, MAX_INFLATED_BYTES, ContractError, deflate, from_json, inflate
from contract.values import GOOD, POINT, Level, Quality, Reading, bad, whole

__all__ = [
    "BY_KIND",
    "MAX_BYTES",
    "MAX_INFLATED_BYTES",
    "MAX_POINTS",
    "NOT_FINITE",
    "NOT_READ",
    "QUALITY_PATTERN",
    "Ack",
    "Alarm",
    "Birth",
    "Boot",
    "Command",
    "ContractError",
    "Data",
    "GatewayAlarm",
    "Message",
    "Milliseconds",
    "NodeState",
    "PointDeclaration",
    "QualityText",
    "ReadingFrame",
    "Reject",
    "Result",
    "Seq",
    "Standing",
    "UniqueId",
    "WireEvent",
    "decode",
    "deflate",
    "encode",
    "event_from_wire",
    "event_to_wire",
    "frames_of",
    "inflate",
    "readings_of",
    "to_ms",
    "to_ns",
]

MAX_POINTS = 20_000

QUALITY_PATTERN = r"(good|(uncertain|bad)(:[a-z][a-z0-9_]{0,31})?)"
_POINTS_AS_KEYS = {"propertyNames": {"pattern": whole(POINT.pattern)}}

Boot = Annotated[str, msgspec.Meta(pattern=whole(r"[0-9A-Za-z-]{1,64}"), description="Names one line of sequence numbers")]
UniqueId = Annotated[str, msgspec.Meta(pattern=whole(r"[0-9A-Za-z-]{1,64}"), description="Unique for ever: a repeated one is recognised")]
QualityText = Annotated[
    str,
    msgspec.Meta(
        description="good, uncertain:reason or bad:reason",
        extra_json_schema={"pattern": whole(QUALITY_PATTERN)},
    ),
]
Seq = Annotated[int, msgspec.Meta(ge=1, le=(1 << 53) - 1, description="From 1 at each boot, without gaps")]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=253402300799999, description="Unix time in milliseconds, UTC; a fraction is allowed")]


class PointDeclaration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point, declared once in the birth. ``kind``: analog, digital, counter or score; ``range``: [low, high] in ``unit``."""

    unit: Annotated[str, msgspec.Meta(description="As contract/units.py writes it: ppm, %vol, mm/s, degC; 1 where there is none")]
    kind: Annotated[str, msgspec.Meta(pattern=whole("(analog|digital|counter|score)"))] = "analog"
    range: Annotated[tuple[float, float], msgspec.Meta(description="[low, high] in the unit of the point")] | None = None
    asset: str = ""
    description: Annotated[dict[str, str], msgspec.Meta(description="By language: es, en")] = {}
    period: Annotated[float, msgspec.Meta(ge=0, description="Seconds between readings, where the node knows")] | None = None


class Standing(msgspec.Struct, frozen=True):
    """An alarm whose condition holds at birth, so that a gateway that was away knows it without history."""

    definition: DefinitionId
    since: Milliseconds
    event: UniqueId  # the id of the event that raised it


class Birth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node is: published retained at each connection."""

    boot: Boot
    software: str
    contract: Annotated[int, msgspec.Meta(description="The version of this contract: 1", extra_json_schema={"const": CONTRACT_VERSION})]
    points: Annotated[dict[str, PointDeclaration], msgspec.Meta(description="Every point once, by name", extra_json_schema=_POINTS_AS_KEYS)]
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
    v: Annotated[dict[str, float], msgspec.Meta(description="Values by point", extra_json_schema=_POINTS_AS_KEYS)] = {}
    q: Annotated[
        dict[str, QualityText],
        msgspec.Meta(description="Quality by point, where it is not good", extra_json_schema=_POINTS_AS_KEYS),
    ] = {}


class Data(msgspec.Struct, frozen=True):
    """A batch of readings."""

    boot: Boot
    seq: Seq
    frames: list[ReadingFrame]
    sent: Milliseconds | None = None


class WireEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alarm event as it travels; the node is in the topic."""

    id: UniqueId
    definition: DefinitionId
    point: PointName
    t: Milliseconds
    transition: Transition
    value: float | None = None
    quality: QualityText = "good"
    evidence: list[str] = []
    first_up: Annotated[bool, msgspec.Meta(description="The first to become active in its group, which was all normal until then")] = False


class Alarm(msgspec.Struct, frozen=True):
    """One alarm event, in the same line of sequence numbers as the data, so that nothing overtakes."""

    boot: Boot
    seq: Seq
    event: WireEvent
    sent: Milliseconds | None = None


class Ack(msgspec.Struct, frozen=True):
    """What the gateway has committed to disk: ranges of ``seq``, both ends included."""

    boot: Boot
    ranges: Annotated[list[tuple[Seq, Seq]], msgspec.Meta(description="[first, last], first <= last")]


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

    id: UniqueId
    name: str
    ttl: Seconds
    sent: Milliseconds
    arguments: dict[str, float | str | bool | None] = {}


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command went: ``accepted``, ``done``, ``rejected`` or ``expired``."""

    id: UniqueId
    status: Annotated[str, msgspec.Meta(pattern=whole("(accepted|done|rejected|expired)"))]
    detail: str = ""


class GatewayAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """The current state of one alarm that is not normal, retained by the gateway."""

    key: str
    node: str
    definition: DefinitionId
    point: PointName
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


def encode(message: Message) -> bytes:
    """The message as compact JSON, UTF-8."""
    return _encoder.encode(message)


def decode(payload: bytes, kind: type[_T]) -> _T:
    """The message of one kind. Raises ContractError whose ``reason`` is oversized, not_utf8, malformed, wrong_shape or contract_version."""
    plain = inflate(payload)
    try:
        message = from_json(plain, kind)
    except ContractError as error:
        if kind is Birth and error.reason == "wrong_shape":
            _refuse_other_version(plain)
        raise
    if isinstance(message, Birth):
        _check_birth(message)
    elif isinstance(message, Ack):
        _check_ack(message)
    return message


class _Version(msgspec.Struct):
    contract: int


def _refuse_other_version(plain: bytes) -> None:
    """A birth of another version may well have another shape: the version is what its author must hear of."""
    try:
        version = from_json(plain, _Version)
    except ContractError:
        return
    _check_version(version.contract)


def _check_version(contract: int) -> None:
    if contract != CONTRACT_VERSION:
        raise ContractError("contract_version", "$.contract", f"contract {contract}: this side speaks {CONTRACT_VERSION}")


def _check_ack(ack: Ack) -> None:
    for index, (first, last) in enumerate(ack.ranges):
        if first > last:
            raise ContractError("wrong_shape", f"$.ranges[{index}]", f"[{first}, {last}]: write [first, last], first <= last")


def _check_birth(birth: Birth) -> None:
    _check_version(birth.contract)
    if len(birth.points) > MAX_POINTS:
        raise ContractError("oversized", "$.points", f"{len(birth.points)} points: a node has at most {MAX_POINTS}")
    for name in birth.points:
        if not POINT.fullmatch(name):
            raise ContractError("wrong_shape", "$.points", f"point {name!r}: write asset/signal, for example pump-3/process/flow")
    seen: set[str] = set()
    for index, alarm in enumerate(birth.alarms):
        if alarm.id in seen:
            raise ContractError("wrong_shape", f"$.alarms[{index}].id", f"alarm {alarm.id!r} is defined twice; keep one")
        seen.add(alarm.id)
        if alarm.condition.limit is None and alarm.condition.kind is not ConditionKind.BAD_QUALITY:
            raise ContractError("wrong_shape", f"$.alarms[{index}].condition.limit", f"{alarm.condition.kind}: a limit is required")


NOT_READ = bad("not_read")
NOT_FINITE = bad("not_finite")


def to_ms(time_ns: int) -> float:
    """Unix nanoseconds as the milliseconds of the wire; whole ones stay integers in JSON."""
    ms, rest = divmod(time_ns, 1_000_000)
    return ms if rest == 0 else time_ns / 1e6


def to_ns(ms: float) -> int:
    """The milliseconds of the wire as Unix nanoseconds."""
    return int(ms) * 1_000_000 + round((ms % 1) * 1e6)


def frames_of(readings: Iterable[Reading]) -> list[ReadingFrame]:
    """Readings grouped by instant, in the order in which the instants first appear; of two for one point and instant the last counts.

    JSON has no NaN and no infinity: such a value is sent as not read, with the quality ``bad:not_finite`` unless it is bad already. A reading
    without a value is sent as ``bad:not_read`` where it claims to be good.
    """
    frames: dict[int, ReadingFrame] = {}
    for reading in readings:
        frame = frames.get(reading.time_ns)
        if frame is None:
            frame = frames[reading.time_ns] = ReadingFrame(to_ms(reading.time_ns), {}, {})
        frame.v.pop(reading.point, None)
        frame.q.pop(reading.point, None)
        quality = reading.quality
        if reading.value is None:
            quality = NOT_READ if quality.good else quality
        elif math.isfinite(reading.value):
            frame.v[reading.point] = reading.value
        elif quality.level is not Level.BAD:
            quality = NOT_FINITE
        if not quality.good:
            frame.q[reading.point] = str(quality)
    return list(frames.values())


def readings_of(frame: ReadingFrame) -> list[Reading]:
    """The readings of one frame.

    Raises ContractError for a name that is no point, a quality that is none, or a point in ``q`` alone that claims to be good.
    """
    if not (_known_points.issuperset(frame.v) and _known_points.issuperset(frame.q)):
        _check_points(frame)
    time_ns = to_ns(frame.t)
    quality: dict[str, Quality] = {}
    for point, text in frame.q.items():
        try:
            quality[point] = Quality.parse(text)
        except ValueError as error:
            raise ContractError("wrong_shape", f"$.frames[...].q[{point!r}]", str(error)) from None
    readings = [Reading(point, time_ns, value, quality.pop(point, GOOD)) for point, value in frame.v.items()]
    for point, q in quality.items():
        if q.good:
            raise ContractError("wrong_shape", f"$.frames[...].q[{point!r}]", "good, but without a value in v: write bad:reason")
        readings.append(Reading(point, time_ns, None, q))
    return readings


_known_points: set[str] = set()  # names that have passed: the pattern costs more than all the rest of a reading
_KNOWN_POINTS = 100_000


def _check_points(frame: ReadingFrame) -> None:
    for names, key in ((frame.v, "v"), (frame.q, "q")):
        for name in names:
            if not POINT.fullmatch(name):
                raise ContractError(
                    "wrong_shape", f"$.frames[...].{key}", f"point {name!r}: write asset/signal, for example pump-3/process/flow"
                )
    if len(_known_points) > _KNOWN_POINTS:
        _known_points.clear()
    _known_points.update(frame.v, frame.q)


def event_to_wire(event: AlarmEvent) -> WireEvent:
    """The event as it travels; a value that JSON has no number for is left out."""
    return WireEvent(
        event.id,
        event.definition,
        event.point,
        to_ms(event.time_ns),
        event.transition,
        event.value if event.value is not None and math.isfinite(event.value) else None,
        str(event.quality),
        list(event.evidence),
        event.first_up,
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
        event.first_up,
    )
