"""The operators' page in a real Chromium: an alarm's way to it while readings pour in, and its list with a thousand alarms and ten new a second.

    python -m benchmarks.page_load [--seconds 40] [--rate 200000] [--json]

``to the page``: from the gateway's journal having the alarm (its `received` in the history, the gateway's clock, this machine's) to the row being in
the page, an alarm every 250 ms, while 50 nodes send the values a second. The peer is a bare MQTT subscriber to the same alarms in the same run, from
their publishing. ``update``: 1,000 alarms stand, ten new ones a second; the time that the page's script takes to draw one, and the longest task of
the page's thread (script, style, layout and paint) as the browser reports it.
"""

import asyncio
import functools
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import click
from playwright.async_api import Page, async_playwright

from benchmarks.ingest_beside import load, percentile
from benchmarks.latency import ARGUMENTS, CHROMIUM, OBSERVER
from benchmarks.table import report
from tests.rig.processes import Child, wait_for
from tests.rig.servers import Mosquitto
from tests.rig.site import SITE, Gateway

NODE = "alarmer"
STANDING = 1_000
EVERY = 0.25  # seconds between two alarms under load
LIMIT_PAGE_MS = 300.0
LIMIT_UPDATE_MS = 100.0
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => { for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration); })
  .observe({ type: "longtask" });
