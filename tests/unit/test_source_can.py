"""The CAN source: its settings, its table of points with the clock passed in, and whole runs on real python-can buses."""

import asyncio
import contextlib
import logging
import random
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import can
import pytest
from pydantic import ValidationError

from contract.values import Reading
from edge.errors import Misconfigured, Retry
from edge.items import Item
from edge.sources import SourceContext
from edge.sources.can import CanSource
from edge.sources.can_bus import check_network_interface
from edge.sources.can_dbc import find_signal, load_dbc
from edge.sources.can_points import Frame, PointTable
from edge.sources.can_settings import CanSettings
from simulators.field.can_bus import EEC1, TruckBus, broadcast, exchange, frame, trouble_codes

HERE = Path(__file__).parent
PATIENCE = 15.0  # s; a test that waits longer has failed
POINTS: dict[str, Any] = {"truck-1/engine/speed": {"spn": 190}}
THREE = [(110, 0, 3), (100, 1, 1), (190, 2, 7)]


def settings(**more: Any) -> CanSettings:
    whole = {"name": "truck-1", "type": "can", "interface": "virtual", "channel": secrets.token_hex(8), "points": POINTS, **more}
    return CanSettings.model_validate(whole)


def source(**more: Any) -> CanSource:
    return CanSource(settings(**more), SourceContext("node", HERE))


def table(points: dict[str, Any], now: float = 0.0, **more: Any) -> PointTable:
    checked = settings(points=points, **more)
    wanted = {name: point for name, point in checked.points.items() if point.message}
    database = load_dbc(HERE / "haul_truck.dbc", "haul_truck.dbc")
    return PointTable(checked, {name: find_signal(database, name, point) for name, point in wanted.items()}, now)


def said(readings: Sequence[Item]) -> dict[str, tuple[float | None, str]]:
    return {each.point: (each.value, str(each.quality)) for each in readings if isinstance(each, Reading)}


def put(points: PointTable, arbitration_id: int, data: str, *, ms: int = 0, now: float = 0.0, extended: bool = True) -> None:
    points.accept(Frame(arbitration_id, extended, bytes.fromhex(data), ms * 1_000_000), now)


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ({}, "write one of: spn: 190, or dm1: count, or message: NAME"),
        ({"spn": 190, "dm1": "count"}, "write one of"),
        ({"spn": 91}, r"spn 91: is not in the table \(84, .*describe it in a DBC file"),
        ({"spn": 241}, "need location"),
        ({"spn": 190, "location": 0}, "need location .* only these take it"),
        ({"dm1": "count", "location": 0}, "location belongs to spn 241 and 242"),
        ({"spn": 190, "unit": "rpm"}, "leave them out"),
        ({"spn": 190, "range": [5, 5]}, "write \\[lowest, highest\\]"),
        ({"message": "Payload", "unit": "t"}, "needs message, signal and unit"),
        ({"message": "Payload", "signal": "Mass", "unit": "tons"}, "did you mean"),
        ({"message": "Payload", "signal": "Mass", "unit": "t"}, "needs dbc: FILE"),
        ({"dm1": "count"}, r"write source_address \(the engine is usually 0\)"),
        ({"dm1": {"spn": 100, "fmi": 32}}, "less than or equal to 31"),
        ({"spn": 190, "source_address": 254}, "less than or equal to 253"),
    ],
)
def test_a_wrong_point_is_told_what_would_be_right(point: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(points={"truck-1/x": point})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"points": {}}, "at least 1 item"),
        ({"interface": "socketcan", "channel": "/dev/can0"}, "write the name of a network interface, for example can0"),
        ({"options": {"bitrate": 1}}, "bitrate is no further option"),
        ({"every": 0.01}, "greater than or equal to 0.05"),
        ({"baud": 1}, "Extra inputs"),
    ],
)
def test_a_wrong_bus_is_told_what_would_be_right(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**more)


