"""Routes behind a link in a message: no login, the link says who it was sent to. Reading acknowledges nothing, for mail scanners read, too."""

import time
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.alarms.journal import UnknownAlarm
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import AlarmShape, ErrorShape
from gateway.link_answer import Answer, Worth, answer, look
from gateway.notify.link import LONGEST, BadLink, Link
from gateway.services import Services

router = APIRouter(prefix="/link", tags=["access"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    404: {"model": ErrorShape, "description": "no link of this gateway, or its alarm is not known"},
    409: {"model": ErrorShape, "description": "the link is used, overtaken or over"},
    429: {"model": ErrorShape, "description": "too often"},
}


class Answering(BaseModel):
    """The part of the link behind `/ack/`."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=LONGEST)


class LinkShape(BaseModel):
    """``worth``: what the link can still do; ``by`` and ``at``: who acknowledged, and when; ``until``: its end."""

    worth: Worth
    person: str
    until: float
    by: str | None
    at: float | None
    alarm: AlarmShape


@router.get("/{token}", response_model=LinkShape, responses=_REFUSALS)
async def opened(services: Parts, token: Annotated[str, Path(max_length=LONGEST)]) -> dict[str, object]:
    """The alarm that a link is about, and what the link is worth now. Changes nothing."""
    link = _read(services, token)
    try:
        return _shape(link, await run_in_threadpool(lambda: look(services, link, now_ns=time.time_ns())))
    except UnknownAlarm:
        raise _unknown(link) from None


@router.post("/acknowledge", response_model=LinkShape, responses=_REFUSALS)
async def acknowledge(services: Parts, given: Answering) -> dict[str, object]:
    """The person of the link has seen the alarm and answers for it."""
    link = _read(services, given.token)
    try:
        done, found = await run_in_threadpool(answer, services, link)
    except UnknownAlarm:
        raise _unknown(link) from None
    if not done:
        raise Refused(409, f"link_{found.worth}", f"the link acknowledges nothing now: {found.worth.replace('_', ' ')}")
    services.annunciator.announce(found.view)
    return _shape(link, found)


def _read(services: Services, token: str) -> Link:
    """Raises Refused. Whoever invents links waits; whoever has a right one does not wait for them."""
    now_ns = time.time_ns()
    if services.links is None:
        raise Refused(404, "bad_link", "this gateway sends no links: notify.channels have no person")
    try:
        link = services.links.read(token)
    except BadLink as error:
        if services.links.wrong.allows("", now_ns):
            raise Refused(404, "bad_link", str(error)) from None
        raise Refused(429, "too_often", "too many wrong links: wait a moment") from None
    if not services.links.opened.allows(f"{link.key} {link.person}", now_ns):
        raise Refused(429, "too_often", "this link was opened too often: wait a moment")
    return link


def _unknown(link: Link) -> Refused:
    return Refused(404, "unknown_alarm", f"there is no alarm {link.key!r} any more")


def _shape(link: Link, found: Answer) -> dict[str, object]:
    at = None if found.at_ns is None else to_ms(found.at_ns)
    return {
        "worth": found.worth,
        "person": link.person,
        "until": link.until * 1000.0,
        "by": found.by,
        "at": at,
        "alarm": found.view.to_json(),
    }
