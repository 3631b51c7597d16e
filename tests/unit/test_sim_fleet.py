"""The fleet against a real broker and a small gateway of the test's own: what the journal lists is what was acknowledged, and nothing is lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from click.testing import CliRunner

from simulators.cli import main
from simulators.fleet import Load, run_fleet
from tests.rig.processes import MUKI, Child, wait_for
from tests.rig.servers import Mosquitto


class _Gateway:
    """Keeps what it is sent and acknowledges it; it loses what ``loses`` says, the first time."""

    def __init__(self, loses: int = 0) -> None:
        self.births: dict[str, dict[str, object]] = {}
        self.states: dict[str, list[bool]] = {}
        self.data: dict[tuple[str, int], dict[str, object]] = {}
        self.alarms: list[dict[str, object]] = []
        self._loses = loses

    async def run(self, port: int, ready: asyncio.Event) -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("muki/v1/fleet/+/+", qos=1)
            ready.set()
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                node, kind = str(message.topic).split("/")[3:]
                content = json.loads(message.payload)
                if kind == "birth":
                    self.births[node] = content
                elif kind == "state":
                    self.states.setdefault(node, []).append(content["online"])
                elif kind in ("data", "alarm"):
                    if self._loses:
                        self._loses -= 1
                        continue
                    self.data[node, content["seq"]] = content
                    if kind == "alarm":
                        self.alarms.append(content["event"])
                    ack = {"boot": content["boot"], "ranges": [[content["seq"], content["seq"]]]}
                    await client.publish(f"muki/v1/fleet/{node}/ack", json.dumps(ack), qos=1)


@contextlib.asynccontextmanager
async def _listening(gateway: _Gateway, port: int) -> AsyncIterator[None]:
    ready = asyncio.Event()
    task = asyncio.create_task(gateway.run(port, ready))
    await asyncio.wait_for(ready.wait(), 5)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_everything_acknowledged_is_journaled_and_what_was_lost_is_sent_again(tmp_path: Path) -> None:
    gateway, journal = _Gateway(loses=4), tmp_path / "journal.jsonl"
    with Mosquitto(tmp_path / "broker") as broker:
        async with _listening(gateway, broker.port):
            load = Load("127.0.0.1", broker.port, nodes=3, points=4, rate=20, seconds=1.0, drain=10, alarm_every=10, resend_after=0.5)
            totals = await run_fleet(load, journal)
            await asyncio.sleep(0.1)
    assert totals.lost == 0
    assert totals.sent == totals.acknowledged == len(gateway.data)
    assert totals.resent >= 4
    assert {node: sorted(seq for name, seq in gateway.data if name == node) for node in gateway.births} == {
        node: list(range(1, totals.sent // 3 + 1)) for node in ("fleet-1", "fleet-2", "fleet-3")
    }
    birth = gateway.births["fleet-1"]
    assert birth["contract"] == 1
    assert len(birth["points"]) == 4  # type: ignore[arg-type]
    assert gateway.states == {node: [True, False] for node in gateway.births}

    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    sent = {
        (node, content["boot"], seq, point, frame["t"] * 1_000_000, value)
        for (node, seq), content in gateway.data.items()
        if "frames" in content
        for frame in content["frames"]  # type: ignore[attr-defined]
        for point, value in frame["v"].items()
    }
    assert {(line["node"], line["boot"], line["seq"], line["point"], line["time_ns"], line["value"]) for line in lines} == sent
    assert len(lines) == totals.readings == 3 * 20 * 4
    events = [json.loads(line) for line in (tmp_path / "journal.jsonl.alarms").read_text().splitlines()]
    assert {event["event"] for event in events} == {event["id"] for event in gateway.alarms}
    assert len(events) == totals.alarms
    assert [event["transition"] for event in events if event["node"] == "fleet-1"][:2] == ["active", "normal"]


async def test_a_broker_that_restarts_costs_nothing(tmp_path: Path) -> None:
    gateway = _Gateway()
    with Mosquitto(tmp_path / "broker") as broker:
        load = Load("127.0.0.1", broker.port, nodes=2, points=2, rate=20, seconds=2.0, drain=10)
        async with asyncio.TaskGroup() as group:
            fleet = group.create_task(run_fleet(load))
            async with _listening(gateway, broker.port):
                await asyncio.sleep(0.5)
            broker.kill()
            broker.start()
            async with _listening(gateway, broker.port):
                totals = await fleet
    assert totals.lost == 0
    assert totals.sent == len(gateway.data)
    assert totals.resent > 0


def test_the_command_fails_when_nobody_acknowledges(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        options = ["--port", str(broker.port), "--nodes", "1", "--rate", "5", "--seconds", "0.5", "--drain", "0.5"]
        with Child([*MUKI, "simulate", "fleet", *options], tmp_path / "log") as child:
            wait_for(lambda: not child.running)
            assert child.stop() == 1
    totals = json.loads(child.tail().splitlines()[0])
    assert totals["acknowledged"] == 0
    assert totals["lost"] == totals["sent"] > 0
    assert "were not acknowledged within 0.5 s" in child.tail()


@pytest.mark.parametrize("options", [["--nodes", "0"], ["--rate", "0"], ["--port", "70000"]])
def test_the_command_refuses_what_cannot_work(options: list[str]) -> None:
    result = CliRunner().invoke(main, ["fleet", *options])
    assert result.exit_code == 2
    assert options[0] in result.output
