"""Modbus TCP and RTU: every unit of one bus, polled on a fixed schedule; a dead unit waits on its own and the others keep their pace."""

import asyncio
import contextlib
import logging
import os
import termios
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from contract.messages import PointDeclaration
from contract.values import Quality, Reading, bad
from edge.errors import Retry
from edge.items import Item
from edge.modbus_client import modbus_client
from edge.sources import SourceContext, SourceSettings
from edge.sources.cadence import next_slot
from edge.sources.modbus_map import Block, decode_bits, decode_registers, plan, probe, split, unread
from edge.sources.modbus_settings import ModbusSettings

if TYPE_CHECKING:
    from pymodbus.pdu import ModbusPDU

    from edge.modbus_client import Client

log = logging.getLogger("muki.edge.sources.modbus")

NO_RESPONSE = bad("no_response")
NO_CONNECTION = bad("no_connection")
MALFORMED = bad("malformed_response")
ILLEGAL_ADDRESS = 2  # Modbus Application Protocol V1.1b3, section 7
GATEWAY_SILENT = (10, 11)  # the same: the gateway could not reach the unit
SILENT_ATTEMPTS = 3  # in a row, on every unit: then the connection itself is taken for dead
_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_SERIAL_NAMES = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA*", "ttyS[0-3]")


class UnitState:
    """What is known of one unit: its requests, and when it is asked next. Pure; the monotonic clock is passed in, in seconds.

    ``in_step``: no answer to an earlier request can still come. Else a `probe` goes first.
    """

    def __init__(self, number: int, blocks: Sequence[Block], *, in_step: bool = True) -> None:
        self.number = number
        self.blocks = tuple(blocks)
        self.failures = 0
        self.due = 0.0
        self.in_step = in_step

    def answered(self) -> None:
        self.failures, self.due = 0, 0.0

    def silent(self, now: float, every: float, backoff_max: float) -> None:
        """Asked again after 1, 2, 4 … periods of ``every`` seconds, but at most ``backoff_max`` seconds later (one period at least)."""
        pause = max(every, min(every * 2.0 ** min(self.failures, 32), backoff_max))
        self.due = now + pause - every / 2  # half a period early: the schedule decides, not the time that the answer took
        self.failures += 1
        self.in_step = False


def turn(units: Sequence[UnitState], now: float) -> list[UnitState]:
    """The units that are asked in a poll at ``now``, in order: those that answer, and then one of the silent ones, the longest due.

    So a section that is switched off costs each poll one timeout at most, and only after everybody else has had its turn. Where nobody
    answers there is nobody to be delayed, and all that are due are asked.
    """
    due = [unit for unit in units if unit.due <= now]
    silent = sorted((unit for unit in due if unit.failures), key=lambda unit: unit.due)
    answering = any(not unit.failures for unit in units)
    return [unit for unit in due if not unit.failures] + silent[: 1 if answering else None]


class Answer(NamedTuple):
    """What a unit made of one request; ``dead`` says that asking it more is in vain, ``refused`` that an address in the block is wrong."""

    readings: list[Reading]
    refused: bool = False
    dead: Quality | None = None


def interpret(block: Block, response: "ModbusPDU | None", time_ns: int) -> Answer:
    """The readings that a response carries; ``response`` is None where none came."""
    if response is None:
        return Answer([], dead=NO_RESPONSE)
    if response.isError():
        quality = bad(f"exception_{response.exception_code}")
        if response.exception_code in GATEWAY_SILENT:
            return Answer([], dead=quality)
        return Answer(unread(block, time_ns, quality), refused=response.exception_code == ILLEGAL_ADDRESS)
    bits = block.table in ("coil", "discrete")
    short = len(response.bits) < block.size if bits else len(response.registers) != block.size
    if response.function_code != _FUNCTIONS[block.table] or short:
        return Answer(unread(block, time_ns, MALFORMED))
    return Answer(decode_bits(block, response.bits, time_ns) if bits else decode_registers(block, response.registers, time_ns))


