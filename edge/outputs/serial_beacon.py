"""A beacon or siren on a serial port, USB ones included, that is switched by two commands."""

import os
import termios
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from edge.errors import Misconfigured, Retry
from edge.outputs import OutputContext, OutputSettings

if TYPE_CHECKING:
    from serial import Serial


class SerialBeaconSettings(OutputSettings):
    """A port and the two commands; the defaults are 9600 baud, 8 data bits, no parity, 1 stop bit."""

    port: str = Field(min_length=1, description="The device, best by its stable name: /dev/serial/by-id/…")
    baudrate: int = Field(9600, ge=300, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    bytesize: Literal[7, 8] = 8
    encoding: Literal["text", "hex"] = Field("text", description="hex: on and off are bytes written as hexadecimal pairs")
    on: str = Field(min_length=1, max_length=200, description="Command that energises it")
    off: str = Field(min_length=1, max_length=200, description="Command that de-energises it")

    @model_validator(mode="after")
    def _commands(self) -> Self:
        if self.encoding == "hex":
            for key, text in (("on", self.on), ("off", self.off)):
                try:
                    bytes.fromhex(text)
                except ValueError:
                    raise ValueError(f"{key}: {text!r} is not hexadecimal; write for example A0 01 01 A2, in quotes") from None
        if self.command(energised=True) == self.command(energised=False):
            raise ValueError("on and off are the same command: it would never be told to stop")
        return self

    def command(self, *, energised: bool) -> bytes:
        text = self.on if energised else self.off
        return bytes.fromhex(text) if self.encoding == "hex" else text.encode()


class SerialBeacon:
    """Writes a command whole or not at all; what the beacon answers is not read."""

    Settings: ClassVar[type[OutputSettings]] = SerialBeaconSettings

    def __init__(self, settings: OutputSettings, context: OutputContext) -> None:
        if not isinstance(settings, SerialBeaconSettings):
            raise TypeError(f"SerialBeacon takes SerialBeaconSettings, not {type(settings).__name__}")
        self._settings = settings
        self._path = context.folder / settings.port
        self._line: Serial | None = None

    async def open(self) -> None:
        try:
            from serial import Serial, SerialException
        except ModuleNotFoundError:
            raise Misconfigured("pyserial is not installed: pip install 'muki[edge]', and start the node again") from None

        settings = self._settings
        if not self._path.exists():
            raise Retry(f"{settings.port}: there is no such serial port; is the device plugged in? See /dev/serial/by-id")
        try:
            self._line = Serial(
                str(self._path),
                baudrate=settings.baudrate,
                parity=settings.parity,
                stopbits=settings.stopbits,
                bytesize=settings.bytesize,
            )
        except (SerialException, OSError, ValueError, termios.error) as error:
            raise Retry(f"{settings.port}: {error}; may this user open it (often group dialout)?") from None

    async def write(self, energised: bool) -> None:
        """Never waits: a line that takes nothing is a failure, and holds nobody else up."""
        if self._line is None:
            raise Retry(f"{self._settings.port}: not open")
        command = self._settings.command(energised=energised)
        try:
            # pyserial opens the port non-blocking; its own write() would spin while the line takes nothing.
            written = os.write(self._line.fileno(), command)
        except OSError as error:
            raise Retry(f"{self._settings.port}: takes no command: {error.strerror or error}") from None
        if written < len(command):
            raise Retry(f"{self._settings.port}: took {written} of {len(command)} bytes; does something hold the line?")

    async def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
