"""The shapes that the API answers with, for OpenAPI and for the checks. All times are Unix milliseconds, UTC, unless a name says otherwise."""

from pydantic import BaseModel, ConfigDict, Field

from contract.alarms import ConditionKind, Priority, SignalClass, State
from gateway.nodes import Status

Texts = dict[str, str]


class AlarmShape(BaseModel):
    """One alarm as it stands; ``limit`` is in the point's unit (per ``per`` for a rate), in seconds for ``silence``; texts are keyed by language.

    ``first_up``: of the alarms of its ``group`` it was the first to come.

    ``version`` grows with every change: of two, the higher one is the newer.
    """

    key: str
    node: str
    definition: str
    point: str
    state: State
    active: bool
    priority: Priority
    signal_class: SignalClass
    since: float
    returned: float | None
    value: float | None
    quality: str
    condition: ConditionKind
    limit: float | None
    per: str | None
    group: str
    first_up: bool
    title: Texts
    consequence: Texts
    action: Texts
    response_time: float | None
    source: str
    shelvable: bool
    acknowledged_by: str | None
    acknowledged: float | None
    shelved_by: str | None
    shelved_until: float | None
    note: str
    version: int
    event: str
    evidence: list[str]


class EntryShape(BaseModel):
    """One line of an alarm's history: an event (``active``, ``normal``; ``event`` is its id) or what somebody did (``who`` is set)."""

    cursor: str
    key: str
    node: str
    definition: str
    point: str
    at: float
    recorded: float
    what: str
    state: State
    title: Texts
    priority: Priority
    signal_class: SignalClass
    value: float | None
    quality: str
    late: bool
    event: str
    evidence: list[str]
    who: str | None
    note: str
    until: float | None
    shadow: bool


class HistoryShape(BaseModel):
    """A page, newest first; ``next`` is the ``before`` of the page behind it, null at the end."""

    entries: list[EntryShape]
    next: str | None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Acknowledgement(_Strict):
    """Who has seen it, and what they have to say about it. ``who`` is for a site without logins: with one, the name of the login counts.

    ``event`` is the alarm's event that they saw: when it came again meanwhile the answer is `came_again`. It counts for an acknowledgement.
    """

    who: str = Field(default="", max_length=100)
    note: str = Field(default="", max_length=2000)
    event: str | None = Field(default=None, max_length=64)


class Seen(_Strict):
    """An alarm, and the event of it that somebody saw."""

    key: str = Field(max_length=128)
    event: str = Field(max_length=64)


class PageAcknowledgement(_Strict):
    """Several alarms that one person answers for."""

    alarms: list[Seen] = Field(min_length=1, max_length=100)
    who: str = Field(default="", max_length=100)
    note: str = Field(default="", max_length=2000)


class Answered(BaseModel):
    """One of several: ``alarm`` as it stands now, or ``reason`` why it was not acknowledged."""

    key: str
    reason: str | None
    alarm: AlarmShape | None


class Removal(_Strict):
    """Who takes an alarm out of service, and why."""

    who: str = Field(default="", max_length=100)
    reason: str = Field(min_length=1, max_length=2000)


class Shelving(_Strict):
    """Who sets an alarm aside, why, and until when (Unix milliseconds or ISO 8601 with an offset; at most 24 hours ahead)."""

    who: str = Field(default="", max_length=100)
    reason: str = Field(min_length=1, max_length=2000)
    until: float | str


class NoticeShape(BaseModel):
    """One message that went out about an alarm."""

    event: str
    channel: str
    after: float
    sent: float


class LimitShape(BaseModel):
    """A limit that an alarm of the node's birth puts on a point, in the point's unit."""

    definition: str
    kind: ConditionKind
    limit: float
    priority: Priority


class PointShape(BaseModel):
    """A declared point and its newest reading; ``age`` is in seconds, ``period`` the seconds between readings where the node says so."""

    node: str
    point: str
    asset: str
    unit: str
    kind: str
    range: tuple[float, float] | None
    period: float | None
    description: Texts
    limits: list[LimitShape]
    value: float | None
    quality: str | None
    time: float | None
    age: float | None


class BucketShape(BaseModel):
    """One slot of a chart, named by its beginning; slots without a value are left out."""

    time: float
    minimum: float
    maximum: float
    mean: float
    samples: int


class ReadingsShape(BaseModel):
    """What a chart draws. ``width`` is the milliseconds of one slot."""

    node: str
    point: str
    unit: str
    start: float
    end: float
    width: float
    buckets: list[BucketShape]


class NodeShape(BaseModel):
    """One node; ``skew_ms`` is the gateway's clock minus the node's, ``absent`` the declared points that do not come while the node tells,
    ``models`` those that run on it, with their versions."""

    node: str
    status: Status
    boot: str
    software: str
    since: float
    last_seen: float
    points: int
    clock_synchronised: bool | None
    skew_ms: float | None
    absent: list[str]
    models: list[str]
    approved: bool


class LedgerShape(BaseModel):
    """How many messages of one boot are committed: ``committed + missing == last``; ``gaps`` are the first hundred, both ends inside."""

    node: str
    boot: str
    begun: float
    committed: int
    last: int
    missing: int
    gaps: list[tuple[int, int]]


class ReadyShape(BaseModel):
    """Whether the gateway can do its work now, part by part."""

    ready: bool
    parts: dict[str, str]


class ErrorShape(BaseModel):
    """Why not: ``reason`` for programs, ``detail`` for people."""

    reason: str
    detail: str
