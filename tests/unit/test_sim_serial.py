"""The simulated serial device and satellite receiver, read with nothing of ours: plain descriptors, plain sockets, and the standard's examples."""

import asyncio
import json
import math
import os
import random
import select
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.field.gnss_receiver import Fix, Gpsd, NmeaServer, Receiver, Track, burst, sentence
from simulators.field.serial_device import LineFault, SerialDevice, faulty, xor_line

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC).timestamp()


async def read(descriptor: int, enough: int) -> bytes:
    """At least ``enough`` bytes from a port that does not block."""
    data = b""
    deadline = time.monotonic() + 10
    while len(data) < enough:
        assert time.monotonic() < deadline, data
        if select.select([descriptor], [], [], 0)[0]:
            data += os.read(descriptor, 4096)
        await asyncio.sleep(0.005)
    return data


async def test_a_device_speaks_hangs_up_and_comes_back_under_another_name(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    async with SerialDevice(link, lambda: b"hello\r\n", every=0.01) as device:
        first = device.name
        assert link.resolve() == Path(first)
        port = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        assert b"hello\r\nhello\r\n" in await read(port, 30)
        device.unplug()
        assert not link.is_symlink()
        assert device.name == ""
        hung_up = select.poll()
        hung_up.register(port)
        assert hung_up.poll(0)[0][1] & select.POLLHUP
        os.close(port)
        device.plug()
        assert device.name not in ("", first)
        assert link.resolve() == Path(device.name)
        port = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        assert b"hello\r\n" in await read(port, 14)
        os.close(port)
    assert not link.is_symlink()


async def test_faults_come_one_line_each_and_in_order(tmp_path: Path) -> None:
    device = SerialDevice(tmp_path / "port", lambda: b"$line*00\r\n", every=0.01)
    device.next_faults([LineFault.HALF, LineFault.NOISE, LineFault.SPOILT, LineFault.MUTE])
    async with device:
        port = os.open(tmp_path / "port", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        data = await read(port, 120)
        os.close(port)
    assert data.startswith(b"$lin")
    noisy, spoilt, *whole = data[4:].split(b"\r\n")
    assert noisy.endswith(b"$line*00")
    assert len(noisy) > 30
    assert len(spoilt) == 8
    assert sum((one ^ other).bit_count() for one, other in zip(spoilt, b"$line*00", strict=True)) == 1
    assert set(whole[:-1]) == {b"$line*00"}
    assert device.said >= len(whole) - 1


def test_each_fault_damages_only_what_it_says() -> None:
    dice = random.Random(5)
    for _ in range(200):
        spoilt = faulty(b"$CO,12.5*33\r\n", LineFault.SPOILT, dice)
        assert spoilt.endswith(b"\r\n")
        assert len(spoilt) == 13
        assert spoilt.count(b"\n") == 1
        assert faulty(b"$CO,12.5*33\r\n", LineFault.NOISE, dice).count(b"\n") == 1
    assert b"\n" not in faulty(b"x\r\n", LineFault.ENDLESS, dice)
    assert faulty(b"x\r\n", LineFault.MUTE, dice) == b""


def test_checksums_are_those_of_the_standards_examples() -> None:
    assert sentence("GPGLL,5057.970,N,00146.110,E,142451,A") == b"$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n"
    assert xor_line("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W").endswith(b"*6A\r\n")


def test_the_track_is_a_circle_at_a_constant_speed() -> None:
    track = Track(0.0, 10.0, radius=100.0, speed=5.0)
    degree = 6_371_000 * math.radians(1)
    assert (track.at(0).latitude * degree, track.at(0).longitude, track.at(0).course) == pytest.approx((100, 10, 90))
    for second in range(200):
        here, there = track.at(second), track.at(second + 1)
        north, east = (there.latitude - here.latitude) * degree, (there.longitude - here.longitude) * degree
        assert math.hypot(north, east) == pytest.approx(5.0, rel=1e-3)
        heading = math.degrees(math.atan2(east, north)) % 360
        assert abs((heading - here.course + 180) % 360 - 180) < 2  # a chord turns by half its arc


def test_sentences_carry_the_truth() -> None:
    truth = Track().at(10.0)
    fields = {line[3:6].decode(): line.decode().split("*")[0].split(",") for line in burst(truth, NOON + 1.25)}
    assert fields["GGA"][1] == fields["RMC"][1] == "120001.25"
    assert (fields["RMC"][9], fields["ZDA"][2:5]) == ("040326", ["04", "03", "2026"])
    degrees = int(fields["GGA"][2][:2]) + float(fields["GGA"][2][2:]) / 60
    assert (-degrees if fields["GGA"][3] == "S" else degrees) == pytest.approx(truth.latitude, abs=1e-7)
    assert float(fields["RMC"][7]) * 1852 / 3600 == pytest.approx(truth.speed, abs=1e-3)
    assert float(fields["VTG"][7]) / 3.6 == pytest.approx(truth.speed, abs=1e-3)
    assert all(len(line) <= 84 for fix in Fix for line in burst(truth, NOON, fix))  # 82 characters and, here, five decimals of a minute
    turned = burst(truth._replace(latitude=-59.99999999), NOON)[2].decode().split(",")
    assert turned[2:4] == ["6000.00000", "S"]


async def test_the_ports_serve_everyone_and_gpsd_only_who_asks() -> None:
    async with NmeaServer(Receiver(), every=0.02) as server:
        first, first_writer = await asyncio.open_connection(server.host, server.port)
        second, second_writer = await asyncio.open_connection(server.host, server.port)
        for reader in (first, second):
            assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"$GNRMC,")
        for writer in (first_writer, second_writer):
            writer.close()
            await writer.wait_closed()
    async with Gpsd(Receiver(), every=0.02) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        assert json.loads(await asyncio.wait_for(reader.readline(), 10))["class"] == "VERSION"
        writer.write(b"?NONSENSE;\n")
        assert json.loads(await asyncio.wait_for(reader.readline(), 10))["class"] == "ERROR"
        writer.write(b'?WATCH={"enable":true,"nmea":true};\n')
        said = [json.loads(await asyncio.wait_for(reader.readline(), 10))["class"] for _ in range(2)]
        assert said == ["DEVICES", "WATCH"]
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"$GNRMC,")
        writer.close()
        await writer.wait_closed()
