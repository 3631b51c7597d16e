"""A coil of a Modbus relay module. Outputs on the same line or the same TCP endpoint share one connection."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from edge.errors import Misconfigured, Retry
from edge.modbus_client import modbus_client
from edge.outputs import OutputContext, OutputSettings
from edge.sources.endpoint import HostPort
from edge.sources.modbus_settings import SerialLine

if TYPE_CHECKING:
    from pathlib import Path

    from pymodbus.pdu import ModbusPDU

    from edge.modbus_client import Client


class ModbusCoilSettings(OutputSettings):
    """Where the relay module is, and which of its coils it is."""

    tcp: HostPort | None = Field(None, description="host:port of a Modbus TCP module; port 502 if not said")
    rtu: SerialLine | None = Field(None, description="A serial line (RS-485) of the outputs alone")
    unit: int = Field(1, ge=0, le=255, description="Unit (slave) number; 1 to 247 on a serial line")
    coil: int = Field(ge=0, le=65535, description="Address from 0, as on the wire: coil 1 of a manual is 0")
    timeout: float = Field(0.5, ge=0.01, le=1.5, description="Seconds that the module has for an answer")

    @model_validator(mode="after")
    def _one_bus(self) -> Self:
        if (self.tcp is None) == (self.rtu is None):
            raise ValueError("write either tcp: host:port or rtu: {port: /dev/serial/by-id/…}, one of the two")
        if self.rtu is not None and not 1 <= self.unit <= 247:
            raise ValueError(f"unit {self.unit}: on a serial line units are numbered 1 to 247")
        return self

    @property
    def where(self) -> str:
        return f"tcp {self.tcp}" if self.tcp else f"rtu {self.rtu.port}" if self.rtu else ""


class Connection:
    """One client for all coils of a line; the last one to close it closes it. Requests go one after the other."""

    def __init__(self, settings: ModbusCoilSettings, folder: "Path") -> None:
        self.settings = settings
        self._folder = folder
        self._client: Client | None = None
        self._users: set[object] = set()
        self._lock = asyncio.Lock()

    async def open(self, user: object) -> None:
        async with self._lock:
            if self._client is None or not self._client.connected:
                await self._drop()
                self._client = await self._connect()
            self._users.add(user)

    async def close(self, user: object) -> None:
        async with self._lock:
            self._users.discard(user)
            if not self._users or (self._client is not None and not self._client.connected):
                await self._drop()

    async def write(self, unit: int, coil: int, energised: bool) -> "ModbusPDU":
        from pymodbus.exceptions import ModbusException

        async with self._lock:
            if self._client is None or not self._client.connected:  # a neighbour on the line has given it up, or the module has
                await self._drop()
                self._client = await self._connect()
            if self.settings.rtu is not None:
                await asyncio.sleep(self.settings.rtu.silence)
            try:
                return await self._client.write_coil(coil, energised, device_id=unit)
            except ModbusException:
                if self.settings.tcp is not None:
                    await self._drop()  # perhaps the module restarted and knows nothing of this connection
                raise Retry(f"{self.settings.where}: unit {unit} did not answer within {self.settings.timeout:g} s") from None

    async def _connect(self) -> "Client":
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it reports is reported here
        client = modbus_client(self.settings.tcp, self.settings.rtu, timeout=self.settings.timeout, folder=self._folder)
        connected = False
        try:
            connected = await client.connect()
        finally:
            if not connected:
                await _close(client)
        if not connected:
            hint = "is it on, and is the port right?" if self.settings.tcp else "does it exist, and may this user open it?"
            raise Retry(f"{self.settings.where}: cannot be opened; {hint}")
        await asyncio.sleep(0)  # a serial transport attaches itself to the loop one step later
        return client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _close(client)


async def _close(client: "Client") -> None:
    transport = client.ctx.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()  # a peer that reads nothing would otherwise keep the socket open
    await asyncio.sleep(0)


class ModbusCoil:
    """One coil, written with function 5. The answer, which repeats the request, says that the module has taken it."""

    Settings: ClassVar[type[OutputSettings]] = ModbusCoilSettings

    def __init__(self, settings: OutputSettings, context: OutputContext) -> None:
        if not isinstance(settings, ModbusCoilSettings):
            raise TypeError(f"ModbusCoil takes ModbusCoilSettings, not {type(settings).__name__}")
        self._settings = settings
        connection = context.shared.setdefault(f"modbus {settings.where}", Connection(settings, context.folder))
        assert isinstance(connection, Connection)  # noqa: S101 - nobody else writes under this key
        if (connection.settings.rtu, connection.settings.timeout) != (settings.rtu, settings.timeout):
            first = connection.settings.name
            raise Misconfigured(f"{settings.where} is shared with output {first}: write the same line and timeout as there")
        taken = context.shared.setdefault(f"modbus {settings.where} {settings.unit}/{settings.coil}", settings.name)
        if taken != settings.name:
            raise Misconfigured(f"coil {settings.coil} of unit {settings.unit} belongs to output {taken} already: each has its own")
        self._connection = connection

    async def open(self) -> None:
        await self._connection.open(self)

    async def write(self, energised: bool) -> None:
        settings = self._settings
        answer = await self._connection.write(settings.unit, settings.coil, energised)
        if answer.isError():
            raise Retry(f"{settings.where}: unit {settings.unit} refused coil {settings.coil} with exception {answer.exception_code}")
        if answer.function_code != 5 or list(answer.bits[:1]) != [energised]:
            raise Retry(f"{settings.where}: unit {settings.unit} confirmed something else than coil {settings.coil} as told")

    async def close(self) -> None:
        with contextlib.suppress(OSError):
            await self._connection.close(self)
