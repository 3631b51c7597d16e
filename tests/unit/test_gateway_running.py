"""A gateway in this process on a real Mosquitto, fed by a device that speaks the contract by hand."""

import asyncio
import contextlib
import gzip
import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.alarms import State
from gateway.assembly import Gateway
from gateway.config import BrokerConfig, GatewayConfig
from gateway.live import LiveEvent
from gateway.store import Series, StoreFrame, StoreRefused, StoreUnavailable
from gateway.store.memory import MemoryStore
from tests.rig.device import SITE, Device, device, now_ms, until
from tests.rig.servers import Mosquitto

POINTS: dict[str, Any] = {"gas-2/co": {"unit": "ppm", "range": [0, 500]}, "gas-2/o2": {"unit": "%vol"}}
CO_HIGH = {
    "id": "co-high",
    "point": "gas-2/co",
    "condition": {"kind": "above", "limit": 25.0},
    "priority": "high",
    "title": {"es": "CO alto", "en": "High CO"},
}
HOUR = 3_600_000


def config(tmp_path: Path, port: int, **more: Any) -> GatewayConfig:
    broker = BrokerConfig(host="127.0.0.1", port=port)
    return GatewayConfig(site=SITE, data_dir=tmp_path / "gateway", broker=broker, commit_every=0.05, **more)


def sample(gateway: Gateway, point: str, node: str = "pump-3") -> tuple[float | None, str] | None:
    found = gateway.services.store.latest([Series(node, point)])
    return next(((one.value, one.quality) for one in found.values()), None)


