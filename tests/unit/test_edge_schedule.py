"""What to send next: live first, history throttled behind it, unacknowledged messages again and again, alarms past everything."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import SECOND
from edge.schedule import ALARMS, HISTORY_AFTER, RESERVE, WINDOW, Choice, Schedule
from edge.stored import ALARM, DATA, Stored

BOOT = "B1"


def message(number: int, kind: int = DATA) -> Stored:
    return Stored(number, BOOT, number, kind, 0, b"[]")


def messages(first: int, last: int, kind: int = DATA) -> list[Stored]:
    return [message(number, kind) for number in range(first, last + 1)]


def schedule(**settings: float) -> Schedule:
    return Schedule(0, lambda: 0.0, **settings)  # type: ignore[arg-type]


def send_all(plan: Schedule, now_ns: int) -> list[int]:
    sent = []
    for chosen in plan.choose(now_ns).send:
        plan.sent(chosen, now_ns)
        sent.append(chosen.id)
    return sent


def test_live_goes_before_history_and_alarms_before_data() -> None:
    plan = schedule()
    plan.found(messages(1, 5), 100)
    plan.put([*messages(6, 7), message(8, ALARM)])
    assert send_all(plan, SECOND) == [8, 6, 7]
    assert send_all(plan, SECOND) == [1, 2, 3, 4, 5]


def test_history_waits_for_the_first_live_message_but_not_for_ever() -> None:
    plan = schedule()
    plan.found(messages(1, 5), 100)
    before = round(HISTORY_AFTER * SECOND) - 1
    assert plan.choose(before) == Choice([], 0, before + 1)
    assert send_all(plan, before + 1) == [1, 2, 3, 4, 5]


def test_choosing_changes_nothing() -> None:
    plan = schedule()
    plan.put(messages(1, 3))
    assert plan.choose(0) == plan.choose(0)
    assert send_all(plan, 0) == [1, 2, 3]
    assert plan.choose(0).send == []


def test_history_takes_at_most_half_of_the_window_and_the_rate() -> None:
    plan = schedule(window=20, history_rate=10)
    plan.found(messages(1, 100), 100)
    begin = round(HISTORY_AFTER * SECOND)
    assert send_all(plan, begin) == [1]
    assert plan.choose(begin).wake_ns == begin + SECOND // 10
    sent: list[int] = []
    for tenth in range(1, 19):
        sent += send_all(plan, begin + tenth * SECOND // 10)
    assert sent == list(range(2, 11)), "ten in flight are half of the window"
    plan.put(messages(101, 120))
    assert send_all(plan, begin + 18 * SECOND // 10) == list(range(101, 111)), "live data have the other half"


def test_the_window_bounds_data_but_alarms_have_a_reserve() -> None:
    plan = schedule()
    plan.put(messages(1, WINDOW))
    assert len(send_all(plan, 0)) == WINDOW
    plan.put([message(WINDOW + 1), *messages(WINDOW + 2, WINDOW + 2 + RESERVE, ALARM)])
    assert send_all(plan, 0) == list(range(WINDOW + 2, WINDOW + 2 + RESERVE))
    plan.acknowledged(BOOT, [(1, 60)], SECOND)
    assert send_all(plan, SECOND) == [WINDOW + 2 + RESERVE, WINDOW + 1]


def test_unacknowledged_messages_go_again_later_and_later() -> None:
    plan = schedule()
    plan.put([message(1)])
    times = []
    now = 0
    for _ in range(8):
        assert send_all(plan, now) == [1]
        times.append(now / SECOND)
        wake = plan.choose(now).wake_ns
        assert wake is not None
        assert send_all(plan, wake - 1) == []
        now = wake
    assert times == [0, 2, 6, 14, 30, 62, 122, 182]


def test_an_acknowledgement_ends_it_and_wakes_what_had_backed_off() -> None:
    plan = schedule()
    plan.put(messages(1, 3))
    now = 0
    for _ in range(5):
        send_all(plan, now)
        now = plan.choose(now).wake_ns or 0
    assert plan.acknowledged("another boot", [(1, 3)], now) == 0
    assert plan.acknowledged(BOOT, [(2, 2)], now) == 1
    assert send_all(plan, now + 2 * SECOND) == [1, 3]
    assert plan.acknowledged(BOOT, [(1, 9)], now) == 2
    assert plan.choose(now).wake_ns is None


def test_the_timeout_follows_a_gateway_that_commits_slowly() -> None:
    plan = schedule()
    for number in range(1, 20):
        plan.put([message(number)])
        send_all(plan, number * 10 * SECOND)
        plan.acknowledged(BOOT, [(number, number)], number * 10 * SECOND + 5 * SECOND)
    assert 5 < plan.timeout < 10


def test_live_data_that_find_no_room_become_history() -> None:
    plan = schedule(window=10)
    plan.found([], 100)
    plan.put(messages(1, 30))
    assert send_all(plan, 0) == list(range(21, 31))
    plan.acknowledged(BOOT, [(21, 30)], 0)
    assert plan.choose(0).fetch > 0
    plan.found(messages(1, 20), 100)
    assert send_all(plan, SECOND) == [1, 2, 3, 4, 5]


def test_what_is_in_flight_is_not_taken_twice() -> None:
    plan = schedule()
    plan.put(messages(3, 4))
    send_all(plan, SECOND)
    plan.found(messages(1, 4), 100)
    plan.put(messages(3, 4))
    assert send_all(plan, SECOND) == [1, 2]
    assert plan.cursor == 4
    assert plan.choose(SECOND).fetch == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400), st.integers(1, 300))
def test_everything_is_sent_until_it_is_acknowledged(seed: int, backlog: int, live: int) -> None:
    """A lossy link and a slow gateway against a simulated disk: at the end every message has arrived and none is in flight."""
    chance = random.Random(seed)
    disk = {number: message(number) for number in range(1, backlog + 1)}
    plan = Schedule(0, chance.random, window=20)
    arrived: set[int] = set()
    now = 0
    for step in range(20_000):
        now += SECOND // 20
        if live and chance.random() < 0.5:
            live -= 1
            new = message(backlog + 1 + step, ALARM if chance.random() < 0.1 else DATA)
            disk[new.id] = new
            plan.put([new])
        choice = plan.choose(now)
        assert plan.in_flight <= 20 + RESERVE
        if choice.fetch and not choice.send:
            rows = [disk[number] for number in sorted(disk) if plan.cursor is None or number > plan.cursor]
            plan.found(rows[: choice.fetch], choice.fetch)
        for chosen in choice.send:
            plan.sent(chosen, now)
            if chance.random() < 0.8:
                arrived.add(chosen.id)
                if chance.random() < 0.8:
                    plan.acknowledged(BOOT, [(chosen.id, chosen.id)], now)
                    disk.pop(chosen.id, None)
        if not disk and not live:
            break
    assert not disk
    assert plan.in_flight == 0


def test_a_flood_of_alarm_events_waits_on_the_disk_and_not_in_memory() -> None:
    plan = schedule()
    plan.found([], 100)
    flood = messages(1, ALARMS + 500, ALARM)
    for one in flood:
        plan.put([one])
    first = send_all(plan, SECOND)
    assert len(first) == WINDOW + RESERVE
    assert first[0] == 501, "the oldest above the limit are fetched again"
    seen = set(first)
    now = SECOND
    for _ in range(10_000):
        now += SECOND // 20
        plan.acknowledged(BOOT, [(number, number) for number in seen], now)
        choice = plan.choose(now)
        if choice.fetch:
            after = plan.cursor or 0
            plan.found([one for one in flood if one.id > after and one.id not in seen][: choice.fetch], choice.fetch)
        seen |= set(send_all(plan, now))
        if len(seen) == len(flood):
            break
    assert seen == {one.id for one in flood}, "and none is left out"


def test_after_a_rewind_the_history_is_looked_through_again_and_what_is_known_is_not_sent_twice() -> None:
    plan = schedule()
    plan.put(messages(5, 6))
    assert send_all(plan, SECOND) == [5, 6]
    plan.found(messages(3, 4), 100)
    assert plan.choose(SECOND).fetch == 0
    assert send_all(plan, SECOND) == [3, 4]
    plan.rewind()
    assert plan.cursor is None
    assert plan.choose(SECOND).fetch > 0
    plan.found(messages(1, 6), 100)
    assert send_all(plan, 2 * SECOND) == [1, 2]
