"""Routes of the shift: its report, its notes, and handovers that were signed."""

import json
import threading
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.api.access import Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns
from gateway.api.shapes import ErrorShape
from gateway.handover import Handover, Note, handovers, sign, write_note
from gateway.services import Services
from gateway.shift_report import as_csv, report

router = APIRouter(prefix="/shift", tags=["shift"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}
_PRINTING = threading.BoundedSemaphore(2)  # a long one is work for seconds: more would slow everybody
Language = Annotated[Literal["es", "en"] | None, Query(description="The site's without it")]
Number = Annotated[int, Path(ge=1, le=2**53)]
At = Annotated[str | None, Query(description="A time in the shift; now without it")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewNote(_Strict):
    """Something that the next shift must know."""

    text: str = Field(min_length=1, max_length=4000)
    who: str = Field("", max_length=100)


class Signing(_Strict):
    """Who leaves (the login counts where there is one) and who takes over; ``at`` is a time in the shift, now without it."""

    outgoing: str = Field("", max_length=100)
    incoming: str = Field(min_length=1, max_length=100)
    at: float | str | None = None


class HandoverShape(BaseModel):
    """``untouched``: the report is byte for byte the one that was signed."""

    number: int
    signed: float
    start: float
    end: float
    outgoing: str
    incoming: str
    sha256: str
    untouched: bool


class SignedShape(HandoverShape):
    """With the report as it was."""

    report: dict[str, Any]


@router.get("", response_model=dict[str, Any])
async def shift(services: Parts, at: At = None) -> dict[str, Any]:
    """What the shift hands over: what stands, what is set aside, what was done, notes, blind spots, figures of its alarms."""
    return await _report(services, at)


@router.get(".csv", response_class=Response)
async def shift_csv(services: Parts, at: At = None) -> Response:
    """The same as rows."""
    told = await _report(services, at)
    headers = {"Content-Disposition": f'attachment; filename="{services.config.site}-shift-{int(told["start"]) // 1000}.csv"'}
    return Response(as_csv(told), media_type="text/csv; charset=utf-8", headers=headers)


@router.get(".pdf", response_class=Response)
async def shift_pdf(services: Parts, at: At = None, lang: Language = None) -> Response:
    """The same on paper, unsigned."""
    told = await _report(services, at)
    return await _printed(services, told, lang, None, f"shift-{int(told['start']) // 1000}")


@router.post("/notes", response_model=dict[str, Any], responses=_REFUSALS)
async def note(services: Parts, person: Operator, given: NewNote) -> dict[str, Any]:
    """Adds a note to the shift that runs. Notes are never changed."""
    written = Note(time.time_ns(), author(person, given.who), given.text)
    await run_in_threadpool(write_note, services.engine, written)
    return {"at": to_ms(written.at_ns), "who": written.who, "text": written.text}


@router.post("/sign", response_model=HandoverShape, responses=_REFUSALS)
async def sign_handover(services: Parts, person: Operator, given: Signing) -> dict[str, object]:
    """Keeps the report as it is now, signed by the one who leaves and the one who takes over."""
    told = await _report(services, None if given.at is None else str(given.at))
    start_ns, end_ns = moment_ns(told["start"], "start"), moment_ns(told["end"], "end")
    outgoing = author(person, given.outgoing)
    try:
        done = await run_in_threadpool(
            lambda: sign(
                services.engine, told, start_ns=start_ns, end_ns=end_ns, outgoing=outgoing, incoming=given.incoming, now_ns=time.time_ns()
            )
        )
    except ValueError as error:
        raise Refused(422, "two_people", str(error)) from None
    return _shape(done)


@router.get("/signed", response_model=list[HandoverShape])
async def signed(services: Parts, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[dict[str, object]]:
    """Handovers that were signed, newest first."""
    return [_shape(one) for one in await run_in_threadpool(lambda: handovers(services.engine, limit=limit))]


@router.get("/signed/{number}.pdf", response_class=Response, responses={404: {"model": ErrorShape, "description": "no such handover"}})
async def signed_pdf(services: Parts, number: Number, lang: Language = None) -> Response:
    """A signed handover on paper: the report as it was, who signed, and its SHA-256 on every page."""
    found = await _signed(services, number)
    return await _printed(services, json.loads(found.report), lang, found, f"handover-{number}")


@router.get("/signed/{number}", response_model=SignedShape)
async def one_signed(services: Parts, number: Number) -> dict[str, object]:
    """One of them, with its report as it was."""
    found = await _signed(services, number)
    return {**_shape(found), "report": json.loads(found.report)}


async def _signed(services: Services, number: int) -> Handover:
    found = await run_in_threadpool(lambda: handovers(services.engine, number=number))
    if not found:
        raise Refused(404, "unknown_handover", f"there is no handover {number}: see GET /shift/signed")
    return found[0]


async def _printed(services: Services, told: Mapping[str, Any], lang: str | None, kept: Handover | None, name: str) -> Response:
    from gateway.shift_pdf import as_pdf

    config = services.config
    if not _PRINTING.acquire(blocking=False):
        raise Refused(503, "too_many_exports", "two reports are being made: wait for one")
    try:
        made = await run_in_threadpool(lambda: as_pdf(told, language=lang or config.language, time_zone=config.time_zone, signed=kept))
    finally:
        _PRINTING.release()
    headers = {"Content-Disposition": f'attachment; filename="{config.site}-{name}.pdf"'}
    return Response(made, media_type="application/pdf", headers=headers)


async def _report(services: Services, at: str | None) -> dict[str, Any]:
    now_ns = time.time_ns()
    at_ns = now_ns if at is None else moment_ns(at, "at")
    shifts = services.shifts
    if at_ns > shifts.ends(now_ns):
        raise Refused(422, "bad_time", "at lies behind the shift that runs")
    return await run_in_threadpool(lambda: report(services, shifts.began(at_ns), shifts.ends(at_ns), now_ns))


def _shape(one: Handover) -> dict[str, object]:
    moments = {"signed": to_ms(one.at_ns), "start": to_ms(one.start_ns), "end": to_ms(one.end_ns)}
    people = {"outgoing": one.outgoing, "incoming": one.incoming}
    return {"number": one.number, **moments, **people, "sha256": one.sha256, "untouched": one.untouched}
