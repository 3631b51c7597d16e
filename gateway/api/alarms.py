"""Routes of the alarms: what stands, what happened, and what people do about it."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool

from contract.alarms import Trigger
from contract.frames import to_ms
from gateway.alarms.journal import NotPossible, UnknownAlarm
from gateway.alarms.view import AlarmView
from gateway.api.access import Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns
from gateway.api.shapes import Acknowledgement, AlarmShape, ErrorShape, HistoryShape, NoticeShape, Shelving
from gateway.bundle import bundle
from gateway.services import Services

router = APIRouter(prefix="/alarms", tags=["alarms"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
    404: {"model": ErrorShape, "description": "no such alarm"},
    409: {"model": ErrorShape, "description": "the alarm is not in a state that allows it"},
}
Key = Annotated[str, Path(max_length=128, description="NODE.DEFINITION")]


@router.get("", response_model=list[AlarmShape])
async def standing(services: Parts) -> list[dict[str, object]]:
    """Every alarm that is not normal, the most urgent first, then the newest."""
    return [view.to_json() for view in await run_in_threadpool(services.journal.standing)]


@router.get("/history", response_model=HistoryShape)
async def history(
    services: Parts,
    key: Annotated[str | None, Query(max_length=128)] = None,
    node: Annotated[str | None, Query(max_length=32)] = None,
    before: Annotated[str | None, Query(max_length=300)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, object]:
    """Events and actions, newest first by their own times. For the next page give ``next`` as ``before``."""
    try:
        entries = await run_in_threadpool(services.journal.history, key=key, node=node, before=before, limit=limit)
    except ValueError as error:
        raise Refused(422, "bad_cursor", str(error)) from None
    return {"entries": [entry.to_json() for entry in entries], "next": entries[-1].cursor if len(entries) == limit else None}


@router.get("/{key}/notices", response_model=list[NoticeShape])
async def notices(services: Parts, key: Key) -> list[dict[str, object]]:
    """Who was told of the alarm through which channel, newest first; ``after`` is 0 for the first word and the step's seconds for an escalation."""
    receipts = await run_in_threadpool(services.receipts.of, key)
    return [{"event": notice.event, "channel": notice.channel, "after": notice.after, "sent": to_ms(sent)} for notice, sent in receipts]


@router.get("/{key}/bundle", response_class=Response, responses=_REFUSALS)
async def evidence_bundle(services: Parts, person: Operator, key: Key, who: Annotated[str, Query(max_length=100)] = "") -> Response:
    """The alarm's evidence as a ZIP: samples, pictures, history, and its place in the audit's chain. `muki evidence verify` checks it."""
    name = author(person, who)
    try:
        made = await run_in_threadpool(lambda: bundle(services, key, who=name, now_ns=time.time_ns()))
    except UnknownAlarm as error:
        raise Refused(404, "unknown_alarm", f"there is no alarm {error.args[0]!r}: write NODE.DEFINITION as GET /alarms shows it") from None
    return Response(made, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{key}.zip"'})


@router.post("/{key}/acknowledge", response_model=AlarmShape, responses=_REFUSALS)
async def acknowledge(services: Parts, person: Operator, key: Key, given: Acknowledgement) -> dict[str, object]:
    """Somebody has seen the alarm and answers for it."""
    who = author(person, given.who)
    return await _act(services, lambda now: services.journal.act(key, Trigger.ACKNOWLEDGE, who=who, note=given.note, now_ns=now))


@router.post("/{key}/reset", response_model=AlarmShape, responses=_REFUSALS)
async def reset(services: Parts, person: Operator, key: Key, given: Acknowledgement) -> dict[str, object]:
    """Ends an alarm that latches, once its condition has gone and it is acknowledged."""
    who = author(person, given.who)
    return await _act(services, lambda now: services.journal.act(key, Trigger.RESET, who=who, note=given.note, now_ns=now))


@router.post("/{key}/shelve", response_model=AlarmShape, responses=_REFUSALS)
async def shelve(services: Parts, person: Operator, key: Key, given: Shelving) -> dict[str, object]:
    """Sets an alarm aside until a time; then it comes back by itself."""
    who = author(person, given.who)
    until_ns = moment_ns(given.until, "until")
    return await _act(
        services,
        lambda now: services.journal.act(key, Trigger.SHELVE, who=who, note=given.reason, now_ns=now, until_ns=until_ns),
    )


@router.post("/{key}/unshelve", response_model=AlarmShape, responses=_REFUSALS)
async def unshelve(services: Parts, person: Operator, key: Key, given: Acknowledgement) -> dict[str, object]:
    """Takes an alarm back before its time; it is unacknowledged when its condition holds."""
    who = author(person, given.who)
    return await _act(services, lambda now: services.journal.act(key, Trigger.UNSHELVE, who=who, note=given.note, now_ns=now))


async def _act(services: Services, act: Callable[[int], AlarmView]) -> dict[str, object]:
    try:
        view = await run_in_threadpool(act, time.time_ns())
    except UnknownAlarm as error:
        raise Refused(404, "unknown_alarm", f"there is no alarm {error.args[0]!r}: write NODE.DEFINITION as GET /alarms shows it") from None
    except NotPossible as error:
        right = {"until_past": ": until must be in the future", "until_too_far": ": until may be 24 hours ahead at most"}.get(
            error.reason, ""
        )
        raise Refused(409, error.reason, f"not possible now: {error.reason.replace('_', ' ')}{right}") from None
    services.annunciator.announce(view)
    return view.to_json()
