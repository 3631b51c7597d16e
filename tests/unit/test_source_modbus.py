"""Modbus: requests planned, numbers decoded, dead units and exceptions told apart, a schedule without drift."""

import asyncio
import contextlib
import itertools
import math
import struct
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.errors import Retry
from edge.sources import SourceContext
from edge.sources.cadence import next_slot
from edge.sources.modbus import ModbusSource, UnitState
from edge.sources.modbus_map import Block, decode_bits, decode_registers, plan, split
from edge.sources.modbus_settings import ModbusPoint, ModbusSettings
from simulators.field.modbus_pdu import FaultKind, Unit, float32
from simulators.field.modbus_slave import RtuBus, TcpSlave


def point(register: int, type_: str | None = "uint16", *, table: str = "holding", **more: Any) -> ModbusPoint:
    unit = {} if type_ in (None, "bool") else {"unit": "1"}
    return ModbusPoint.model_validate({"table": table, "register": register, "type": type_} | unit | more)


def settings(units: dict[int, Any], **more: Any) -> ModbusSettings:
    return ModbusSettings.model_validate({"name": "plc", "type": "modbus", "tcp": "127.0.0.1:5020"} | more | {"units": units})


def source(units: dict[int, Any], **more: Any) -> ModbusSource:
    return ModbusSource(settings(units, **more), SourceContext("node", Path()))


def value_of(wanted: ModbusPoint, registers: list[int]) -> Reading:
    (block,) = plan({"a/b": wanted}, 0)
    (reading,) = decode_registers(block, registers, 7)
    return reading


# --- requests ---


def test_near_registers_share_a_request_and_far_ones_do_not() -> None:
    points = {"a/a": point(0, "float32"), "a/b": point(10), "a/c": point(19), "a/d": point(29), "a/e": point(0, table="input")}
    blocks = [(block.table, block.address, block.size, block.points) for block in plan(points, 8)]
    assert blocks == [("holding", 0, 20, ("a/a", "a/b", "a/c")), ("holding", 29, 1, ("a/d",)), ("input", 0, 1, ("a/e",))]


def test_a_request_never_exceeds_what_the_protocol_allows() -> None:
    registers = plan({f"a/r{i}": point(2 * i, "float32") for i in range(200)}, 8)
    assert [block.size for block in registers] == [124, 124, 124, 28]
    bits = plan({f"a/b{i}": point(i, None, table="coil") for i in range(2100)}, 8)
    assert [block.size for block in bits] == [2000, 100]


@examples(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 65532), st.sampled_from(["uint16", "float32", "float64"])), min_size=1, max_size=60),
    st.integers(0, 60),
)
def test_any_plan_reads_every_point_once_within_the_limits(places: list[tuple[int, str]], gap: int) -> None:
    points = {f"a/p{i}": point(register, kind) for i, (register, kind) in enumerate(places)}
    blocks = plan(points, gap)
    assert sorted(name for block in blocks for name in block.points) == sorted(points)
    for block in blocks:
        assert 1 <= block.size <= 125
        for cell in block.cells:
            assert block.address + cell.at == points[cell.point].register_
            assert cell.at + points[cell.point].words <= block.size


@examples(deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=30, unique=True))
def test_halving_a_block_ends_with_single_points_and_loses_none(registers: list[int]) -> None:
    blocks: tuple[Block, ...] = tuple(plan({f"a/p{i}": point(i) for i in registers}, 100))
    for _ in range(len(registers)):
        blocks = tuple(part for block in blocks for part in split(block))
    assert sorted(block.address for block in blocks) == sorted(registers)
    assert all(block.size == 1 for block in blocks)


# --- numbers ---

_BYTES = b"\x42\xf6\xe9\x79"  # 123.456 as float32


