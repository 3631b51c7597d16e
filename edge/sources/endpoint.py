"""A TCP endpoint in a configuration: ``host``, ``host:port`` or ``[v6]:port``, checked when it is read."""

from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator


class Endpoint(NamedTuple):
    """Where a device listens. ``port`` is 0 where the configuration names none."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    @classmethod
    def parse(cls, text: Any) -> "Endpoint":
        """The endpoint that a text names. Raises ValueError saying what would be right."""
        if isinstance(text, Endpoint):
            return text
        wrong = ValueError("write host:port, for example 192.168.1.10:502 or [fd00::10]:502, with a port from 1 to 65535")
        if not isinstance(text, str) or not text or any(c.isspace() or c == "/" for c in text):
            raise wrong
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise wrong
            port = rest[1:]
        elif text.count(":") > 1:
            raise wrong  # an IPv6 address without brackets: where the port begins cannot be told
        else:
            host, _, port = text.partition(":")
        if not host or not (port == "" or (port.isdecimal() and 1 <= int(port) <= 65535)):
            raise wrong
        return cls(host, int(port or 0))


HostPort = Annotated[Endpoint, BeforeValidator(Endpoint.parse)]
