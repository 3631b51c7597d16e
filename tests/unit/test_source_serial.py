"""Serial lines: cut out of anything, believed only when sound, read without threads, and found again under another name."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.values import GOOD, Reading, bad, uncertain
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext
from edge.sources.freshness import Freshness
from edge.sources.line_checksum import LineChecksum, crc16_ccitt, crc16_modbus, crc16_xmodem, sum8, xor8
from edge.sources.line_fields import LineDecoder, LineKind
from edge.sources.line_link import matching
from edge.sources.line_splitter import LineSplitter
from edge.sources.serial_line import SerialLineSettings, SerialLineSource
from simulators.field.listener import Listener
from simulators.field.serial_device import LineFault, SerialDevice, xor_line

PATIENCE = 15.0  # seconds
XOR = {"kind": "xor", "after": "$", "before": "*"}
CO = {"select": "CO,", "points": {"heading-3/co": {"column": 2, "unit": "ppm"}}}


def settings(**more: Any) -> SerialLineSettings:
    link = {} if "tcp" in more else {"serial": {"port": "adapter"}}
    return SerialLineSettings.model_validate({"name": "gas", "type": "serial-line", "checksum": XOR, "lines": [CO]} | link | more)


def source(folder: Path, **more: Any) -> SerialLineSource:
    return SerialLineSource(settings(**more), SourceContext("node", folder))


def decode(line: bytes, encoding: str = "ascii", **kind: Any) -> list[tuple[float | None, str]] | None:
    readings = LineDecoder([LineKind.model_validate(kind)], encoding).decode(line, 7)
    return [(reading.value, str(reading.quality)) for reading in readings] if readings is not None else None


def batches(of: SerialLineSource) -> aclosing[AsyncGenerator[Sequence[Item], None]]:
    items = of.items()
    assert isinstance(items, AsyncGenerator)
    return aclosing(items)


async def until(of: SerialLineSource, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    """What a source says until it is enough; each call opens it anew."""
    said: list[Reading] = []
    async with asyncio.timeout(PATIENCE), batches(of) as items:
        async for batch in items:
            said += [item for item in batch if isinstance(item, Reading)]
            if enough(said):
                return said
    raise AssertionError(f"ended after {said}")


def numbered() -> Callable[[], bytes]:
    numbers = itertools.count()
    return lambda: xor_line(f"CO,{next(numbers)}")


# --- lines ---


def test_lines_end_with_cr_lf_or_both_and_in_any_piece() -> None:
    stream = b"one\r\ntwo\rthree\n\n\x00 four \r\nfi"
    for size in (1, 2, 3, len(stream)):
        splitter = LineSplitter(whole=False)
        lines = [line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size], 0.0)]
        assert lines == [b"one", b"two", b"three", b"four"]
        assert splitter.feed(b"ve\n", 0.0) == [b"five"]


def test_a_mark_of_the_settings_ends_a_line_too() -> None:
    assert LineSplitter(whole=False, ends=b"\x03;").feed(b"\x02A1\x03\x02B2;", 0.0) == [b"A1", b"B2"]


def test_a_line_too_long_is_dropped_to_its_end_and_nothing_piles_up() -> None:
    splitter = LineSplitter(max_line=10, whole=False)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000, 0.0) == []
        assert len(splitter._partial) <= 10
    assert splitter.feed(b"y\n0123456789\n01234567890\nok\n", 0.0) == [b"0123456789", b"ok"]
    assert splitter.dropped == 2


def test_without_a_checksum_a_line_that_may_be_half_is_not_believed() -> None:
    splitter = LineSplitter(whole=True)
    assert splitter.feed(b"2.5\n7.5\n1", 0.0) == [b"7.5"]  # the port was opened in the middle of 12.5
    assert splitter.feed(b"2.5\n", 0.9) == [b"12.5"]
    assert splitter.feed(b"4", 1.0) == []
    assert splitter.feed(b"5.0\n6.0\n", 2.1) == [b"6.0"]  # the device broke off after 4 and began again
    assert splitter.dropped == 2


@pytest.mark.parametrize(
    ("function", "check"), [(crc16_modbus, 0x4B37), (crc16_ccitt, 0x29B1), (crc16_xmodem, 0x31C3), (xor8, 0x31), (sum8, 477 % 256)]
)
def test_checksums_have_their_published_check_values(function: Callable[[bytes], int], check: int) -> None:
    assert function(b"123456789") == check


@pytest.mark.parametrize(
    ("keys", "line", "content"),
    [
        (XOR, b"$GPGLL,5057.970,N,00146.110,E,142451,A*27", b"GPGLL,5057.970,N,00146.110,E,142451,A"),
        (XOR, b"\xff$\x00$GPGLL,5057.970,N,00146.110,E,142451,A*27", b"GPGLL,5057.970,N,00146.110,E,142451,A"),
        (XOR, b"$GPGLL,5057.970,N,00146.110,E,142451,A*28", None),
        (XOR, b"$GPGLL,5057.970,N,00146.110,E,142451,A", None),
        (XOR, b"GPGLL,5057.970,N,00146.110,E,142451,A*27", None),
        (XOR, b"$GPGLL,5057.970,N,00146.110,E,142451,A*027", None),
        ({"kind": "crc16-modbus"}, b"1234567894b37", b"123456789"),
        ({"kind": "crc16-modbus", "byte_order": "little"}, b"123456789374B", b"123456789"),
        ({"kind": "crc16-ccitt", "before": ";"}, b"123456789;29B1", b"123456789"),
        ({"kind": "sum", "after": "#", "before": "!", "marks": "included"}, b"#A!41", None),
        ({"kind": "sum", "after": "#", "before": "!", "marks": "included"}, b"#A!%02X" % (sum(b"#A!") % 256), b"A"),
        ({"kind": "sum"}, b"A4 ", None),
        ({"kind": "sum"}, b"", None),
    ],
)
def test_a_checksum_is_found_where_the_settings_say(keys: dict[str, Any], line: bytes, content: bytes | None) -> None:
    assert LineChecksum.model_validate(keys).content(line) == content


GARBAGE = st.binary(max_size=60) | st.sampled_from([b"$", b"*", b"\r", b"$CO,1*00", b"\n\n", b"\x00" * 9, b"CO,9", b"z" * 300])


@examples(deadline=None, max_examples=150)
@given(st.lists(GARBAGE, min_size=1, max_size=12), st.integers(1, 64))
@example([b"", b"$CO,5*", b"$", b""], 1)
def test_any_garbage_between_lines_loses_at_most_the_line_it_touches(garbage: list[bytes], piece: int) -> None:
    """Line k follows garbage k. The end of one line shields the next: those with no garbage before them must all be there, in order."""
    checksum = LineChecksum.model_validate({"kind": "crc16-modbus", "after": "$", "before": "*"})
    decoder = LineDecoder([LineKind.model_validate(CO)], "ascii")
    lines = [f"CO,{number}.5".encode() for number in range(len(garbage))]
    stream = b"".join(dirt + b"$%s*%04X\r\n" % (line, crc16_modbus(line)) for dirt, line in zip(garbage, lines, strict=True))
    splitter = LineSplitter(max_line=128, whole=False)
    values = []
    for at in range(0, len(stream), piece):
        for line in splitter.feed(stream[at : at + piece], 0.0):
            content = checksum.content(line)
            readings = decoder.decode(content, 7) if content is not None else None
            values += [reading.value for reading in readings or []]
    untouched = [number + 0.5 for number, dirt in enumerate(garbage) if not dirt]
    assert [value for value in values if value in untouched] == untouched
    assert set(values) <= {number + 0.5 for number in range(len(garbage))}


# --- fields ---


def test_columns_become_readings() -> None:
    points = {
        "portal/air/speed": {"column": 2, "unit": "m/s", "range": [0, 40]},
        "portal/air/temperature": {"column": 3, "unit": "degC", "scale": 0.1, "offset": -40},
        "portal/fan/running": {"column": 4, "kind": "digital", "texts": {"ON": 1, "OFF": 0}},
        "portal/air/dust": {"column": 5, "unit": "mg/m3", "faults": ["///"]},
    }
    assert decode(b"A, 3.5 ,643,ON,///", points=points) == [(3.5, "good"), (24.3, "good"), (1.0, "good"), (None, "bad:sensor_fault")]
    assert decode(b"A,41,1e1,OFF,+.5", points=points) == [
        (41.0, "uncertain:out_of_range"),
        (-39.0, "good"),
        (0.0, "good"),
        (0.5, "good"),
    ]
    assert decode(b"A,3.5,643,ON", points=points) is None  # half of it
    assert decode(b"A,1,2,ON,4,5", points=points) == [(1.0, "good"), (-39.8, "good"), (1.0, "good"), (4.0, "good")]
    assert decode(b"A,1,2,ON,4,5", points=points, columns=5) is None


@pytest.mark.parametrize("text", ["nan", "inf", "-", "", "1_000", "0x10", "1.2.3", "12 3", "1e999", "ON", "\u0663"])
def test_what_is_no_number_is_malformed(text: str) -> None:
    points = {"a/b": {"column": 1, "unit": "1"}}
    assert decode(f"{text};1".encode(), "utf-8", separator=";", points=points) == [(None, "bad:malformed")]


def test_separators_decimal_marks_and_encodings() -> None:
    points = {"a/b": {"column": 3, "unit": "degC"}}
    assert decode(b"T1  12.5 \t 13.5", separator=" ", points=points) == [(13.5, "good")]
    assert decode(b"T1;12,5;13,5", separator=";", decimal=",", points=points) == [(13.5, "good")]
    assert decode(b"T1::12.5::13.5", separator="::", points=points) == [(13.5, "good")]
    degree = {"a/b": {"group": "t", "unit": "degC"}}
    assert decode("T=12.5°C".encode("latin-1"), "latin-1", pattern="T=(?P<t>.*)°C", points=degree) == [(12.5, "good")]
    assert decode("T=12.5°C".encode("latin-1"), "utf-8", pattern="T=(?P<t>.*)°C", points=degree) is None
    assert decode(b"T1,1\x07,2", points=points) is None


def test_a_letter_of_two_bytes_may_come_in_two_pieces_and_half_a_letter_is_no_line() -> None:
    points = {"a/b": {"group": "t", "unit": "degC"}}
    splitter = LineSplitter(whole=False)
    pieces = [b"T=12.5\xc2", b"\xb0C\nT=13.5\xc2\nT=14.5", b"\xc2", b"\xb0C\n"]
    lines = [line for at, piece in enumerate(pieces) for line in splitter.feed(piece, float(at))]
    read = [decode(line, "utf-8", pattern="T=(?P<t>.*)°C", points=points) for line in lines]
    assert read == [[(12.5, "good")], None, [(14.5, "good")]]


def test_a_device_may_send_several_kinds_of_line() -> None:
    kinds = [
        {"select": "MWV,", "points": {"a/wind": {"column": 2, "unit": "m/s"}}},
        {
            "pattern": r"P(?P<p>[\d.]+)(?: T(?P<t>\S+))?",
            "points": {"a/p": {"group": "p", "unit": "hPa"}, "a/t": {"group": "t", "unit": "degC"}},
        },
    ]
    decoder = LineDecoder([LineKind.model_validate(kind) for kind in kinds], "ascii")
    assert decoder.decode(b"MWV,7", 1) == [Reading("a/wind", 1, 7.0)]
    assert decoder.decode(b"P1013.2 T20", 1) == [Reading("a/p", 1, 1013.2), Reading("a/t", 1, 20.0)]
    assert decoder.decode(b"P1013.2", 1) == [Reading("a/p", 1, 1013.2), Reading("a/t", 1, None, bad("malformed"))]
    assert decoder.decode(b"XYZ,7", 1) is None


# --- silence ---


def test_a_point_is_told_silent_once_until_it_speaks_again() -> None:
    fresh = Freshness(["a/b", "a/c"], 0.0, stale_after=10)
    fresh.admit([Reading("a/b", 1, 1.0)], 5.0)
    assert (fresh.pause(4.0), fresh.fell_silent(9.9)) == (6.0, [])
    assert fresh.fell_silent(10.0) == ["a/c"]
    assert (fresh.pause(11.0), fresh.fell_silent(15.0), fresh.fell_silent(1e6)) == (4.0, ["a/b"], [])
    assert fresh.pause(20.0) is None
    assert fresh.admit([Reading("a/c", 2, 1.0)], 1e6) == [Reading("a/c", 2, 1.0)]
    assert fresh.fell_silent(1e6 + 10) == ["a/c"]


def test_readings_may_be_thinned_but_never_a_change_of_quality() -> None:
    fresh = Freshness(["a/b", "a/on"], 0.0, stale_after=1e3, every=1.0, eager=["a/on"])
    out = uncertain("out_of_range")
    said = [(0.0, 1.0, GOOD), (0.5, 2.0, GOOD), (0.6, 9.0, out), (0.7, 9.0, out), (0.8, 3.0, GOOD), (1.8, 4.0, GOOD)]
    passed = [reading.value for at, value, quality in said for reading in fresh.admit([Reading("a/b", 1, value, quality)], at)]
    assert passed == [1.0, 9.0, 3.0, 4.0]
    assert len([1 for at in range(5) for _ in fresh.admit([Reading("a/on", 1, 1.0)], at / 100)]) == 5


# --- settings ---


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"serial": None}, "write either serial"),
        ({"tcp": "10.0.0.1:4001", "serial": {"port": "/dev/ttyUSB0"}}, "write either serial"),
        ({"tcp": "10.0.0.1"}, "the port is missing"),
        ({"serial": {"port": "/dev/ttyUSB0", "usb": "0403:6001"}}, "either port"),
        ({"serial": {"usb": "403:6001"}}, "as lsusb does"),
        ({"lines": []}, "at least 1"),
        ({"lines": [CO, CO]}, "stands in two kinds"),
        ({"lines": [{"points": {"a/b": {"column": 1, "unit": "ppmm"}}}]}, "did you mean 'ppm'"),
        ({"lines": [{"points": {"a/b": {"column": 1}}}]}, "unit is missing"),
        ({"lines": [{"points": {"a/b": {"unit": "ppm"}}}]}, "either column"),
        ({"lines": [{"points": {"a/b": {"column": 0, "unit": "ppm"}}}]}, "greater than or equal to 1"),
        ({"lines": [{"points": {"a/b": {"group": "x", "unit": "ppm"}}}]}, "needs a pattern"),
        ({"lines": [{"pattern": "(?P<y>.*)", "points": {"a/b": {"group": "x", "unit": "ppm"}}}]}, "it has: y"),
        ({"lines": [{"pattern": "(", "points": {"a/b": {"group": "x", "unit": "ppm"}}}]}, "no regular expression"),
        ({"lines": [{"decimal": ",", "points": {"a/b": {"column": 1, "unit": "ppm"}}}]}, "cannot be the separator"),
        ({"lines": [{"columns": 2, "points": {"a/b": {"column": 3, "unit": "ppm"}}}]}, "column 3 of 2"),
        ({"checksum": {"kind": "xor", "after": "°"}}, "ASCII"),
        ({"checksum": {"kind": "crc"}}, "crc16-modbus"),
    ],
)
def test_wrong_settings_say_what_would_be_right(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**more)


@dataclass
class _Port:
    device: str
    vid: int | None
    pid: int | None
    serial_number: str | None


def test_an_adapter_is_known_by_its_usb_numbers_under_any_name() -> None:
    ports = [_Port("/dev/ttyS0", None, None, None), _Port("/dev/ttyUSB3", 0x403, 0x6001, "A5"), _Port("/dev/ttyUSB1", 0x403, 0x6001, "B6")]
    assert matching("0403:6001", ports) == ["/dev/ttyUSB1", "/dev/ttyUSB3"]
    assert matching("0403:6001:A5", ports) == ["/dev/ttyUSB3"]
    assert matching("0403:6015", ports) == []


async def test_an_adapter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Retry, match=r"usb fffe:fffe: there is no such adapter; there are: "):
        await until(source(tmp_path, serial={"usb": "fffe:fffe"}), bool)


async def test_what_is_no_port_is_named(tmp_path: Path) -> None:
    (tmp_path / "adapter").write_text("no port")
    with pytest.raises(Retry, match="is no serial port but a file"):
        await until(source(tmp_path), bool)


# --- the device itself ---


async def test_damaged_lines_are_lost_alone(tmp_path: Path) -> None:
    async with SerialDevice(tmp_path / "adapter", numbered(), every=0.02) as device:
        reader = source(tmp_path)
        device.next_faults([*[LineFault.MUTE] * 10, *[fault for fault in LineFault for _ in range(2)]])
        said = await until(reader, lambda said: len(said) > 30)
    assert all(reading.quality.good for reading in said)
    values = [reading.value or 0.0 for reading in said]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert reader.lost_lines >= 3  # spoilt twice, endless


async def test_it_comes_back_under_another_name(tmp_path: Path) -> None:
    async with SerialDevice(tmp_path / "adapter", numbered()) as device:
        reader = source(tmp_path)
        await until(reader, bool)
        first = device.name

        def pull(said: list[Reading]) -> bool:
            device.unplug()
            return False

        with pytest.raises(Retry, match="was the adapter unplugged"):
            await until(reader, pull)
        with pytest.raises(Retry, match="there is no such serial port"):
            await until(reader, bool)
        device.plug()
        assert device.name not in ("", first)
        again = await until(reader, lambda said: len(said) > 1)
        assert all(reading.quality.good for reading in again)


async def test_a_port_belongs_to_one_reader(tmp_path: Path) -> None:
    async with SerialDevice(tmp_path / "adapter", numbered()), asyncio.timeout(PATIENCE), batches(source(tmp_path)) as items:
        await anext(items)
        with pytest.raises(Retry, match="does another program hold it"):
            await until(source(tmp_path), bool)


async def test_silence_is_told_once_and_ends_by_itself(tmp_path: Path) -> None:
    said: list[Reading] = []
    speaking = True
    numbers = numbered()

    device = SerialDevice(tmp_path / "adapter", lambda: numbers() if speaking else b"", every=0.02)
    async with device, asyncio.timeout(PATIENCE), batches(source(tmp_path, stale_after=0.5)) as items:
        began = 0.0
        async for batch in items:
            said += [item for item in batch if isinstance(item, Reading)]
            if len(said) >= 3 and speaking:
                speaking, began = False, time.monotonic()
            if began and not said[-1].quality.good:
                assert time.monotonic() - began >= 0.4
                following = asyncio.ensure_future(anext(items))
                done, _ = await asyncio.wait([following], timeout=1.2)
                assert not done  # nothing more is said of it
                speaking = True
                said += [item for item in await following if isinstance(item, Reading)]
                break
    assert [str(reading.quality) for reading in said[-2:]] == ["bad:stale", "good"]
    assert said[-2].value is None


async def test_garbage_instead_of_lines_is_malformed_and_from_the_start_it_is_retry(tmp_path: Path) -> None:
    good = True
    numbers = numbered()
    async with SerialDevice(tmp_path / "adapter", lambda: numbers() if good else b"\xf0\x0f\r\n", every=0.02):
        reader = source(tmp_path, stale_after=0.7)

        def then_garbage(said: list[Reading]) -> bool:
            nonlocal good
            good = False
            return not said[-1].quality.good

        assert (await until(reader, then_garbage))[-1].quality == bad("malformed")
        with pytest.raises(Retry, match="nothing that came is understood; check the line's settings"):
            await until(reader, bool)


async def test_a_converter_on_tcp_is_read_the_same_way() -> None:
    async def converter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"5\r\nCO;7,5\r\nCO;")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"8,5\r\nCO;x\r\n")
        await reader.read()

    lines = [{"separator": ";", "decimal": ",", "points": CO["points"]}]
    async with Listener(converter) as device:
        said = await until(source(Path(), tcp=device.address, checksum=None, lines=lines), lambda said: len(said) == 3)
        assert [(reading.value, str(reading.quality)) for reading in said] == [(7.5, "good"), (8.5, "good"), (None, "bad:malformed")]
        dropping: list[asyncio.Task[None]] = []

        def cut(said: list[Reading]) -> bool:
            dropping.append(asyncio.create_task(device.drop_connections()))
            return False

        with pytest.raises(Retry, match=r"the device closed the connection|the connection was lost"):
            await until(source(Path(), tcp=device.address, checksum=None, lines=lines), cut)
        await asyncio.gather(*dropping)