def test_declarations() -> None:
    points = source(
        source_address=0,
        dbc="haul_truck.dbc",
        every=0.5,
        points={
            "t/rpm": {"spn": 190},
            "t/hours": {"spn": 247},
            "t/tire": {"spn": 241, "location": 0},
            "t/codes": {"dm1": "count"},
            "t/red": {"dm1": "red_stop"},
            "t/oil": {"dm1": {"spn": 100, "fmi": 1}},
            "t/mass": {"message": "Payload", "signal": "Mass", "unit": "t", "range": [0, 300]},
        },
    ).points()
    told = {name: (point.unit, point.kind, point.range, point.period) for name, point in points.items()}
    assert told == {
        "t/rpm": ("rpm", "analog", (0, 8031.875), 0.5),
        "t/hours": ("h", "counter", (0, 210554060.75), 0.5),
        "t/tire": ("kPa", "analog", (0, 1000), 10),
        "t/codes": ("1", "analog", None, 1.0),
        "t/red": ("bool", "digital", None, 1.0),
        "t/oil": ("bool", "digital", None, 1.0),
        "t/mass": ("t", "analog", (0, 300), 0.5),
    }
    assert points["t/rpm"].asset == "t"
    assert all(point.description.keys() == {"es", "en"} for name, point in points.items() if name != "t/mass")


def test_the_newest_value_of_a_period_comes_out_once() -> None:
    points = table(POINTS)
    put(points, EEC1, "FFFFFF0000FFFFFF", ms=10)
    put(points, EEC1, "FFFFFF6813FFFFFF", ms=20)
    assert points.take() == [Reading("truck-1/engine/speed", 20_000_000, 621.0)]
    assert points.take() == []


def test_codes_ranges_and_half_a_frame() -> None:
    points = table({"t/rpm": {"spn": 190, "range": [0, 600]}})
    for data, expected in {
        "FFFFFF6813FFFFFF": (621.0, "uncertain:out_of_range"),
        "FFFFFFFFFFFFFFFF": (None, "bad:not_available"),
        "FFFFFF00FEFFFFFF": (None, "bad:sensor_error"),
        "FFFFFF68": (None, "bad:malformed_frame"),
        "": (None, "bad:malformed_frame"),
        "FFFFFF0010FFFFFF": (512.0, "good"),
    }.items():
        put(points, EEC1, data)
        assert said(points.take()) == {"t/rpm": expected}


def test_silence_is_told_once_until_it_has_spoken_again() -> None:
    points = table({"t/rpm": {"spn": 190}, "t/tire": {"spn": 241, "location": 3}, "t/boost": {"spn": 102, "stale_after": 1}}, stale_after=5)
    assert points.fell_silent(0.9, 0) == []
    assert said(points.fell_silent(1.0, 0)) == {"t/boost": (None, "bad:stale")}
    put(points, EEC1, "FFFFFF6813FFFFFF", now=4.0)
    assert points.fell_silent(8.9, 0) == []
    assert said(points.fell_silent(9.0, 0)) == {"t/rpm": (None, "bad:stale")}
    assert points.fell_silent(29.9, 0) == []
    assert not points.all_silent
    assert said(points.fell_silent(30.0, 0)) == {"t/tire": (None, "bad:stale")}  # sent every 10 s: three may fail to come
    assert points.all_silent
    put(points, EEC1, "FFFFFF6813FFFFFF", now=40.0)
    assert not points.all_silent
    assert points.fell_silent(44.0, 0) == []
    assert said(points.fell_silent(45.0, 0)) == {"t/rpm": (None, "bad:stale")}


def test_who_sends_it_and_which_tire() -> None:
    points = table(
        {
            "t/engine-2": {"spn": 190, "source_address": 1},
            "t/front-left": {"spn": 241, "location": 0x00},
            "t/rear-right": {"spn": 241, "location": 0x13},
        },
        source_address=0,
    )
    put(points, 0x0CF00400, "FFFFFF0010FFFFFF")
    put(points, 0x0CF00401, "FFFFFF6813FFFFFF")
    put(points, 0x18FEF400, "00ADFFFFFFFFFFFF")
    put(points, 0x18FEF400, "13AEFFFFFFFFFFFF")
    put(points, 0x18FEF400, "FF01FFFFFFFFFFFF")
    put(points, 0x18FEF400, "")
    assert {name: value for name, (value, _) in said(points.take()).items()} == {
        "t/engine-2": 621,
        "t/front-left": 692,
        "t/rear-right": 696,
    }


