"""What a link of a message is worth now, and what is done when its person answers by it."""

import time
from enum import StrEnum
from typing import NamedTuple

import msgspec
from sqlalchemy import select

from contract.alarms import Trigger
from gateway.accounts.roles import Role
from gateway.alarms.journal import NotPossible
from gateway.alarms.lifecycle import Fold
from gateway.alarms.tables import ACTION
from gateway.alarms.view import AlarmView
from gateway.database import reading
from gateway.notify.due import UNACKNOWLEDGED
from gateway.notify.link import SECOND, Link
from gateway.notify.text import texts
from gateway.services import Services

NEWEST = 50  # acknowledgements of one alarm that are looked through


class Worth(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # by its person or another: a link counts once
    CAME_AGAIN = "came_again"  # another event raised it since
    NOTHING = "nothing"  # shelved, out of service, or ended
    EXPIRED = "expired"
    NOT_ALLOWED = "not_allowed"  # its person has no account here that may acknowledge


class Answer(NamedTuple):
    """``by`` and ``at_ns``: of the acknowledgement, where there is one."""

    worth: Worth
    view: AlarmView
    by: str | None
    at_ns: int | None


def look(services: Services, link: Link, *, now_ns: int) -> Answer:
    """Changes nothing. Blocks. Raises UnknownAlarm."""
    view = services.journal.get(link.key)
    waits = view.state in UNACKNOWLEDGED
    if waits and view.now.event != link.event:  # first of all: nobody shall believe that this one was answered
        return Answer(Worth.CAME_AGAIN, view, None, None)
    done = _acknowledgement(services, link)
    if done is not None:
        return Answer(Worth.ACKNOWLEDGED, view, *done)
    if not waits:
        worth = Worth.NOTHING
    elif now_ns >= link.until * SECOND:
        worth = Worth.EXPIRED
    elif not _may(services, link.person):
        worth = Worth.NOT_ALLOWED
    else:
        worth = Worth.OPEN
    return Answer(worth, view, None, None)


def answer(services: Services, link: Link) -> tuple[bool, Answer]:
    """Acknowledges, where the link is worth it: whether it did, and how things stand then. Blocks. Raises UnknownAlarm."""
    now_ns = time.time_ns()
    before = look(services, link, now_ns=now_ns)
    if before.worth is not Worth.OPEN:
        return False, before
    note = texts(services.config.language)["by_link"]
    try:
        view = services.journal.act(link.key, Trigger.ACKNOWLEDGE, who=link.person, note=note, now_ns=now_ns, seen=link.event, by="link")
    except NotPossible:  # somebody was faster
        return False, look(services, link, now_ns=now_ns)
    return True, Answer(Worth.ACKNOWLEDGED, view, link.person, now_ns)


def _acknowledgement(services: Services, link: Link) -> tuple[str, int] | None:
    """Who has acknowledged this event, and when: also when it was shelved and came back since, an answer was given."""
    query = (
        select(ACTION.c.who, ACTION.c.at_ns, ACTION.c.after)
        .where(ACTION.c.key == link.key, ACTION.c.trigger == Trigger.ACKNOWLEDGE.value)
        .order_by(ACTION.c.at_ns.desc(), ACTION.c.id.desc())
        .limit(NEWEST)
    )
    with reading(services.engine) as connection:
        for row in connection.execute(query):
            if msgspec.json.decode(row.after, type=Fold).event == link.event:
                return str(row.who), int(row.at_ns)
    return None


def _may(services: Services, person: str) -> bool:
    if services.config.effective_access == "open":
        return True
    user = services.users.get(person)
    return user is not None and user.role.may(Role.OPERATOR)