class FlakyStore(MemoryStore):
    """A memory store whose disk can be taken away, and that refuses values of one point for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.down = threading.Event()

    def write(self, frames: Sequence[StoreFrame]) -> None:
        if self.down.is_set():
            raise StoreUnavailable("the disk is gone")
        bad = [frame for frame in frames if "gas-2/o2" in frame.values and frame.values["gas-2/o2"] == 66.0]
        super().write([frame for frame in frames if frame not in bad])
        if bad:
            raise StoreRefused(bad, "66 is not stored here")


async def test_what_is_valid_is_stored_then_acknowledged(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            await one.state(online=True)
            with gateway.services.bus.subscribe() as watching:
                first = await one.data({"gas-2/co": 12.5, "gas-2/o2": 20.7})
                (event,) = await asyncio.wait_for(watching.take(), 5)
                second = await one.data({"gas-2/co": 501.0}, quality={"gas-2/o2": "bad:wire_break"})
                await until(lambda: one.acked() >= {first, second})
            assert event == LiveEvent("readings", event.data)
            assert event.data["values"] == {"gas-2/co": 12.5, "gas-2/o2": 20.7}
            assert sample(gateway, "gas-2/co") == (501.0, "uncertain:out_of_range")
            assert sample(gateway, "gas-2/o2") == (None, "bad:wire_break")
            assert gateway.services.ledger.ranges("pump-3", "b1") == [(1, 2)]
            assert one.rejects() == []
            assert [view.node for view in gateway.services.nodes.views(0)] == ["pump-3"]


def _deep() -> bytes:
    return b'{"boot":"b1","seq":7,"x":' + b"[" * 100_000


BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "malformed": (lambda: b'{"boot":"b1","seq":7,"frames":[{"t":1763870400000 "v":{}}]}', "malformed", "byte"),
    "truncated": (lambda: b'{"boot":"b1","seq":7,"sent":1763870400000,"frames":[{"t":17638', "malformed", ""),
    "shape": (lambda: b'{"boot":"b1","seq":7,"frames":[{"t":1763870400000,"v":{"gas-2/co":"high"}}]}', "wrong_shape", "$.frames[0].v"),
    "negative seq": (lambda: b'{"boot":"b1","seq":-1,"frames":[]}', "wrong_shape", "$.seq"),
    "too large": (lambda: b'{"boot":"b1","seq":7,"x":"' + b"y" * (1 << 20) + b'"}', "oversized", ""),
    "not utf-8": (lambda: b'{"boot":"b1","seq":7,"frames":[{"t":1763870400000,"v":{"gas-2/\xff":1}}]}', "not_utf8", "byte"),
    "gzip bomb": (lambda: gzip.compress(b'{"boot":"b1","seq":7,"x":"' + b"a" * (9 << 20) + b'"}'), "oversized", "gzip"),
    "deep": (_deep, "malformed", ""),
    "empty": (lambda: b"", "malformed", ""),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_payload_is_refused_with_its_place_and_the_rest_goes_on(name: str, tmp_path: Path) -> None:
    make, reason, where = BAD[name]
    payload = make()
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            await one.send("data", payload)
            await until(one.rejects)
            reject = one.rejects()[0]
            assert (reject["reason"], reject["topic"]) == (reason, one.topic("data"))
            assert reject["where"].startswith(where)
            assert reject["detail"]
            one.seq = 10
            good = await one.data({"gas-2/co": 12.5})
            await until(lambda: good in one.acked())
            readable = b'"seq":7' in payload
            if readable:
                await until(lambda: 7 in one.acked(), describe="the refused message to be acknowledged, or it would come for ever")
                assert gateway.services.ledger.known("pump-3", "b1", 7)
            kept = gateway.rejects.recent(node="pump-3")
            assert [(row.reason, row.payload) for row in kept] == [(reason, payload[: 64 << 10])]
            assert gateway.services.metrics.registry.get_sample_value("muki_rejects_total", {"reason": reason}) == 1


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (f"muki/v2/{SITE}/pump-3/data", "contract_version"),
        (f"muki/v1/{SITE}/pump-3/telemetry", "wrong_topic"),
        (f"muki/v1/{SITE}/Pump3/data", "wrong_topic"),
    ],
)
async def test_a_topic_of_no_or_another_contract_is_refused_aloud(topic: str, reason: str, tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.send("", {"boot": "b1", "seq": 1, "frames": []}, topic=topic)
            await until(one.rejects)
            assert [(reject["reason"], reject["topic"]) for reject in one.rejects()] == [(reason, topic)]
            assert gateway.services.store.series() == []


async def test_parts_are_refused_and_the_rest_of_the_message_is_stored(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            t = now_ms()
            frames = [
                {"t": t, "v": {"gas-2/co": 1.0, "gas-9/co": 2.0}},
                {"t": t + HOUR, "v": {"gas-2/co": 3.0}},
                {"t": 5, "v": {"gas-2/co": 4.0}},
                {"t": t + 1, "v": {"gas-2/o2": 20.0}, "q": {"gas-2/o2": "so-so"}},
            ]
            await one.send("data", {"boot": "b1", "seq": 1, "sent": t, "frames": frames})
            await until(lambda: one.acked() == {1})
            await until(lambda: len(one.rejects()) == 4)
            assert {(reject["reason"], reject["where"]) for reject in one.rejects()} == {
                ("unknown_point", "$.frames[0].v['gas-9/co']"),
                ("clock_ahead", "$.frames[1].t"),
                ("clock_behind", "$.frames[2].t"),
                ("wrong_shape", "$.frames[3].q['gas-2/o2']"),
            }
            assert gateway.services.store.series() == [Series("pump-3", "gas-2/co")]
            assert sample(gateway, "gas-2/co") == (1.0, "good")


@pytest.mark.parametrize("off", [-HOUR, HOUR], ids=["behind", "ahead"])
async def test_a_clock_an_hour_off(off: int, tmp_path: Path) -> None:
    """Not synchronised and saying so: times are moved and the raw time is noted. Not saying so: ahead is quarantined, behind is flagged."""
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            one.clock_off = off
            await one.birth(POINTS, alarms=[CO_HIGH])
            for _ in range(3):
                await one.data({"gas-2/co": 12.5})
            event = await one.alarm("co-high", "active", event="e1")
            await until(lambda: one.acked() == {1, 2, 3, event})
            if off > 0:
                assert {reject["reason"] for reject in one.rejects()} == {"clock_ahead"}
                assert sample(gateway, "gas-2/co") is None
            else:
                assert sample(gateway, "gas-2/co") == (12.5, "uncertain:clock_unsure")
            (view,) = [view for view in gateway.services.journal.standing() if view.node == "pump-3"]
            assert view.now.quality == "uncertain:clock_unsure"
            assert abs(view.now.since_ns / 1e6 - now_ms()) < 10_000, "an alarm event is moved, never quarantined"

            await one.state(online=True, clock_synchronised=False)
            await one.data({"gas-2/co": 13.0})
            await until(lambda: len(one.acked()) == 5)
            assert sample(gateway, "gas-2/co") == (13.0, "uncertain:clock_unsure")
            (found,) = gateway.services.store.latest([Series("pump-3", "gas-2/co")]).values()
            assert abs(found.time_ns / 1e6 - now_ms()) < 10_000
            (noted,) = [shift for _, seq, shift in gateway.services.ledger.shifts("pump-3") if seq == 5]
            assert abs(noted / 1e6 + off) < 10_000


async def test_duplicates_are_acknowledged_again_and_not_stored_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS, alarms=[CO_HIGH])
            t = now_ms()
            for _ in range(3):
                one.seq = 0
                await one.data({"gas-2/co": 12.5}, t=t)
                await one.alarm("co-high", "active", event="e1", t=t)
                await until(lambda: one.acked() == {1, 2})
                one.heard.clear()
            assert len(gateway.services.store.raw(Series("pump-3", "gas-2/co"), 0, 2**62)) == 1
            assert len([entry for entry in gateway.services.journal.history() if entry.node == "pump-3"]) == 1
            assert gateway.services.metrics.registry.get_sample_value("muki_duplicates_total") == 4


async def test_without_a_store_alarms_go_on_and_nothing_is_lost(tmp_path: Path) -> None:
    store = FlakyStore()
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=store) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS, alarms=[CO_HIGH])
            store.down.set()
            waiting = [await one.data({"gas-2/co": float(value)}) for value in range(20)]
            event = await one.alarm("co-high", "active", event="e1")
            await until(lambda: event in one.acked())
            await until(lambda: set(one.retained_alarms()) == {"pump-3.co-high", "_gateway.store-down"})
            assert one.retained_alarms()["pump-3.co-high"]["state"] == "unacknowledged"
            assert one.acked() == {event}, "nothing of what is not stored may be acknowledged"
            store.down.clear()
            await until(lambda: one.acked() == {*waiting, event})
            assert len(gateway.services.store.raw(Series("pump-3", "gas-2/co"), 0, 2**62)) > 0
            assert sample(gateway, "gas-2/co") == (19.0, "good")
            await until(lambda: one.retained_alarms()["_gateway.store-down"]["active"] is False)


async def test_readings_are_shown_while_the_journal_cannot_be_written(tmp_path: Path) -> None:
    """They let the journal go first, but for a moment only."""
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS, alarms=[CO_HIGH])
            await until(lambda: gateway.services.nodes.views(0))
            journal = sqlite3.connect(tmp_path / "gateway" / "journal.db", isolation_level=None)
            with contextlib.closing(journal) as other, gateway.services.bus.subscribe() as watching:
                other.execute("BEGIN IMMEDIATE")
                event = await one.alarm("co-high", "active", event="e1")
                values = [float(value) for value in range(20)]
                for value in values:
                    await one.data({"gas-2/co": value})
                    (shown,) = await asyncio.wait_for(watching.take(), 1)
                    assert (shown.kind, shown.data["values"]) == ("readings", {"gas-2/co": value})
                assert not one.acked()
                other.execute("ROLLBACK")
            await until(lambda: one.acked() == set(range(1, 22)))
            assert event == 1


async def test_a_full_queue_drops_unacknowledged_and_takes_it_when_it_comes_again(tmp_path: Path) -> None:
    store = FlakyStore()
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=store, waiting_values=5) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            store.down.set()
            t = now_ms()
            for value in range(12):
                await one.data({"gas-2/co": float(value)}, t=t + value)
            registry = gateway.services.metrics.registry
            await until(lambda: registry.get_sample_value("muki_dropped_total") == 7)
            store.down.clear()
            await until(lambda: len(one.acked()) == 5)
            missing = set(range(1, 13)) - one.acked()
            for seq in sorted(missing):
                one.seq = seq - 1
                await one.data({"gas-2/co": float(seq - 1)}, t=t + seq - 1)
                await until(lambda seq=seq: seq in one.acked())  # type: ignore[misc]
            values = [one.value for one in gateway.services.store.raw(Series("pump-3", "gas-2/co"), 0, 2**62)]
            assert values == [float(value) for value in range(12)]
            assert gateway.services.ledger.gaps("pump-3") == []


async def test_what_the_store_will_never_take_goes_to_the_dead_letters(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=FlakyStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS)
            await one.data({"gas-2/o2": 66.0})
            await one.data({"gas-2/co": 3.0})
            await until(lambda: one.acked() == {1, 2})
            await until(one.rejects)
            assert one.rejects()[0]["reason"] == "store_refused"
            (line,) = (tmp_path / "gateway" / "dead-letters.jsonl").read_text().splitlines()
            assert json.loads(line)["values"] == {"gas-2/o2": 66.0}
            assert json.loads(line)["reason"] == "66 is not stored here"
            assert sample(gateway, "gas-2/co") == (3.0, "good")


async def test_a_restarted_gateway_knows_what_stood_and_clears_what_does_not(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        settings = config(tmp_path, broker.port)
        async with device(broker.port) as one:
            async with Gateway(settings, store=MemoryStore()) as gateway:
                await until(lambda: gateway.session.up)
                await one.birth(POINTS, alarms=[CO_HIGH])
                event = await one.alarm("co-high", "active", event="e1")
                data = await one.data({"gas-2/co": 40.0})
                await until(lambda: one.acked() == {event, data})
                await until(lambda: "pump-3.co-high" in one.retained_alarms())
            broker.kill()
        broker.start()  # without persistence: it has forgotten everything
        async with device(broker.port) as other:
            await other.send("", {"key": "pump-3.gone"}, retain=True, topic=f"muki/v1/{SITE}/_gateway/alarms/pump-3.gone")
        async with device(broker.port, boot="b2") as one, Gateway(settings, store=MemoryStore()) as gateway:
            await until(lambda: set(one.retained_alarms()) == {"pump-3.co-high"})
            assert gateway.services.ledger.known("pump-3", "b1", data)
            birth = gateway.services.nodes.birth("pump-3")
            assert birth is not None
            assert set(birth.points) == set(POINTS)
            assert [view.status for view in gateway.services.nodes.views(0)] == ["unknown"]
            one.boot, one.seq = "b1", event
            again = await one.data({"gas-2/co": 41.0})
            await until(lambda: again in one.acked())


async def test_a_silent_node_and_a_dead_node_are_malfunctions(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port, silence_after=0.6), store=MemoryStore()) as gateway:
            await until(lambda: gateway.session.up)
            async with device(broker.port) as one:
                await one.birth(POINTS)
                await one.state(online=True)
                await one.data({"gas-2/co": 1.0})
                await _silence(one, active=True)
                alarm = one.retained_alarms()["pump-3.silence"]
                assert (alarm["signal_class"], alarm["point"]) == ("malfunction", "node/link")
                (view,) = gateway.services.journal.standing()
                assert set(view.definition.title) == set(view.definition.action) == {"es", "en"}
                await one.data({"gas-2/co": 2.0})
                await _silence(one, active=False)
                await one.state(online=False)
                await _silence(one, active=True)
                (view,) = gateway.services.journal.standing()
                assert view.state is State.UNACKNOWLEDGED
                await one.send("birth", b"", retain=True)
                await _silence(one, active=False)
                await until(lambda: gateway.services.nodes.views(0) == [])


async def _silence(one: Device, *, active: bool) -> None:
    def told() -> bool:
        alarm = one.retained_alarms().get("pump-3.silence")
        return (alarm is not None and alarm["active"]) is active

    await until(told, describe=f"silence active={active}")


async def test_history_that_arrives_behind_announces_nothing(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS, alarms=[CO_HIGH])
            with gateway.services.bus.subscribe() as watching:
                old = [
                    await one.alarm("co-high", "active", event="e1", t=now_ms() - 2 * HOUR),
                    await one.alarm("co-high", "normal", event="e2", t=now_ms() - HOUR),
                ]
                await until(lambda: one.acked() >= set(old))
                live = await one.alarm("co-high", "active", event="e3")
                await until(lambda: live in one.acked())
                news: list[object] = []
                while not news:
                    events = [event.data for event in await asyncio.wait_for(watching.take(), 5) if event.kind == "alarm"]
                    news += [event["event"] for event in events if event["node"] == "pump-3" and event["announce"]]
            assert news == ["e3"]
            entries = gateway.services.journal.history(node="pump-3")
            assert [(entry.what, entry.late) for entry in reversed(entries)] == [("active", True), ("normal", True), ("active", False)]


async def test_the_gateways_own_alarm_cannot_be_declared_or_raised_by_a_node(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with Gateway(config(tmp_path, broker.port), store=MemoryStore()) as gateway, device(broker.port) as one:
            await until(lambda: gateway.session.up)
            await one.birth(POINTS, alarms=[{**CO_HIGH, "id": "silence"}, CO_HIGH])
            raised = await one.alarm("silence", "active", event="e1")
            other = await one.alarm("co-high", "active", event="e2")
            await until(lambda: one.acked() == {raised, other})
            await until(lambda: len(one.rejects()) >= 2)  # acknowledgements overtake them
            assert [(reject["reason"], reject["where"]) for reject in one.rejects()] == [
                ("reserved_id", "$.alarms"),
                ("reserved_id", "$.event.definition"),
            ]
            assert [view.key for view in gateway.services.journal.standing()] == ["pump-3.co-high"]
