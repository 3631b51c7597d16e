"""The Modbus slave against the specification's own examples, raw bytes, and a client that is not ours."""

import asyncio
import os
import struct
import time
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from simulators.field.modbus_pdu import Bank, Counter, FaultKind, Unit, float32, int16, uint16
from simulators.field.modbus_slave import GARBAGE, RtuBus, TcpSlave, crc16, with_crc


def _unit() -> Unit:
    unit = Unit()
    unit.holding.put(0x6B, 0x022B, 0x0000, 0x0064)
    unit.input.put(8, 0x000A)
    unit.coils.put(0x13, *[int(bit) for bit in "1011001111010110101"])  # specification 6.1: CD 6B 05
    unit.discrete.put(0xC4, *[int(bit) for bit in "0011010111011011101011"])  # 6.2: AC DB 35
    return unit


@pytest.mark.parametrize(
    ("request_pdu", "response"),
    [
        ("01 0013 0013", "01 03 CD6B05"),
        ("02 00C4 0016", "02 03 ACDB35"),
        ("03 006B 0003", "03 06 022B00000064"),
        ("04 0008 0001", "04 02 000A"),
        ("05 0014 FF00", "05 0014 FF00"),
        ("06 006C 0003", "06 006C 0003"),
        ("0F 0013 000A 02 CD01", "0F 0013 000A"),
        ("10 006B 0002 04 000A0102", "10 006B 0002"),
        ("01 0013 07D1", "81 03"),  # more than 2000 bits
        ("03 006B 0000", "83 03"),
        ("03 006B 007E", "83 03"),  # more than 125 registers
        ("03 006B 0004", "83 02"),  # the last of them does not exist
        ("03 FFFF 0002", "83 02"),  # beyond the end of the table
        ("04 0000 0001", "84 02"),
        ("05 0014 0001", "85 03"),  # neither on nor off
        ("06 0000 0001", "86 02"),
        ("10 006B 0002 03 000A01", "90 03"),  # byte count and quantity disagree
        ("10 006B 0002 04 000A", "90 03"),  # shorter than it says
        ("07", "87 01"),
        ("2B 0E 01 00", "AB 01"),
    ],
)
def test_answers_as_the_specification_says(request_pdu: str, response: str) -> None:
    assert _unit().answer(bytes.fromhex(request_pdu)) == bytes.fromhex(response)


def test_writes_are_read_back() -> None:
    unit = _unit()
    unit.answer(bytes.fromhex("10 006B 0002 04 000A0102"))
    unit.answer(bytes.fromhex("0F 0013 000A 02 CD01"))
    assert unit.answer(bytes.fromhex("03 006B 0002")) == bytes.fromhex("03 04 000A0102")
    assert unit.answer(bytes.fromhex("01 0013 000A")) == bytes.fromhex("01 02 CD01")


def test_computed_registers_are_asked_once_a_request_and_are_not_writable() -> None:
    unit, calls = Unit(), []
    unit.holding.compute(0, 2, lambda: calls.append(1) or float32(1480.0))  # type: ignore[func-returns-value]
    assert unit.answer(bytes.fromhex("03 0000 0002")) == bytes.fromhex("03 04 44B90000")
    assert len(calls) == 1
    assert unit.answer(bytes.fromhex("06 0000 0001")) == bytes.fromhex("86 02")


def test_registers_hold_at_the_ends_of_their_range() -> None:
    assert (uint16(-3), uint16(70_000), uint16(20.6)) == (0, 65535, 21)
    assert (int16(-2), int16(-40_000), int16(40_000)) == (0xFFFE, 0x8000, 0x7FFF)


def test_crc_of_the_serial_line_specification() -> None:
    assert crc16(b"\x02\x07") == 0x1241
    assert with_crc(b"\x02\x07")[-2:] == b"\x41\x12"


def test_counter_counts_requests_and_writes_before_it_answers(tmp_path: Path) -> None:
    unit, counter = Unit(), Counter(tmp_path / "handed.csv")
    counter.place(unit.input, 10)
    before = time.time_ns()
    answers = [unit.answer(bytes.fromhex("04 000A 0002")) for _ in range(3)]
    assert unit.answer(bytes.fromhex("04 000A 0002"), spoiled=True)[-1] == 4
    assert [struct.unpack(">I", answer[2:])[0] for answer in answers] == [1, 2, 3]
    assert [number for number, _ in counter.handed_out] == [1, 2, 3]
    lines = [line.split(",") for line in (tmp_path / "handed.csv").read_text().splitlines()]
    assert [int(number) for number, _ in lines] == [1, 2, 3]
    assert before <= int(lines[0][1]) <= time.time_ns()
    counter.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frame: str) -> bytes:
    writer.write(bytes.fromhex(frame))
    head = await asyncio.wait_for(reader.readexactly(6), 2)
    return head + await asyncio.wait_for(reader.readexactly(int.from_bytes(head[4:6], "big")), 2)


