"""The ISA-18.2 state machine: the documented table is the code's, and no sequence of triggers breaks the rules."""

import re
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contract.alarms import TABLE, State, Status, Step, Trigger, step

DOCUMENT = Path(__file__).parents[2] / "docs" / "alarm-states.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (.*?) ?\|$", re.MULTILINE)
SPECIAL = re.compile(r"`(\w+)` when the (alarm latches|condition holds|alarm is not shelvable)")

HOLDS = {State.UNACKNOWLEDGED, State.ACKNOWLEDGED}
CLEARED = {State.NORMAL, State.RETURNED, State.LATCHED_UNACKNOWLEDGED, State.LATCHED_ACKNOWLEDGED}
HIDDEN = {State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE}
LATCHED = {State.LATCHED_UNACKNOWLEDGED, State.LATCHED_ACKNOWLEDGED}
CONSISTENT = [Status(state, active) for state in State for active in (False, True) if state in HIDDEN or active == (state in HOLDS)]

Special = dict[str, State]


def documented() -> dict[tuple[State, Trigger], tuple[State, Special]]:
    rows = {}
    for before, trigger, after, special in ROW.findall(DOCUMENT.read_text("utf-8")):
        key = (State(before), Trigger(trigger))
        assert key not in rows, f"{key} stands twice"
        rows[key] = (State(after), {when: State(state) for state, when in SPECIAL.findall(special)})
    return rows


DOCUMENTED = documented()


def test_the_documented_rows_are_those_of_the_table() -> None:
    assert {key: after for key, (after, _) in DOCUMENTED.items()} == TABLE


@pytest.mark.parametrize("status", CONSISTENT, ids=str)
@pytest.mark.parametrize("trigger", Trigger)
@pytest.mark.parametrize(("latching", "shelvable"), list(product((False, True), repeat=2)))
def test_every_step_is_as_documented(status: Status, trigger: Trigger, latching: bool, shelvable: bool) -> None:
    taken = step(status, trigger, latching=latching, shelvable=shelvable)
    active = {Trigger.ACTIVATE: True, Trigger.CLEAR: False}.get(trigger, status.active)
    expected, special = DOCUMENTED.get((status.state, trigger), (status.state, {}))
    if latching:
        expected = special.get("alarm latches", expected)
    if active:
        expected = special.get("condition holds", expected)
    if not shelvable:
        expected = special.get("alarm is not shelvable", expected)
    assert taken.status == Status(expected, active)
    assert taken.changed == (taken.status != status)
    assert (taken.reason in {"accepted", "condition_changed"}) == taken.changed


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("trigger", Trigger)
def test_it_is_total_even_for_a_status_that_contradicts_itself(state: State, active: bool, trigger: Trigger) -> None:
    for latching, shelvable in product((False, True), repeat=2):
        taken = step(Status(state, active), trigger, latching=latching, shelvable=shelvable)
        assert isinstance(taken, Step)
        assert taken.status.state in State
        assert re.fullmatch(r"[a-z_]+", taken.reason)


@given(st.sampled_from(CONSISTENT), st.sampled_from(Trigger), st.booleans(), st.booleans())
def test_a_trigger_repeated_changes_nothing(status: Status, trigger: Trigger, latching: bool, shelvable: bool) -> None:
    once = step(status, trigger, latching=latching, shelvable=shelvable)
    twice = step(once.status, trigger, latching=latching, shelvable=shelvable)
    assert (twice.status, twice.changed) == (once.status, False)


@pytest.mark.parametrize(
    ("latching", "triggers", "states"),
    [
        (False, "activate acknowledge clear", "unacknowledged acknowledged normal"),
        (False, "activate clear acknowledge", "unacknowledged returned_unacknowledged normal"),
        (False, "activate clear activate acknowledge", "unacknowledged returned_unacknowledged unacknowledged acknowledged"),
        (True, "activate clear acknowledge reset", "unacknowledged latched_unacknowledged latched_acknowledged normal"),
        (True, "activate acknowledge clear reset", "unacknowledged acknowledged latched_acknowledged normal"),
        (True, "activate clear reset", "unacknowledged latched_unacknowledged latched_unacknowledged"),
        (True, "activate acknowledge clear activate", "unacknowledged acknowledged latched_acknowledged unacknowledged"),
        (False, "activate acknowledge shelve unshelve", "unacknowledged acknowledged shelved unacknowledged"),
        (False, "activate shelve clear unshelve", "unacknowledged shelved shelved normal"),
        (False, "shelve activate suppress unsuppress", "shelved shelved suppressed unacknowledged"),
        (False, "suppress activate remove clear activate restore", "suppressed suppressed " + "out_of_service " * 3 + "unacknowledged"),
    ],
)
def test_a_day_in_the_control_room(latching: bool, triggers: str, states: str) -> None:
    status, seen = Status(), []
    for trigger in triggers.split():
        status = step(status, Trigger(trigger), latching=latching).status
        seen.append(str(status.state))
    assert seen == states.split()


class Alarm(RuleBasedStateMachine):
    """Any triggers in any order, with a plain record beside of what has happened."""

    @initialize(latching=st.booleans(), shelvable=st.booleans())
    def begin(self, latching: bool, shelvable: bool) -> None:
        self.latching, self.shelvable = latching, shelvable
        self.status = Status()
        self.condition = False
        self.acknowledged = False  # since the last announcement
        self.reset = False

    @rule(trigger=st.sampled_from(Trigger))
    def trigger(self, trigger: Trigger) -> None:
        before = self.status
        taken = step(before, trigger, latching=self.latching, shelvable=self.shelvable)
        self.status = taken.status
        if trigger in (Trigger.ACTIVATE, Trigger.CLEAR):
            self.condition = trigger is Trigger.ACTIVATE
        if trigger is Trigger.ACKNOWLEDGE:
            self.acknowledged = True
        if self.status.state is State.UNACKNOWLEDGED and before.state is not State.UNACKNOWLEDGED:
            self.acknowledged = False
        if before.state in HOLDS | LATCHED and self.latching and self.status.state is State.NORMAL:
            assert trigger is Trigger.RESET
        if self.status.state is State.ACKNOWLEDGED and before.state is not State.ACKNOWLEDGED:
            assert (before.state, trigger) == (State.UNACKNOWLEDGED, Trigger.ACKNOWLEDGE)
        assert taken.changed == (self.status != before)

    @invariant()
    def condition_is_tracked(self) -> None:
        assert self.status.active == self.condition

    @invariant()
    def state_and_condition_agree(self) -> None:
        assert self.status in CONSISTENT

    @invariant()
    def acknowledged_means_that_somebody_did(self) -> None:
        if self.status.state in (State.ACKNOWLEDGED, State.LATCHED_ACKNOWLEDGED):
            assert self.acknowledged

    @invariant()
    def only_what_latches_is_latched_and_only_what_may_be_is_shelved(self) -> None:
        assert self.latching or self.status.state not in LATCHED
        assert not self.latching or self.status.state is not State.RETURNED
        assert self.shelvable or self.status.state is not State.SHELVED


TestAnySequence = Alarm.TestCase
TestAnySequence.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
