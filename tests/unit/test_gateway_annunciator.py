"""The annunciator: order, retries while the database is busy, and what can never be journaled."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from sqlalchemy import Engine

from contract.alarms import AlarmDefinition, AlarmEvent, Condition, ConditionKind, Priority, State, Transition, Trigger
from gateway.alarms.journal import Arrived, Journal
from gateway.alarms.view import Recorded
from gateway.annunciator import Annunciator
from gateway.database import open_database
from gateway.ledger import Entry, Ledger
from gateway.live import LiveBus
from gateway.metrics import Metrics
from tests.rig.device import until

SECOND = 1_000_000_000
CO_HIGH = AlarmDefinition("co-high", "gas-2/co", Condition(ConditionKind.ABOVE, 25.0), Priority.HIGH)


class Picky(Journal):
    """A journal whose database refuses one event for ever, and takes its time with others."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.hold: dict[str, threading.Event] = {}

    def record_all(self, arrived: Sequence[Arrived]) -> list[Recorded]:
        for event, _, _ in arrived:
            if event.id == "poison":
                raise ValueError("no database takes this")
            if event.id in self.hold:
                self.hold[event.id].wait(15)
        return super().record_all(arrived)


class Running:
    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "journal.db"
        self.engine = open_database(f"sqlite:///{self.file}")
        self.journal = Picky(self.engine)
        self.ledger = Ledger(self.engine)
        self.metrics = Metrics()
        self.acked: list[int] = []
        self.retained: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        self.annunciator = Annunciator(
            "test",
            self.journal,
            self.ledger,
            LiveBus(),
            self.metrics,
            publish=lambda topic, payload: self.retained.append((topic, payload)),
            acknowledge=lambda entry: self.acked.append(entry.seq),
            unjournalable=lambda event, entry, reason: self.refused.append(f"{event.id}: {reason}"),
        )

    def happened(self, event_id: str, seq: int, *, active: bool = True) -> None:
        transition = Transition.ACTIVE if active else Transition.NORMAL
        now_ns = time.time_ns()
        event = AlarmEvent(event_id, "co-high", "pump-3", "gas-2/co", now_ns, transition, 40.0)
        assert self.annunciator.happened(event, received_ns=now_ns, late=False, entry=Entry("pump-3", "b1", seq))


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    one = Running(tmp_path)
    task = asyncio.create_task(one.annunciator.run(), name="annunciator")
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        one.engine.dispose()


async def test_an_event_that_nobody_can_journal_is_told_and_the_line_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        one.annunciator.declared("pump-3", [CO_HIGH], [], now_ns=time.time_ns())
        one.happened("e1", 1)
        one.happened("poison", 2)
        one.happened("e3", 3, active=False)
        await one.annunciator.drained()
        assert one.acked == [1, 3]
        assert one.refused == ["poison: no database takes this"]
        assert [view.state for view in one.journal.standing()] == [State.RETURNED]


async def test_a_busy_database_delays_and_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        with closing(sqlite3.connect(one.file, isolation_level=None)) as other:
            with one.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout=50")
            other.execute("BEGIN IMMEDIATE")
            one.happened("e1", 1)
            one.happened("e2", 2, active=False)
            await until(lambda: one.metrics.registry.get_sample_value("muki_journal_errors_total"))
            assert one.acked == []
            assert "locked" in one.annunciator.trouble
            assert one.annunciator.holds(Entry("pump-3", "b1", 1))
            other.execute("ROLLBACK")
        await one.annunciator.drained()
        assert one.acked == [1, 2]
        assert one.annunciator.trouble == ""
        assert [entry.what for entry in one.journal.history()] == ["normal", "active"]
        assert not one.annunciator.holds(Entry("pump-3", "b1", 1))


async def test_in_a_burst_the_first_alarm_does_not_wait_for_the_last(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        held = threading.Event()
        one.journal.hold["last"] = held
        try:
            one.happened("first", 1)
            one.happened("last", 2, active=False)
            await until(lambda: one.retained, describe="the first alarm, while the journal is busy with the last")
            assert one.acked == []
        finally:
            held.set()
        await one.annunciator.drained()
        assert one.acked == [1, 2]
        assert [b"returned" in payload for _, payload in one.retained] == [False, True]


async def test_shelving_ends_by_itself_and_the_topic_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        one.happened("e1", 1)
        await one.annunciator.drained()
        now_ns = time.time_ns()
        view = await asyncio.to_thread(
            one.journal.act, "pump-3.co-high", Trigger.SHELVE, who="ana", note="", now_ns=now_ns, until_ns=now_ns + SECOND
        )
        one.annunciator.announce(view)
        assert b'"shelved"' in one.retained[-1][1]
        one.annunciator.tick(now_ns)
        await one.annunciator.drained()
        assert b'"shelved"' in one.retained[-1][1]
        one.annunciator.tick(now_ns + 2 * SECOND)
        await one.annunciator.drained()
        assert b'"unacknowledged"' in one.retained[-1][1]


async def test_a_normal_alarm_leaves_its_topic(tmp_path: Path) -> None:
    async with running(tmp_path) as one:
        one.happened("e1", 1)
        await one.annunciator.drained()
        topic = "muki/v1/test/_gateway/alarms/pump-3.co-high"
        one.annunciator.found_retained("pump-3.co-high")
        assert [name for name, payload in one.retained if not payload] == []
        one.happened("e2", 2, active=False)
        await one.annunciator.drained()
        view = await asyncio.to_thread(one.journal.act, "pump-3.co-high", Trigger.ACKNOWLEDGE, who="ana", note="", now_ns=time.time_ns())
        one.annunciator.announce(view)
        assert one.retained[-1] == (topic, b"")
        one.annunciator.found_retained("pump-3.co-high")
        assert one.retained[-1] == (topic, b"")
        assert one.metrics.registry.get_sample_value("muki_alarms_standing") == 0
