"""Looks each second at what nobody has acknowledged and sends what is due. A channel that is slow or dead holds up no other one."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority, SignalClass
from gateway.alarms.view import URGENCY, AlarmView
from gateway.notify import ChannelFailed, Message, Notifier
from gateway.notify.due import Notice, due
from gateway.notify.link import Links
from gateway.notify.receipts import Receipts
from gateway.notify.settings import ChannelSettings, NotifySettings, channel_class
from gateway.notify.text import SHOWN, Invitation, message, test_message, texts

log = logging.getLogger(__name__)

EVERY = 1.0  # s
TELLING_FAILURES = 3  # in a row, after which a channel is a malfunction
FIRST_BACKOFF, LONGEST_BACKOFF = 5.0, 300.0  # s


class _Channel:
    """One channel and how it fares."""

    def __init__(self, settings: ChannelSettings, language: str) -> None:
        kind = channel_class(settings.type)
        self.name = settings.name
        self.language = settings.language or language
        self.person = settings.person
        self.notifier: Notifier = kind(kind.Settings.model_validate(settings.own))
        self.failures = 0
        self.next_try = 0.0  # steady s
        self.task: asyncio.Task[None] | None = None


class Notifications:
    """``standing`` gives what is not normal; ``malfunction`` hears of each channel whether it fails. Everything but sending is quick."""

    def __init__(
        self,
        settings: NotifySettings,
        receipts: Receipts,
        *,
        site: str,
        language: str,
        time_zone: str,
        standing: Callable[[], Iterable[AlarmView]],
        malfunction: Callable[[AlarmDefinition, bool], None],
        links: Links | None = None,
        backoff: float = FIRST_BACKOFF,
    ) -> None:
        self._settings = settings
        self._receipts = receipts
        self._site, self._zone = site, ZoneInfo(time_zone)
        self._standing = standing
        self._malfunction = malfunction
        self._links = links
        self._backoff = backoff
        self._channels = {one.name: _Channel(one, language) for one in settings.channels}

    @property
    def definitions(self) -> list[AlarmDefinition]:
        """The malfunction of each channel."""
        return [failing(name, "channel") for name in self._channels]

    async def run(self) -> None:
        """Until cancelled."""
        if not self._settings.routes:
            await asyncio.Event().wait()
        try:
            while True:
                await self._look()
                await asyncio.sleep(EVERY)
        finally:
            tasks = [channel.task for channel in self._channels.values() if channel.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        views = sorted(self._standing(), key=lambda view: (URGENCY[view.definition.priority], view.now.since_ns))
        events = sorted({view.now.event for view in views if view.now.event})
        if not events:
            return
        try:
            sent = await asyncio.to_thread(self._receipts.sent, events)
        except SQLAlchemyError as error:
            log.warning("notifications wait for the database: %s", error)
            return
        now_ns = time.time_ns()
        local = datetime.fromtimestamp(now_ns / 1e9, self._zone).time()
        waiting: dict[str, list[Notice]] = {}
        for notice in due(views, self._settings.routes, sent, now_ns=now_ns, local=local):
            waiting.setdefault(notice.channel, []).append(notice)
        for name, notices in waiting.items():
            channel = self._channels[name]
            if (channel.task is None or channel.task.done()) and time.monotonic() >= channel.next_try:
                chosen = [view for view in views if view.key in {notice.key for notice in notices}]
                channel.task = asyncio.create_task(self._send(channel, notices, chosen), name=f"notify-{name}")

    async def _send(self, channel: _Channel, notices: Sequence[Notice], views: Sequence[AlarmView]) -> None:
        escalated = all(notice.after > 0 for notice in notices)
        page = self._settings.page
        told = message(
            views,
            site=self._site,
            language=channel.language,
            zone=self._zone,
            page=page,
            escalated=escalated,
            invitations=self._invitations(channel, views),
        )
        try:
            await asyncio.to_thread(channel.notifier.send, told)
            await asyncio.to_thread(lambda: self._receipts.keep(notices, now_ns=time.time_ns()))
        except (ChannelFailed, SQLAlchemyError) as error:
            self._failed(channel, str(error))
        except Exception as error:  # a service's library may raise anything: the other channels go on
            log.exception("channel=%s", channel.name)
            self._failed(channel, type(error).__name__)
        else:
            log.info("channel=%s told of %s", channel.name, ", ".join(sorted({notice.key for notice in notices})))
            channel.failures, channel.next_try = 0, 0.0
            self._malfunction(failing(channel.name, "channel"), False)

    def _invitations(self, channel: _Channel, views: Sequence[AlarmView]) -> dict[str, Invitation]:
        """A link for each alarm, where the channel is one person's."""
        if self._links is None or channel.person is None:
            return {}
        now_ns = time.time_ns()
        return {
            view.key: Invitation(channel.person, *self._links.invite(view.key, view.now.event, channel.person, now_ns=now_ns))
            for view in views[:SHOWN]
        }

    def _failed(self, channel: _Channel, why: str) -> None:
        pause = min(LONGEST_BACKOFF, self._backoff * 2.0 ** min(channel.failures, 20))
        channel.failures += 1
        channel.next_try = time.monotonic() + pause
        log.warning("channel=%s failed %d times: %s; again in %.0f s", channel.name, channel.failures, why, pause)
        if channel.failures >= TELLING_FAILURES:
            self._malfunction(failing(channel.name, "channel"), True)


def failing(name: str, what: Literal["channel", "siren"]) -> AlarmDefinition:
    """The malfunction of a channel that takes nothing, or of a siren that cannot be switched."""
    words = {language: texts(language) for language in ("es", "en")}
    return AlarmDefinition(
        id=f"{what}-{name}",
        point=f"notify/{name}",
        condition=Condition(ConditionKind.BAD_QUALITY),
        priority=Priority.HIGH,
        signal_class=SignalClass.MALFUNCTION,
        title={language: text[f"{what}.title"].format(name=name) for language, text in words.items()},
        consequence={language: text[f"{what}.consequence"] for language, text in words.items()},
        action={language: text[f"{what}.action"] for language, text in words.items()},
        response_time=600.0,
        source="Muki",
    )


def try_channel(settings: NotifySettings, name: str, *, site: str, language: str) -> Message:
    """Sends a test message and returns it. Raises ValueError for a channel that is none, ChannelFailed when it does not go out."""
    found = [one for one in settings.channels if one.name == name]
    if not found:
        raise ValueError(f"there is no channel {name!r}; there is {', '.join(one.name for one in settings.channels) or 'none'}")
    channel = _Channel(found[0], language)
    told = test_message(site=site, language=channel.language)
    channel.notifier.send(told)
    return told
