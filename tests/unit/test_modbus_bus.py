"""What a Modbus bus does to those on it: noise, echoes, answers of others and answers that come too late; and twenty units of which some are
dead, on a serial line and behind a gateway."""

import asyncio
import contextlib
import itertools
import struct
import time
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from contract.values import Reading
from edge.modbus_rtu import AnswerFramer
from edge.sources import SourceContext
from edge.sources.modbus import ModbusSource, UnitState, turn
from edge.sources.modbus_map import decode_registers, plan, probe
from edge.sources.modbus_settings import ModbusPoint, ModbusSettings
from simulators.field.modbus_pdu import FaultKind, Unit
from simulators.field.modbus_slave import RtuBus, TcpSlave, with_crc


def register(address: int, type_: str = "uint16") -> dict[str, Any]:
    return {"table": "holding", "register": address, "type": type_, "unit": "1"}


def bus(units: dict[int, dict[str, Any]], **more: Any) -> ModbusSource:
    return ModbusSource(
        ModbusSettings.model_validate({"name": "bus", "type": "modbus", "units": units, **more}), SourceContext("n", Path())
    )


@contextlib.asynccontextmanager
async def running(source: ModbusSource) -> Any:
    items = source.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(30), contextlib.aclosing(items):
        yield items


# --- what is heard on the line ---

OTHER = with_crc(bytes([2, 3, 4]) + b"\x11\x11\x11\x11")  # unit 2, two registers
WRONG_FUNCTION = with_crc(bytes([1, 4, 4]) + b"\x22\x22\x22\x22")
WRONG_LENGTH = with_crc(bytes([1, 3, 2]) + b"\x33\x33")
BAD_CRC = bytes([1, 3, 4]) + b"\x44\x44\x44\x44\x00\x00"


@pytest.mark.parametrize(
    "before",
    [
        b"\x00",
        b"\xff",
        b"\x00\x01",
        b"\x01\x03",
        b"\x01\x03\x04",
        b"\x01",
        b"\xde\xad\xbe\xef" * 20,
        OTHER,
        WRONG_FUNCTION,
        WRONG_LENGTH,
        BAD_CRC,
    ],
)
@pytest.mark.parametrize("echo", [False, True])
async def test_the_answer_is_found_behind_noise_echoes_and_answers_to_others(before: bytes, echo: bool, tmp_path: Path) -> None:
    unit = Unit()
    unit.holding.put(0x0400, 7, 8)  # the request for it, 01 03 04 00 00 02, begins like an answer
    points = {"plc/a": register(0x0400), "plc/b": register(0x0401)}

    def carry(request: bytes, answer: bytes) -> bytes:
        return (request if echo else b"") + before + answer

    rtu = {"port": str(tmp_path / "tty"), "baudrate": 115200}
    async with RtuBus({1: unit}, link=tmp_path / "tty", carry=carry), running(bus({1: points}, rtu=rtu, every=0.02)) as items:
        batch = await anext(items)
    assert [(reading.value, str(reading.quality)) for reading in batch] == [(7.0, "good"), (8.0, "good")]


@pytest.mark.parametrize("instead", [OTHER, WRONG_FUNCTION, WRONG_LENGTH, BAD_CRC])
async def test_an_answer_to_something_else_is_none(instead: bytes, tmp_path: Path) -> None:
    units = {1: Unit(), 2: Unit()}
    for each in units.values():
        each.holding.put(0, 7, 8)
    points = {number: {f"unit-{number}/a": register(0), f"unit-{number}/b": register(1)} for number in units}

    def carry(request: bytes, answer: bytes) -> bytes:
        return instead if request[0] == 1 else answer

    rtu = {"port": str(tmp_path / "tty"), "baudrate": 115200}
    seen: list[Reading] = []
    async with RtuBus(units, link=tmp_path / "tty", carry=carry), running(bus(points, rtu=rtu, every=0.1, timeout=0.2)) as items:
        async for batch in items:
            seen += batch
            if len(seen) >= 8:
                break
    assert {(r.point.partition("/")[0], r.value is None, str(r.quality)) for r in seen} == {
        ("unit-1", True, "bad:no_response"),
        ("unit-2", False, "good"),
    }


@examples(deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125), st.integers(1, 247), st.integers(0, 60))
def test_any_noise_before_an_answer_leaves_it_whole(noise: bytes, words: list[int], unit: int, cut: int) -> None:
    framer = AnswerFramer(DecodePDU(False))
    framer.buildFrame(ReadHoldingRegistersRequest(address=3, count=len(words), dev_id=unit))
    whole = noise + with_crc(bytes([unit, 3, 2 * len(words)]) + struct.pack(f">{len(words)}H", *words))
    assert framer.handleFrame(whole[: len(whole) - 1 - cut % len(whole)], unit, 0)[1] is None  # not yet
    used, answer = framer.handleFrame(whole, unit, 0)
    assert used == len(whole)
    assert answer is not None
    assert list(answer.registers) == words