async def test_tcp_frames_byte_by_byte() -> None:
    async with TcpSlave({1: _unit()}) as slave:
        reader, writer = await asyncio.open_connection("127.0.0.1", slave.port)
        assert await _ask(reader, writer, "1501 0000 0006 01 04 0008 0001") == bytes.fromhex("1501 0000 0005 01 04 02 000A")
        assert await _ask(reader, writer, "1502 0000 0006 09 04 0008 0001") == bytes.fromhex("1502 0000 0003 09 84 0B")
        writer.write(bytes.fromhex("1503 0000 0006 01 04 0008 0001" + "1504 0000 0006 01 04 0009 0001"))  # two at once
        both = await asyncio.wait_for(reader.readexactly(11 + 9), 2)
        assert both == bytes.fromhex("1503 0000 0005 01 04 02 000A" + "1504 0000 0003 01 84 02")
        writer.write(bytes.fromhex("1505 0001 0006 01 04 0008 0001"))  # another protocol
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        await writer.wait_closed()


async def test_tcp_faults() -> None:
    unit = _unit()
    async with TcpSlave({1: unit}) as slave:
        reader, writer = await asyncio.open_connection("127.0.0.1", slave.port)
        ask = "0007 0000 0006 01 04 0008 0001"
        whole = bytes.fromhex("0007 0000 0005 01 04 02 000A")
        unit.inject(FaultKind.WRONG_CHECK, times=1)
        assert (await _ask(reader, writer, ask))[:2] == b"\xff\x07"
        unit.inject(FaultKind.EXCEPTION, times=1, code=6)
        assert (await _ask(reader, writer, ask))[-2:] == b"\x84\x06"
        unit.inject(FaultKind.SLOW, times=1, seconds=0.2)
        start = time.monotonic()
        assert await _ask(reader, writer, ask) == whole
        assert time.monotonic() - start >= 0.2
        unit.inject(FaultKind.DEAD, times=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_ask(reader, writer, ask), 0.1)
        assert await _ask(reader, writer, ask) == whole  # healed by itself after one request
        unit.inject(FaultKind.HALF, times=1)
        writer.write(bytes.fromhex(ask))
        assert await asyncio.wait_for(reader.readexactly(5), 2) == whole[:5]
        unit.inject(FaultKind.GARBAGE)
        writer.write(bytes.fromhex(ask))
        assert await asyncio.wait_for(reader.readexactly(len(GARBAGE)), 2) == GARBAGE
        unit.heal()
        assert await _ask(reader, writer, ask) == whole
        writer.close()
        await writer.wait_closed()


async def test_pymodbus_reads_and_writes_over_tcp() -> None:
    unit = _unit()
    unit.holding.compute(0, 4, lambda: (*float32(415.5), uint16(7), int16(-12)))
    async with TcpSlave({1: unit, 2: Unit()}) as slave:
        client = AsyncModbusTcpClient("127.0.0.1", port=slave.port, timeout=2, retries=0)
        assert await client.connect()
        registers = (await client.read_holding_registers(0, count=4, device_id=1)).registers
        assert client.convert_from_registers(registers[:2], client.DATATYPE.FLOAT32) == 415.5
        assert client.convert_from_registers(registers[3:], client.DATATYPE.INT16) == -12
        assert not (await client.write_registers(0x6B, [5, 6], device_id=1)).isError()
        assert (await client.read_holding_registers(0x6B, count=2, device_id=1)).registers == [5, 6]
        assert not (await client.write_coils(0x13, [True, False], device_id=1)).isError()
        assert (await client.read_coils(0x13, count=2, device_id=1)).bits[:2] == [True, False]
        refused = await client.read_holding_registers(0, count=1, device_id=2)
        assert refused.isError()
        assert refused.exception_code == 2
        client.close()