def test_two_controllers_that_send_the_same_are_noticed(caplog: pytest.LogCaptureFixture) -> None:
    points = table(POINTS)
    with caplog.at_level(logging.WARNING):
        for sender in (0, 1, 0, 1):
            put(points, 0x0CF00400 | sender, "FFFFFF6813FFFFFF")
    assert [record.getMessage() for record in caplog.records] == [
        "point truck-1/engine/speed is sent by address 0 and by 1: write source_address, or it is two things"
    ]


CODES: dict[str, Any] = {
    "t/count": {"dm1": "count"},
    "t/red": {"dm1": "red_stop"},
    "t/amber": {"dm1": "amber_warning"},
    "t/oil": {"dm1": {"spn": 100, "fmi": 1}},
    "t/other": {"dm1": {"spn": 100, "fmi": 4}},
}


@pytest.mark.parametrize("way", ["broadcast", "exchange"])
def test_trouble_codes_by_the_transport_protocol(way: str) -> None:
    data = trouble_codes(THREE, red=True)
    points = table(CODES, source_address=0)
    frames = broadcast(65226, 0, data) if way == "broadcast" else exchange(65226, 0, 0xF9, data, again=1)
    others = broadcast(65226, 3, trouble_codes([(1, 1, 1)] * 4, amber=True))  # another controller, in between
    for index in range(max(len(frames), len(others))):
        for each in (frames[index : index + 1], others[index : index + 1]):
            for message in each:
                put(points, message.arbitration_id, message.data.hex(), ms=60 * index)
    assert said(points.take()) == {
        "t/count": (3, "good"),
        "t/red": (1, "good"),
        "t/amber": (0, "good"),
        "t/oil": (1, "good"),
        "t/other": (0, "good"),
    }
    assert points.transport.lost == 0


def test_trouble_codes_in_one_frame_and_gone_again() -> None:
    points = table(CODES, source_address=0)
    put(points, 0x18FECA00, trouble_codes([(100, 1, 1)], amber=True).hex())
    assert said(points.take()) == {
        "t/count": (1, "good"),
        "t/red": (0, "good"),
        "t/amber": (1, "good"),
        "t/oil": (1, "good"),
        "t/other": (0, "good"),
    }
    put(points, 0x18FECA00, trouble_codes([]).hex())
    assert {value for value, _ in said(points.take()).values()} == {0}
    put(points, 0x18FECA00, "0000")
    assert set(said(points.take()).values()) == {(None, "bad:malformed_frame")}
    put(points, 0x18FECA00, "FFFF 640001 81 FFFF")  # lamps not available; an old controller may mean another SPN
    heard = said(points.take())
    assert heard["t/red"] == (None, "bad:not_available")
    assert heard["t/oil"] == (1, "uncertain:conversion_method")


DBC_POINTS: dict[str, Any] = {
    "t/mass": {"message": "Payload", "signal": "Mass", "unit": "t"},
    "t/tilt": {"message": "Payload", "signal": "Tilt", "unit": "deg"},
    "t/bed": {"message": "Payload", "signal": "Bed", "unit": "1"},
    "t/left": {"message": "Struts", "signal": "FrontLeft", "unit": "kPa"},
    "t/right": {"message": "Struts", "signal": "FrontRight", "unit": "kPa"},
    "t/steering": {"message": "Hydraulics", "signal": "Steering", "unit": "kPa"},
    "t/pump": {"message": "Hydraulics", "signal": "Pump", "unit": "1"},
}