@pytest.mark.parametrize("wide", [False, True])
async def test_an_answer_that_comes_too_late_never_becomes_another_points_value(wide: bool, tmp_path: Path) -> None:
    """RTU numbers no requests: of three reads of the same length, after a stall, each would show its neighbour's value."""
    unit = Unit()
    points = {f"gas/r{at}": register(at, "uint32" if wide else "uint16") for at in (0, 40, 80)}  # three requests of the same length
    for at in (0, 40, 80):
        unit.holding.put(at, *((0, 1000 + at) if wide else (1000 + at,)))
    rtu = {"port": str(tmp_path / "tty"), "baudrate": 115200}
    other = Unit()
    other.holding.put(0, 5)
    source = bus({1: points, 2: {"other/r": register(0)}}, rtu=rtu, every=0.1, timeout=0.08)
    seen: list[Reading] = []
    async with RtuBus({1: unit, 2: other}, link=tmp_path / "tty"), running(source) as items:
        for stalls in (0.205, 0.21, 0.22, 0.25):  # the unit is asked again after 0.2 s
            unit.inject(FaultKind.SLOW, times=1, seconds=stalls)
            silent = False
            async for batch in items:
                seen += batch
                mine = [reading for reading in batch if reading.point != "other/r"]
                silent |= any(reading.value is None for reading in mine)
                if silent and mine and all(reading.value is not None for reading in mine):
                    break  # it was late, and is back
    for reading in seen:
        if reading.value is not None and reading.point != "other/r":
            assert reading.value == 1000 + int(reading.point.removeprefix("gas/r"))
    assert {str(reading.quality) for reading in seen if reading.point != "other/r"} == {"good", "bad:no_response"}
    assert all(reading.value == 5 for reading in seen if reading.quality.good and reading.point == "other/r")


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.sampled_from(["holding", "input", "coil", "discrete"])), min_size=1, max_size=40),
    st.integers(0, 60),
)
def test_no_answer_is_as_long_as_that_to_the_probe(places: list[tuple[int, str]], gap: int) -> None:
    points = {}
    for i, (at, table) in enumerate(places):
        more = {} if table in ("coil", "discrete") else {"type": "uint16", "unit": "1"}
        points[f"a/p{i}"] = ModbusPoint.model_validate({"table": table, "register": at, **more})
    blocks = plan(points, gap)
    asked = probe(blocks)
    kinds = [(block.table, -(-block.size // 8) if block.table in ("coil", "discrete") else block.size) for block in blocks]
    if len(set(kinds)) == len(kinds):
        assert asked is None  # nothing can be confused
        return
    assert asked is not None
    table, address, size, cells = asked.block
    assert not cells
    assert any(table == block.table and block.address <= address and address + size <= block.address + block.size for block in blocks)
    if asked.unique:
        assert (table, -(-size // 8) if table in ("coil", "discrete") else size) not in kinds


# --- twenty units ---


def test_of_the_silent_units_one_is_asked_and_after_the_others() -> None:
    units = [UnitState(number, ()) for number in range(1, 6)]
    for number, now in ((2, 0.0), (3, 1.0), (4, 2.0)):
        units[number - 1].silent(now, every=1.0, backoff_max=60.0)
    assert [unit.number for unit in turn(units, 10.0)] == [1, 5, 2]
    units[1].silent(10.0, every=1.0, backoff_max=60.0)
    assert [unit.number for unit in turn(units, 10.0)] == [1, 5, 3]
    assert [unit.number for unit in turn(units, 0.2)] == [1, 5]
    assert [unit.number for unit in turn(units[1:4], 12.0)] == [3, 4, 2]  # nobody answers: nobody is delayed


def test_a_day_of_silence_costs_one_attempt_in_a_minute() -> None:
    """And the pause does not grow out of any number, though the attempts of a month do."""
    unit = UnitState(1, ())
    now, attempts = 0.0, 0
    while now < 30 * 86_400:
        now = max(now, unit.due)
        unit.silent(now, every=1.0, backoff_max=60.0)
        attempts += 1
    assert 43_200 <= attempts < 43_200 * 1.02 + 10
    assert unit.due - now < 61
    unit.answered()
    assert turn([unit], now) == [unit]


def twenty() -> dict[int, Unit]:
    units = {number: Unit() for number in range(1, 21)}
    for number, unit in units.items():
        unit.holding.put(0, number)
    return units


async def _counted(source: ModbusSource, seconds: float) -> Counter[str]:
    good: Counter[str] = Counter()
    until = time.monotonic() + seconds
    async with running(source) as items:
        async for batch in items:
            good.update(reading.point for reading in batch if reading.quality.good)
            if time.monotonic() > until:
                return good
    raise AssertionError("the source ended")


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_one_dead_of_twenty_leaves_the_others_their_rate(kind: str, tmp_path: Path) -> None:
    """Two buses at once, one whole and one with a dead unit, so that a busy machine is busy for both."""
    points = {number: {f"unit-{number}/x": register(0)} for number in range(1, 21)}
    whole, ailing = twenty(), twenty()
    ailing[7].inject(FaultKind.DEAD)
    async with contextlib.AsyncExitStack() as stack:
        sources = []
        for name, units in (("whole", whole), ("ailing", ailing)):
            if kind == "rtu":
                await stack.enter_async_context(RtuBus(units, link=tmp_path / name))
                where: dict[str, Any] = {"rtu": {"port": str(tmp_path / name), "baudrate": 115200}}
            else:
                where = {"tcp": (await stack.enter_async_context(TcpSlave(units))).address}
            sources.append(bus(points, every=0.3, timeout=0.12, backoff_max=5.0, **where))
        before, after = await asyncio.gather(*(_counted(source, 5.0) for source in sources))
    assert len(before) == 20
    assert after["unit-7/x"] == 0
    assert len(after) == 19
    assert min(after.values()) >= 0.9 * min(before.values()), f"{min(after.values())} polls beside {min(before.values())}"
    assert min(before.values()) >= 6  # of 16, or the machine says nothing


async def test_a_section_switched_off_costs_the_others_little_and_comes_back(tmp_path: Path) -> None:
    points = {number: {f"unit-{number}/x": register(0)} for number in range(1, 21)}
    units = twenty()
    source = bus(points, rtu={"port": str(tmp_path / "tty"), "baudrate": 115200}, every=0.25, timeout=0.1, backoff_max=2.0)
    gone = range(11, 21)
    good: Counter[str] = Counter()
    times: list[int] = []
    async with RtuBus(units, link=tmp_path / "tty"), running(source) as items:
        begun = time.monotonic()
        off = back = False
        async for batch in items:
            now = time.monotonic() - begun
            if off and not back and now > 1.0 and batch[0].quality.good and batch[0].point == "unit-1/x":
                times.append(batch[0].time_ns)
            if now > 0.5 and not off:
                off = True
                for number in gone:
                    units[number].inject(FaultKind.DEAD)
            if now > 4.5 and not back:
                back = True
                for unit in units.values():
                    unit.heal()
            if back:
                good.update(reading.point for reading in batch if reading.quality.good)
                if len(good) == 20:
                    break
    gaps = sorted((b - a) / 1e9 for a, b in itertools.pairwise(times))
    assert len(gaps) >= 5
    # The first poll pays ten timeouts, once. After that one at most is paid in a poll, which the period has room for.
    assert gaps[len(gaps) * 3 // 4] < 0.5, gaps


async def test_the_first_units_of_a_gateway_may_all_be_dead() -> None:
    """pymodbus closes a connection on which the first requests stay without an answer; the others behind it would never be reached."""
    units = twenty()
    for number in range(1, 7):
        units[number].inject(FaultKind.DEAD)
    points = {number: {f"unit-{number}/x": register(0)} for number in range(1, 9)}
    async with TcpSlave(units) as slave, running(bus(points, tcp=slave.address, timeout=0.05, every=0.1)) as items:
        seen: dict[str, str] = {}
        async for batch in items:
            seen |= {reading.point: str(reading.quality) for reading in batch}
            if len(seen) == 8:
                break
    assert seen == {f"unit-{n}/x": "bad:no_response" if n < 7 else "good" for n in range(1, 9)}


ORDERS = [("big", "big"), ("big", "little"), ("little", "big"), ("little", "little")]


@examples(deadline=None, max_examples=60)
@given(
    st.sampled_from([("int64", "q"), ("uint64", "Q"), ("float64", "d"), ("int32", "i"), ("uint32", "I"), ("float32", "f"), ("int16", "h")]),
    st.sampled_from(ORDERS),
    st.data(),
)
def test_every_type_in_every_order_comes_back(kind: tuple[str, str], order: tuple[str, str], data: st.DataObject) -> None:
    """The number is laid out as its name says, and register by register shuffled as a device of that order does."""
    name, code = kind
    size = struct.calcsize(code)
    if code in "fd":
        number: float = data.draw(st.floats(allow_nan=False, allow_infinity=False, width=32 if code == "f" else 64))
    else:
        signed = code.islower()
        bits = 8 * size - signed
        number = data.draw(st.integers(-(1 << bits) if signed else 0, (1 << bits) - 1))
    plain = struct.pack(">" + code, number)
    words = [plain[at : at + 2] for at in range(0, size, 2)]
    bytes_, order_of_words = order
    if order_of_words == "little":
        words.reverse()
    if bytes_ == "little":
        words = [word[::-1] for word in words]
    point = ModbusPoint.model_validate({**register(3, name), "byte_order": bytes_, "word_order": order_of_words})
    (block,) = plan({"a/b": point}, 0)
    (reading,) = decode_registers(block, [int.from_bytes(word, "big") for word in words], 0)
    assert reading.value == float(number)