@pytest.mark.parametrize(
    ("byte_order", "word_order", "wire"),
    [("big", "big", "ABCD"), ("big", "little", "CDAB"), ("little", "big", "BADC"), ("little", "little", "DCBA")],
)
def test_the_four_orders_of_a_float(byte_order: str, word_order: str, wire: str) -> None:
    on_wire = bytes(_BYTES["ABCD".index(letter)] for letter in wire)
    reading = value_of(point(5, "float32", byte_order=byte_order, word_order=word_order), list(struct.unpack(">HH", on_wire)))
    assert reading.value == pytest.approx(123.456, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "registers", "value"),
    [
        ("uint16", [0xFFFF], 65535),
        ("int16", [0xFFFE], -2),
        ("uint32", [0x0001, 0x0000], 65536),
        ("int32", [0xFFFF, 0xFFFF], -1),
        ("uint64", [0, 1, 0, 0], 1 << 32),
        ("int64", [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD], -3),
        ("float64", list(struct.unpack(">4H", struct.pack(">d", -0.125))), -0.125),
    ],
)
def test_each_type(kind: str, registers: list[int], value: float) -> None:
    assert value_of(point(0, kind), registers) == Reading("a/b", 7, value, GOOD)


def test_little_endian_bytes_of_one_register() -> None:
    assert value_of(point(0, "uint16", byte_order="little"), [0x3412]).value == 0x1234
    assert value_of(point(0, "bool", bit=0, byte_order="little"), [0x0100]).value == 1


def test_scale_and_offset_leave_no_noise_of_binary_fractions() -> None:
    assert value_of(point(0, "uint16", scale=0.1), [3]).value == 0.3
    assert value_of(point(0, "int16", scale=0.01, offset=-40.5), [7]).value == -40.43


@pytest.mark.parametrize(
    ("count", "value", "quality"),
    [
        (4000, 0.0, GOOD),
        (20000, 100.0, GOOD),
        (12000, 50.0, GOOD),
        (3800, -1.25, GOOD),
        (20500, 103.125, GOOD),
        (3799, -1.25625, uncertain("under_range")),
        (3600, -2.5, uncertain("under_range")),
        (20501, 103.13125, uncertain("over_range")),
        (21000, 106.25, uncertain("over_range")),
        (3599, None, bad("wire_break")),
        (0, None, bad("wire_break")),
        (21001, None, bad("over_range")),
        (65535, None, bad("over_range")),
    ],
)
def test_a_current_loop_tells_its_own_faults(count: int, value: float | None, quality: Quality) -> None:
    reading = value_of(point(0, "uint16", loop={"counts": [4000, 20000], "span": [0, 100]}), [count])
    assert reading == Reading("a/b", 7, value, quality)


def test_the_range_of_a_current_loop_is_what_a_valid_current_can_mean() -> None:
    loop = {"counts": [0, 27648], "span": [10, -10]}
    assert point(0, "int16", loop=loop).declaration("a/b", 1.0).range == (-10.625, 10.25)
    assert point(0, "int16", loop=loop, range=[-10, 10]).declaration("a/b", 1.0).range == (-10, 10)
    assert value_of(point(0, "float32", loop=loop), list(float32(math.nan))).quality == bad("sensor_fault")
    assert value_of(point(0, "int16", loop=loop), [0xFFFF]).value == pytest.approx(10.0007, abs=1e-4)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_a_sensor_fault_without_value(number: float) -> None:
    for wanted in (point(0, "float32"), point(0, "float32", range=[0, 500])):
        assert value_of(wanted, list(float32(number))) == Reading("a/b", 7, None, bad("sensor_fault"))


def test_bits_of_tables_and_of_registers() -> None:
    (block,) = plan({"a/x": point(3, None, table="discrete"), "a/y": point(5, "bool", table="discrete")}, 8)
    assert [r.value for r in decode_bits(block, [True, False, False, False, False, False, False, False], 7)] == [1, 0]
    assert value_of(point(0, "bool", bit=9), [0x0200]).value == 1
    assert value_of(point(0, "bool", bit=8), [0x0200]).value == 0


