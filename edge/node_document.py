"""The keys of a node's file, as they are written. What each list holds is checked by the settings of the entry's own type."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contract.values import check_identifier
from edge.model_settings import ModelsSettings
from edge.outputs.silence import SilenceSettings
from edge.trust_settings import TrustSettings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(_Strict):
    """Where to publish. The password is in a file of its own, read at each connection, so that it can be changed without a restart."""

    host: str = Field(min_length=1, description="Name or address of the MQTT broker")
    port: int | None = Field(None, ge=1, le=65535, description="Default 1883, or 8883 with tls_ca")
    username: str | None = None
    password_file: Path | None = Field(None, description="First line is the password; relative to the configuration file")
    tls_ca: Path | None = Field(None, description="PEM file of the authority that signed the broker's certificate; switches TLS on")
    keepalive: int = Field(30, ge=5, le=3600, description="Seconds")

    @property
    def effective_port(self) -> int:
        return self.port or (8883 if self.tls_ca else 1883)


class OutboxSettings(_Strict):
    max_bytes: int = Field(256 << 20, ge=1 << 16, description="Above this the oldest readings are thinned; alarm events never")
    min_free: int = Field(64 << 20, ge=0, description="Bytes of the disk that are left to others: below it the outbox grows no further")
    flush_every: float = Field(0.25, gt=0, le=60, description="Seconds that readings may wait in memory before they are on disk")


class NodeDocument(_Strict):
    """The document's own keys; ``sources`` and ``processing`` are checked by the Settings of each entry's type."""

    site: str
    node: str
    broker: BrokerSettings
    data_dir: Path = Path("data")
    outbox: OutboxSettings = Field(default_factory=lambda: OutboxSettings.model_validate({}))
    sources: list[Any] = Field(min_length=1)
    processing: list[Any] = []
    trust: dict[str, TrustSettings] = {}
    alarms: list[Any] = []
    packs: list[Any] = []
    outputs: list[Any] = []
    silence_button: SilenceSettings | None = None
    models: ModelsSettings = Field(default_factory=lambda: ModelsSettings.model_validate({}))

    @field_validator("site", "node")
    @classmethod
    def _identifier(cls, text: str) -> str:
        return check_identifier(text, "name")

    @field_validator("trust", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("sources", "processing", "alarms", "packs", "outputs", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return [] if value is None else value
