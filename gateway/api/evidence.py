"""Routes of the evidence: which pictures wait for a judgement, one picture, and what somebody says of it."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.alarms.shadows import shadows
from gateway.api.access import Operator, Whoever, author
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import ErrorShape
from gateway.evidence import UnknownEvidence

router = APIRouter(prefix="/evidence", tags=["evidence"])
_UNKNOWN: dict[int | str, dict[str, object]] = {404: {"model": ErrorShape, "description": "no such picture, or deleted"}}
_REFUSALS: dict[int | str, dict[str, object]] = {
    **_UNKNOWN,
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}
Node = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,32}$")]
Event = Annotated[str, Path(pattern=r"^[0-9A-Za-z-]{1,64}$")]


class EvidenceShape(BaseModel):
    """One picture and the event it belongs to. ``verdict`` is null until somebody judged it; ``deleted`` when its term ended."""

    node: str
    event: str
    definition: str
    point: str
    at: float
    value: float | None
    received: float
    size: int
    sha256: str
    deleted: float | None
    verdict: str | None
    note: str | None
    reviewed_by: str | None
    reviewed: float | None


class FiguresShape(BaseModel):
    """One camera. ``false_per_day`` counts false and nuisance over ``days``, which begin with the camera's first picture, one day at least."""

    model_config = ConfigDict(populate_by_name=True)
    node: str
    camera: str
    days: float
    true: int
    false: int
    nuisance: int
    test: int
    unreviewed: int
    false_per_day: float


class ShadowShape(BaseModel):
    """One alarm in shadow. ``came``: how often it would have alerted in ``days``; ``share_true``: of those judged, tests left out."""

    key: str
    node: str
    definition: str
    title: dict[str, str]
    days: float
    came: int
    per_day: float
    true: int
    false: int
    nuisance: int
    test: int
    unreviewed: int
    share_true: float | None


class Verdict(BaseModel):
    """Whether what the picture shows was what the alarm said."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    verdict: Literal["true", "false", "nuisance", "test"]
    who: str = Field("", max_length=100)
    note: str = Field("", max_length=2000)


class Judged(BaseModel):
    verdict: str


@router.get("", response_model=list[EvidenceShape])
async def pictures(
    services: Parts,
    unreviewed: bool = True,
    key: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, object]]:
    """Pictures that nobody has judged yet, the newest first; all of them with ``unreviewed=false``, those of one alarm with ``key``."""
    rows = await run_in_threadpool(lambda: services.evidence.pictures(unreviewed=unreviewed, limit=limit, key=key))
    return [
        {**row, "at": to_ms(row["at_ns"]), "received": to_ms(row["received_ns"])}
        | {name: None if row[f"{name}_ns"] is None else to_ms(row[f"{name}_ns"]) for name in ("deleted", "reviewed")}
        for row in rows
    ]


@router.get("/figures", response_model=list[FiguresShape])
async def figures(services: Parts, days: Annotated[float, Query(gt=0, le=3650)] = 30) -> list[dict[str, object]]:
    """How often each camera was right and wrong in the last ``days``."""
    return await run_in_threadpool(lambda: services.evidence.figures(days, now_ns=time.time_ns()))


@router.get("/shadows", response_model=list[ShadowShape])
async def in_shadow(services: Parts, days: Annotated[float, Query(gt=0, le=3650)] = 30) -> list[dict[str, object]]:
    """How each alarm in shadow did in the last ``days``: it was recorded and alerted nobody."""
    return await run_in_threadpool(lambda: shadows(services.engine, days, now_ns=time.time_ns()))


@router.get("/{node}/{event}", response_class=Response, responses={**_UNKNOWN, 200: {"content": {"image/jpeg": {}}}})
async def picture(services: Parts, person: Whoever, node: Node, event: Event) -> Response:
    """The JPEG. Each view is noted: who, when, which picture."""
    if person is None:  # a picture of people is shown to nobody unknown, whatever else the site shows
        raise Refused(401, "login_required", "log in (POST /session), or send Authorization: Bearer TOKEN")
    who = person.name or "nobody logged in"
    try:
        data = await run_in_threadpool(lambda: services.evidence.view(node, event, who=who, now_ns=time.time_ns()))
    except UnknownEvidence as error:
        raise Refused(404, "unknown_evidence", str(error.args[0])) from None
    return Response(data, media_type="image/jpeg")


@router.post("/{node}/{event}/verdict", response_model=Judged, responses=_REFUSALS)
async def verdict(services: Parts, person: Operator, node: Node, event: Event, given: Verdict) -> dict[str, object]:
    """Somebody says whether the event was true, false, a nuisance or a test."""
    who = author(person, given.who)
    now_ns = time.time_ns()
    try:
        await run_in_threadpool(lambda: services.evidence.judge(node, event, given.verdict, who=who, note=given.note, now_ns=now_ns))
    except UnknownEvidence as error:
        raise Refused(404, "unknown_evidence", str(error.args[0])) from None
    return {"verdict": given.verdict}
