"""One Modbus unit: its four tables, the answer to one request (PDU in, PDU out), and the faults that a test can give it.

Written from the Modbus application protocol specification V1.1b3; section numbers are its own.
"""

import struct
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4  # section 7
MAX_READ_BITS, MAX_READ_REGISTERS = 2000, 125  # 6.1, 6.3
MAX_WRITE_BITS, MAX_WRITE_REGISTERS = 1968, 123  # 6.11, 6.12

Read = Callable[[], Sequence[int]]


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Block(NamedTuple):
    start: int
    read: Read
    peek: Read


class Bank:
    """One table. A value is 0 or 1 in a table of bits and 0 to 65535 in a table of registers; an address that was never given does not exist."""

    def __init__(self) -> None:
        self._plain: dict[int, int] = {}
        self._computed: dict[int, _Block] = {}

    def put(self, address: int, *values: int) -> None:
        """Plain values from ``address`` on: a master may write them."""
        for offset, value in enumerate(values):
            self._plain[address + offset] = value

    def compute(self, address: int, count: int, read: Read, *, peek: Read | None = None) -> None:
        """``count`` values from ``address`` on that are asked for once in each request that touches them, and cannot be written.

        ``peek`` answers instead where the answer will be spoiled on its way.
        """
        block = _Block(address, read, peek or read)
        for offset in range(count):
            self._computed[address + offset] = block

    def read(self, address: int, count: int, *, spoiled: bool = False) -> list[int]:
        span = range(address, address + count)
        if any(at not in self._computed and at not in self._plain for at in span):
            raise _Refused(ILLEGAL_ADDRESS)
        asked: dict[_Block, Sequence[int]] = {}
        values = []
        for at in span:
            block = self._computed.get(at)
            if block is None:
                values.append(self._plain[at])
                continue
            if block not in asked:
                asked[block] = block.peek() if spoiled else block.read()
            values.append(asked[block][at - block.start])
        return values

    def write(self, address: int, values: Sequence[int]) -> None:
        if any(at not in self._plain or at in self._computed for at in range(address, address + len(values))):
            raise _Refused(ILLEGAL_ADDRESS)
        self.put(address, *values)


class FaultKind(StrEnum):
    DEAD = "dead"  # no answer
    GARBAGE = "garbage"  # bytes that are no answer
    WRONG_CHECK = "wrong_check"  # RTU: a wrong CRC. TCP, which has none: a wrong transaction id
    HALF = "half"  # the first half of the answer
    EXCEPTION = "exception"  # an exception code
    SLOW = "slow"  # the right answer, late


class Fault(NamedTuple):
    kind: FaultKind
    times: int | None = None  # requests that it spoils; None: until healed
    code: int = DEVICE_FAILURE  # for EXCEPTION
    seconds: float = 1.0  # for SLOW


