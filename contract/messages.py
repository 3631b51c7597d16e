"""The JSON messages of WIRE version 1. Unknown keys are ignored, known ones are checked; `schemas/` and `asyncapi.yaml` say the same to others."""

from typing import Annotated, TypeVar

import msgspec

from contract import CONTRACT_VERSION
from contract.alarms import (
    AlarmDefinition,
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
from contract.values import POINT, whole

__all__ = [
    "BY_KIND",
    "MAX_BYTES",
    "MAX_INFLATED_BYTES",
    "MAX_POINTS",
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
    "ModelFigure",
    "ModelUse",
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
    "inflate",
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


Texts = Annotated[dict[str, str], msgspec.Meta(description="By language: es, en")]


class PointDeclaration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point, declared once in the birth. ``kind``: analog, digital, counter or score; ``range``: [low, high] in ``unit``."""

    unit: Annotated[str, msgspec.Meta(description="As contract/units.py writes it: ppm, %vol, mm/s, degC; 1 where there is none")]
    kind: Annotated[str, msgspec.Meta(pattern=whole("(analog|digital|counter|score)"))] = "analog"
    range: Annotated[tuple[float, float], msgspec.Meta(description="[low, high] in the unit of the point")] | None = None
    asset: str = ""
    description: Texts = {}
    period: Annotated[float, msgspec.Meta(ge=0, description="Seconds between readings, where the node knows")] | None = None


class Standing(msgspec.Struct, frozen=True):
    """An alarm whose condition holds at birth, so that a gateway that was away knows it without history."""

    definition: DefinitionId
    since: Milliseconds
    event: UniqueId  # the id of the event that raised it


class ModelFigure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A figure of a model's quality with its 95 % interval, on data that it had not learned from; beside it what simpler ways reach there."""

    name: str
    value: float
    low: float
    high: float
    data: str = ""
    split: str = ""
    baselines: dict[str, float] = {}


class ModelUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that runs on the node, the points that it writes, and what its card says. ``threshold``: where its output begins to mean something."""

    name: str
    version: str
    sha256: Annotated[str, msgspec.Meta(pattern=whole("[0-9a-f]{64}"))]
    points: list[PointName]
    purpose: Texts = {}
    threshold: float | None = None
    why: Annotated[dict[str, str], msgspec.Meta(description="Why that threshold, by language: es, en")] = {}
    data: Annotated[list[str], msgspec.Meta(description="What it learned from and was judged on")] = []
    figures: list[ModelFigure] = []
    fails: Annotated[list[Texts], msgspec.Meta(description="What it is known not to see, or to see wrongly")] = []
    shadow: Annotated[bool, msgspec.Meta(description="Its card wants alarms on it tried out before they alert anybody")] = False
    candidate: Annotated[bool, msgspec.Meta(description="It runs beside the model in use and alarms nobody")] = False


class Birth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node is: published retained at each connection."""

    boot: Boot
    software: str
    contract: Annotated[int, msgspec.Meta(description="The version of this contract: 1", extra_json_schema={"const": CONTRACT_VERSION})]
    points: Annotated[dict[str, PointDeclaration], msgspec.Meta(description="Every point once, by name", extra_json_schema=_POINTS_AS_KEYS)]
    sent: Milliseconds
    alarms: list[AlarmDefinition] = []
    standing: list[Standing] = []
    models: list[ModelUse] = []


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


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the gateway has committed to disk: ranges of ``seq``, both ends included; and the events whose evidence it keeps."""

    boot: Boot
    ranges: Annotated[list[tuple[Seq, Seq]], msgspec.Meta(description="[first, last], first <= last")]
    evidence: list[str] = []


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