# --- settings ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tcp": None}, "either tcp: host:port or rtu"),
        ({"rtu": {"port": "/dev/ttyUSB0"}}, "one of the two"),
        ({"tcp": "127.0.0.1:99999"}, r"write host:port, for example 192\.168\.1\.10:502"),
        ({"tcp": "fd00::1:502"}, r"\[fd00::10\]:502"),
        ({"evry": 1}, "Extra inputs are not permitted"),
        ({"units": {}}, "at least 1 item"),
        ({"units": {1: {}}}, "unit 1: has no points"),
        ({"units": {300: {"a/b": {"table": "coil", "register": 0}}}}, "less than or equal to 255"),
        ({"units": {1: {"flow": {"table": "coil", "register": 0}}}}, "write asset/signal"),
        ({"units": {1: {"a/b": {"table": "coil", "register": 0}}, 2: {"a/b": {"table": "coil", "register": 1}}}}, "unit 1 and for unit 2"),
        ({"tcp": None, "rtu": {"port": "x"}, "units": {0: {"a/b": {"table": "coil", "register": 0}}}}, "numbered 1 to 247"),
    ],
)
def test_settings_say_what_would_be_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModbusSettings.model_validate(
            {"name": "plc", "type": "modbus", "tcp": "127.0.0.1", "units": {1: {"a/b": {"table": "coil", "register": 0}}}} | change
        )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"table": "holding", "register": 0, "unit": "1"}, "type is missing; write one of bool, uint16"),
        ({"table": "holding", "register": 0, "type": "uint16"}, "unit is missing"),
        ({"table": "holding", "register": 0, "type": "bool"}, "needs bit: 0 to 15"),
        ({"table": "holding", "register": 0, "type": "uint16", "unit": "1", "bit": 3}, "only type bool takes a bit"),
        ({"table": "coil", "register": 0, "type": "uint16"}, "a coil is one bit"),
        ({"table": "coil", "register": 0, "scale": 2}, "leave scale and offset out"),
        ({"table": "holding", "register": 65535, "type": "float32", "unit": "1"}, "beyond register 65535"),
        ({"table": "holding", "register": 0, "type": "uint16", "unit": "1", "range": [5, 1]}, "lowest, highest"),
        ({"table": "holding", "register": 0, "type": "uint16", "unit": "1", "scale": 0}, "scale is 0"),
        (
            {"table": "input", "register": 0, "type": "uint16", "unit": "ppm", "loop": {"counts": [0, 27648], "span": [0, 500]}},
            "a broken wire could not be seen",
        ),
        (
            {"table": "input", "register": 0, "type": "uint16", "unit": "ppm", "loop": {"counts": [13107, 65535], "span": [0, 500]}},
            "an over-range could not be seen",
        ),
        (
            {"table": "input", "register": 0, "type": "int16", "unit": "ppm", "scale": 0.1, "loop": {"counts": [0, 27648], "span": [0, 1]}},
            "leave scale and offset out",
        ),
        (
            {"table": "input", "register": 0, "type": "int16", "unit": "ppm", "loop": {"counts": [5, 5], "span": [0, 1]}},
            "write two different numbers",
        ),
        ({"table": "holdin", "register": 0}, "'coil', 'discrete', 'holding' or 'input'"),
    ],
)
def test_a_point_that_cannot_be_says_why(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModbusPoint.model_validate(given)


def test_declarations_carry_unit_range_kind_and_period() -> None:
    flow = {
        "table": "holding",
        "register": 0,
        "type": "float32",
        "unit": "m3/h",
        "range": [0, 500],
        "description": {"es": "Caudal", "en": "Flow"},
    }
    declared = source({1: {"pump-1/flow": flow, "pump-1/on": {"table": "coil", "register": 0}}}, every=2.0).points()
    assert (declared["pump-1/flow"].unit, declared["pump-1/flow"].range, declared["pump-1/flow"].kind) == ("m3/h", (0, 500), "analog")
    assert declared["pump-1/flow"].period == 2.0
    assert (declared["pump-1/on"].unit, declared["pump-1/on"].kind, declared["pump-1/on"].asset) == ("bool", "digital", "pump-1")


# --- decisions about time ---


def test_the_schedule_skips_and_counts_what_it_missed() -> None:
    assert next_slot(100.0, 1.0, 0, 100.3) == (1, 0)
    assert next_slot(100.0, 1.0, 0, 101.0) == (1, 0)
    assert next_slot(100.0, 1.0, 0, 103.4) == (4, 3)


@examples(deadline=None)
@given(st.floats(0, 1e6), st.floats(0.02, 100), st.integers(0, 10_000), st.floats(0, 1e4))
def test_the_schedule_never_goes_back_and_never_bunches(start: float, every: float, slot: int, late: float) -> None:
    now = start + slot * every + late
    following, missed = next_slot(start, every, slot, now)
    assert following == slot + 1 + missed
    assert missed >= 0
    assert start + following * every >= now - 1e-6 * max(1.0, now)


def test_a_silent_unit_is_asked_less_and_less_often_and_at_once_when_it_is_back() -> None:
    unit = UnitState(1, ())
    asked = []
    for tick in range(100):
        if unit.due <= tick:
            asked.append(tick)
            unit.silent(tick + 0.4, every=1.0, backoff_max=16.0)
    assert asked == [0, 1, 3, 7, 15, 31, 47, 63, 79, 95]
    unit.answered()
    assert unit.due == 0.0


# --- against simulated units ---


@contextlib.asynccontextmanager
async def running(under_test: ModbusSource) -> Any:
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(15), contextlib.aclosing(items):
        yield items


def two_units() -> dict[int, Unit]:
    units = {1: Unit(), 2: Unit()}
    for number, unit in units.items():
        unit.holding.put(0, *float32(10.0 * number))
    return units


TWO = {number: {f"unit-{number}/flow": {"table": "holding", "register": 0, "type": "float32", "unit": "m3/h"}} for number in (1, 2)}


async def test_a_dead_unit_does_not_stall_the_other_one(tmp_path: Path) -> None:
    units = two_units()
    async with RtuBus(units, link=tmp_path / "tty"):
        under_test = source(
            TWO, tcp=None, rtu={"port": str(tmp_path / "tty"), "baudrate": 115200}, every=0.25, timeout=0.2, backoff_max=2.0
        )
        units[2].inject(FaultKind.DEAD)
        begun = time.monotonic()
        good: list[Reading] = []
        silent: list[Reading] = []
        async with running(under_test) as items:
            async for (reading,) in items:
                (good if reading.quality.good else silent).append(reading)
                if time.monotonic() - begun > 6.0:
                    break
        assert {reading.point for reading in good} == {"unit-1/flow"}
        assert {(reading.point, reading.value, str(reading.quality)) for reading in silent} == {("unit-2/flow", None, "bad:no_response")}
        assert len(good) >= 12  # of 24 slots; 8 if the dead unit cost its timeout in every poll
        assert 3 <= len(silent) <= 6  # later and later
        apart = [(b.time_ns - a.time_ns) / 1e9 for a, b in itertools.pairwise(good)]
        assert max(apart) < 0.25 + 0.5 + 0.5  # one timeout, and a busy machine

        units[2].heal()
        async with running(under_test) as items:
            assert {reading.point async for (reading,) in _first(items, 2)} == {"unit-1/flow", "unit-2/flow"}


async def _first(items: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(items)


async def _exhaust(under_test: ModbusSource, seen: list[Reading], after: int = 0, then: Callable[[], None] | None = None) -> None:
    async with running(under_test) as items:
        async for batch in items:
            seen += batch
            if then is not None and len(seen) == after:
                then()


async def test_a_bus_on_which_nobody_answers_does_not_start(tmp_path: Path) -> None:
    units = two_units()
    for unit in units.values():
        unit.inject(FaultKind.DEAD)
    async with RtuBus(units, link=tmp_path / "tty"):
        under_test = source(TWO, tcp=None, rtu={"port": str(tmp_path / "tty")}, every=0.02, timeout=0.05)
        seen: list[Reading] = []
        with pytest.raises(Retry, match=r"no answer from unit 1, 2; .*wires A and B.*9600 8N1"):
            await _exhaust(under_test, seen)
        assert seen == []  # readings would say that the source runs


async def test_a_bus_that_falls_silent_is_lost_after_three_attempts() -> None:
    units = two_units()
    async with TcpSlave(units) as slave:
        under_test = source(TWO, tcp=slave.address, every=0.2, timeout=0.2)

        def units_die() -> None:
            for unit in units.values():
                unit.inject(FaultKind.DEAD)

        seen: list[Reading] = []
        with pytest.raises(Retry, match="no answer from unit 1, 2"):
            await _exhaust(under_test, seen, after=4, then=units_die)
    assert [str(reading.quality) for reading in seen] == ["good"] * 4 + ["bad:no_response"] * 6


@pytest.mark.parametrize(("code", "says"), [(1, "bad:exception_1"), (4, "bad:exception_4"), (11, "bad:exception_11")])
async def test_an_exception_is_a_quality_of_its_own(code: int, says: str) -> None:
    units = two_units()
    units[2].inject(FaultKind.EXCEPTION, code=code)
    async with TcpSlave(units) as slave, running(source(TWO, tcp=slave.address, every=0.05, timeout=0.5)) as items:
        readings = [reading async for (reading,) in _first(items, 2)]
    assert [(r.value, str(r.quality)) for r in readings] == [(10.0, "good"), (None, says)]


@pytest.mark.parametrize("kind", [FaultKind.WRONG_CHECK, FaultKind.HALF, FaultKind.GARBAGE])
async def test_a_spoiled_answer_is_no_answer_and_the_next_one_counts(kind: FaultKind, tmp_path: Path) -> None:
    units = two_units()
    one = {1: TWO[1]}
    async with RtuBus(units, link=tmp_path / "tty"):
        under_test = source(one, tcp=None, rtu={"port": str(tmp_path / "tty"), "baudrate": 115200}, every=0.3, timeout=0.25)
        async with running(under_test) as items:
            readings = [reading async for (reading,) in _first(items, 1)]
            units[1].inject(kind, times=1)
            readings += [reading async for (reading,) in _first(items, 2)]
    assert [(r.value, str(r.quality)) for r in readings] == [(10.0, "good"), (None, "bad:no_response"), (10.0, "good")]


async def test_a_missing_address_in_a_request_is_isolated() -> None:
    unit = Unit()
    for register in (0, 1, 2, 4, 5, 6, 7):  # 3 does not exist
        unit.holding.put(register, register + 100)
    points = {f"plc/r{i}": {"table": "holding", "register": i, "type": "uint16", "unit": "1"} for i in range(8)}
    async with TcpSlave({1: unit}) as slave, running(source({1: points}, tcp=slave.address, every=0.02)) as items:
        batches = [batch async for batch in _first(items, 6)]
    assert {str(reading.quality) for reading in batches[0]} == {"bad:exception_2"}
    last = {reading.point: (reading.value, str(reading.quality)) for reading in batches[-1]}
    assert last.pop("plc/r3") == (None, "bad:exception_2")
    assert last == {f"plc/r{i}": (100 + i, "good") for i in (0, 1, 2, 4, 5, 6, 7)}


async def test_all_tables_at_once_and_few_requests() -> None:
    unit = Unit()
    unit.holding.put(0, *float32(1.5), 7)
    unit.input.put(0, 9)
    unit.coils.put(0, 1)
    unit.discrete.put(0, *([0, 1] * 6))
    points = {
        "plc/a": {"table": "holding", "register": 0, "type": "float32", "unit": "1"},
        "plc/b": {"table": "holding", "register": 2, "type": "uint16", "unit": "1"},
        "plc/c": {"table": "input", "register": 0, "type": "int16", "unit": "1"},
        "plc/d": {"table": "coil", "register": 0},
        "plc/e": {"table": "discrete", "register": 11},
    }
    async with TcpSlave({1: unit}) as slave, running(source({1: points}, tcp=slave.address, every=0.02)) as items:
        batch = await anext(items)
        requests = unit.requests
    assert {reading.point: reading.value for reading in batch} == {"plc/a": 1.5, "plc/b": 7, "plc/c": 9, "plc/d": 1, "plc/e": 1}
    assert all(reading.time_ns % 1_000_000 == 0 for reading in batch)
    assert requests == 4


async def test_polls_keep_their_schedule_and_count_what_a_slow_unit_costs() -> None:
    units = two_units()
    under = {1: TWO[1]}
    async with TcpSlave(units) as slave:
        under_test = source(under, tcp=slave.address, every=0.05, timeout=1.0)
        async with running(under_test) as items:
            begun = time.monotonic()
            async for _ in _first(items, 5):
                pass
            units[1].inject(FaultKind.SLOW, times=1, seconds=0.22)
            async for _ in _first(items, 6):
                pass
            took = time.monotonic() - begun
    assert under_test.missed_polls >= 3
    slots = 10 + under_test.missed_polls  # each slot that passed was either polled or counted
    assert (slots - 0.5) * 0.05 < took < slots * 0.05 + 0.4


async def test_a_closed_port_names_port_and_remedy() -> None:
    under_test = source(TWO, tcp="127.0.0.1:1", timeout=0.3)
    with pytest.raises(Retry, match=r"tcp 127\.0\.0\.1:1: .*[Cc]onnect.*is the device on, and the port right"):
        async with running(under_test) as items:
            await anext(items)


async def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "tty").write_text("")
    with pytest.raises(Retry, match="is no serial port but a file"):
        async with running(source(TWO, tcp=None, rtu={"port": str(tmp_path / "tty")})) as items:
            await anext(items)
