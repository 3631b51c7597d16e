"""Telling people who are not at the page: which alarms, to whom, until somebody acknowledges. The protocol and the registry of channels."""

from typing import Any, NamedTuple, Protocol, runtime_checkable


class Message(NamedTuple):
    """What one channel is told at once; ``urgent``: a critical alarm is among it."""

    title: str
    body: str
    urgent: bool


class ChannelFailed(Exception):
    """The message did not go out; the text says what is known, and never a password."""


@runtime_checkable
class Notifier(Protocol):
    """Sends to one channel. Constructed from its ``Settings`` (a pydantic model); ``send`` blocks and is called in a thread, never twice at once."""

    Settings: type[Any]

    def __init__(self, settings: Any) -> None: ...

    def send(self, message: Message) -> None:
        """Raises ChannelFailed."""
        ...


REGISTRY: dict[str, str] = {"apprise": "gateway.notify.apprise_channel:AppriseChannel"}