def test_signals_of_a_dbc_file() -> None:
    points = table(DBC_POINTS, dbc="haul_truck.dbc")
    put(points, 0x123, "1027 CEFF 01 000000", extended=False)  # 10000 * 0.01; 0xFCE of 12 bits, signed: -50; bits 28 and 29: 3
    put(points, 0x123, "0000000000000000")  # the same number, but an extended frame: another message
    put(points, 0x200, "00 1027 0000000000", extended=False)
    put(points, 0x200, "01 2C01 0000000000", extended=False)
    put(points, 0x200, "07 FFFF 0000000000", extended=False)  # a page that the file does not have
    put(points, 0x18FF0017, "D007 01 FFFFFFFFFF")  # any priority, any sender: told by its PGN
    assert said(points.take()) == {
        "t/mass": (100.0, "good"),
        "t/tilt": (-5.0, "good"),
        "t/bed": (3.0, "good"),
        "t/left": (10000.0, "good"),
        "t/right": (300.0, "good"),
        "t/steering": (1000.0, "good"),
        "t/pump": (1.0, "good"),
    }
    put(points, 0x123, "10", extended=False)
    put(points, 0x10FF0017, "00FE 03 FFFFFFFFFF")
    assert said(points.take()) == {
        "t/mass": (None, "bad:malformed_frame"),
        "t/tilt": (None, "bad:malformed_frame"),
        "t/bed": (None, "bad:malformed_frame"),
        "t/steering": (None, "bad:sensor_error"),
        "t/pump": (None, "bad:not_available"),
    }


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ({"message": "Payloads", "signal": "Mass", "unit": "t"}, "has no message Payloads; did you mean Payload?"),
        ({"message": "Payload", "signal": "Weight", "unit": "t"}, "has no signal Weight; there are: Mass, Tilt, Bed"),
        ({"message": "Payload", "signal": "Mass", "unit": "kg"}, "gives Mass in t, not kg; write unit: t"),
    ],
)
async def test_what_the_dbc_file_does_not_have_is_misconfigured(point: dict[str, Any], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        await take(source(dbc="haul_truck.dbc", points={"t/mass": point}), 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "there is no such file"), (b"\x00garbage\xff", "cannot be read as a DBC"), (b'VERSION ""\n', "describes no message")],
)
async def test_a_dbc_file_that_is_none_is_misconfigured(content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "site.dbc").write_bytes(content)
    absent = CanSource(settings(dbc="site.dbc", points={"t/mass": DBC_POINTS["t/mass"]}), SourceContext("node", tmp_path))
    with pytest.raises(Misconfigured, match=rf"dbc site\.dbc: .*{says}"):
        await take(absent, 1)


def test_the_kernel_filters_let_through_what_a_point_takes_and_little_else() -> None:
    everything = {**DBC_POINTS, **CODES, "t/rpm": {"spn": 190}, "t/any": {"spn": 183, "source_address": 7}}
    points = table(everything, dbc="haul_truck.dbc", source_address=0)

    def passes(arbitration_id: int, extended: bool) -> bool:
        return any(ext == extended and arbitration_id & mask == ident & mask for ident, mask, ext in points.filters())

    for arbitration_id, extended in [
        (0x123, False), (0x200, False), (0x0CF00400, True), (0x18FEF207, True), (0x18FECA00, True), (0x1CECFF00, True), (0x1CEBF900, True),
        (0x18FF0017, True), (0x0CF00401, True), (0x18FEF200, True), (0x18FEF100, True), (0x123, True), (0x124, False),
    ]:  # fmt: skip
        before = points.used
        put(points, arbitration_id, "00" * 8, extended=extended)
        transport = arbitration_id >> 16 & 0xFF in (0xEC, 0xEB)
        assert passes(arbitration_id, extended) == (points.used > before or transport), hex(arbitration_id)
    assert passes(0x18FF0000, True)  # the source's address holds for J1939 signals of a DBC file, too
    chance = random.Random(4)
    assert sum(passes(chance.getrandbits(29), True) for _ in range(20_000)) < 200


def reading(of: CanSource) -> contextlib.AbstractAsyncContextManager[AsyncGenerator[Sequence[Item], None]]:
    items = of.items()
    assert isinstance(items, AsyncGenerator)
    return contextlib.aclosing(items)


async def take(of: CanSource, batches: int) -> list[Sequence[Item]]:
    taken: list[Sequence[Item]] = []
    async with asyncio.timeout(PATIENCE), reading(of) as items:
        async for batch in items:
            taken.append(batch)
            if len(taken) == batches:
                return taken
    raise AssertionError("the source ended")


async def until(of: CanSource, enough: Callable[[dict[str, tuple[float | None, str]]], bool]) -> dict[str, tuple[float | None, str]]:
    """What the points last said once ``enough`` holds of it."""
    last: dict[str, tuple[float | None, str]] = {}
    async with asyncio.timeout(PATIENCE), reading(of) as items:
        async for batch in items:
            last |= said(batch)
            if enough(last):
                return last
    raise AssertionError(last)


def a_group() -> str:
    """A multicast group that no other test run on this machine is likely to use."""
    return ".".join(["239", *(str(secrets.randbelow(254) + 1) for _ in range(3))])


