"""What somebody asks to be scanned for Modbus: ports, hosts and units, each bounded before anything is opened. Pure."""

import ipaddress
from typing import Literal, NamedTuple

from edge.sources.endpoint import Endpoint

MAX_HOSTS = 256
Parity = Literal["N", "E", "O"]
PARITIES: tuple[Parity, ...] = ("N", "E")


class LineTry(NamedTuple):
    """One way in which a serial line may be set, 8 data bits."""

    baudrate: int
    parity: Parity

    def __str__(self) -> str:
        return f"{self.baudrate} 8{self.parity}1"


# What most devices leave the factory with: general knowledge.
DEFAULT_TRIES = tuple(LineTry(baud, parity) for baud in (9600, 19200) for parity in PARITIES)


class RtuWish(NamedTuple):
    """A serial port, and the settings to try in this order."""

    port: str
    tries: tuple[LineTry, ...]


def rtu_wish(text: str, bauds: tuple[int, ...] = (), parities: tuple[Parity, ...] = ()) -> RtuWish:
    """``PORT`` or ``PORT:BAUD``. Raises ValueError saying what would be right."""
    port, colon, baud = text.rpartition(":")
    if not colon or not baud.isdecimal():
        port, baud = text, ""
    if not port or any(c.isspace() for c in port):
        raise ValueError(f"{text!r}: write PORT or PORT:BAUD, for example /dev/ttyUSB0:19200")
    speeds = (int(baud),) if baud else bauds or tuple(dict.fromkeys(each.baudrate for each in DEFAULT_TRIES))
    if wrong := [speed for speed in speeds if not 300 <= speed <= 4_000_000]:
        raise ValueError(f"{wrong[0]} baud: write 300 to 4000000")
    return RtuWish(port, tuple(LineTry(speed, parity) for speed in speeds for parity in parities or PARITIES))


def tcp_endpoints(text: str) -> list[Endpoint]:
    """``HOST``, ``HOST:PORT``, ``192.168.1.0/28`` or ``192.168.1.10-20`` with an optional port. Raises ValueError."""
    body, colon, port = text.rpartition(":")
    if not colon or "]" in port or (text.count(":") > 1 and not text.startswith("[")):
        body, port = text, ""
    hosts: list[str]
    if "/" in body:
        try:
            network = ipaddress.ip_network(body, strict=False)
        except ValueError:
            raise ValueError(f"{text!r}: write a network as 192.168.1.0/28") from None
        if network.num_addresses > MAX_HOSTS:
            raise ValueError(f"{body} has {network.num_addresses} addresses, {MAX_HOSTS} at most: write a smaller network, /24 or longer")
        hosts = [str(host) for host in network.hosts()]
    elif (span := _span(body)) is not None:
        hosts = span
    else:
        return [Endpoint.parse(text)]
    if port and not (port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError(f"{text!r}: the port is from 1 to 65535")
    return [Endpoint(host, int(port or 0)) for host in hosts]


def units(text: str) -> list[int]:
    """``1-16`` or ``1,3,17-20``, each 1 to 255. Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{text!r}: write units as 1-16 or 1,3,17-20")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= 255:
            raise ValueError(f"{part.strip()}: units are 1 to 247 on a serial line and 1 to 255 over TCP, the lower one first")
        found += range(low, high + 1)
    return list(dict.fromkeys(found))


def _span(body: str) -> list[str] | None:
    """The addresses of ``192.168.1.10-20``; None where it is no such thing. Raises ValueError for one that cannot be."""
    first, dash, last = body.partition("-")
    if not dash or not last.isdecimal():
        return None
    try:
        low = ipaddress.IPv4Address(first)
    except ValueError:
        return None  # a host name with a dash
    start = int(low) & 0xFF
    if not start <= int(last) <= 255:
        raise ValueError(f"{body!r}: write the last number as {start} to 255")
    return [str(low + more) for more in range(int(last) - start + 1)]
