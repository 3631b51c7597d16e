"""The words of a message, in the language of its channel."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from contract.alarms import Priority
from gateway.alarms.view import AlarmView
from gateway.notify import Message

LOCALES = Path(__file__).parent / "locales"
SHOWN = 8  # alarms of one message; the rest is told as a number


@cache
def texts(language: str) -> Mapping[str, str]:
    loaded: dict[str, str] = json.loads((LOCALES / f"{language}.json").read_text("utf-8"))
    return loaded


class Invitation(NamedTuple):
    """A link by which ``person`` acknowledges one alarm; ``until``: Unix seconds."""

    person: str
    address: str
    until: int


def message(
    views: Sequence[AlarmView],
    *,
    site: str,
    language: str,
    zone: ZoneInfo,
    page: str,
    escalated: bool,
    invitations: Mapping[str, Invitation] | None = None,
) -> Message:
    """One message about one or several alarms, the first the most urgent. A flood is one message, not a hundred.

    ``invitations`` are keyed by the alarm's key.
    """
    words = texts(language)
    first = views[0]
    urgent = any(view.definition.priority is Priority.CRITICAL for view in views)
    priority = words[f"priority.{first.definition.priority.value}"]
    what = _title(first, language) if len(views) == 1 else words["several"].format(count=len(views))
    title = words["title"].format(priority=priority.upper(), site=site, what=what)
    lines = [words["escalated"]] if escalated else []
    for view in views[:SHOWN]:
        lines += _lines(view, words, language, zone)
        if invitations and (invited := invitations.get(view.key)) is not None:
            until = datetime.fromtimestamp(invited.until, zone).strftime("%d/%m %H:%M")
            lines.append(words["link"].format(person=invited.person, until=until, link=invited.address))
    if len(views) > SHOWN:
        lines.append(words["more"].format(count=len(views) - SHOWN))
    if page:
        lines.append(words["page"].format(page=page))
    return Message(title, "\n".join(lines), urgent)


def test_message(*, site: str, language: str) -> Message:
    words = texts(language)
    return Message(words["test.title"].format(site=site), words["test.body"], urgent=False)


def _title(view: AlarmView, language: str) -> str:
    return view.definition.title.get(language) or view.definition.id


def _lines(view: AlarmView, words: Mapping[str, str], language: str, zone: ZoneInfo) -> list[str]:
    since = datetime.fromtimestamp(view.now.since_ns / 1e9, zone).strftime("%H:%M:%S")
    priority = words[f"priority.{view.definition.priority.value}"]
    ended = "" if view.now.active else " " + words["returned"]
    lines = [words["alarm"].format(priority=priority, what=_title(view, language), point=view.point, node=view.node, since=since) + ended]
    if view.now.value is not None:
        lines.append(
            words["value"].format(value=f"{view.now.value:g}", quality="" if view.now.quality == "good" else f" ({view.now.quality})")
        )
    if action := view.definition.action.get(language):
        lines.append(words["action"].format(action=action))
    return lines
