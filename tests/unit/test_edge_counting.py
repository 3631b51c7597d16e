"""What sources count: a simulator injects the very fault, and only its counter moves; then as points of the node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from contract.messages import PointDeclaration
from contract.values import POINT, Reading
from edge import clock
from edge.config import load
from edge.counting import KINDS, SourceCounters, counter_points, is_fault
from edge.items import Item
from edge.sources import REGISTRY, Counting, Source, SourceContext, SourceSettings
from edge.sources.modbus import ModbusSource
from edge.sources.modbus_settings import ModbusSettings
from edge.sources.nmea import NmeaSettings, NmeaSource
from edge.sources.serial_line import SerialLineSettings, SerialLineSource
from simulators.field.gnss_receiver import Receiver
from simulators.field.modbus_pdu import FaultKind, Unit
from simulators.field.modbus_slave import RtuBus, TcpSlave, with_crc
from simulators.field.serial_device import LineFault, SerialDevice, xor_line

PATIENCE = 20.0  # s
EVERY = 0.25  # s between polls
TIMEOUT = 0.2  # s
XOR = {"kind": "xor", "after": "$", "before": "*"}


def modbus(**link: Any) -> ModbusSource:
    points = {n: {f"plc/u{n}": {"table": "holding", "register": 0, "type": "uint16", "unit": "1"}} for n in (1, 2)}
    keys = {"name": "bus", "type": "modbus", "every": EVERY, "timeout": TIMEOUT, "backoff_max": EVERY, "units": points} | link
    return ModbusSource(ModbusSettings.model_validate(keys), SourceContext("node", Path()))


def two_units() -> dict[int, Unit]:
    units = {1: Unit(), 2: Unit()}
    for number, unit in units.items():
        unit.holding.put(0, number)
    return units


async def read_until(source: Source, enough: Callable[[], object]) -> None:
    items = source.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(items):
        async for _ in items:
            if enough():
                return


async def tried(bus: ModbusSource, unit: Unit, kind: FaultKind, times: int, **more: Any) -> dict[str, int]:
    """What the fault of unit 2 adds to its counters, once it has met ``times`` requests and a good one has come after them."""
    before = dict(bus.counters())
    begun = False

    def enough() -> bool:
        nonlocal begun
        if not begun:  # the bus has started: a unit that is dead from the beginning would be another story
            begun = True
            unit.inject(kind, times=times, **more)
        return bus.counters()["unit-2/requests"] >= before["unit-2/requests"] + times + 3

    await read_until(bus, enough)
    found = {key: count - before[key] for key, count in bus.counters().items() if count != before[key]}
    assert found.pop("unit-2/requests") >= times + 3
    assert found.pop("unit-1/requests") > 0
    found.pop("missed_polls", None)  # on a busy machine
    return found


RTU_FAULTS = [
    (FaultKind.DEAD, {"unit-2/timeouts": 2}),
    (FaultKind.WRONG_CHECK, {"unit-2/crc_errors": 2}),
    (FaultKind.HALF, {"unit-2/crc_errors": 2}),
    (FaultKind.GARBAGE, {"unit-2/crc_errors": 2}),
    (FaultKind.EXCEPTION, {"unit-2/exceptions": 2}),
]


@pytest.mark.parametrize(("kind", "counted"), RTU_FAULTS, ids=[str(kind) for kind, _ in RTU_FAULTS])
async def test_on_a_serial_line_each_fault_is_counted_for_its_slave_and_told_apart(
    kind: FaultKind, counted: dict[str, int], tmp_path: Path
) -> None:
    units = two_units()
    async with RtuBus(units, link=tmp_path / "tty"):
        bus = modbus(rtu={"port": str(tmp_path / "tty"), "baudrate": 115200})
        assert await tried(bus, units[2], kind, 2) == counted


async def test_a_slave_that_answers_late_is_silent_and_does_not_make_the_others_look_damaged(tmp_path: Path) -> None:
    units = two_units()
    async with RtuBus(units, link=tmp_path / "tty"):
        bus = modbus(rtu={"port": str(tmp_path / "tty"), "baudrate": 115200})
        found = await tried(bus, units[2], FaultKind.SLOW, 1, seconds=TIMEOUT + 0.1)
    assert found.get("unit-2/timeouts") == 1
    assert "unit-2/crc_errors" not in found
    assert "unit-1/crc_errors" not in found


def test_a_sound_answer_of_another_slave_is_no_damage() -> None:
    """A slave that answers so late that another one is being asked, which is dead."""
    bus = modbus(rtu={"port": "/dev/null"})
    late = with_crc(bytes([2, 3, 2, 0, 7]))
    for heard in (late, late[:-1], b""):
        bus._trace(True, b"a request")
        bus._trace(False, heard)
        bus._count(1, None, malformed=False)
    counted = {key: count for key, count in bus.counters().items() if count}
    assert counted == {"unit-1/requests": 3, "unit-1/timeouts": 2, "unit-1/crc_errors": 1}


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        (FaultKind.DEAD, {"unit-2/timeouts": 2}),
        (FaultKind.EXCEPTION, {"unit-2/exceptions": 2}),
        (FaultKind.WRONG_CHECK, {"unit-2/malformed": 2}),
    ],
)
async def test_over_tcp_too(kind: FaultKind, counted: dict[str, int]) -> None:
    units = two_units()
    async with TcpSlave(units) as slave:
        assert await tried(modbus(tcp=slave.address), units[2], kind, 2) == counted


async def test_a_gateway_that_cannot_reach_a_slave_says_so_with_an_exception() -> None:
    units = {1: two_units()[1]}  # the simulator answers for unit 2 with exception 0x0B
    async with TcpSlave(units) as slave:
        bus = modbus(tcp=slave.address)
        await read_until(bus, lambda: bus.counters()["unit-2/requests"] >= 2)
    assert bus.counters()["unit-2/exceptions"] >= 2
    assert bus.counters()["unit-1/exceptions"] == bus.counters()["unit-2/timeouts"] == 0


@pytest.mark.parametrize("kind", ["serial-line", "nmea"])
async def test_lines_that_arrive_damaged_are_counted(kind: str, tmp_path: Path) -> None:
    say = Receiver().say if kind == "nmea" else lambda: xor_line("FLOW,123.5")
    reader: NmeaSource | SerialLineSource
    if kind == "nmea":
        keys: dict[str, Any] = {"name": "gnss", "type": "nmea", "under": "truck-7/gnss", "serial": {"port": "tty"}}
        reader = NmeaSource(NmeaSettings.model_validate(keys), SourceContext("node", tmp_path))
    else:
        line = {"select": "FLOW,", "points": {"pump-1/flow": {"column": 2, "unit": "m3/h"}}}
        keys = {"name": "flow", "type": "serial-line", "serial": {"port": "tty"}, "lines": [line], "checksum": XOR}
        reader = SerialLineSource(SerialLineSettings.model_validate(keys), SourceContext("node", tmp_path))
    async with SerialDevice(tmp_path / "tty", say, every=0.05) as device:
        assert reader.counters() == {"lost_lines": 0}
        begun = False

        def enough() -> bool:
            nonlocal begun
            if not begun:
                begun = True
                device.next_faults([LineFault.SPOILT] * 3)
            return reader.counters()["lost_lines"] >= 3

        await read_until(reader, enough)
    assert reader.counters()["lost_lines"] == reader.lost_lines


# --- as points of the node ---


class Line:
    """A source whose counters the test sets."""

    Settings: ClassVar[type[SourceSettings]] = SourceSettings

    def __init__(self) -> None:
        self.told: dict[str, int] | None = {"requests": 0, "unit-7/timeouts": 0, "sparks": 0}

    def points(self) -> Mapping[str, PointDeclaration]:
        return {}

    def counters(self) -> Mapping[str, int]:
        if self.told is None:
            raise ZeroDivisionError("a source of another package")
        return self.told

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        yield []


def at(seconds: float) -> clock.Instant:
    return clock.Instant(1_764_000_000_000_000_000 + round(seconds * 1e9), round((1000 + seconds) * 1e9))


def said(readings: list[Reading]) -> dict[str, float | None]:
    return {reading.point.removeprefix("n/source/bus/"): reading.value for reading in readings}


def test_counters_are_points_and_their_errors_a_rate() -> None:
    line, restarts = Line(), [0]
    declared = counter_points("n", "bus", line, 10.0)
    assert all(POINT.fullmatch(name) for name in declared)
    assert all(set(point.description) == {"es", "en"} and point.period == 10.0 for point in declared.values())
    counted = SourceCounters("n", "bus", line, lambda: restarts[0], at(0))
    first = counted.readings(at(10))
    assert {reading.point for reading in first} == declared.keys()
    assert said(first)["errors_per_minute"] == 0
    line.told = {"requests": 500, "unit-7/timeouts": 4, "sparks": 1}
    restarts[0] = 1
    second = said(counted.readings(at(60)))
    assert second == {"requests": 500, "unit-7/timeouts": 4, "sparks": 1, "restarts": 1, "errors_per_minute": 6}  # requests are none
    assert said(counted.readings(at(90)))["errors_per_minute"] == pytest.approx(6 * 60 / 80)
    assert said(counted.readings(at(130)))["errors_per_minute"] == 0
    assert is_fault("unit-7/timeouts")
    assert not is_fault("requests")


def test_a_source_that_cannot_tell_its_counters_stops_nothing() -> None:
    line = Line()
    counted = SourceCounters("n", "bus", line, lambda: 0, at(0))
    line.told = None
    readings = counted.readings(at(10))
    assert {str(reading.quality) for reading in readings} == {"bad:source_fault"}
    line.told = {"requests": 3}  # one is missing
    assert {reading.value for reading in counted.readings(at(20))} == {None}


def test_every_counter_of_every_source_has_a_name_in_both_languages() -> None:
    import importlib

    told = set()
    for where in REGISTRY.values():
        module, _, name = where.partition(":")
        if module.startswith("edge."):
            assert hasattr(getattr(importlib.import_module(module), name), "counters"), where
    for source in (modbus(rtu={"port": "/dev/null"}), modbus(tcp="127.0.0.1")):
        assert isinstance(source, Counting)
        told |= {key.rpartition("/")[2] for key in source.counters()}
    assert told <= KINDS.keys()


def test_the_birth_of_a_node_declares_them(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(
        """site: mine
node: gas-1
broker: {host: 127.0.0.1}
sources:
  - name: rs485
    type: modbus
    rtu: {port: /dev/ttyUSB0}
    units: {3: {heading-3/co: {table: input, register: 0, type: uint16, unit: ppm, range: [0, 500]}}}
"""
    )
    points = load(file, {}).points
    assert points["gas-1/source/rs485/unit-3/crc_errors"].kind == "counter"
    assert points["gas-1/source/rs485/unit-3/crc_errors"].description["en"] == "Answers damaged on the line (CRC): rs485, unit-3"
    assert points["gas-1/source/rs485/restarts"].period == 10.0