"""


def _ms() -> int:
    return time.time_ns() // 1_000_000


class Alarmer:
    """A node with so many alarms, which it raises one after the other."""

    def __init__(self, client: aiomqtt.Client, count: int, priorities: tuple[str, ...]) -> None:
        self._client = client
        self._count = count
        self._priorities = priorities
        self._boot = f"boot-{_ms()}"
        self._seq = 0
        self.sent: dict[str, float] = {}  # key: Unix ms

    async def born(self) -> None:
        definitions = [
            {
                "id": f"high-{n:04}",
                "point": f"tank-{n}/level",
                "condition": {"kind": "above", "limit": 50},
                "priority": self._priorities[n % len(self._priorities)],
                "title": {"es": f"Nivel alto {n}", "en": f"High level {n}"},
            }
            for n in range(self._count)
        ]
        points = {f"tank-{n}/level": {"unit": "%"} for n in range(self._count)}
        birth = {"boot": self._boot, "software": "bench", "contract": 1, "points": points, "sent": _ms(), "alarms": definitions}
        await self._client.publish(f"muki/v1/{SITE}/{NODE}/birth", json.dumps(birth), qos=1, retain=True)

    async def raise_next(self) -> None:
        number, self._seq = self._seq, self._seq + 1
        event = {"id": f"{self._boot}-{number}", "definition": f"high-{number:04}", "point": f"tank-{number}/level", "t": _ms()}
        body = {"boot": self._boot, "seq": self._seq, "sent": _ms(), "event": {**event, "value": 60.0, "transition": "active"}}
        self.sent[f"{NODE}.high-{number:04}"] = time.time() * 1e3
        await self._client.publish(f"muki/v1/{SITE}/{NODE}/alarm", json.dumps(body), qos=1)


async def _listen(port: int, arrived: dict[str, float]) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"muki/v1/{SITE}/{NODE}/alarm", qos=1)
        async for message in client.messages:
            arrived[f"{NODE}.{json.loads(bytes(message.payload))['event']['definition']}"] = time.time() * 1e3


async def _page(stack: AsyncExitStack, url: str) -> Page:
    playwright = await stack.enter_async_context(async_playwright())
    browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    stack.push_async_callback(browser.close)
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    await page.add_init_script(OBSERVER + WATCH)
    await page.goto(url)
    await page.locator('#connection[data-state="live"]').wait_for(timeout=30_000)
    return page


async def under_load(seconds: float, rate: int) -> dict[str, Any]:
    count = int((seconds - 10) / EVERY)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(gateway.wait_ready)
        client = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5))
        alarmer = Alarmer(client, count, ("high",))  # the newest stands at the top: a page has 50 rows
        await alarmer.born()
        page = await _page(stack, gateway.url)
        arrived: dict[str, float] = {}
        listener = asyncio.create_task(_listen(broker.port, arrived))
        child = stack.enter_context(Child(load(broker.port, seconds=seconds, rate=rate / 100), folder / "load.log"))
        await asyncio.sleep(6)
        seen: dict[str, float] = {}
        for _ in range(count):
            await alarmer.raise_next()
            await asyncio.sleep(EVERY)
            seen |= await page.evaluate("window.seen")
        await asyncio.sleep(2)
        seen |= await page.evaluate("window.seen")
        await asyncio.to_thread(wait_for, lambda: not child.running, seconds=60, describe="the end of the load", log=child)
        found = json.loads((folder / "load.log").read_text().splitlines()[-1])
        entries = gateway.get("/api/v1/alarms/history", node=NODE, limit=1000)["entries"]
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
    received = {entry["key"]: entry["recorded"] for entry in entries}
    ways = [seen[key] - at for key, at in received.items() if key in seen]
    bare = [at - alarmer.sent[key] for key, at in arrived.items()]
    p99 = percentile(ways, 0.99)
    return {
        "what": "alarm to the page, from its receipt",
        "n": len(ways),
        "not seen": count - len(ways),
        "values/s beside": found["values_per_s"],
        "p50 ms": percentile(ways, 0.5),
        "p99 ms": p99,
        "max ms": max(ways),
        "peer p99 ms": percentile(bare, 0.99),
        "÷ peer": p99 / percentile(bare, 0.99),
        "limit ms": LIMIT_PAGE_MS,
        "within limit": "yes" if p99 <= LIMIT_PAGE_MS and len(ways) == count else "NO",
    }


def _stand(gateway: Gateway) -> bool:
    return len(gateway.get("/api/v1/alarms")) >= STANDING


async def thousand(seconds: float) -> dict[str, Any]:
    count = STANDING + int(seconds * 10)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, {"type": "duckdb", "path": "history.duckdb"}))
        await asyncio.to_thread(gateway.wait_ready)
        client = await stack.enter_async_context(aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5))
        alarmer = Alarmer(client, count, ("critical", "high", "medium", "low"))
        await alarmer.born()
        for _ in range(STANDING):
            await alarmer.raise_next()
        await asyncio.to_thread(wait_for, functools.partial(_stand, gateway), seconds=60, describe="a thousand alarms", log=gateway)
        page = await _page(stack, gateway.url)
        await page.locator("#page-on").wait_for()
        await asyncio.sleep(3)
        await page.evaluate("performance.clearMeasures(); window.longest = 0")
        for _ in range(count - STANDING):
            await alarmer.raise_next()
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        drawn = await page.evaluate("performance.getEntriesByName('muki-alarms').map(({ duration }) => duration)")
        longest = await page.evaluate("window.longest")
        counted = await page.locator("#count-standing").text_content()
    if counted != str(count):
        raise click.ClickException(f"{count} alarms were raised, and the page counts {counted}")
    return {
        "what": "update of the list, 1,000 standing, 10 new/s",
        "n": len(drawn),
        "p50 ms": percentile(drawn, 0.5),
        "p99 ms": percentile(drawn, 0.99),
        "max ms": max(drawn),
        "longest task ms": longest,
        "limit ms": LIMIT_UPDATE_MS,
        "within limit": "yes" if max(*drawn, longest) < LIMIT_UPDATE_MS else "NO",
    }


@click.command()
@click.option("--seconds", default=40.0, help="Of the load, at least 15.")
@click.option("--rate", default=200_000, help="Values a second beside the alarms.")
@click.option("--only", default="", help="load or thousand.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, rate: int, only: str, as_json: bool) -> None:
    """Alarms on the page, in milliseconds."""
    rows = []
    if only in {"", "load"}:
        rows.append(asyncio.run(under_load(seconds, rate)))
    if only in {"", "thousand"}:
        rows.append(asyncio.run(thousand(seconds / 2)))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key) for key in columns} for row in rows]
    report("page", rows, as_json=as_json, notes=["Chromium, Mosquitto, gateway and load on the same machine"])


if __name__ == "__main__":
    main()
