"""Where an alarm stands after each thing that happened to it: a fold over events and actions in the order of their own times. Pure."""

from typing import NamedTuple

import msgspec

from contract.alarms import State, Status, Transition, Trigger, step

_TRIGGERS = {
    Transition.ACTIVE: Trigger.ACTIVATE,
    Transition.NORMAL: Trigger.CLEAR,
    Transition.SUPPRESS: Trigger.SUPPRESS,
    Transition.UNSUPPRESS: Trigger.UNSUPPRESS,
}


class Fold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm after some part of its history. Times are Unix nanoseconds.

    ``unseen``: it went from normal to unacknowledged by late events only, and nobody has done anything about it since.
    """

    state: State = State.NORMAL
    active: bool = False
    unseen: bool = False
    since_ns: int = 0  # when the condition last began to hold
    event: str = ""  # the event that said so
    evidence: tuple[str, ...] = ()
    first_up: bool = False
    returned_ns: int | None = None
    value: float | None = None
    quality: str = "good"
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    shelved_by: str | None = None
    shelved_until_ns: int | None = None
    note: str = ""

    @property
    def status(self) -> Status:
        return Status(self.state, self.active)


class Happening(NamedTuple):
    """An event when ``transition`` is set, else an action. ``tie`` orders what has the same time: events by id, then actions by number."""

    at_ns: int
    tie: str | int
    trigger: Trigger
    transition: Transition | None = None
    value: float | None = None
    quality: str = "good"
    evidence: tuple[str, ...] = ()
    late: bool = False
    who: str = ""
    note: str = ""
    until_ns: int | None = None
    first_up: bool = False


def trigger_of(transition: Transition) -> Trigger:
    return _TRIGGERS[transition]


def follow(before: Fold, happening: Happening, *, latching: bool) -> Fold:
    """The alarm after one more happening.

    The states are ISA-18.2's. One rule is added for what arrives after the fact: an alarm that was raised and returned in late events only,
    from normal to normal, asks nobody for an acknowledgement. It stays in the history.
    """
    if happening.transition is not None:
        return _event(before, happening, latching=latching)
    return _action(before, happening, latching=latching)


def _event(before: Fold, event: Happening, *, latching: bool) -> Fold:
    answer = step(before.status, event.trigger, latching=latching)
    state, active = answer.status
    change = msgspec.structs.replace
    if event.trigger in {Trigger.SUPPRESS, Trigger.UNSUPPRESS}:
        return _suppression(before, event)
    if event.trigger is Trigger.ACTIVATE:
        unseen = event.late and (before.unseen or before.state is State.NORMAL)
        after = change(before, state=state, active=active, unseen=unseen, value=event.value, quality=event.quality)
        if before.active:  # said again: the first one stands
            return after
        return change(
            after,
            since_ns=event.at_ns,
            event=str(event.tie),
            evidence=event.evidence,
            first_up=event.first_up,
            returned_ns=None,
            acknowledged_by=None,
            acknowledged_ns=None,
        )
    unseen = before.unseen and event.late
    if unseen and state is State.RETURNED:
        state = step(answer.status, Trigger.ACKNOWLEDGE).status.state
    returned_ns = event.at_ns if before.active else before.returned_ns
    return change(before, state=state, active=active, unseen=unseen, returned_ns=returned_ns, value=event.value, quality=event.quality)


def _suppression(before: Fold, event: Happening) -> Fold:
    """The node's own suppression by design. It has a time of its own, so that the page can say since when."""
    answer = step(before.status, event.trigger)
    if not answer.changed:  # said again, as after a restart of the node
        return before
    state, active = answer.status
    after = msgspec.structs.replace(before, state=state, active=active, shelved_by=None, shelved_until_ns=None)
    if state is State.NORMAL:
        return after
    return msgspec.structs.replace(after, unseen=False, since_ns=event.at_ns, event=str(event.tie), first_up=False)


def _action(before: Fold, action: Happening, *, latching: bool) -> Fold:
    answer = step(before.status, action.trigger, latching=latching)
    if not answer.changed:  # it was possible when it was done, and a late event has since shown that there was nothing to do
        return before
    state, active = answer.status
    after = msgspec.structs.replace(before, state=state, active=active, unseen=False, note=action.note)
    if action.trigger is Trigger.ACKNOWLEDGE:
        return msgspec.structs.replace(after, acknowledged_by=action.who, acknowledged_ns=action.at_ns)
    if action.trigger is Trigger.SHELVE:
        return msgspec.structs.replace(after, shelved_by=action.who, shelved_until_ns=action.until_ns)
    if before.state is State.SHELVED:
        return msgspec.structs.replace(after, shelved_by=None, shelved_until_ns=None)
    return after
