"""The outbox: what put returned for is on disk, numbers have no gaps, and a damaged, full or overfull file is survived."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.alarms import AlarmEvent, Transition
from contract.messages import Alarm, Data, ReadingFrame, decode
from edge.errors import Fatal, Misconfigured, Retry
from edge.known import peek
from edge.memory_line import MemoryLine
from edge.outbox import Outbox
from edge.stored import ALARM, DATA, Stored
from edge.thinning import thin
from tests.campaigns.outbox_kills import campaign


@contextmanager
def opened(folder: Path, **settings: int) -> Iterator[Outbox]:
    outbox = Outbox(folder, **settings)
    try:
        yield outbox
    finally:
        outbox.close()


def frames(first: int, count: int = 1) -> list[ReadingFrame]:
    return [ReadingFrame(1_764_000_000_000 + number, {"a/b": float(number)}) for number in range(first, first + count)]


def event(definition: str, transition: Transition, number: int = 1) -> AlarmEvent:
    return AlarmEvent(f"E{number}", definition, "n", "a/b", 1_764_000_000_000_000_000, transition, 7.5)


def all_of(outbox: Outbox) -> list[Stored]:
    return outbox.take(None, 100_000)


def test_messages_come_back_in_order_as_the_wire_wants_them(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        stored = outbox.put([frames(1), frames(2)], [event("hot", Transition.ACTIVE)])
        assert [(message.seq, message.kind) for message in stored] == [(1, ALARM), (2, DATA), (3, DATA)]
        assert all_of(outbox) == stored
        assert outbox.take(1, 1) == stored[1:2]
        alarm = decode(stored[0].wire(5), Alarm)
        assert (alarm.boot, alarm.seq, alarm.sent, alarm.event.definition, alarm.event.value) == (outbox.boot, 1, 5, "hot", 7.5)
        data = decode(stored[1].wire(6), Data)
        assert (data.boot, data.seq, data.sent, data.frames) == (outbox.boot, 2, 6, frames(1))


def test_what_is_acknowledged_is_not_taken_and_goes_with_the_next_put(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(number) for number in range(10)])
        outbox.done(outbox.boot, [(1, 3), (6, 6)])
        assert [message.seq for message in all_of(outbox)] == [4, 5, 7, 8, 9, 10]
        assert [message.seq for message in outbox.take(3, 3)] == [4, 5, 7]
        assert outbox.level().depth == 10
        outbox.put([frames(10)])
        assert outbox.level().depth == 7
        assert [message.seq for message in all_of(outbox)] == [4, 5, 7, 8, 9, 10, 11]
        outbox.done("another boot", [(1, 100)])
        assert len(all_of(outbox)) == 7


def test_the_level_counts_bytes_as_they_come_and_go(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        assert outbox.level()[:3] == (0, 0, 0.0)
        outbox.put([frames(1, 50)])
        first = outbox.level()
        assert first.bytes > 1000
        outbox.done(outbox.boot, [(1, 1)])
        outbox.put([])
        assert outbox.level().bytes == 0


def test_a_restart_resumes_the_line_of_numbers_even_when_all_was_delivered(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(1), frames(2)])
        outbox.done(outbox.boot, [(1, 2)])
        boot = outbox.boot
    with opened(tmp_path) as outbox:
        assert outbox.boot == boot
        assert all_of(outbox) == []
        assert outbox.last_seq == 2
        assert [message.seq for message in outbox.put([frames(3)])] == [3]


def test_a_lost_file_begins_a_new_boot_at_one(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(1)])
        boot = outbox.boot
    (tmp_path / "outbox.db").unlink()
    with opened(tmp_path) as outbox:
        assert outbox.boot != boot
        assert [message.seq for message in outbox.put([frames(2)])] == [1]
        assert outbox.recovered == ""


def test_standing_alarms_are_part_of_the_commit(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([], [event("hot", Transition.ACTIVE, 1), event("low", Transition.ACTIVE, 2)])
        outbox.put([], [event("low", Transition.NORMAL, 3)])
    with opened(tmp_path) as outbox:
        assert set(outbox.known().standing) == {"hot"}
        assert outbox.known().standing["hot"].event == "E1"
        assert outbox.known().standing["hot"].since_ns == 1_764_000_000_000_000_000


def test_a_file_that_is_no_database_is_moved_aside_and_kept(tmp_path: Path) -> None:
    damage = b"this is no database at all" * 10
    (tmp_path / "outbox.db").write_bytes(damage)
    with opened(tmp_path) as outbox:
        assert outbox.put([frames(1)])[0].seq == 1
        (kept,) = tmp_path.glob("outbox.db.damaged-*")
        assert kept.read_bytes() == damage
        assert kept.name in outbox.recovered


def test_what_is_readable_of_a_damaged_file_goes_on_under_its_own_boot(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(number * 100, 100) for number in range(60)], [event("hot", Transition.ACTIVE)])
        boot = outbox.boot
    path = tmp_path / "outbox.db"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    with opened(tmp_path) as outbox:
        assert outbox.recovered
        assert outbox.boot != boot
        saved = all_of(outbox)
        assert 10 < len(saved) < 61
        assert {message.boot for message in saved} == {boot}
        assert [message.seq for message in saved] == sorted(message.seq for message in saved)
        assert saved[0].kind == ALARM
        for message in saved[1:]:
            assert len(decode(message.wire(1), Data).frames) == 100
        new = outbox.put([frames(1)])
        assert (new[0].boot, new[0].seq) == (outbox.boot, 1)
        assert all_of(outbox)[-1] == new[0]
        outbox.done(boot, [(1, 1000)])
        outbox.put([])
        assert all_of(outbox) == new
        assert outbox.level().depth == 1


def test_damage_found_while_running_stops_the_node_and_the_next_start_recovers(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(number * 100, 100) for number in range(1000)])  # more than SQLite keeps in its page cache
    with opened(tmp_path) as outbox:
        path = tmp_path / "outbox.db"
        size = path.stat().st_size
        with path.open("r+b") as file:  # behind the back of the open connection, as a dying card does
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        outbox.done(outbox.boot, [(1, 1000)])
        with pytest.raises(Fatal, match="the next start"):
            outbox.put([frames(1, 100)])
    with opened(tmp_path) as again:
        assert again.recovered
        assert again.put([frames(1)])[0].seq == 1
        assert not (tmp_path / "outbox.suspect").exists()


def test_a_full_disk_is_a_retry_that_loses_nothing_and_no_number(tmp_path: Path) -> None:
    with opened(tmp_path, max_pages=192) as outbox:
        stored: list[Stored] = []
        with pytest.raises(Retry, match="the disk is full"):
            put_until_refused(outbox, stored)
        number = len(stored)
        level = outbox.level()
        with pytest.raises(Retry):
            outbox.put([frames(number, 20)], [event("hot", Transition.ACTIVE)])
        assert outbox.level().depth == level.depth == len(stored)
        assert outbox.known().standing == {}
        outbox.done(outbox.boot, [(1, 10)])
        assert outbox.put([frames(number, 20)])[0].seq == len(stored) + 1
        assert [message.seq for message in all_of(outbox)] == list(range(11, len(stored) + 2))


def put_until_refused(outbox: Outbox, stored: list[Stored]) -> None:
    for number in range(1000):
        stored += outbox.put([frames(number, 20)])


def test_two_agents_do_not_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(Misconfigured, match="another agent"):
        Outbox(tmp_path)
    with opened(tmp_path) as outbox:
        assert outbox.last_seq == 0


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="data_dir"):
        Outbox(tmp_path / "file" / "data")


def test_above_the_limit_the_oldest_data_are_thinned_and_no_number_is_missing(tmp_path: Path) -> None:
    limit = 200_000
    with opened(tmp_path, max_bytes=limit) as outbox:
        for number in range(300):
            outbox.put([frames(number * 40, 40)], [event("hot", Transition.ACTIVE if number % 2 else Transition.NORMAL, number)])
            assert outbox.level().bytes <= limit + 5_000
        saved = all_of(outbox)
        assert [message.seq for message in saved] == list(range(1, 601))
        events = [message for message in saved if message.kind == ALARM]
        assert len(events) == 300
        counts = [len(decode(message.wire(1), Data).frames) for message in saved if message.kind == DATA]
        assert counts[-1] == 40, "the newest are whole"
        assert max(counts[:100]) < 40, "the oldest are thinned"
        assert outbox.thinned == 300 * 40 - sum(counts)


def test_only_alarm_events_stay_whole_when_nothing_else_is_left(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=2_000) as outbox:
        for number in range(30):
            outbox.put([frames(number)], [event("hot", Transition.ACTIVE, number)])
        for _ in range(20):
            outbox.put([frames(1000)])
        saved = all_of(outbox)
        assert [message.seq for message in saved] == list(range(1, 81))
        assert sum(message.kind == ALARM for message in saved) == 30
        assert saved[1].payload == b"[]"


def test_thinning_halves_until_nothing_is_left() -> None:
    kept = frames(0, 8)
    counts = []
    for level in range(8):
        kept = thin(kept, 0, level)
        counts.append(len(kept))
    assert counts == [4, 2, 1, 1, 1, 1, 1, 0]
    single = [place for place in range(16) if thin(thin(frames(0), place, 0), place, 1)]
    assert single == [0, 4, 8, 12], "of messages with one frame, a quarter keep theirs after two visits"


@pytest.mark.timeout(120)
def test_twenty_kills_lose_nothing_that_put_returned_for(tmp_path: Path) -> None:
    tally = campaign(tmp_path, kills=20, seed=7)
    assert tally.problems == []
    assert tally.commits > 100
    assert tally.events > 20
    assert tally.thinned > 0


def test_messages_from_memory_keep_their_numbers_behind_those_of_the_file_and_its_own_line_goes_on(tmp_path: Path) -> None:
    memory = MemoryLine()
    with opened(tmp_path) as outbox:
        outbox.put([frames(1), frames(2)])
        memory.put([frames(3)], [event("hot", Transition.ACTIVE)])
        memory.put([frames(4)])
        memory.done([(2, 2)])
        assert [message.seq for message in memory.messages()] == [1, 3]
        new = outbox.put([frames(5)], rescued=memory.messages(), happened=memory.happened())
        assert [(message.boot, message.seq) for message in new] == [(outbox.boot, 3)]
    for _ in range(2):
        with opened(tmp_path) as outbox:
            assert outbox.boots == {outbox.boot, memory.boot}
            assert outbox.last_seq == 3
            assert outbox.known().standing.keys() == {"hot"}
            found = [(message.boot == outbox.boot, message.seq) for message in all_of(outbox)]
            assert found == [(True, 1), (True, 2), (False, 1), (False, 3), (True, 3)]
    with opened(tmp_path) as outbox:
        outbox.done(memory.boot, [(1, 3)])
        outbox.done(outbox.boot, [(2, 3)])
        outbox.put([])
        assert [(message.boot, message.seq) for message in all_of(outbox)] == [(outbox.boot, 1)]
        assert outbox.put([frames(6)])[0].seq == 4
        assert outbox.level().depth == 2


def test_what_was_acknowledged_during_a_long_refusal_costs_no_memory(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        outbox.put([frames(number) for number in range(50)])
        for number in range(1, 50):
            outbox.done(outbox.boot, [(number, number)])
            outbox.done("of a file that is gone", [(number, number)])
        assert outbox._acknowledged.all() == [(outbox.boot, 1, 49)]
        assert [message.seq for message in all_of(outbox)] == [50]


def test_a_file_that_cannot_be_written_is_still_read_for_what_stands(tmp_path: Path) -> None:
    assert peek(tmp_path) == ({}, {}, {})
    with opened(tmp_path) as outbox:
        outbox.put([], [event("hot", Transition.ACTIVE), event("mute", Transition.SUPPRESS, 2)])
        outbox.remember({"vibration": "state"})
    known = peek(tmp_path)
    assert (set(known.standing), known.suppressed, known.memories) == ({"hot"}, {"mute": "a/b"}, {"vibration": "state"})