async def test_pymodbus_reads_two_units_over_rtu_and_finds_the_line_again(tmp_path: Path) -> None:
    gas, fan = Unit(), Unit()
    gas.input.put(0, 123)
    fan.input.put(0, 900)
    fan.discrete.put(0, 1)
    link = tmp_path / "line.tty"
    async with RtuBus({1: gas, 2: fan}, link=link):
        for _ in range(2):  # a master that goes and comes back
            client = AsyncModbusSerialClient(str(link), framer=FramerType.RTU, baudrate=19200, timeout=0.5, retries=0)
            assert await client.connect()
            assert (await client.read_input_registers(0, count=1, device_id=1)).registers == [123]
            assert (await client.read_input_registers(0, count=1, device_id=2)).registers == [900]
            assert (await client.read_discrete_inputs(0, count=1, device_id=2)).bits[0] is True
            assert (await client.write_register(0, 1, device_id=1)).exception_code == 2  # it has no holding registers
            client.close()
    assert not link.is_symlink()


class _Line:
    """The master's end of the line, as raw bytes."""

    def __init__(self, link: Path) -> None:
        self.fd = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    async def ask(self, frame: bytes, wait: float = 0.1) -> bytes:
        os.write(self.fd, frame)
        await asyncio.sleep(wait)
        try:
            return os.read(self.fd, 512)
        except BlockingIOError:
            return b""


async def test_rtu_faults_framing_and_broadcast(tmp_path: Path) -> None:
    unit = _unit()
    counter = Counter()
    counter.place(unit.input, 0)
    async with RtuBus({1: unit, 2: Unit()}, link=tmp_path / "line.tty") as bus:
        line = _Line(bus.link)
        ask = with_crc(bytes.fromhex("01 04 0000 0002"))

        def right(number: int) -> bytes:
            return with_crc(bytes.fromhex("01 04 04") + struct.pack(">I", number))

        assert await line.ask(ask) == right(1)
        assert await line.ask(ask[:3]) + await line.ask(ask[3:]) == b""  # a pause inside a frame ends it
        assert bus.bad_frames >= 1
        assert await line.ask(b"\xff\xfe" + ask) == b""  # out of step until the line falls silent
        assert await line.ask(ask) == right(2)
        assert await line.ask(with_crc(bytes.fromhex("03 04 0000 0001"))) == b""  # nobody has address 3
        assert await line.ask(with_crc(bytes.fromhex("01 2B 0E 01 00"))) == with_crc(bytes.fromhex("01 AB 01"))
        assert await line.ask(with_crc(bytes.fromhex("00 06 006B 0007"))) == b""
        assert await line.ask(with_crc(bytes.fromhex("01 03 006B 0001"))) == with_crc(bytes.fromhex("01 03 02 0007"))

        unit.inject(FaultKind.WRONG_CHECK, times=1)
        spoiled = await line.ask(ask)
        assert len(spoiled) == 9
        assert crc16(spoiled[:-2]) != int.from_bytes(spoiled[-2:], "little")
        unit.inject(FaultKind.HALF, times=1)
        assert await line.ask(ask) == right(3)[:4]
        unit.inject(FaultKind.GARBAGE, times=1)
        assert await line.ask(ask) == GARBAGE
        unit.inject(FaultKind.DEAD)
        assert await line.ask(ask) == b""
        assert await line.ask(with_crc(bytes.fromhex("02 04 0000 0001"))) == with_crc(bytes.fromhex("02 84 02"))  # the other one lives
        unit.inject(FaultKind.SLOW, times=1, seconds=0.2)
        assert await line.ask(ask) == b""
        assert await line.ask(with_crc(bytes.fromhex("02 04 0000 0001")), wait=0.05) == with_crc(bytes.fromhex("02 84 02"))
        await asyncio.sleep(0.1)
        assert os.read(line.fd, 64) == right(3)  # the late answer
        assert [number for number, _ in counter.handed_out] == [1, 2, 3]  # nothing counted that was spoiled
        os.close(line.fd)


async def test_rtu_keeps_going_when_nobody_reads(tmp_path: Path) -> None:
    unit = Unit()
    unit.holding.put(0, *range(125))
    async with RtuBus({1: unit}, link=tmp_path / "line.tty") as bus:
        line = _Line(bus.link)
        ask = with_crc(bytes.fromhex("01 03 0000 007D"))
        for _ in range(60):  # 15 kB, more than the line holds
            os.write(line.fd, ask)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert unit.requests == 60
        while await line.ask(b"", wait=0.0):
            pass
        assert len(await line.ask(ask)) == 255
        os.close(line.fd)


def test_a_bank_asks_each_block_once() -> None:
    bank = Bank()
    bank.compute(0, 2, lambda: [1, 2])
    bank.compute(2, 2, lambda: [3, 4])
    bank.put(4, 5)
    assert bank.read(1, 4) == [2, 3, 4, 5]
