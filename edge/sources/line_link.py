"""Where lines come from: a serial port, known by a name that stays or by its USB adapter, or a TCP port; and how it is read without threads."""

import asyncio
import contextlib
import os
import re
import select
import socket
import termios
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge.errors import Retry
from edge.sources import SourceSettings
from edge.sources.endpoint import HostPort

if TYPE_CHECKING:
    import serial

_USB = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(\S+))?")
_CHUNK = 4096  # bytes; what a Linux tty keeps for us
# A peer that lost its power says nothing more: found after about 60 s without a byte (tcp(7)).
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class SerialPort(BaseModel):
    """A serial port and how it is set; the defaults are 9600 baud, 8 data bits, no parity, 1 stop bit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: str | None = Field(None, min_length=1, description="The device, best by its stable name: /dev/serial/by-id/…")
    usb: str | None = Field(None, description="Instead of port: vendor:product of the USB adapter, as lsusb writes it, or with :serial")
    baudrate: int = Field(9600, ge=50, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    bytesize: Literal[7, 8] = 8

    @field_validator("usb")
    @classmethod
    def _usb(cls, text: str | None) -> str | None:
        if text is not None and not _USB.fullmatch(text):
            raise ValueError("write vendor:product as lsusb does, in quotes: '0403:6001', or with the serial number '0403:6001:A50285BI'")
        return text

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.port is None) == (self.usb is None):
            raise ValueError("write either port: /dev/serial/by-id/… or usb: 'vendor:product', one of the two")
        return self

    def __str__(self) -> str:
        return f"serial {self.port or f'usb {self.usb}'}"


class LineSettings(SourceSettings):
    """What every source of lines has: the link, and how long it may be silent."""

    serial: SerialPort | None = Field(None, description="A serial port")
    tcp: HostPort | None = Field(None, description="host:port of a serial-to-Ethernet converter")
    timeout: float = Field(5.0, ge=0.1, le=60, description="Seconds to connect (tcp)")
    stale_after: float = Field(10.0, ge=0.1, le=7 * 86400, description="Seconds of silence after which a point is bad:stale")
    every: float = Field(0.0, ge=0, le=86400, description="Least seconds between two readings of a point; 0 passes every line")


class Link(Protocol):
    """An open link. ``read`` waits for bytes, returns one or more, and raises Retry when the link is lost."""

    async def read(self) -> bytes: ...


class UsbPort(Protocol):
    """What `serial.tools.list_ports` says of a port."""

    device: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def matching(usb: str, ports: Iterable[UsbPort]) -> list[str]:
    """The devices whose USB adapter is ``vendor:product`` or ``vendor:product:serial``."""
    found = _USB.fullmatch(usb)
    assert found is not None  # noqa: S101 - the settings checked it
    vendor, product, number = int(found[1], 16), int(found[2], 16), found[3]
    return sorted(p.device for p in ports if (p.vid, p.pid) == (vendor, product) and number in (None, p.serial_number))


@contextlib.asynccontextmanager
async def open_serial(settings: SerialPort, folder: Path) -> AsyncIterator[Link]:
    """The open port. The name is looked up at each call: an adapter that comes back as another ttyUSB is found. Raises Retry."""
    port = _open(settings, _device(settings, folder))
    try:
        yield _SerialLink(port, str(settings))
    finally:
        port.close()


@contextlib.asynccontextmanager
async def open_tcp(tcp: HostPort, timeout: float, *, greeting: bytes = b"") -> AsyncIterator[Link]:  # noqa: ASYNC109 - for the connection only
    """The open connection, after ``greeting`` was sent; ``timeout`` in seconds. Raises Retry."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(tcp.host, tcp.port)
    except TimeoutError:
        raise Retry(f"tcp {tcp}: no answer within {timeout:g} s; is the device on, and the address right?") from None
    except OSError as error:
        raise Retry(f"tcp {tcp}: {error.strerror or error}; is the device on, and the port right?") from None
    try:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        writer.write(greeting)
        yield _TcpLink(reader, f"tcp {tcp}")
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _TcpLink:
    def __init__(self, reader: asyncio.StreamReader, where: str) -> None:
        self._reader = reader
        self._where = where

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as error:
            raise Retry(f"{self._where}: the connection was lost: {error.strerror or error}") from None
        if not data:
            raise Retry(f"{self._where}: the device closed the connection")
        return data


class _SerialLink:
    def __init__(self, port: "serial.Serial", where: str) -> None:
        self._descriptor = port.fileno()
        self._where = where

    async def read(self) -> bytes:
        while True:
            await self._readable()
            try:
                data = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise Retry(f"{self._where}: the port is gone ({error.strerror}); was the adapter unplugged?") from None
            if data:
                return data
            if self._hung_up():
                raise Retry(f"{self._where}: the port is gone; was the adapter unplugged?")
            await asyncio.sleep(0.01)  # ready without a byte: another program reads the same port; do not spin

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._descriptor, wake)
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)

    def _hung_up(self) -> bool:
        """A tty that hung up reads as empty, as does one with nothing to say: poll(2) tells them apart."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def _device(settings: SerialPort, folder: Path) -> Path:
    if settings.port is not None:
        path = folder / settings.port
        if not path.exists():
            raise Retry(f"{settings}: there is no such serial port; there are: {_listed()}")
        if not path.is_char_device():
            raise Retry(f"{settings}: is no serial port but a file or folder; write for example /dev/ttyUSB0")
        return path
    from serial.tools.list_ports import comports

    assert settings.usb is not None  # noqa: S101 - the settings have one of the two
    devices = matching(settings.usb, comports())
    if len(devices) > 1:
        raise Retry(f"{settings}: {len(devices)} adapters are of this kind ({', '.join(devices)}); write their serial number too")
    if not devices:
        raise Retry(f"{settings}: there is no such adapter; there are: {_listed()}")
    return Path(devices[0])


def _listed() -> str:
    from serial.tools.list_ports import comports

    known = [f"{p.device} ({p.vid:04x}:{p.pid:04x})" if p.vid is not None and p.pid is not None else p.device for p in comports()]
    links = [str(link) for link in Path("/dev/serial/by-id").glob("*")]
    return ", ".join(sorted(links + known)) or "none; is the USB adapter plugged in?"


def _open(settings: SerialPort, path: Path) -> "serial.Serial":
    import serial

    try:
        return serial.Serial(
            str(path),
            baudrate=settings.baudrate,
            bytesize=settings.bytesize,
            parity=settings.parity,
            stopbits=settings.stopbits,
            timeout=0,
            exclusive=True,
        )
    except serial.SerialException as error:
        if not os.access(path, os.R_OK | os.W_OK):
            raise Retry(f"{settings}: this user may not use the port; add the user to the group that owns it (often dialout)") from None
        raise Retry(f"{settings}: cannot be opened; does another program hold it? ({error})") from None
    except (OSError, ValueError, termios.error) as error:  # termios.error is no OSError
        raise Retry(
            f"{settings}: cannot be set to {settings.baudrate} {settings.bytesize}{settings.parity}{settings.stopbits}: {error}"
        ) from None
