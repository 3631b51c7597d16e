"""A channel of the library Apprise: e-mail, SMS gateways, Telegram, Teams, webhooks, MQTT and a hundred more, each by a URL."""

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.notify import ChannelFailed, Message


class AppriseSettings(BaseModel):
    """Where to. A URL mostly holds a secret: it is better kept in a file that only the gateway can read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str | None, Field(min_length=1)] = None
    url_file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("write either url or url_file, whose first line is the URL")
        if self.url is not None and not _known(self.url):
            raise ValueError(f"url {self.url.partition(':')[0]}://…: no address that Apprise knows; its own page lists them")
        return self


class AppriseChannel:
    """``send`` takes as long as the service does; Apprise's own limits (seconds) are in the URL, as ``?cto=4&rto=4``."""

    Settings: ClassVar[type[BaseModel]] = AppriseSettings

    def __init__(self, settings: Any) -> None:
        assert isinstance(settings, AppriseSettings)  # noqa: S101 - made by the registry
        self._settings = settings
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings hold addresses, and so secrets

    def send(self, message: Message) -> None:
        """Raises ChannelFailed."""
        import apprise

        # The service itself and not Apprise's room of several, which keeps threads for good.
        service = apprise.Apprise.instantiate(self._url(), suppress_exceptions=True)
        if service is None:
            raise ChannelFailed("the address is none that Apprise knows")
        kind = apprise.NotifyType.FAILURE if message.urgent else apprise.NotifyType.WARNING
        try:
            sent = bool(service.notify(title=message.title, body=message.body, notify_type=kind))
        except TypeError as error:  # Apprise says so where a service has no room for such a message
            raise ChannelFailed(str(error)) from None
        if not sent:
            raise ChannelFailed("the service did not take the message, or was not reached")

    def _url(self) -> str:
        if self._settings.url_file is None:
            return self._settings.url or ""
        try:
            return self._settings.url_file.read_text("utf-8").split("\n", 1)[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ChannelFailed(f"url_file {self._settings.url_file}: {error}") from None


def _known(url: str) -> bool:
    import apprise

    return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None
