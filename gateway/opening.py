"""Opens what a gateway stands on: its configuration, its SQL database, its store; each failure says what would be right."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from contract.documents import Document, DocumentError
from gateway.config import GatewayConfig, read
from gateway.database import open_database
from gateway.notify.link import Links, open_secret
from gateway.store import StoreUnavailable, TimeSeriesStore
from gateway.store.opening import open_store, store_class


class CannotStart(Exception):
    """The gateway cannot open what it needs; the text says what and what would be right."""


def open_journal(config: GatewayConfig) -> Engine:
    """The database. Raises CannotStart."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        return open_database(config.database_url)
    except (OSError, ValueError, SQLAlchemyError) as error:
        raise CannotStart(f"database {config.database_url}: {_explain(error, config)}") from error


def open_parts(config: GatewayConfig) -> tuple[Engine, TimeSeriesStore]:
    """The database and the store. Raises CannotStart."""
    engine = open_journal(config)
    try:
        return engine, open_store(config.store.type, store_settings(config))
    except (OSError, ValueError, StoreUnavailable) as error:
        engine.dispose()
        raise CannotStart(f"store {config.store.type}: {error}") from error


def open_links(config: GatewayConfig) -> Links | None:
    """What signs the links in messages; None where no channel is one person's. Raises CannotStart."""
    if not any(channel.person for channel in config.notify.channels):
        return None
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        secret = open_secret(config.data_dir / "links.key")
    except (OSError, ValueError) as error:
        raise CannotStart(f"the key of the links: {error}") from error
    return Links(secret, page=config.notify.page, hold_for=config.notify.links_for)


def _explain(error: Exception, config: GatewayConfig) -> str:
    text = str(error).split("\n", 1)[0]
    if "malformed" in text or "not a database" in text:
        return f"{text}: the file is damaged; it was left as it is: restore a backup, or move it away and start with an empty journal"
    if "disk I/O error" in text or "disk is full" in text:
        return f"{text}: the disk of {config.data_dir} is full (df shows it) or failing (dmesg shows it)"
    return text


def store_settings(config: GatewayConfig) -> dict[str, Any]:
    """The settings of the store; a store that keeps a file has it in the data folder unless told otherwise."""
    settings = config.store.settings
    if "path" in store_class(config.store.type).Settings.model_fields:
        settings["path"] = config.data_dir / settings.get("path", f"history.{config.store.type}")
    return settings


def check(path: Path) -> GatewayConfig:
    """The configuration in a file, the store's own settings included; nothing is opened. Raises DocumentError."""
    document = Document(path)
    config = read(document)
    try:
        settings = store_class(config.store.type).Settings
    except ValueError as error:
        raise DocumentError([document.problem(("store", "type"), str(error))]) from None
    document.check(settings, ("store",), store_settings(config))
    return config
