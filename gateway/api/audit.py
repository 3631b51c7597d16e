"""Routes of the audit: read by engineers, verified by whoever doubts it."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from contract.frames import to_ms
from gateway import audit
from gateway.api.access import Engineer
from gateway.api.errors import Parts
from gateway.api.shapes import ErrorShape

router = APIRouter(prefix="/audit", tags=["audit"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}
Text = Annotated[str, Query(max_length=300)]


class AuditEntryShape(BaseModel):
    """One entry; ``hash`` seals it and all before it."""

    number: int
    at: float
    kind: str
    who: str
    subject: str
    what: dict[str, Any]
    hash: str


class AuditShape(BaseModel):
    """``next``: give it as ``before`` for the next page, null behind the last."""

    entries: list[AuditEntryShape]
    next: int | None


class VerdictShape(BaseModel):
    """``good`` entries stand unbroken; ``problem`` says what is wrong behind them."""

    good: int
    head: int
    hash: str
    problem: str


@router.get("", response_model=AuditShape, responses=_REFUSALS)
async def entries(
    services: Parts,
    _person: Engineer,
    *,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    kind: Text = "",
    who: Text = "",
    subject: Text = "",
) -> dict[str, object]:
    """What happened and who did it, newest first; ``kind`` is a beginning (`alarm.`), ``who`` and ``subject`` are whole."""
    found = await run_in_threadpool(lambda: audit.entries(services.engine, before=before, limit=limit, kind=kind, who=who, subject=subject))
    told = [{**one._asdict(), "at": to_ms(one.at_ns), "what": json.loads(one.what)} for one in found]
    return {"entries": told, "next": found[-1].number if len(found) == limit else None}


@router.get("/verify", response_model=VerdictShape, responses=_REFUSALS)
async def verified(services: Parts, _person: Engineer) -> dict[str, object]:
    """Reads the whole chain and says how far it holds."""
    found = await run_in_threadpool(audit.verify, services.engine)
    return {"good": found.good, "head": found.head.number, "hash": found.head.hash, "problem": found.problem}
