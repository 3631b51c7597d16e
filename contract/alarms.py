"""Alarm definitions, events, and the ISA-18.2 / IEC 62682 state machine, pure and shared by the node and the gateway."""

from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec

from contract.values import GOOD, POINT, Quality, whole

DEFINITION = r"[a-z0-9][a-z0-9-]{0,63}"
DefinitionId = Annotated[str, msgspec.Meta(pattern=whole(DEFINITION), description="Names an alarm of one node: a-z, 0-9 and '-'")]
PointName = Annotated[str, msgspec.Meta(pattern=whole(POINT.pattern), description="asset/signal[/part...], as declared in the birth")]
Seconds = Annotated[float, msgspec.Meta(ge=0, description="Seconds")]


class Priority(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class SignalClass(StrEnum):
    """The three classes that an operator keeps apart (30 CFR 75.351: malfunction, alert and alarm signals)."""

    ALARM = "alarm"
    ALERT = "alert"
    MALFUNCTION = "malfunction"


class ConditionKind(StrEnum):
    ABOVE = "above"  # value > limit
    BELOW = "below"  # value < limit
    EQUALS = "equals"  # value == limit: digital points
    BAD_QUALITY = "bad_quality"  # the quality is bad, whatever the value
    SILENCE = "silence"  # no reading for `limit` seconds
    RATE = "rate"  # |change| over `window` seconds > limit, in the unit of the point per `per`
    EXPRESSION = "expression"  # the result of `expression` over `points` > limit; a comparison gives 1 or 0


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """When an alarm holds. ``limit`` is in the unit of the point, in seconds for ``silence``, in the unit of the point per second or minute
    for ``rate``, that of the result for ``expression``, and absent for ``bad_quality``.

    ``window``: seconds over which a ``rate`` is taken. ``points``: which point each name in an ``expression`` means; a value older than
    ``max_age`` seconds counts as unknown.
    """

    kind: ConditionKind
    limit: float | None = None
    window: Seconds | None = None
    per: Annotated[str, msgspec.Meta(pattern=whole("(s|min)"), description="The time unit of a rate: s or min")] | None = None
    expression: str = ""
    points: dict[str, PointName] = {}
    max_age: Seconds | None = None


class Suppression(msgspec.Struct, frozen=True, omit_defaults=True):
    """When an alarm means nothing by design (ISA-18.2 clause 11.3): while ``condition`` (above, below or equals) holds at ``point``.

    It begins once the condition has held for ``on_delay`` seconds and ends at once, also when the point is bad or older than ``max_age``.
    """

    point: PointName
    condition: Condition
    on_delay: Seconds = 0.0
    max_age: Seconds = 60.0


class AlarmDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm as the site rationalised it (ISA-18.2 clause 10); ``consequence`` and ``action`` are keyed by language, es and en.

    ``deadband`` is in the unit of the limit; ``on_delay``, ``off_delay`` and ``response_time`` are in seconds. ``source`` says where the
    limit comes from. Of the alarms of one ``group`` the first to become active carries the mark ``first_up``.
    """

    id: DefinitionId
    point: PointName
    condition: Condition
    priority: Priority
    signal_class: SignalClass = SignalClass.ALARM
    deadband: Annotated[float, msgspec.Meta(ge=0, description="In the unit of the limit")] = 0.0
    on_delay: Seconds = 0.0
    off_delay: Seconds = 0.0
    title: dict[str, str] = {}
    consequence: dict[str, str] = {}
    action: dict[str, str] = {}
    response_time: Seconds | None = None
    shelvable: bool = True
    latching: bool = False
    source: str = ""
    group: str = ""
    suppress_when: Suppression | None = None
    shadow: Annotated[bool, msgspec.Meta(description="It is tried out: recorded and reviewed, and nobody is alerted")] = False


class Transition(StrEnum):
    """What a node reports: the condition began or ended to hold, or the alarm is suppressed by design from here on, or no more.

    Before ``suppress`` a node ends what is active; between ``suppress`` and ``unsuppress`` it sends no ``active``.
    """

    ACTIVE = "active"
    NORMAL = "normal"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"


class AlarmEvent(msgspec.Struct, frozen=True):
    """What changed about an alarm on its node. ``id`` is unique for ever, so that a repeated event is recognised.

    ``first_up``: the first to become active in its group, which was all normal until then.
    """

    id: str
    definition: str
    node: str
    point: str
    time_ns: int
    transition: Transition
    value: float | None = None
    quality: Quality = GOOD
    evidence: tuple[str, ...] = ()
    first_up: bool = False


def alarm_key(node: str, definition: str) -> str:
    """The name of one alarm of one node across the site; one topic level."""
    return f"{node}.{definition}"


class State(StrEnum):
    """The states of ISA-18.2-2016 figure 5, A to I."""

    NORMAL = "normal"  # A
    UNACKNOWLEDGED = "unacknowledged"  # B
    ACKNOWLEDGED = "acknowledged"  # C
    RETURNED = "returned_unacknowledged"  # D
    LATCHED_UNACKNOWLEDGED = "latched_unacknowledged"  # E
    LATCHED_ACKNOWLEDGED = "latched_acknowledged"  # F
    SHELVED = "shelved"  # G
    SUPPRESSED = "suppressed"  # H
    OUT_OF_SERVICE = "out_of_service"  # I


class Trigger(StrEnum):
    ACTIVATE = "activate"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove"
    RESTORE = "restore"


class Status(NamedTuple):
    """Where one alarm stands: its state, and whether the condition holds (which shelved and suppressed states do not tell)."""

    state: State = State.NORMAL
    active: bool = False


class Step(NamedTuple):
    """The answer of the state machine: the status after, whether it differs, and the reason in one word."""

    status: Status
    changed: bool
    reason: str


_ANNUNCIATED = (
    State.NORMAL,
    State.UNACKNOWLEDGED,
    State.ACKNOWLEDGED,
    State.RETURNED,
    State.LATCHED_UNACKNOWLEDGED,
    State.LATCHED_ACKNOWLEDGED,
)

# (state, trigger) -> state after. A pair that is not here changes nothing. Two special rows are resolved in `step`:
# leaving G, H or I goes to B or A by the condition, and CLEAR goes to the latched state when the alarm latches.
TABLE: dict[tuple[State, Trigger], State] = {
    (State.NORMAL, Trigger.ACTIVATE): State.UNACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Trigger.ACKNOWLEDGE): State.ACKNOWLEDGED,
    (State.UNACKNOWLEDGED, Trigger.CLEAR): State.RETURNED,
    (State.ACKNOWLEDGED, Trigger.CLEAR): State.NORMAL,
    (State.RETURNED, Trigger.ACTIVATE): State.UNACKNOWLEDGED,
    (State.RETURNED, Trigger.ACKNOWLEDGE): State.NORMAL,
    (State.LATCHED_UNACKNOWLEDGED, Trigger.ACTIVATE): State.UNACKNOWLEDGED,
    (State.LATCHED_UNACKNOWLEDGED, Trigger.ACKNOWLEDGE): State.LATCHED_ACKNOWLEDGED,
    (State.LATCHED_ACKNOWLEDGED, Trigger.ACTIVATE): State.UNACKNOWLEDGED,
    (State.LATCHED_ACKNOWLEDGED, Trigger.RESET): State.NORMAL,
    (State.SHELVED, Trigger.UNSHELVE): State.NORMAL,
    (State.SHELVED, Trigger.SUPPRESS): State.SUPPRESSED,
    (State.SHELVED, Trigger.REMOVE): State.OUT_OF_SERVICE,
    (State.SUPPRESSED, Trigger.UNSUPPRESS): State.NORMAL,
    (State.SUPPRESSED, Trigger.REMOVE): State.OUT_OF_SERVICE,
    (State.OUT_OF_SERVICE, Trigger.RESTORE): State.NORMAL,
    **{(state, Trigger.SHELVE): State.SHELVED for state in _ANNUNCIATED},
    **{(state, Trigger.SUPPRESS): State.SUPPRESSED for state in _ANNUNCIATED},
    **{(state, Trigger.REMOVE): State.OUT_OF_SERVICE for state in _ANNUNCIATED},
}

_LATCHED = {
    State.UNACKNOWLEDGED: State.LATCHED_UNACKNOWLEDGED,
    State.ACKNOWLEDGED: State.LATCHED_ACKNOWLEDGED,
}
_RELEASES = frozenset({Trigger.UNSHELVE, Trigger.UNSUPPRESS, Trigger.RESTORE})

_NO_EFFECT = {
    Trigger.ACTIVATE: "already_active",
    Trigger.CLEAR: "already_clear",
    Trigger.ACKNOWLEDGE: "nothing_to_acknowledge",
    Trigger.RESET: "nothing_to_reset",
    Trigger.SHELVE: "cannot_shelve_here",
    Trigger.UNSHELVE: "not_shelved",
    Trigger.SUPPRESS: "cannot_suppress_here",
    Trigger.UNSUPPRESS: "not_suppressed",
    Trigger.REMOVE: "already_out_of_service",
    Trigger.RESTORE: "in_service",
}


def step(status: Status, trigger: Trigger, *, latching: bool = False, shelvable: bool = True) -> Step:
    """The status after one trigger. Total: every status and trigger has an answer, and what has no effect says why.

    The condition is tracked in every state, so that an alarm leaving shelving, suppression or out of service comes back unacknowledged
    when its condition holds by then, and normal when it does not.
    """
    if trigger is Trigger.SHELVE and not shelvable:
        return Step(status, changed=False, reason="not_shelvable")
    active = trigger is Trigger.ACTIVATE or (status.active and trigger is not Trigger.CLEAR)
    state = TABLE.get((status.state, trigger))
    if state is None:
        if active != status.active:  # G, H and I: the condition changed behind the state
            return Step(Status(status.state, active), changed=True, reason="condition_changed")
        return Step(status, changed=False, reason=_NO_EFFECT[trigger])
    if trigger in _RELEASES and active:
        state = State.UNACKNOWLEDGED
    elif trigger is Trigger.CLEAR and latching:
        state = _LATCHED.get(status.state, state)
    return Step(Status(state, active), changed=True, reason="accepted")
