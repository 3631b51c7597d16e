"""What the configuration says of an OPC UA server: how to reach it, how often it reports, and which node each point is."""

import re
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from edge.sources import SourceSettings
from edge.sources.measured_point import MeasuredPoint, PointName

POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
MODES = ("Sign", "SignAndEncrypt")

_NODE = re.compile(
    r"(ns=\d{1,5};|nsu=[^;]+;)?(i=\d{1,10}|s=.+|g=[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|b=[A-Za-z0-9+/]+={0,2})"
)
_STEP = re.compile(r"(\d{1,5}:)?[^:].*")


def check_node(text: str) -> str:
    """The node id if it is written as Part 6, 5.3.1.10 has it. Raises ValueError with examples."""
    if not _NODE.fullmatch(text):
        raise ValueError(f"node {text!r}: write for example ns=2;s=Crusher.Current, ns=2;i=1041 or nsu=urn:maker:plc;s=Crusher.Current")
    return text


class OpcUaPoint(MeasuredPoint):
    """One point: its node, or the path of browse names that leads to it."""

    node: Annotated[str, AfterValidator(check_node)] | None = Field(None, description="Node id: ns=2;s=Crusher.Current")
    path: tuple[str, ...] | None = Field(
        None, min_length=1, description="Instead of node: browse names from the Objects folder on, 2:Crusher/2:Current"
    )

    @field_validator("path", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        steps = value.split("/") if isinstance(value, str) else value
        for step in steps if isinstance(steps, list | tuple) else ():
            if not isinstance(step, str) or not _STEP.fullmatch(step):
                raise ValueError(
                    f"path {value!r}: {step!r} is no browse name; write 2:Crusher/2:Current, each with its namespace, "
                    "or a list of names where one has a / in it"
                )
        return steps

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.node is None) == (self.path is None):
            raise ValueError("write either node: ns=2;s=Crusher.Current or path: 2:Crusher/2:Current, one of the two")
        return self


class Security(BaseModel):
    """An encrypted or signed channel: the policy, and the files of this client's certificate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: str = Field("Basic256Sha256", description="Basic256Sha256, Aes128Sha256RsaOaep or Aes256Sha256RsaPss")
    mode: str = Field("SignAndEncrypt", description="Sign or SignAndEncrypt")
    certificate: Path = Field(description="This client's certificate, .der or .pem, with application_uri in it")
    key: Path = Field(description="Its private key, .pem or .der")
    server_certificate: Path | None = Field(
        None, description="The only certificate accepted of the server; if not said, whichever it shows"
    )

    @field_validator("policy")
    @classmethod
    def _policy(cls, name: str) -> str:
        if name not in POLICIES:
            raise ValueError(f"policy {name!r}: write one of {', '.join(POLICIES)}")
        return name

    @field_validator("mode")
    @classmethod
    def _mode(cls, name: str) -> str:
        if name not in MODES:
            raise ValueError(f"mode {name!r}: write one of {', '.join(MODES)}")
        return name


class OpcUaSettings(SourceSettings):
    """One OPC UA server and the nodes to subscribe to."""

    url: str = Field(description="opc.tcp://host:port/path, as the server shows it")
    username: str | None = None
    password_file: Path | None = Field(None, description="First line is the password; relative to the configuration file")
    security: Security | None = Field(None, description="Nothing is signed or encrypted if not said")
    application_uri: str | None = Field(None, description="urn:muki:NODE if not said; the URI in the certificate")
    publish_every: float = Field(1.0, ge=0.05, le=3600, description="Seconds between the server's reports")
    sample_every: float | None = Field(None, ge=0.0, le=3600, description="Seconds between its samples; publish_every if not said")
    queue: int = Field(10, ge=1, le=10_000, description="Values of a point that the server keeps between two reports")
    timeout: float = Field(4.0, ge=0.1, le=60, description="Seconds that the server has to answer")
    missing_every: float = Field(30.0, ge=0.1, le=86400, description="Seconds between attempts on nodes that the server does not have")
    points: dict[PointName, OpcUaPoint] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        wrong = ValueError(f"url {url!r}: write opc.tcp://host:port/path, for example opc.tcp://192.168.1.40:4840")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme != "opc.tcp" or not parts.hostname or any(c.isspace() for c in url):
            raise wrong
        if "@" in parts.netloc:
            raise ValueError("url: write the user as username and password_file, not into the address")
        return url if port is not None else url.replace(parts.netloc, f"{parts.netloc}:4840", 1)

    @model_validator(mode="after")
    def _user(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs a username")
        return self
