"""The live stream (server-sent events): what the bus says, to one browser each."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.types import Send

from contract.frames import to_ms
from gateway.annunciator import Annunciator
from gateway.api.errors import Parts, Refused
from gateway.live import LiveEvent, Subscription
from gateway.services import Services

router = APIRouter(tags=["live"])
HEARTBEAT = 2.0  # seconds: the page says that it is cut off after two missed ones
PAUSE = 0.2  # seconds between readings: nobody sees more, and each watcher would cost the ingest as much as the store does
TOGETHER = 20  # events that are sent at once
MAX_STREAMS = 200
_encoder = msgspec.json.Encoder()


class Streams:
    """The open streams of one application, and whether they must end."""

    def __init__(self) -> None:
        self.count = 0
        self.ending = asyncio.Event()


def end_streams(app: FastAPI) -> None:
    """Ends every live stream, and those that are opened from now on, so that the server can stop. Call it from the event loop."""
    app.state.streams.ending.set()


@router.get("/events", response_class=StreamingResponse)
async def events(request: Request, services: Parts) -> StreamingResponse:
    """Server-sent events: ``hello`` at the beginning, ``alarm``, ``readings``, ``node`` as they come, ``heartbeat`` every 2 s.

    A heartbeat carries ``flood`` (``since``, and ``alarms`` in the last ten minutes) while alarms come faster than a person takes them in, else
    null. One whose ``journal_ok`` is false says that the alarm journal takes nothing now, so that alarms may be missing from what is shown.
    ``reload`` tells a client that was too slow that it has missed something: read the state again.
    """
    streams: Streams = request.app.state.streams
    if streams.count >= MAX_STREAMS:
        raise Refused(503, "too_many_streams", f"{MAX_STREAMS} live streams are open: close one")
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return _Stream(_follow(services, streams), media_type="text/event-stream", headers=headers)


class _Stream(StreamingResponse):
    """Ends its generator itself when the client goes, instead of leaving that to the garbage collector."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


async def _follow(services: Services, streams: Streams) -> AsyncGenerator[bytes, None]:
    streams.count += 1
    try:
        with services.bus.subscribe(pause=PAUSE) as subscription:
            yield b"retry: 1000\n" + _frame("hello", {"now": _now_ms()})
            async with aclosing(_frames(subscription, streams.ending, services.annunciator)) as frames:
                async for frame in frames:
                    yield frame
    finally:
        streams.count -= 1


async def _frames(subscription: Subscription, ending: asyncio.Event, annunciator: Annunciator) -> AsyncGenerator[bytes, None]:
    end = asyncio.create_task(ending.wait(), name="stream end")
    beat = asyncio.get_running_loop().time() + HEARTBEAT
    taking: asyncio.Task[list[LiveEvent]] | None = None
    try:
        while not ending.is_set():
            taking = taking or asyncio.create_task(subscription.take(), name="stream events")
            left = beat - asyncio.get_running_loop().time()
            await asyncio.wait({end, taking}, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
            if subscription.lagging:
                subscription.lagging = False
                yield _frame("reload", {"now": _now_ms()})
            if taking.done():
                events, taking = taking.result(), None
                for at in range(0, len(events), TOGETHER):
                    yield b"".join(_frame(*event) for event in events[at : at + TOGETHER])
            if asyncio.get_running_loop().time() >= beat:
                beat = asyncio.get_running_loop().time() + HEARTBEAT
                yield _frame("heartbeat", _beat(annunciator))
    finally:
        for task in (end, taking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def _frame(kind: str, data: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encoder.encode(data) + b"\n\n"


def _beat(annunciator: Annunciator) -> dict[str, object]:
    flood = annunciator.flood.now(time.time_ns())
    told = None if flood is None else {"since": to_ms(flood.since_ns), "alarms": flood.alarms}
    return {"now": _now_ms(), "journal_ok": not annunciator.trouble, "flood": told}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
