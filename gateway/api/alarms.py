"""Routes of the alarms: what stands, what happened, and what people do about it."""

import functools
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool

from contract.alarms import Trigger
from contract.frames import to_ms
from gateway.alarms.journal import NotPossible, UnknownAlarm
from gateway.alarms.search import words
from gateway.alarms.view import AlarmView
from gateway.api.access import Engineer, Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns
from gateway.api.shapes import (
    Acknowledgement,
    AlarmShape,
    Answered,
    ErrorShape,
    HistoryShape,
    NoticeShape,
    PageAcknowledgement,
    Removal,
    Shelving,
)
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
    *,
    key: Annotated[str | None, Query(max_length=128)] = None,
    node: Annotated[str | None, Query(max_length=32)] = None,
    before: Annotated[str | None, Query(max_length=300)] = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, object]:
    """Events and actions, newest first by their own times. For the next page give ``next`` as ``before``.

    ``text``: only those that hold each of its words in title, point, node, name or note, whatever their case and accents. One request goes
    through 20,000 entries at most, so that a page may hold few, or none, and still have a ``next``.
    """
    try:
        if text:
            found = await run_in_threadpool(services.journal.search, words(text), key=key, node=node, before=before, limit=limit)
            return {"entries": [entry.to_json() for entry in found.entries], "next": found.next}
        entries = await run_in_threadpool(services.journal.history, key=key, node=node, before=before, limit=limit)
    except ValueError as error:
        raise Refused(422, "bad_text" if str(error).startswith("text") else "bad_cursor", str(error)) from None
    return {"entries": [entry.to_json() for entry in entries], "next": entries[-1].cursor if len(entries) == limit else None}


@router.post("/acknowledge", response_model=list[Answered], responses=_REFUSALS)
async def acknowledge_page(services: Parts, person: Operator, given: PageAcknowledgement) -> list[dict[str, object]]:
    """Somebody answers for several alarms at once: those they see, each by its event, so that one that came again meanwhile is not among them."""
    who = author(person, given.who)
    answers: list[dict[str, object]] = []
    for one in given.alarms:
        try:
            view = await run_in_threadpool(
                functools.partial(
                    services.journal.act, one.key, Trigger.ACKNOWLEDGE, who=who, note=given.note, now_ns=time.time_ns(), seen=one.event
                )
            )
        except (UnknownAlarm, NotPossible) as error:
            reason = error.reason if isinstance(error, NotPossible) else "unknown_alarm"
            answers.append({"key": one.key, "reason": reason, "alarm": None})
            continue
        services.annunciator.announce(view)
        answers.append({"key": one.key, "reason": None, "alarm": view.to_json()})
    return answers


@router.get("/{key}", response_model=AlarmShape, responses={404: _REFUSALS[404]})
async def alarm(services: Parts, key: Key) -> dict[str, object]:
    """One alarm as it stands, also when it is normal."""
    try:
        return (await run_in_threadpool(services.journal.get, key)).to_json()
    except UnknownAlarm as error:
        raise _unknown(error) from None


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
        raise _unknown(error) from None
    return Response(made, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{key}.zip"'})


@router.post("/{key}/acknowledge", response_model=AlarmShape, responses=_REFUSALS)
async def acknowledge(services: Parts, person: Operator, key: Key, given: Acknowledgement) -> dict[str, object]:
    """Somebody has seen the alarm and answers for it."""
    who = author(person, given.who)
    return await _act(
        services, lambda now: services.journal.act(key, Trigger.ACKNOWLEDGE, who=who, note=given.note, now_ns=now, seen=given.event)
    )


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


@router.post("/{key}/remove", response_model=AlarmShape, responses=_REFUSALS)
async def remove(services: Parts, person: Engineer, key: Key, given: Removal) -> dict[str, object]:
    """Takes an alarm out of service, for maintenance: without an end of its own, so only by an engineer, with a reason."""
    who = author(person, given.who)
    return await _act(services, lambda now: services.journal.act(key, Trigger.REMOVE, who=who, note=given.reason, now_ns=now))


@router.post("/{key}/restore", response_model=AlarmShape, responses=_REFUSALS)
async def restore(services: Parts, person: Engineer, key: Key, given: Acknowledgement) -> dict[str, object]:
    """Puts an alarm back into service; it is unacknowledged when its condition holds."""
    who = author(person, given.who)
    return await _act(services, lambda now: services.journal.act(key, Trigger.RESTORE, who=who, note=given.note, now_ns=now))


def _unknown(error: UnknownAlarm) -> Refused:
    return Refused(404, "unknown_alarm", f"there is no alarm {error.args[0]!r}: write NODE.DEFINITION as GET /alarms shows it")


async def _act(services: Services, act: Callable[[int], AlarmView]) -> dict[str, object]:
    try:
        view = await run_in_threadpool(act, time.time_ns())
    except UnknownAlarm as error:
        raise _unknown(error) from None
    except NotPossible as error:
        right = {"until_past": ": until must be in the future", "until_too_far": ": until may be 24 hours ahead at most"}.get(
            error.reason, ""
        )
        raise Refused(409, error.reason, f"not possible now: {error.reason.replace('_', ' ')}{right}") from None
    services.annunciator.announce(view)
    return view.to_json()
