"""One node as a process of its own, on a real Mosquitto: births, malfunctions, kills and a clean end."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.rig.edge_node import write_config
from tests.rig.processes import Child
from tests.rig.servers import Mosquitto
from tests.rig.standin import StandIn, stand_in, until

ALARM = """processing:
  - {name: twice, type: doubler, input: test/a, output: test/twice, breaks_above: 1.0e+9}
alarms:
  - id: high
    point: test/twice
    condition: {kind: above, limit: 6}
    priority: high
    title: {es: Alto, en: High}
"""


@contextmanager
def agent(configuration: Path) -> Iterator[Child]:
    with Child([sys.executable, "-m", "tests.rig.edge_node", "run", str(configuration)], configuration.with_suffix(".log")) as child:
        yield child


def events(gateway: StandIn) -> list[tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for content in gateway.of("alarm"):
        found[content["event"]["id"]] = (content["event"]["definition"], content["event"]["transition"])
    return list(found.values())


def values(gateway: StandIn, point: str) -> list[tuple[float, float | None, str]]:
    """Time, value, quality of a point, each instant once."""
    found = {}
    for content in gateway.of("data"):
        for frame in content["frames"]:
            if point in frame.get("v", {}) or point in frame.get("q", {}):
                found[frame["t"]] = (frame["t"], frame.get("v", {}).get(point), frame.get("q", {}).get(point, "good"))
    return [found[instant] for instant in sorted(found)]


async def test_a_node_is_born_reads_computes_alarms_and_ends_cleanly(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=ALARM)) as node:
                await until(lambda: events(gateway) and values(gateway, "gas-1/outbox/depth"), describe=f"an alarm; {node.tail()}")
                (birth,) = gateway.of("birth")
                assert birth["contract"] == 1
                assert {"test/a", "test/twice", "gas-1/source/counter", "gas-1/processor/twice", "gas-1/agent/rss"} <= set(birth["points"])
                assert {alarm["id"] for alarm in birth["alarms"]} >= {
                    "high",
                    "source-counter",
                    "processor-twice",
                    "disk",
                    "disk-refuses",
                    "host-undervoltage",
                    "host-clock",
                }
                assert events(gateway) == [("high", "active")]
                assert gateway.of("alarm")[0]["event"]["value"] == 8.0
                assert all(time_ms == int(time_ms) for time_ms, _, _ in values(gateway, "test/a"))
                assert values(gateway, "gas-1/source/counter")[0][1:] == (1.0, "good")
                began = time.monotonic()
                status = await asyncio.to_thread(node.stop)
                assert status == 0, node.tail()
                assert time.monotonic() - began < 3
                await until(lambda: gateway.of("state")[-1]["online"] is False)
            assert gateway.seqs() == list(range(1, len(gateway.seqs()) + 1))
            assert "Traceback" not in node.tail(1000)


async def test_a_killed_agent_goes_on_where_it_was_and_raises_nothing_twice(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=ALARM.replace("limit: 6", "limit: 0"))) as node:
                await until(lambda: events(gateway), describe=node.tail())
                for _ in range(3):
                    seen = len(gateway.of("birth"))
                    last = max(gateway.seqs())
                    node.kill()
                    await until(lambda seen=seen: gateway.of("state")[-1]["online"] is False, describe="the will")  # type: ignore[misc]
                    node.start()
                    await until(lambda seen=seen, last=last: len(gateway.of("birth")) > seen and max(gateway.seqs()) > last + 5)  # type: ignore[misc]
                assert len({birth["boot"] for birth in gateway.of("birth")}) == 1
                standing = gateway.of("birth")[-1]["standing"]
                assert [alarm["definition"] for alarm in standing] == ["high"]
                assert standing[0]["event"] == gateway.of("alarm")[0]["event"]["id"]
                assert events(gateway) == [("high", "active")]
                numbers = set(gateway.seqs())
                assert numbers == set(range(1, max(numbers) + 1)), "a number is missing"


async def test_a_source_that_fails_is_a_malfunction_said_once_and_comes_back(tmp_path: Path) -> None:
    second = "  - {name: other, type: counter, points: [other/c], every: 0.1}\n"
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=second)) as node:
                await until(lambda: len(values(gateway, "test/a")) > 3, describe=node.tail())
                (tmp_path / "break").touch()
                await until(lambda: ("source-counter", "active") in events(gateway))
                others = len(values(gateway, "other/c"))
                await until(lambda: len(values(gateway, "other/c")) > others + 5, describe="the other source goes on")
                failed = [value for value in values(gateway, "test/a") if value[1] is None]
                assert [quality for _, _, quality in failed] == ["bad:source_fault"], "once, and never a value as if it were fresh"
                assert values(gateway, "gas-1/source/counter")[-1][1:] == (0.0, "bad:source_fault")
                (tmp_path / "break").unlink()
                await until(lambda: ("source-counter", "normal") in events(gateway), seconds=20)
                assert values(gateway, "test/a")[-1][2] == "good"
                assert events(gateway) == [("source-counter", "active"), ("source-counter", "normal")]
                log = node.tail(1000)
                assert "source=counter ZeroDivisionError: the counter was told to break" in log
                assert "Traceback" not in log


async def test_a_processor_that_breaks_is_a_malfunction_and_the_readings_go_on(tmp_path: Path) -> None:
    extra = ALARM.replace("breaks_above: 1.0e+9", "breaks_above: 5").replace("limit: 6", "limit: 60")
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=extra)) as node:
                await until(lambda: ("processor-twice", "active") in events(gateway), describe=node.tail())
                count = len(values(gateway, "test/a"))
                await until(lambda: len(values(gateway, "test/a")) > count + 5)
                twice = values(gateway, "test/twice")
                assert [value for _, value, _ in twice] == [2.0, 4.0, 6.0, 8.0, 10.0, None]
                assert twice[-1][2] == "bad:processor_fault"


async def test_it_runs_without_a_broker_and_delivers_when_one_comes(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    with agent(write_config(tmp_path, broker.port, extra=ALARM)) as node:
        await until(lambda: "trying again" in node.tail())
        await asyncio.sleep(1)
        with broker:
            async with stand_in(broker.port) as gateway:
                await until(lambda: 1 in gateway.seqs() and len(gateway.of("data")) > 10, seconds=20, describe=node.tail())
                await until(lambda: set(gateway.seqs()) == set(range(1, max(gateway.seqs()) + 1)))
                assert ("high", "active") in events(gateway)


async def test_an_alarm_that_left_the_configuration_is_cleared_at_the_next_start(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=ALARM)) as node:
                await until(lambda: events(gateway), describe=node.tail())
            with agent(write_config(tmp_path, broker.port)):
                await until(lambda: events(gateway) == [("high", "active"), ("high", "normal")])


def test_a_second_agent_on_the_same_folder_says_so_and_ends(tmp_path: Path) -> None:
    configuration = write_config(tmp_path, 1)
    with agent(configuration) as first, agent(configuration) as second:
        deadline = time.monotonic() + 15
        while first.running and second.running and time.monotonic() < deadline:
            time.sleep(0.1)
        assert first.running != second.running
        log = configuration.with_suffix(".log").read_text()
        assert "another agent is running on it" in log
        assert "Traceback" not in log


async def test_a_source_that_does_not_let_go_holds_nothing_back(tmp_path: Path) -> None:
    clinging = "  - {name: clinging, type: counter, points: [other/c], clings: true}\n"
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=clinging)) as node:
                await until(lambda: values(gateway, "other/c"), describe=node.tail())
                began = time.monotonic()
                status = await asyncio.to_thread(node.stop)
                assert time.monotonic() - began < 3.5
                assert status == 1
                assert "does not let go" in node.tail()
                await until(lambda: gateway.of("state")[-1]["online"] is False)


async def test_what_is_fatal_stops_the_node_with_one_line_and_status_1(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port)) as node:
                await until(lambda: gateway.of("data"), describe=node.tail())
                (tmp_path / "fatal").touch()
                await until(lambda: not node.running, seconds=5)
                assert node.stop() == 1
                assert "CRITICAL muki.edge node=gas-1 stopped: the counter was told that going on would do harm" in node.tail()
                assert "Traceback" not in node.tail(1000)
                await until(lambda: gateway.of("state")[-1]["online"] is False)


async def test_a_hundred_points_at_1_hz_stay_small(tmp_path: Path) -> None:
    names = ", ".join(f"test/p{number}" for number in range(100))
    extra = f"  - {{name: many, type: counter, points: [{names}], every: 1.0}}\n"
    with Mosquitto(tmp_path / "broker") as broker:
        async with stand_in(broker.port) as gateway:
            with agent(write_config(tmp_path, broker.port, extra=extra, every=1.0)) as node:
                await until(lambda: len(values(gateway, "test/p99")) >= 3, describe=node.tail())
                process = psutil.Process(node.pid)
                before, began = sum(process.cpu_times()[:2]), time.monotonic()
                await asyncio.sleep(8)
                share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)
                assert process.memory_info().rss < 90e6
                assert share < 0.05, f"{100 * share:.1f} % of a core"
                node.stop(with_signal=signal.SIGINT)
