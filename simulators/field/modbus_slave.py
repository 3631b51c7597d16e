"""Modbus servers: TCP (MBAP) and RTU on a pseudo-terminal, several units behind each.

Written from the Modbus messaging implementation guide V1.0b (MBAP) and Modbus over serial line V1.02 (RTU).
"""

import asyncio
import contextlib
import os
import struct
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from simulators.field.listener import Listener
from simulators.field.modbus_pdu import FaultKind, Unit, exception_response

GATEWAY_TARGET_SILENT = 0x0B  # application protocol V1.1b3, section 7
SILENCE = 0.02  # seconds; stands for the 3.5 characters that end a frame, which a pseudo-terminal cannot time
WORK = 0.01  # seconds from one answer of a unit to its next, where several wait
GARBAGE = bytes.fromhex("deadbeef00ff55aa1337")
_FIXED = frozenset({1, 2, 3, 4, 5, 6})  # functions whose request has 8 bytes
_WRITES = frozenset({5, 6, 15, 16})


def crc16(frame: bytes) -> int:
    """Serial line V1.02, section 6.2.2: polynomial 0xA001, start 0xFFFF. Sent low byte first."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def with_crc(frame: bytes) -> bytes:
    return frame + struct.pack("<H", crc16(frame))


def _answer(unit: Unit, request: bytes, frame: Callable[[bytes], bytes], spoil: Callable[[bytes], bytes]) -> tuple[float, bytes]:
    """How long the unit takes (seconds), and the bytes that it then puts on the wire."""
    fault = unit.take_fault()
    match fault and fault.kind:
        case FaultKind.DEAD:
            wire = b""
        case FaultKind.GARBAGE:
            wire = GARBAGE
        case FaultKind.EXCEPTION if fault:
            wire = frame(exception_response(request[0], fault.code))
        case FaultKind.HALF:
            whole = frame(unit.answer(request, spoiled=True))
            wire = whole[: len(whole) // 2]
        case FaultKind.WRONG_CHECK:
            wire = spoil(frame(unit.answer(request, spoiled=True)))
        case _:
            wire = frame(unit.answer(request))
    return fault.seconds if fault and fault.kind is FaultKind.SLOW else 0.0, wire


class TcpSlave(Listener):
    """Units behind one TCP port. A unit id that is not there is answered as a gateway does: exception 0x0B."""

    def __init__(self, units: Mapping[int, Unit], *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(self._converse, host=host, port=port)
        self.units = units

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            transaction, protocol, length, address = struct.unpack(">HHHB", await reader.readexactly(7))
            if protocol != 0 or not 2 <= length <= 254:
                return  # not Modbus: nothing after this could be framed
            request = await reader.readexactly(length - 1)

            def frame(pdu: bytes, transaction: int = transaction, address: int = address) -> bytes:
                return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, address) + pdu

            unit = self.units.get(address)
            if unit is None:
                delay, answer = 0.0, frame(exception_response(request[0], GATEWAY_TARGET_SILENT))
            else:
                delay, answer = _answer(unit, request, frame, lambda whole: bytes([whole[0] ^ 0xFF]) + whole[1:])
            if delay:
                await asyncio.sleep(delay)
            writer.write(answer)
            await writer.drain()


class RtuBus:
    """Units on one serial line: a pseudo-terminal whose stable name is the link ``link``.

    A unit that is not there stays silent; unit 0 is a broadcast, executed by all and answered by none. A slow unit answers late, whoever
    is talking by then, as on a real two-wire bus. ``carry`` makes of a request and its answer, both whole frames, what the master hears:
    an adapter that echoes, a driver that clicks when it switches on, another answer than the right one.
    """

    def __init__(self, units: Mapping[int, Unit], *, link: Path, carry: Callable[[bytes, bytes], bytes] | None = None) -> None:
        self.units = units
        self.link = link
        self.carry = carry
        self.bad_frames = 0
        self._buffer = bytearray()
        self._free: dict[int, float] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._silence: asyncio.TimerHandle | None = None
        self._master = self._slave = -1

    async def __aenter__(self) -> Self:
        """Raises FileExistsError where something that is no link stands at ``link``."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # kept open: a line stays when its master goes, and comes back
        os.set_blocking(self._master, False)
        if self.link.is_symlink():
            self.link.unlink()
        self.link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._received)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        for timer in self._timers:
            timer.cancel()
        if self._silence is not None:
            self._silence.cancel()
        self.link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)

    def _received(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self._master, 4096)
        if self._silence is not None:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(SILENCE, self._fell_silent)
        while (length := _request_length(self._buffer)) is not None and len(self._buffer) >= length:
            if not _sound(self._buffer[:length]):
                return  # out of step: the next silence clears it
            frame = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._handle(frame)

    def _fell_silent(self) -> None:
        """The end of a frame whose length its function code does not tell, or of one that makes no sense."""
        frame = bytes(self._buffer)
        self._buffer.clear()
        if _sound(frame):
            self._handle(frame)
        elif frame:
            self.bad_frames += 1

    def _handle(self, frame: bytes) -> None:
        address, request = frame[0], frame[1:-2]
        if address == 0:
            for each in self.units.values() if request[0] in _WRITES else ():
                each.answer(request)
            return
        unit = self.units.get(address)
        if unit is None:
            return
        delay, answer = _answer(
            unit, request, lambda pdu: with_crc(bytes([address]) + pdu), lambda whole: whole[:-1] + bytes([whole[-1] ^ 0xFF])
        )
        if self.carry is not None:
            answer = self.carry(frame, answer)
        loop = asyncio.get_running_loop()
        # A unit answers in order: what came while it was slow waits, and follows.
        at = max(loop.time() + delay, self._free.get(address, 0.0))
        if at <= loop.time():
            self._send(answer)
            return
        self._free[address] = at + WORK

        def late() -> None:
            self._timers.discard(timer)
            self._send(answer)

        timer = loop.call_at(at, late)
        self._timers.add(timer)

    def _send(self, answer: bytes) -> None:
        """Nobody listening: what the line cannot hold is gone, as on copper."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, answer)


def _request_length(buffer: bytearray) -> int | None:
    """The length of the request that the buffer begins with, in bytes; None while that cannot be told."""
    if len(buffer) < 2:
        return None
    if buffer[1] in _FIXED:
        return 8
    if buffer[1] in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else None
    return None


def _sound(frame: bytes | bytearray) -> bool:
    return len(frame) >= 4 and crc16(bytes(frame[:-2])) == int.from_bytes(frame[-2:], "little")
