"""What the configuration says of another broker: how to reach it, and where in its messages each point stands."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.values import Quality
from edge.sources import SourceSettings
from edge.sources.json_path import parse
from edge.sources.measured_point import MeasuredPoint, PointName


def check_filter(text: str) -> str:
    """The topic filter if MQTT allows it (3.1.1, section 4.7). Raises ValueError naming the rule."""
    levels = text.split("/")
    if not text or len(text.encode()) > 65535 or "\0" in text:
        raise ValueError("a topic has 1 to 65535 bytes; write for example plant/fan-1/status or plant/+/status")
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != len(levels) - 1):
            raise ValueError(f"topic {text!r}: # stands alone at the end, as in plant/#")
        if "+" in level and level != "+":
            raise ValueError(f"topic {text!r}: + stands for one whole level, as in plant/+/status")
    return text


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter takes a topic; a wildcard at the beginning takes no topic that begins with $ (3.1.1, section 4.7)."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def word(value: Any) -> str:
    """A JSON value as a key of a mapping: ``true`` is "true", 192 and 192.0 are "192"."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _words(value: Any) -> Any:
    # YAML reads 0 and true as a number and a bool, and they are keys here.
    return {word(key): inner for key, inner in value.items()} if isinstance(value, dict) else value


JsonPath = Annotated[str, AfterValidator(lambda text: (parse(text), text)[1])]


class QualityPath(BaseModel):
    """Where the sender says how good its value is, and what its words mean here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: JsonPath
    map: Mapping[str, str] = Field(
        min_length=1, description="Quality by the sender's word: {0: good, 8: uncertain:manual, 64: bad:wire_break}"
    )
    otherwise: str = Field("uncertain:unknown_quality", description="For a word that map does not have, or where there is none")

    @field_validator("map", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return _words(value)

    @model_validator(mode="after")
    def _qualities(self) -> Self:
        for text in (*self.map.values(), self.otherwise):
            Quality.parse(text)
        return self

    def of(self, said: Any) -> Quality:
        return Quality.parse(self.map.get(word(said), self.otherwise))


class MqttPoint(MeasuredPoint):
    """One point: which messages tell of it, and where in them its number, time and quality stand."""

    topic: Annotated[str, AfterValidator(check_filter)] = Field(description="A topic, or a filter with + and #")
    path: JsonPath | None = Field(None, description="Where the number stands in JSON; if not said the message is the number")
    texts: Mapping[str, float] = Field(default_factory=dict, description="Words that mean a number: {RUN: 1, STOP: 0}")
    time: JsonPath | None = Field(None, description="Where its time stands: Unix seconds or milliseconds, or ISO 8601")
    timezone: str | None = Field(
        None, description="Of an ISO time that does not say its own, for example America/Santiago; UTC if not said"
    )
    quality: QualityPath | None = None
    optional: bool = Field(False, description="A message without the path is of something else: ignored, not malformed")
    stale_after: float | None = Field(None, gt=0, le=31 * 86400, description="Seconds without a fresh value until it is bad:stale")

    @field_validator("texts", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return _words(value)

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (ValueError, OSError, LookupError):
                raise ValueError(f"timezone {name!r} is not known here; write for example America/Santiago or America/Lima") from None
        return name

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for key in ("time", "quality"):
            if getattr(self, key) is not None and self.path is None:
                raise ValueError(f"{key} is looked for in JSON, so the number needs a path too, for example path: value")
        if self.optional and self.path is None:
            raise ValueError("optional speaks of a path: write path, or leave optional out")
        if self.timezone is not None and self.time is None:
            raise ValueError("timezone speaks of time: write time: and its path, or leave timezone out")
        return self


class MqttInSettings(SourceSettings):
    """Another broker and the points that its messages carry."""

    host: str = Field(min_length=1, description="Name or address of the broker")
    port: int | None = Field(None, ge=1, le=65535, description="1883, or 8883 with TLS, if not said")
    username: str | None = None
    password_file: Path | None = Field(None, description="First line is the password; relative to the configuration file")
    tls: bool = Field(False, description="TLS with the authorities that the system trusts")
    tls_ca: Path | None = Field(None, description="TLS with this authority instead: PEM file")
    tls_cert: Path | None = Field(None, description="This client's own certificate: PEM file")
    tls_key: Path | None = Field(None, description="The key of tls_cert: PEM file")
    client_id: str | None = Field(None, min_length=1, max_length=64, description="muki-NODE-NAME if not said")
    keepalive: int = Field(30, ge=5, le=3600, description="Seconds")
    timeout: float = Field(5.0, ge=0.1, le=60, description="Seconds that the broker has to answer")
    points: dict[PointName, MqttPoint] = Field(min_length=1)

    @model_validator(mode="after")
    def _session(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: write both")
        return self

    @property
    def secure(self) -> bool:
        return self.tls or self.tls_ca is not None or self.tls_cert is not None

    @property
    def effective_port(self) -> int:
        return self.port or (8883 if self.secure else 1883)
