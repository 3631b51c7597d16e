"""The gateway is killed (SIGKILL) while somebody acknowledges: who was told that it is done finds it done, who was told nothing finds one truth.

    python -m tests.campaigns.acknowledgement_kills [--kills 100]

A real Mosquitto and the gateway as a process. In each round a new event raises an alarm, an operator acknowledges it, and the gateway dies at a
random moment around that. After the restart: an answer 200 means acknowledged, by that name and note. Without an answer the alarm is either
acknowledged, with that entry in its history, or it still waits, without one. The audit's chain holds, and no event is lost or there twice.
"""

import asyncio
import contextlib
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import click

from tests.rig.processes import wait_for
from tests.rig.servers import Mosquitto
from tests.rig.site import SITE, Gateway

NODE = "killer"
KEY = f"{NODE}.level-high"
DEFINITION = {"id": "level-high", "point": "tank-1/level", "condition": {"kind": "above", "limit": 50}, "priority": "high"}
LATEST = 0.015  # seconds after the question at which the gateway dies at the latest


def _ms() -> int:
    return time.time_ns() // 1_000_000


async def _publish(port: int, topic: str, body: dict[str, object], *, retain: bool = False) -> None:
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.publish(f"muki/v1/{SITE}/{NODE}/{topic}", json.dumps(body), qos=1, retain=retain)


def _event(port: int, seq: int, transition: str) -> str:
    name = f"event-{seq:05}"
    event = {"id": name, "definition": "level-high", "point": "tank-1/level", "t": _ms(), "value": 60.0, "transition": transition}
    asyncio.run(_publish(port, "alarm", {"boot": "boot-killer", "seq": seq, "sent": _ms(), "event": event}))
    return name


def _until(gateway: Gateway, field: str, value: str) -> None:
    wait_for(lambda: gateway.get(f"/api/v1/alarms/{KEY}")[field] == value, describe=f"{KEY}: {field} {value}", log=gateway)


def _ask(gateway: Gateway, who: str, event: str) -> bool:
    """Whether the gateway said that it is done."""
    try:
        status, _ = gateway.post(f"/api/v1/alarms/{KEY}/acknowledge", who=who, note=event, event=event)
    except (OSError, ValueError):
        return False
    return status == 200


async def _question(gateway: Gateway, who: str, event: str, chance: random.Random) -> bool:
    asked = asyncio.create_task(asyncio.to_thread(_ask, gateway, who, event))
    await asyncio.sleep(chance.uniform(0, LATEST))
    gateway.kill()
    return await asked


def rounds(folder: Path, kills: int, seed: int) -> Iterator[str]:
    """What each round came to: `told`, `done, not told` or `not done`. Raises AssertionError for anything untrue."""
    chance = random.Random(seed)
    with Mosquitto(folder / "broker") as broker, contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "memory"}))
        gateway.wait_ready()
        birth = {"boot": "boot-killer", "software": "campaign", "contract": 1, "points": {"tank-1/level": {"unit": "%"}}, "sent": _ms()}
        asyncio.run(_publish(broker.port, "birth", {**birth, "alarms": [DEFINITION]}, retain=True))
        for number in range(1, kills + 1):
            event, who = _event(broker.port, 2 * number, "active"), f"operator {number}"
            _until(gateway, "event", event)
            told = asyncio.run(_question(gateway, who, event, chance))
            gateway.start()
            gateway.wait_ready()
            now = gateway.get(f"/api/v1/alarms/{KEY}")
            acts = [one for one in gateway.get("/api/v1/alarms/history", key=KEY, limit=1000)["entries"] if one["who"] == who]
            done = now["state"] == "acknowledged"
            assert done or now["state"] == "unacknowledged", now
            assert (now["acknowledged_by"], now["note"]) == (who, event) if done else now["acknowledged_by"] is None, now
            assert [(one["what"], one["note"]) for one in acts] == ([("acknowledge", event)] if done else []), acts
            assert done or not told, f"{who} was told that it is done, and it is not: {now}"
            if not done:
                assert _ask(gateway, who, event), "who was told nothing asks again"
            _event(broker.port, 2 * number + 1, "normal")
            _until(gateway, "state", "normal")
            yield "told" if told else "done, not told" if done else "not done"
        assert gateway.get("/api/v1/audit/verify")["problem"] == ""
        entries = gateway.get("/api/v1/alarms/history", key=KEY, limit=1000)["entries"]
        events = [one["event"] for one in entries if one["event"]]
        assert events == [f"event-{seq:05}" for seq in range(2 * kills + 1, 1, -1)][: len(events)], "events lost, doubled or out of order"


@click.command()
@click.option("--kills", default=100)
@click.option("--seed", default=lambda: time.time_ns() % 1_000_000)
def main(kills: int, seed: int) -> None:
    """Kills the gateway around an acknowledgement, again and again."""
    counted: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for outcome in rounds(Path(folder), kills, seed):
            counted[outcome] = counted.get(outcome, 0) + 1
            click.echo(f"{sum(counted.values())} of {kills}: {outcome}")
    click.echo(f"seed {seed}: {counted}; nothing untrue")


if __name__ == "__main__":
    main()
