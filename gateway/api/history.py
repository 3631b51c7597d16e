"""Routes of the whole history: readings as they are, as files, and deleted by an administrator."""

import threading
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from contract.frames import to_ms
from gateway.api.access import Administrator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns, range_of, series_of
from gateway.api.shapes import ErrorShape
from gateway.deletions import Deletion, delete, deletions

router = APIRouter(tags=["history"])
MAX_POINTS = 200
_EXPORTS = threading.BoundedSemaphore(2)  # each reads as fast as the store gives: more would slow everybody


class ReadingShape(BaseModel):
    """``time`` in Unix ms; ``value`` is null where nothing could be read."""

    time: float
    value: float | None
    quality: str


class RawShape(BaseModel):
    """``next``: the ``start`` of the page that follows, null behind the last."""

    node: str
    point: str
    readings: list[ReadingShape]
    next: str | None


class DeletionShape(BaseModel):
    """``readings`` is null where the gateway stopped in between: look at what is left."""

    at: float
    who: str
    reason: str
    node: str
    point: str
    start: float
    end: float
    readings: int | None


class Delete(BaseModel):
    """Readings of one point, ``start`` inside and ``end`` outside."""

    model_config = ConfigDict(extra="forbid")
    node: str
    point: str
    start: float | str
    end: float | str
    who: str = Field("", max_length=200)
    reason: str = Field(min_length=1, max_length=2000)


@router.get("/readings/raw", response_model=RawShape)
async def raw(
    services: Parts, *, node: str, point: str, start: str, end: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> dict[str, object]:
    """Every reading of a point in a range, oldest first, a page at a time: give ``next`` as ``start``."""
    series = series_of(node, point)
    at = start.removesuffix("ns")
    start_ns = int(at) if start.endswith("ns") and at.isdecimal() and len(at) < 20 else moment_ns(start, "start")
    _, end_ns = range_of(start_ns, moment_ns(end, "end"))
    samples = await run_in_threadpool(services.store.raw, series, start_ns, end_ns, limit + 1)
    more = samples[limit:]
    return {
        "node": node,
        "point": point,
        "readings": [{"time": to_ms(one.time_ns), "value": one.value, "quality": one.quality} for one in samples[:limit]],
        "next": f"{more[0].time_ns}ns" if more else None,
    }


@router.get("/export", response_class=StreamingResponse)
async def export(
    services: Parts,
    *,
    start: str,
    end: str,
    point: Annotated[list[str], Query(description="NODE/asset/signal; many, or none for all", max_length=MAX_POINTS)] = [],  # noqa: B006
    form: Annotated[Literal["csv", "parquet", "arrow"], Query(alias="format")] = "csv",
) -> StreamingResponse:
    """The readings of a range as a file, quality beside each value, in the order of time."""
    from gateway.export import MEDIA, exported

    start_ns, end_ns = range_of(moment_ns(start, "start"), moment_ns(end, "end"))
    chosen = [series_of(*one.partition("/")[::2]) for one in point]
    if not _EXPORTS.acquire(blocking=False):
        raise Refused(503, "too_many_exports", "two exports are running: wait for one")
    try:
        tables = await run_in_threadpool(services.store.scan, start_ns, end_ns, chosen or None)
    except BaseException:
        _EXPORTS.release()
        raise
    headers = {"Content-Disposition": f'attachment; filename="{services.config.site}-{start_ns // 10**9}.{form}"'}
    return _Export(exported(tables, form), media_type=MEDIA[form], headers=headers)


class _Export(StreamingResponse):
    """Makes room for the next one, whether its client took all of it or went away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            _EXPORTS.release()


_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}


@router.post("/readings/delete", response_model=DeletionShape, responses=_REFUSALS)
async def delete_readings(services: Parts, person: Administrator, given: Delete) -> dict[str, object]:
    """Deletes readings, for ever. Who and why stays."""
    series = series_of(given.node, given.point)
    start_ns, end_ns = range_of(moment_ns(given.start, "start"), moment_ns(given.end, "end"))
    who = author(person, given.who)
    done = await run_in_threadpool(
        lambda: delete(services.engine, services.store, series, start_ns, end_ns, who=who, reason=given.reason, now_ns=time.time_ns())
    )
    return _deletion(done)


@router.get("/readings/deletions", response_model=list[DeletionShape])
async def what_was_deleted(services: Parts, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, object]]:
    """Readings that were deleted: who, why, which, newest first."""
    return [_deletion(one) for one in await run_in_threadpool(deletions, services.engine, limit)]


def _deletion(one: Deletion) -> dict[str, object]:
    moments = {"at": to_ms(one.at_ns), "start": to_ms(one.start_ns), "end": to_ms(one.end_ns)}
    return {**moments, "who": one.who, "reason": one.reason, "node": one.node, "point": one.point, "readings": one.readings}