class ModbusSource:
    """One Modbus bus. ``missed_polls`` counts the slots of the schedule that passed while an earlier poll was still waiting;
    ``counted`` has, by ``unit-N/what``, the requests and how they failed."""

    Settings: ClassVar[type[SourceSettings]] = ModbusSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, ModbusSettings):
            raise TypeError(f"ModbusSource takes ModbusSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self._where = f"tcp {settings.tcp}" if settings.tcp else f"rtu {settings.rtu.port}" if settings.rtu else ""
        self.missed_polls = 0
        kinds = ("requests", "timeouts", "exceptions", "malformed", *(["crc_errors"] if settings.rtu else []))
        self.counted: Counter[str] = Counter({f"unit-{unit}/{kind}": 0 for unit in sorted(settings.units) for kind in kinds})
        self._sent = b""  # the last request
        self._heard = b""  # since then

    def counters(self) -> Mapping[str, int]:
        return {**self.counted, "missed_polls": self.missed_polls}

    def points(self) -> Mapping[str, PointDeclaration]:
        every = self._settings.every
        return {name: point.declaration(name, every) for points in self._settings.units.values() for name, point in points.items()}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """One batch for each unit and poll. A unit that does not answer comes out as ``bad:no_response`` at each attempt on it.

        Raises Retry when the bus cannot be opened, when no unit on it answers (at the first poll, or for three attempts on each later on), and
        when the connection is lost, after one batch of ``bad:no_connection``.
        """
        settings = self._settings
        # What was asked before a serial line was opened anew may be answered now.
        in_step = settings.rtu is None
        units = [UnitState(number, plan(points, settings.max_gap), in_step=in_step) for number, points in sorted(settings.units.items())]
        async with self._open() as client:
            start, slot = time.monotonic(), 0
            silence: list[list[Reading]] | None = []  # held back until a unit answers: a bus on which nobody does has not started
            while True:
                for unit in turn(units, time.monotonic()):
                    readings = await self._poll(client, unit)
                    if not client.connected:
                        if silence is None:
                            yield [
                                reading for each in units for block in each.blocks for reading in unread(block, _now_ns(), NO_CONNECTION)
                            ]
                        raise Retry(f"{self._where}: the connection was lost")
                    if silence is not None and unit.failures:
                        silence.append(readings)
                        continue
                    for held in silence or ():
                        yield held
                    silence = None
                    yield readings
                if silence or all(unit.failures >= SILENT_ATTEMPTS for unit in units):
                    raise Retry(self._nobody(units))
                slot, missed = next_slot(start, settings.every, slot, time.monotonic())
                if missed:
                    self.missed_polls += missed
                    log.info(
                        "%s: %d polls missed, %d in all: answers take longer than %g s",
                        settings.name,
                        missed,
                        self.missed_polls,
                        settings.every,
                    )
                await asyncio.sleep(max(0.0, start + slot * settings.every - time.monotonic()))

    async def _poll(self, client: "Client", unit: UnitState) -> list[Reading]:
        """Every block of a unit, one after the other. The first that stays without an answer ends it: a dead unit costs one timeout."""
        settings = self._settings
        readings: list[Reading] = []
        blocks: list[Block] = []
        first = None if unit.in_step else probe(unit.blocks)
        for block in (*([first.block] if first else ()), *unit.blocks):
            response = await self._ask(client, unit.number, block)
            time_ns = _now_ns()
            answer = interpret(block, response, time_ns)
            self._count(unit.number, response, malformed=any(reading.quality == MALFORMED for reading in answer.readings))
            if answer.dead is not None:
                if not unit.failures:
                    log.warning("%s: unit %d does not answer (%s)", settings.name, unit.number, answer.dead.reason)
                unit.silent(time.monotonic(), settings.every, settings.backoff_max)
                rest = unit.blocks[unit.blocks.index(block) :] if block.cells else unit.blocks
                unit.blocks = (*blocks, *rest)
                for unasked in rest:
                    readings += unread(unasked, time_ns, answer.dead)
                return readings
            unit.in_step = True
            if first is not None and block is first.block:
                # Where it cannot be told from other answers, what may still come is waited for. Exceptions are all alike, too.
                if not first.unique or (response is not None and response.isError()):
                    await asyncio.sleep(settings.timeout)
                continue
            readings += answer.readings
            # One address that does not exist spoils the whole request: halving finds it, and leaves the others few requests.
            blocks += split(block) if answer.refused else (block,)
        if unit.failures:
            log.info("%s: unit %d answers again", settings.name, unit.number)
        unit.answered()
        unit.blocks = tuple(blocks)
        return readings

    def _count(self, unit: int, response: "ModbusPDU | None", *, malformed: bool) -> None:
        """A request and how it failed, if it did: bytes that came and were no answer tell a bad line from a dead unit."""
        self.counted[f"unit-{unit}/requests"] += 1
        if response is None:
            self.counted[f"unit-{unit}/{self._failure(unit)}"] += 1
        elif response.isError():
            self.counted[f"unit-{unit}/exceptions"] += 1
        elif malformed:
            self.counted[f"unit-{unit}/malformed"] += 1

    def _failure(self, unit: int) -> str:
        """How a request without an answer is counted, by what came instead of one."""
        heard = self._heard
        if self._settings.rtu is None:
            return "malformed" if heard else "timeouts"
        if not heard or heard == self._sent:  # nothing, or the adapter's echo of the request
            return "timeouts"
        from pymodbus.framer import FramerRTU

        if FramerRTU.compute_CRC(heard[:-2]).to_bytes(2, "big") != heard[-2:]:
            return "crc_errors"
        # A sound frame of another unit that answers late: this one was silent.
        return "malformed" if heard[0] == unit else "timeouts"

    def _trace(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._sent, self._heard = data, b""
        else:
            self._heard = data or self._heard
        return data

    async def _ask(self, client: "Client", unit: int, block: Block) -> "ModbusPDU | None":
        from pymodbus.exceptions import ModbusException

        if self._settings.rtu is not None:
            await asyncio.sleep(self._settings.rtu.silence)
        try:
            match block.table:
                case "coil":
                    return await client.read_coils(block.address, count=block.size, device_id=unit)
                case "discrete":
                    return await client.read_discrete_inputs(block.address, count=block.size, device_id=unit)
                case "holding":
                    return await client.read_holding_registers(block.address, count=block.size, device_id=unit)
                case "input":
                    return await client.read_input_registers(block.address, count=block.size, device_id=unit)
        except ModbusException:
            return None

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator["Client"]:
        settings = self._settings
        if settings.rtu is not None:
            _check_serial(self._folder / settings.rtu.port, settings.rtu.port)
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it reports each timeout as an error; here that is a quality
        client = modbus_client(
            self._settings.tcp, self._settings.rtu, timeout=self._settings.timeout, folder=self._folder, trace=self._trace
        )
        begun = time.monotonic()
        try:
            try:
                connected = await client.connect()
            except termios.error:  # is no OSError: a port that cannot be set like this
                connected = False
            if not connected:
                raise Retry(await self._why(begun))
            await asyncio.sleep(0)  # a serial transport attaches itself to the loop one step later
            yield client
        finally:
            transport = client.ctx.transport
            client.close()
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()  # a peer that reads nothing would otherwise keep the socket open
            await asyncio.sleep(0)

    async def _why(self, begun: float) -> str:
        """Why the bus did not open. pymodbus keeps the reason to itself, so a refused connection is tried once more, within the timeout."""
        settings = self._settings
        if settings.rtu is not None:
            line = settings.rtu
            return (
                f"{self._where}: cannot be opened with {line.baudrate} {line.bytesize}{line.parity}{line.stopbits}; does another program"
                " hold it, is it a serial port, can it do that?"
            )
        assert settings.tcp is not None  # noqa: S101 - the settings have one of the two
        port = settings.tcp.port or 502
        left = settings.timeout - (time.monotonic() - begun)
        hint = "is the device on, and the port right (Modbus TCP uses 502 unless the device was set otherwise)?"
        if left <= 0:
            return f"{self._where}: no answer within {settings.timeout:g} s; {hint}"
        try:
            async with asyncio.timeout(left):
                _, writer = await asyncio.open_connection(settings.tcp.host, port)
        except TimeoutError:
            return f"{self._where}: no answer within {settings.timeout:g} s; {hint}"
        except OSError as error:
            return f"{self._where}: {error.strerror or error}; {hint}"
        writer.transport.abort()
        return f"{self._where}: did not accept the connection at once; trying again"

    def _nobody(self, units: Sequence[UnitState]) -> str:
        numbers = ", ".join(str(unit.number) for unit in units)
        line = self._settings.rtu
        what = (
            f"the wires A and B, unit numbers, and the line ({line.baudrate} {line.bytesize}{line.parity}{line.stopbits})"
            if line
            else "unit numbers"
        )
        return f"{self._where}: no answer from unit {numbers}; check that they are powered, {what}"


def _now_ns() -> int:
    """Unix time in ns, whole milliseconds: what the wire carries."""
    return time.time_ns() // 1_000_000 * 1_000_000


def _check_serial(path: Path, written: str) -> None:
    """Raises Retry where the port cannot be opened, naming the serial ports that exist."""
    if not path.exists():
        there = sorted(str(found) for pattern in _SERIAL_NAMES for found in Path("/dev").glob(pattern))
        raise Retry(
            f"rtu {written}: there is no such serial port; there are: {', '.join(there) or 'none; is the USB converter plugged in?'}"
        )
    if not path.is_char_device():
        raise Retry(f"rtu {written}: is no serial port but a file or folder; write for example /dev/ttyUSB0")
    if not os.access(path, os.R_OK | os.W_OK):
        raise Retry(f"rtu {written}: this user may not use the port; add the user to the group that owns it (often dialout)")
