"""The inbox: nothing of a node is reordered, nobody waits for a node that floods, and what is held is bounded."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from contract.topics import VERSION, Topic
from gateway.decoding import Decoder, Readable, Unreadable
from gateway.inbox import BATCH, BUDGET_BYTES, SMALLEST, TURN_BYTES, TURN_MESSAGES, Arrival, Budget, Inbox
from gateway.session import Incoming

LIMITS = {"gas-2/co": (0.0, 500.0), "gas-2/o2": (0.0, 25.0)}


def arrival(node: str, number: int, size: int = 100, kind: str = "data") -> Arrival:
    return Arrival(Topic(VERSION, "mine", node, kind), Incoming(f"muki/v1/mine/{node}/{kind}", b"x" * size, False, number))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 200_000)), max_size=200))
def test_everything_comes_out_once_and_in_each_nodes_order(messages: list[tuple[str, int]]) -> None:
    inbox = Inbox(1 << 40)
    for number, (node, size) in enumerate(messages):
        assert inbox.put(arrival(node, number, size)) == 0
    out: list[Arrival] = []
    while len(inbox):
        batch = inbox.take()
        assert 0 < len(batch) <= BATCH + TURN_MESSAGES
        out += batch
        for one in batch:
            inbox.charge(one.topic.node, len(one.incoming.payload))
    assert sorted(one.incoming.received_ns for one in out) == list(range(len(messages)))
    for node in "abc":
        mine = [one.incoming.received_ns for one in out if one.topic.node == node]
        assert mine == sorted(mine)


def test_a_flood_waits_for_itself() -> None:
    inbox = Inbox()
    for number in range(5_000):
        inbox.put(arrival("flood", number))
    inbox.put(arrival("good", 1))
    assert any(one.topic.node == "good" for one in inbox.take()[: TURN_MESSAGES + 1])


def test_who_sends_bombs_is_passed_over_while_others_have_something() -> None:
    inbox = Inbox()
    inbox.charge("bomb", 30 * TURN_BYTES)
    for number in range(10):
        inbox.put(arrival("bomb", number))
        inbox.put(arrival("good", number))
    first = inbox.take()
    assert {one.topic.node for one in first} == {"good"}
    assert {one.topic.node for one in inbox.take()} == {"bomb"}, "when nobody else waits it is served all the same"


def test_what_is_held_is_bounded_and_the_one_who_holds_most_pays() -> None:
    inbox = Inbox(100_000)
    inbox.put(arrival("good", 0))
    dropped = sum(inbox.put(arrival("flood", number, 1_000)) for number in range(1_000))
    held = []
    while len(inbox):
        held += inbox.take()
    assert [one for one in held if one.topic.node == "good"]
    assert dropped + len(held) == 1_001
    assert sum(len(one.incoming.payload) for one in held) <= 100_000


def test_an_alarm_behind_an_alarm_that_waits_does_not_overtake_it() -> None:
    inbox = Inbox()
    inbox.put(arrival("a", 1))
    assert not inbox.others_wait("a")
    inbox.put(arrival("a", 2, kind="alarm"))
    assert inbox.others_wait("a")
    assert not inbox.others_wait("b")
    inbox.take()
    assert not inbox.others_wait("a")


def test_a_budget_is_spent_and_comes_back() -> None:
    budget, small = Budget(), Incoming("t", b"x", False, 0)
    spent = sum(budget.allows(small, "a") for _ in range(10_000))
    assert spent == BUDGET_BYTES // SMALLEST
    assert budget.allows(small, "b")
    assert budget.allows(small._replace(received_ns=1_000_000_000), "a"), "a second later"


def readable(*payloads: bytes) -> list[object]:
    decoder = Decoder(lambda node: LIMITS if node == "a" else None)
    some = [arrival("a", number)._replace(incoming=Incoming("t", payload, False, number)) for number, payload in enumerate(payloads)]
    return list(decoder.decode(some))


@given(st.lists(st.lists(st.dictionaries(st.sampled_from([*LIMITS, "gas-9/x"]), st.floats(-600, 600)), max_size=4), max_size=5))
def test_many_at_once_are_judged_as_one_by_one(messages: list[list[dict[str, float]]]) -> None:
    payloads = [
        json.dumps({"boot": "b", "seq": seq + 1, "sent": 1, "frames": [{"t": 1e12, "v": values} for values in frames]}).encode()
        for seq, frames in enumerate(messages)
    ]
    together = readable(*payloads)
    assert together == [
        one._replace(arrival=one.arrival._replace(incoming=one.arrival.incoming._replace(received_ns=place)))
        for place, payload in enumerate(payloads)
        for one in readable(payload)
        if isinstance(one, Readable)
    ]


def test_a_bomb_is_unreadable_and_costs_what_it_is() -> None:
    (bomb, cut, good) = readable(
        gzip.compress(b"0" * (64 << 20)), b'{"boot": "b", "seq": 7', gzip.compress(b'{"boot":"b","seq":1,"sent":1,"frames":[]}')
    )
    assert isinstance(bomb, Unreadable)
    assert bomb.error.reason == "oversized"
    assert bomb.size > TURN_BYTES
    assert isinstance(cut, Unreadable)
    assert cut.number == ("b", 7)
    assert isinstance(good, Readable)