class Unit:
    """One device on a bus or behind a TCP port."""

    def __init__(self) -> None:
        self.coils, self.discrete, self.holding, self.input = Bank(), Bank(), Bank(), Bank()
        self.requests = 0
        self._fault: Fault | None = None

    def inject(self, kind: FaultKind, *, times: int | None = None, code: int = DEVICE_FAILURE, seconds: float = 1.0) -> None:
        """From the next request on the unit misbehaves."""
        self._fault = Fault(kind, times, code, seconds)

    def heal(self) -> None:
        self._fault = None

    def take_fault(self) -> Fault | None:
        """The fault that this request meets, counted down."""
        fault = self._fault
        if fault is not None and fault.times is not None:
            self._fault = fault._replace(times=fault.times - 1) if fault.times > 1 else None
        return fault

    def answer(self, request: bytes, *, spoiled: bool = False) -> bytes:
        """The response PDU, an exception response included. ``spoiled``: it will not arrive whole, so counters must not move."""
        self.requests += 1
        function = request[0]
        try:
            return bytes([function]) + self._execute(function, request[1:], spoiled)
        except _Refused as refused:
            return exception_response(function, refused.code)

    def _execute(self, function: int, body: bytes, spoiled: bool) -> bytes:
        match function:
            case 1 | 2:
                address, count = _two(body, 1, MAX_READ_BITS)
                bits = (self.coils if function == 1 else self.discrete).read(address, count, spoiled=spoiled)
                packed = _pack_bits(bits)
                return bytes([len(packed)]) + packed
            case 3 | 4:
                address, count = _two(body, 1, MAX_READ_REGISTERS)
                words = (self.holding if function == 3 else self.input).read(address, count, spoiled=spoiled)
                return struct.pack(f">B{count}H", 2 * count, *words)
            case 5:
                address, value = _pair(body)
                if value not in (0x0000, 0xFF00):
                    raise _Refused(ILLEGAL_VALUE)
                self.coils.write(address, [1 if value else 0])
                return body
            case 6:
                address, value = _pair(body)
                self.holding.write(address, [value])
                return body
            case 15 | 16:
                return self._write_many(function, body)
            case _:
                raise _Refused(ILLEGAL_FUNCTION)

    def _write_many(self, function: int, body: bytes) -> bytes:
        if len(body) < 6:
            raise _Refused(ILLEGAL_VALUE)
        address, count, size = struct.unpack(">HHB", body[:5])
        data = body[5:]
        wanted, most = ((count + 7) // 8, MAX_WRITE_BITS) if function == 15 else (2 * count, MAX_WRITE_REGISTERS)
        if not 1 <= count <= most or size != wanted or len(data) != wanted:
            raise _Refused(ILLEGAL_VALUE)
        _check_span(address, count)
        if function == 15:
            self.coils.write(address, [data[index // 8] >> (index % 8) & 1 for index in range(count)])
        else:
            self.holding.write(address, struct.unpack(f">{count}H", data))
        return body[:4]


def exception_response(function: int, code: int) -> bytes:
    """Section 7: the function code with its highest bit set, and the code."""
    return bytes([function | 0x80, code])


def _pair(body: bytes) -> tuple[int, int]:
    if len(body) != 4:
        raise _Refused(ILLEGAL_VALUE)
    address, value = struct.unpack(">HH", body)
    return address, value


def _two(body: bytes, least: int, most: int) -> tuple[int, int]:
    address, count = _pair(body)
    if not least <= count <= most:
        raise _Refused(ILLEGAL_VALUE)
    _check_span(address, count)
    return address, count


def _check_span(address: int, count: int) -> None:
    if address + count > 0x10000:
        raise _Refused(ILLEGAL_ADDRESS)


def _pack_bits(bits: Sequence[int]) -> bytes:
    """Section 6.1: the first bit is the lowest of the first byte; the last byte is filled with zeros."""
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        packed[index // 8] |= (1 if bit else 0) << (index % 8)
    return bytes(packed)


def uint16(value: float) -> int:
    """The value as a register, held at the ends of its range as a real transmitter does."""
    return min(max(round(value), 0), 0xFFFF)


def int16(value: float) -> int:
    """The value as a register in two's complement, held at the ends of its range."""
    return min(max(round(value), -0x8000), 0x7FFF) & 0xFFFF


def float32(value: float) -> tuple[int, int]:
    """The value as two registers, IEEE 754, the high word first (ABCD)."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


class Counter:
    """A 32-bit counter over two registers, the high word first, for "nothing lost" tests: each request that reads it gets the next number.

    ``handed_out`` lists (number, Unix ns) as given; with a path each is also appended to that file as ``n,time_ns`` before the answer leaves.
    Answers that a fault spoils do not count.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.handed_out: list[tuple[int, int]] = []
        self._log = path.open("a", buffering=1) if path is not None else None

    def place(self, bank: Bank, address: int) -> None:
        bank.compute(address, 2, self._next, peek=self._peek)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _peek(self) -> tuple[int, int]:
        return divmod((len(self.handed_out) + 1) & 0xFFFFFFFF, 0x10000)

    def _next(self) -> tuple[int, int]:
        words = self._peek()
        entry = (len(self.handed_out) + 1, time.time_ns())
        self.handed_out.append(entry)
        if self._log is not None:
            self._log.write(f"{entry[0]},{entry[1]}\n")
        return words
