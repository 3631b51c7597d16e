"""The gateway's configuration: one YAML file, unknown keys refused, every error with file and line."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from contract.documents import Document, DocumentError
from contract.values import check_identifier
from gateway.accounts.oidc import OidcSettings, oidc_files
from gateway.aggregates import Aggregate, aggregate_problems
from gateway.gas.settings import GasConfig, gas_problems
from gateway.loopback import is_loopback
from gateway.notify.settings import ChannelSettings, NotifySettings, notify_problems
from gateway.plan.settings import PlanConfig, media_type
from gateway.site_rules import rule_problems
from rules.settings import AlarmSettings
from rules.shifts import TimeOfDay


def _identifier(text: str) -> str:
    return check_identifier(text, "site")


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no IANA time zone; write one like America/Lima or America/Santiago") from None
    return text


def _database(text: str) -> str:
    try:
        make_url(text)
    except ArgumentError:
        raise ValueError("write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME") from None
    return text


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=timedelta(days=1).total_seconds())]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerConfig(_Strict):
    """Where the MQTT broker is. ``password_file`` holds the password alone on its first line; ``tls_ca`` turns TLS on."""

    host: str = "127.0.0.1"
    port: Port | None = None
    username: str | None = None
    password_file: Path | None = None
    tls_ca: Path | None = None
    keepalive: Annotated[int, Field(ge=5, le=600)] = 30

    @property
    def effective_port(self) -> int:
        """As registered: 1883, and 8883 for TLS."""
        return self.port or (8883 if self.tls_ca else 1883)

    def password(self) -> str | None:
        """The first line of the password file. Raises OSError when it cannot be read."""
        if self.password_file is None:
            return None
        lines = self.password_file.read_text("utf-8").splitlines()
        return lines[0].strip() if lines else ""


class StoreConfig(BaseModel):
    """Which time-series store; the other keys are that store's own settings, which it checks itself."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str = "duckdb"

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class HttpConfig(_Strict):
    """Where the operators' page and the API listen."""

    host: str = "127.0.0.1"
    port: Port = 8080


class RetentionConfig(_Strict):
    """Days that each level of the history is kept; null for ever."""

    raw_days: Annotated[float, Field(ge=1, le=36_600)] | None = 30.0
    minute_days: Annotated[float, Field(ge=1, le=36_600)] | None = 366.0
    hour_days: Annotated[float, Field(ge=1, le=36_600)] | None = None


class GatewayConfig(_Strict):
    """Everything a gateway is told. Times in seconds; relative paths are relative to the file."""

    site: Annotated[str, AfterValidator(_identifier)]
    data_dir: Path
    broker: BrokerConfig = BrokerConfig()
    store: StoreConfig = StoreConfig()
    database: Annotated[str | None, AfterValidator(lambda text: text if text is None else _database(text))] = None
    http: HttpConfig = HttpConfig()
    language: Literal["es", "en"] = "es"
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "America/Lima"
    commit_every: Seconds = 0.25  # the oldest value waits at most this long before it is committed
    silence_after: Seconds = 15.0  # a node that says nothing for this long is a malfunction
    late_after: Seconds = 30.0  # an alarm event older than this when it arrives is history, not news
    dead_letters_mb: Annotated[int, Field(ge=1, le=100_000)] = 64  # of readings that the store did not get; the oldest go first
    access: Literal["open", "changes", "all"] | None = None  # what needs a login; without it `effective_access`
    oidc: OidcSettings | None = None  # people log in with the account that the mine gave them
    idle_after: Annotated[float, Field(ge=60, le=86_400)] = 1800.0  # seconds without an act after which a session only sees
    approve_nodes: bool = False  # a node is let in by a person; what others send waits on them
    evidence_days: Annotated[float, Field(gt=0, le=3650)] = 30.0  # after which a picture is deleted
    retention: RetentionConfig = RetentionConfig()
    rules: list[AlarmSettings] = []  # conditions over points of several nodes, NODE/asset/signal
    notify: NotifySettings = NotifySettings()  # who is told of alarms, and how
    shifts: Annotated[list[TimeOfDay], Field(min_length=1, max_length=12)] = ["07:00", "19:00"]  # when each begins
    aggregates: list[Aggregate] = []  # figures of a shift, a day or an hour
    gas: GasConfig = GasConfig()  # places, their gas heads and what needs air there
    plan: PlanConfig = PlanConfig()  # the site's plan until somebody draws another

    @property
    def effective_access(self) -> Literal["open", "changes", "all"]:
        """Open to whoever sits at this machine; from elsewhere, a change needs a login."""
        return self.access or ("open" if is_loopback(self.http.host) else "changes")

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data_dir / 'journal.db'}"


def load(path: Path) -> GatewayConfig:
    """The configuration in a file. Raises DocumentError, one line for each problem: ``file:line: key: what is wrong``."""
    return read(Document(path))


def read(document: Document) -> GatewayConfig:
    """The same for a document that is open already."""
    config = document.check(GatewayConfig)
    folder = document.path.resolve().parent
    update = {name: folder / file for name in ("password_file", "tls_ca") if (file := getattr(config.broker, name)) is not None}
    problems = [document.problem(("broker", name), f"{file}: there is no such file") for name, file in update.items() if not file.is_file()]
    problems += [document.problem(("rules", *key), text) for key, text in rule_problems(config.rules)]
    oidc = config.oidc
    if oidc is not None:
        files = oidc_files(oidc, folder)
        problems += [
            document.problem(("oidc", name), f"{file}: there is no such file") for name, file in files.items() if not file.is_file()
        ]
        oidc = oidc.model_copy(update=files)
    notify = _beside(config.notify, folder)
    problems += [document.problem(("notify", *key), text) for key, text in notify_problems(notify)]
    problems += [document.problem(("aggregates", *key), text) for key, text in aggregate_problems(config.aggregates)]
    problems += [document.problem(("gas", *key), text) for key, text in gas_problems(config.gas)]
    picture = folder / config.plan.picture if config.plan.picture is not None else None
    problems += [document.problem(("plan", "picture"), text) for text in _picture_problems(picture)]
    if problems:
        raise DocumentError(problems)
    return config.model_copy(
        update={"broker": config.broker.model_copy(update=update), "data_dir": folder / config.data_dir, "notify": notify, "oidc": oidc}
        | {"plan": config.plan.model_copy(update={"picture": picture})}
    )


def _picture_problems(picture: Path | None) -> Iterator[str]:
    if picture is None:
        return
    try:
        media_type(picture.read_bytes())
    except (OSError, ValueError) as error:
        yield f"{picture}: {error.strerror if isinstance(error, OSError) else error}"


def _beside(notify: NotifySettings, folder: Path) -> NotifySettings:
    """Files that channels name lie beside the configuration."""
    channels = []
    for channel in notify.channels:
        own = {
            key: str(folder / value) if key.endswith("_file") and isinstance(value, str) else value for key, value in channel.own.items()
        }
        channels.append(
            ChannelSettings.model_validate(
                {"name": channel.name, "type": channel.type, "language": channel.language, "person": channel.person, **own}
            )
        )
    return notify.model_copy(update={"channels": channels})
