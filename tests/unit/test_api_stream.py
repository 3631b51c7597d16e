"""The live stream: what it says, what a slow client hears, and that it never holds up the end of the server."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import httpx

from gateway.api.stream import HEARTBEAT, MAX_STREAMS
from gateway.live import LiveEvent
from tests.rig.webapp import WebSite, website

Frame = tuple[str, dict[str, object]]


@contextlib.asynccontextmanager
async def listening(site: WebSite) -> AsyncIterator[AsyncIterator[Frame]]:
    async with (
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
        client.stream("GET", f"{site.url}/api/v1/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with contextlib.aclosing(frames(answer)) as stream:
            yield stream


async def frames(answer: httpx.Response) -> AsyncGenerator[Frame, None]:
    kind = ""
    async with contextlib.aclosing(cast("AsyncGenerator[str, None]", answer.aiter_lines())) as lines:
        async for line in lines:
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])


async def test_an_alarm_is_on_the_stream_at_once(tmp_path: Path) -> None:
    async with website(tmp_path) as site, listening(site) as stream:
        kind, hello = await anext(stream)
        assert kind == "hello"
        assert abs(float(str(hello["now"])) - time.time() * 1000) < 5000
        began = time.monotonic()
        site.event()
        kind, alarm = await anext(stream)
        assert (kind, alarm["state"], alarm["announce"]) == ("alarm", "unacknowledged", True)
        assert time.monotonic() - began < 1
        site.read({"gas-2/co": 12.0})
        kind, readings = await anext(stream)
        assert (kind, readings["values"]) == ("readings", {"gas-2/co": 12.0})


async def test_silence_is_filled_with_heartbeats(tmp_path: Path) -> None:
    async with website(tmp_path) as site, listening(site) as stream:
        await anext(stream)
        began = time.monotonic()
        assert [(await anext(stream))[0] for _ in range(2)] == ["heartbeat", "heartbeat"]
        assert 1.5 * HEARTBEAT < time.monotonic() - began < 3 * HEARTBEAT


async def test_heartbeats_come_also_between_many_readings(tmp_path: Path) -> None:
    async with website(tmp_path) as site, listening(site) as stream:
        await anext(stream)
        kinds = set()
        began = time.monotonic()
        while time.monotonic() - began < 1.5 * HEARTBEAT:
            site.read({"gas-2/co": 1.0})
            kinds.add((await anext(stream))[0])
            await asyncio.sleep(0.02)
        assert kinds == {"readings", "heartbeat"}


async def test_who_lags_is_told_to_read_again(tmp_path: Path) -> None:
    async with website(tmp_path) as site, listening(site) as stream:
        await anext(stream)
        for _ in range(1500):  # without a turn of the loop nobody can read: the queue overflows
            site.bus.publish(LiveEvent("alarm", {"key": "x"}))
        kinds = [(await anext(stream))[0] for _ in range(1001)]
        assert "reload" in kinds


async def test_open_streams_do_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    began = 0.0
    async with contextlib.AsyncExitStack() as clients:
        async with website(tmp_path) as site:
            streams = [await clients.enter_async_context(listening(site)) for _ in range(3)]
            assert [(await anext(stream))[0] for stream in streams] == ["hello"] * 3
            assert site.bus.watchers == 3
            began = time.monotonic()
        assert time.monotonic() - began < 1.5
        assert site.bus.watchers == 0
        for stream in streams:
            assert [kind async for kind, _ in stream if kind != "heartbeat"] == []


async def test_a_client_that_goes_is_forgotten(tmp_path: Path) -> None:
    async with website(tmp_path) as site:
        async with listening(site) as stream:
            await anext(stream)
            assert site.bus.watchers == 1
        async with asyncio.timeout(2 * HEARTBEAT):
            while site.bus.watchers:  # noqa: ASYNC110 - the server finds out by itself
                await asyncio.sleep(0.05)


async def test_the_number_of_streams_is_bounded(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(trust_env=False) as client:
        site.app.state.streams.count = MAX_STREAMS
        answer = await client.get(f"{site.url}/api/v1/events")
        assert (answer.status_code, answer.json()["reason"]) == (503, "too_many_streams")
