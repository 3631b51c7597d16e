"""The ledger: its ranges are a set of numbers written shorter, and what it says survives the process."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from gateway.database import open_database
from gateway.ledger import Entry, Gap, Ledger, add, contains, missing

SEQS = st.lists(st.integers(1, 60), max_size=80)


def opened(path: Path) -> Engine:
    return open_database(f"sqlite:///{path / 'ledger.db'}")


@given(st.lists(SEQS, max_size=6))
def test_ranges_are_a_set(batches: list[list[int]]) -> None:
    ranges: list[tuple[int, int]] = []
    reference: set[int] = set()
    for batch in batches:
        ranges = add(ranges, batch)
        reference |= set(batch)
        assert {seq for first, last in ranges for seq in range(first, last + 1)} == reference
        assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges)), "disjoint, sorted, not adjacent"
        assert all(contains(ranges, seq) == (seq in reference) for seq in range(63))
        holes = {seq for first, last in missing(ranges) for seq in range(first, last + 1)}
        assert holes == set(range(1, max(reference, default=0))) - reference


@given(st.lists(SEQS, min_size=1, max_size=4))
def test_what_is_committed_is_known_by_the_next_process(tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]) -> None:
    engine = opened(tmp_path_factory.mktemp("ledger"))
    ledger = Ledger(engine)
    for batch in batches:
        ledger.commit(Entry("pump-3", "b1", seq) for seq in batch)
    reopened = Ledger(engine)
    assert reopened.ranges("pump-3", "b1") == ledger.ranges("pump-3", "b1") == add((), [seq for batch in batches for seq in batch])
    engine.dispose()


def test_gaps_and_report_tell_boots_apart(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    ledger = Ledger(engine)
    ledger.commit([Entry("pump-3", "b1", seq) for seq in (1, 2, 5)])
    ledger.commit([Entry("pump-3", "b2", 3), Entry("fan-1", "b9", 1)])
    assert ledger.gaps("pump-3") == [Gap("b1", 3, 4), Gap("b2", 1, 2)]
    assert ledger.gaps("fan-1") == ledger.gaps("nobody") == []
    lines = {(line.node, line.boot): (line.committed, line.last, line.missing) for line in ledger.report()}
    assert lines == {("pump-3", "b1"): (3, 5, 2), ("pump-3", "b2"): (1, 3, 2), ("fan-1", "b9"): (1, 1, 0)}
    assert ledger.known("pump-3", "b1", 5)
    assert not ledger.known("pump-3", "b1", 4)
    assert not ledger.known("pump-3", "b3", 1)
    engine.dispose()


def test_a_shift_of_the_times_is_noted_when_it_changes(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    ledger = Ledger(engine)
    ledger.commit([Entry("pump-3", "b1", seq, 3_600_000_000_000) for seq in (1, 2, 3)])
    ledger.commit([Entry("pump-3", "b1", 4), Entry("pump-3", "b1", 5)])
    assert ledger.shifts("pump-3") == [("b1", 1, 3_600_000_000_000), ("b1", 4, 0)]
    engine.dispose()


def test_old_boots_are_forgotten(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    ledger = Ledger(engine)
    for boot in range(130):
        ledger.commit([Entry("pump-3", f"b{boot:03}", 1)])
    for one in (ledger, Ledger(engine)):
        boots = [line.boot for line in one.report()]
        assert len(boots) == 100
        assert boots[0] == "b030"
        assert boots[-1] == "b129"
    engine.dispose()