def has_vcan() -> str:
    """Why vcan cannot be had here; empty where it can."""
    try:
        socket.socket(socket.PF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        return f"this kernel has no CAN sockets ({error.strerror})"
    if shutil.which("ip") is None:
        return "there is no ip command"
    made = subprocess.run(["ip", "link", "add", "mukitest0", "type", "vcan"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"ip link add type vcan: {made.stderr.strip()}"
    subprocess.run(["ip", "link", "delete", "mukitest0"], check=True)
    return ""


@contextlib.contextmanager
def channel_of(interface: str) -> Iterator[str]:
    if interface != "socketcan":
        yield secrets.token_hex(8) if interface == "virtual" else a_group()
        return
    if why := has_vcan():
        pytest.skip(f"NOT TESTED on vcan: {why}")
    name = f"vcan{secrets.token_hex(4)}"
    subprocess.run(["ip", "link", "add", name, "type", "vcan"], check=True)
    try:
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


@contextlib.asynccontextmanager
async def a_truck(interface: str) -> AsyncIterator[tuple[TruckBus, str]]:
    with channel_of(interface) as channel:
        async with TruckBus(interface=interface, channel=channel) as truck:
            yield truck, channel


@pytest.mark.parametrize("interface", ["virtual", "udp_multicast", "socketcan"])
async def test_a_truck(interface: str) -> None:
    """Every parameter of the table, codes on request, and three trouble codes by BAM, against an encoder of its own."""
    spns = [190, 84, 183, 98, 100, 101, 111, 102, 105, 107, 173, 110, 175, 108, 171, 168, 247, 250]
    points = {f"t/{spn}": {"spn": spn} for spn in spns}
    points |= {"t/tire": {"spn": 242, "location": 0}, **CODES}
    async with a_truck(interface) as (truck, channel):
        truck.codes, truck.red, truck.blank = THREE, True, {84: "not_available", 102: "error"}
        listener = source(interface=interface, channel=channel, source_address=0, every=0.1, points=points)
        last = await until(listener, lambda last: last.keys() == points.keys() and last["t/count"][0] == 3)
        engine = truck.truck
    assert last.pop("t/84") == (None, "bad:not_available")
    assert last.pop("t/102") == (None, "bad:sensor_error")
    assert {quality for _, quality in last.values()} == {"good"}
    values = {name: value for name, (value, _) in last.items() if value is not None}
    assert values == {
        "t/190": pytest.approx(engine.rpm, rel=0.5),
        "t/183": pytest.approx(engine.fuel_rate, rel=0.8),
        "t/98": 88,
        "t/100": pytest.approx(engine.oil_pressure, abs=60),
        "t/101": 0.5,
        "t/111": 90,
        "t/105": pytest.approx(engine.intake, abs=3),
        "t/107": pytest.approx(engine.filter_drop, abs=1),
        "t/173": pytest.approx(engine.exhaust, abs=40),
        "t/110": pytest.approx(engine.coolant, abs=2),
        "t/175": pytest.approx(engine.oil, abs=2),
        "t/108": 60,
        "t/171": 8,
        "t/168": pytest.approx(27.6),
        "t/247": pytest.approx(engine.hours, abs=0.05),
        "t/250": pytest.approx(engine.fuel_used, abs=1),
        "t/tire": pytest.approx(engine.tire, abs=1),
        "t/count": 3,
        "t/red": 1,
        "t/amber": 0,
        "t/oil": 1,
        "t/other": 0,
    }
    assert listener.frames > 10
    assert (listener.unreadable_frames, listener.error_frames, listener.lost_messages) == (0, 0, 0)


async def test_a_period_brings_at_most_one_value_of_a_point() -> None:
    async with a_truck("virtual") as (_, channel):
        batches = await take(source(channel=channel, every=0.3), 3)
    times = [item.time_ns for batch in batches for item in batch if isinstance(item, Reading)]
    assert all(len(batch) == 1 for batch in batches)
    assert times == sorted(set(times))  # of some six frames in a period


async def test_a_reader_that_takes_its_time_gets_the_newest() -> None:
    with can.Bus("slow-reader", "virtual", ignore_config=True) as bus:
        listener = source(channel="slow-reader", every=0.1)
        async with asyncio.timeout(PATIENCE), reading(listener) as items:
            first = asyncio.ensure_future(anext(items))
            while not first.done():
                bus.send(frame(EEC1, bytes.fromhex("FFFFFF0000FFFFFF")))
                await asyncio.sleep(0.05)
            for rpm in range(1, 3001):
                bus.send(frame(EEC1, b"\xff\xff\xff" + rpm.to_bytes(2, "little") + b"\xff\xff\xff"))
            while not bus_is_empty(bus):  # noqa: ASYNC110 - a queue of python-can sends no events
                await asyncio.sleep(0.02)  # nobody asks for a batch meanwhile
            [newest] = await anext(items)
    assert isinstance(newest, Reading)
    assert newest.value == 3000 / 8


def bus_is_empty(bus: can.BusABC) -> bool:
    return all(queue.empty() for queue in bus.channel)  # type: ignore[attr-defined] # the queues of every listener of a virtual channel


async def test_silence_is_stale_once_then_retry_and_it_comes_back() -> None:
    async with a_truck("virtual") as (truck, channel):
        points = {"t/rpm": {"spn": 190}, "t/speed": {"spn": 84}}
        listener = source(channel=channel, every=0.1, stale_after=0.5, points=points)
        batches: list[Sequence[Item]] = []

        async def read() -> None:
            async with asyncio.timeout(PATIENCE), reading(listener) as items:
                async for batch in items:
                    batches.append(batch)
                    truck.silent = len(batches) >= 3

        with pytest.raises(Retry, match=r"virtual .*: no frame of any point for 0\.5 s; is the ignition on\?"):
            await read()
        stale = [item for batch in batches for item in batch if isinstance(item, Reading) and str(item.quality) == "bad:stale"]
        assert sorted(each.point for each in stale) == ["t/rpm", "t/speed"]
        assert all(each.value is None for each in stale)
        before = len(batches)
        with pytest.raises(Retry):
            await read()
        assert len(batches) == before  # still silent: it has not started, and what is stale was said
        truck.silent = False
        assert all(quality == "good" for _, quality in said((await take(listener, 2))[1]).values())


async def test_other_traffic_is_named_when_no_point_comes() -> None:
    async with a_truck("virtual") as (_, channel):
        with pytest.raises(Retry, match=r"\d+ other frames came: are source_address and the points right\?"):
            await take(source(channel=channel, every=0.1, stale_after=0.3, points={"t/rpm": {"spn": 190, "source_address": 44}}), 1)


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        (
            {"interface": "socketcan", "channel": "can7", "bitrate": 500000},
            Retry,
            "socketcan can7: there is no such interface; .*ip link set can7 up type can bitrate 500000",
        ),
        ({"interface": "socketcan", "channel": "lo"}, Misconfigured, "channel lo: is no CAN interface; write for example"),
        ({"interface": "socketcann", "channel": "can0"}, Misconfigured, "has none of this name; did you mean socketcan"),
        (
            {"interface": "slcan", "channel": "loop://", "bitrate": 12345, "options": {"sleep_after_open": 0}},
            Misconfigured,
            "refuses channel, bitrate or options: Invalid bitrate, choose one of",
        ),
        ({"interface": "udp_multicast", "channel": "10.0.0.1"}, Retry, "cannot be opened"),
        ({"interface": "slcan", "channel": "/dev/ttyACM77"}, Retry, r"slcan /dev/ttyACM77: cannot be opened: .*is the adapter plugged in"),
    ],
)
async def test_an_interface_that_cannot_be_opened(more: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        await take(source(**more), 1)


@pytest.mark.parametrize(
    ("channel", "files", "says"),
    [
        (
            "can0",
            {"can0/type": "280\n", "can0/flags": "0x40080\n"},
            "can0: the interface is down; .*ip link set can0 up type can bitrate 250000",
        ),
        ("vcan0", {"vcan0/type": "280\n", "vcan0/flags": "0x80\n"}, "the interface is down; bring it up with: ip link set vcan0 up$"),
        ("can0", {"can1/type": "280\n", "eth0/type": "1\n"}, "there is no such interface; CAN interfaces here: can1;"),
    ],
)
def test_what_the_kernel_says_of_an_interface(channel: str, files: dict[str, str], says: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    with pytest.raises(Retry, match=says):
        check_network_interface(settings(interface="socketcan", channel=channel), tmp_path)
    (tmp_path / channel).mkdir(exist_ok=True)
    (tmp_path / channel / "type").write_text("280\n")
    (tmp_path / channel / "flags").write_text("0x40081\n")
    check_network_interface(settings(interface="socketcan", channel=channel), tmp_path)


async def test_bus_off_says_what_to_check_after_every_point_has_lost_its_value() -> None:
    async with a_truck("virtual") as (truck, channel):
        listener = source(channel=channel, every=0.1)
        batches: list[Sequence[Item]] = []

        async def read() -> None:
            async with asyncio.timeout(PATIENCE), reading(listener) as items:
                async for batch in items:
                    batches.append(batch)
                    if len(batches) == 1:  # what SocketCAN reports: first error passive, then bus-off
                        for problem in (0x04, 0x40):
                            truck.send(can.Message(arbitration_id=problem, is_error_frame=True, data=bytes(8), dlc=8))

        with pytest.raises(Retry, match="went bus-off; check the bit rate"):
            await read()
    assert said(batches[-1]) == {"truck-1/engine/speed": (None, "bad:no_connection")}
    assert listener.error_frames == listener.counters()["error_frames"] == 2


async def test_what_the_kernel_drops_is_counted() -> None:
    group = a_group()
    listener = source(interface="udp_multicast", channel=group, every=0.1)
    with can.Bus(group, "udp_multicast", ignore_config=True, hop_limit=0) as bus:
        async with asyncio.timeout(PATIENCE), reading(listener) as items:
            first = asyncio.ensure_future(anext(items))
            while not first.done():
                bus.send(frame(EEC1, bytes(8)))
                await asyncio.sleep(0.05)
            while not listener.dropped_frames:
                for _ in range(1000):  # without giving the loop its turn: the buffer of the socket runs over
                    bus.send(frame(EEC1, bytes(8)))
                assert said(await anext(items)) == {"truck-1/engine/speed": (0.0, "good")}
    assert listener.dropped_frames > 0


async def test_garbage_on_the_wire_is_counted_and_survived() -> None:
    group, chance = a_group(), random.Random(5)
    listener = source(interface="udp_multicast", channel=group, every=0.1)
    with (
        can.Bus(group, "udp_multicast", ignore_config=True, hop_limit=0) as bus,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as babbler,
    ):
        async with asyncio.timeout(PATIENCE), reading(listener) as items:
            babbler.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            batch = asyncio.ensure_future(anext(items))
            while not batch.done() or not listener.unreadable_frames:
                if batch.done():
                    assert said(batch.result()) == {"truck-1/engine/speed": (0.0, "good")}
                    batch = asyncio.ensure_future(anext(items))
                for _ in range(5):
                    babbler.sendto(chance.randbytes(30), (group, 43113))
                bus.send(frame(EEC1, bytes(8)))
                await asyncio.sleep(0.02)


async def test_any_frame_is_survived() -> None:
    chance = random.Random(6)
    everything = {**DBC_POINTS, **CODES, **POINTS, "t/tire": {"spn": 242, "location": 0}}
    points = table(everything, dbc="haul_truck.dbc", source_address=0)
    known = [0x123, 0x200, 0x18FF0000, 0x18FECA00, 0x0CF00400, 0x18FEF400, 0x1CECFF00, 0x1CEBFF00, 0x1CECF900, 0x1CEBF900]
    for step in range(5000):
        data = chance.choice([chance.randbytes(chance.randrange(9)), b"\xff" * 8, b"\x00" * 8, b"\x20\x10\x00\x03\xff\xca\xfe\x00"])
        arbitration_id = chance.choice(known)
        points.accept(Frame(arbitration_id, arbitration_id > 0x7FF, data, step * 1_000_000), step / 1000)
        if step % 50 == 0:
            for each in points.take():
                assert (each.value is None) == (str(each.quality).startswith("bad"))


async def test_cancelled_while_the_bus_opens_nothing_is_left() -> None:
    listener = source(points=POINTS)
    task = asyncio.create_task(take(listener, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    begun = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert time.monotonic() - begun < 5
    from can.interfaces.virtual import channels

    assert listener._settings.channel not in channels
