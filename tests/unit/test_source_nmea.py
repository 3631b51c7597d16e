"""NMEA 0183: the truth of a simulated track comes back, a receiver without a fix says so, and the time it tells is compared with ours."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.values import Reading
from edge.errors import Retry
from edge.sources import SourceContext
from edge.sources.nmea import NmeaSettings, NmeaSource
from edge.sources.nmea_sentences import SentenceDecoder
from simulators.field.gnss_receiver import Fix, Gpsd, NmeaServer, Receiver, Track, Truth, burst, sentence
from simulators.field.listener import Listener
from simulators.field.serial_device import SerialDevice

PATIENCE = 15.0  # seconds
NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC).timestamp()
NOON_NS = round(NOON * 1e9)
TRUTH = Truth(-22.287, -68.901, 2850.0, 8.0, 123.45)

Said = dict[str, tuple[float | None, str]]


def say(decoder: SentenceDecoder, lines: list[bytes], time_ns: int = NOON_NS) -> Said:
    """What a burst makes of the points, by the last part of their names."""
    said: Said = {}
    for line in lines:
        for reading in decoder.decode(line.strip(), time_ns) or []:
            said[reading.point.removeprefix("truck-7/gnss/")] = reading.value, str(reading.quality)
    return said


def decoder(latency: float = 0.0) -> SentenceDecoder:
    return SentenceDecoder("truck-7/gnss", latency)


def source(folder: Path = Path(), **more: Any) -> NmeaSource:
    keys = {"name": "gnss", "type": "nmea", "under": "truck-7/gnss"} | more
    return NmeaSource(NmeaSettings.model_validate(keys), SourceContext("node", folder))


async def until(of: NmeaSource, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    said: list[Reading] = []
    items = of.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(PATIENCE), aclosing(items):
        async for batch in items:
            said += [item for item in batch if isinstance(item, Reading)]
            if enough(said):
                return said
    raise AssertionError(f"ended after {said}")


# --- sentences ---


def test_the_example_of_the_manuals_is_read() -> None:
    """GGA and RMC as they stand in the manuals of receivers, with the checksums printed there."""
    lines = [
        b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
        b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A",
    ]
    when = datetime(1994, 3, 23, 12, 35, 19, tzinfo=UTC).timestamp()
    said = say(decoder(), lines, round(when * 1e9) + 250_000_000)
    assert said == {
        "latitude": (pytest.approx(48 + 7.038 / 60), "good"),
        "longitude": (pytest.approx(11 + 31 / 60), "good"),
        "altitude": (545.4, "good"),
        "satellites": (8.0, "good"),
        "hdop": (0.9, "good"),
        "fix": (1.0, "good"),
        "fix_type": (1.0, "good"),
        "speed": (pytest.approx(22.4 * 0.514444, rel=1e-5), "good"),
        "course": (84.4, "good"),
        "clock_offset": (-250.0, "good"),
    }


@examples(deadline=None, max_examples=100)
@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-400, 6000), st.floats(0.2, 60), st.floats(0, 359.99))
def test_any_place_and_movement_comes_back(latitude: float, longitude: float, altitude: float, speed: float, course: float) -> None:
    said = say(decoder(), burst(Truth(latitude, longitude, altitude, speed, course), NOON))
    # five decimals of a minute: 1e-5 / 60 / 2 degrees
    for name, truth, near in [
        ("latitude", latitude, 1e-7),
        ("longitude", longitude, 1e-7),
        ("altitude", altitude, 0.0501),
        ("speed", speed, 0.0003),
        ("course", course, 0.00501),
    ]:
        value, quality = said[name]
        assert quality == "good"
        assert value == pytest.approx(truth, abs=near)


def test_without_a_fix_nothing_is_invented() -> None:
    said = say(decoder(), burst(TRUTH, NOON, Fix.NONE), NOON_NS)
    assert said["fix"] == (0.0, "good")
    assert said["fix_type"] == (0.0, "good")
    assert said["satellites"] == (0.0, "good")
    assert said["hdop"] == (99.99, "uncertain:no_fix")
    assert said["clock_offset"] == (0.0, "uncertain:no_fix")
    for name in ("latitude", "longitude", "altitude", "speed", "course"):
        assert said[name] == (None, "bad:no_fix")
    assert "clock_offset" not in say(decoder(), burst(TRUTH, NOON, Fix.COLD))


def test_a_last_known_or_estimated_place_is_uncertain() -> None:
    old = say(decoder(), [sentence("GPGGA,120000,2217.22000,S,06854.06000,W,0,00,,2850.0,M,,M,,")])
    assert old["latitude"][0] == pytest.approx(-22.287)
    assert old["latitude"][1] == "uncertain:no_fix"
    estimated = say(decoder(), burst(TRUTH, NOON, Fix.DEAD_RECKONING))
    assert {quality for name, (_, quality) in estimated.items() if name in ("latitude", "longitude", "speed")} == {"uncertain:estimated"}


def test_a_standing_truck_has_no_course() -> None:
    said = say(decoder(), burst(TRUTH._replace(speed=0.0), NOON))
    assert (said["speed"], said["course"]) == ((0.0, "good"), (None, "bad:not_moving"))


def test_rmc_and_vtg_step_in_where_gga_or_rmc_do_not_come() -> None:
    lines = burst(TRUTH, NOON)
    rmc, vtg = lines[0], lines[1]
    only_rmc, only_vtg = decoder(), decoder()
    told = [set(say(only_rmc, [rmc])) >= {"latitude", "fix"} for _ in range(4)]
    assert told == [False, False, True, True]
    assert [say(only_vtg, [vtg]) == {} for _ in range(3)] == [True, True, False]
    assert say(only_vtg, [vtg])["course"][0] == 123.45


def test_gns_is_a_fix_too() -> None:
    said = say(decoder(), [sentence("GNGNS,120000.00,2217.22000,S,06854.06000,W,AR,15,0.61,2850.0,29.4,,")])
    assert said["fix_type"] == (4.0, "good")
    assert say(decoder(), [sentence("GNGNS,120000.00,,,,,NN,00,99.9,,,,")])["fix"] == (0.0, "good")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("120000,9100.00000,S,06854.06,W,1,08,0.9,1.0", "latitude"),
        ("120000,2260.00000,S,06854.06,W,1,08,0.9,1.0", "latitude"),
        ("120000,2217.22,X,06854.06,W,1,08,0.9,1.0", "latitude"),
        ("120000,2217.22,S,18100.0,W,1,08,0.9,1.0", "longitude"),
        ("120000,2217.22,S,zzz,W,1,08,0.9,1.0", "longitude"),
        ("120000,2217.22,S,06854.06,W,1,08,nan,1.0", "hdop"),
        ("120000,2217.22,S,06854.06,W,1,x,0.9,1.0", "satellites"),
        ("120000,2217.22,S,06854.06,W,1,08,0.9,1e9", "altitude"),
    ],
)
def test_what_makes_no_sense_is_malformed_and_the_rest_stands(field: str, name: str) -> None:
    said = say(decoder(), [sentence(f"GPGGA,{field},M,46.9,M,,")])
    assert said.pop(name) == (None, "bad:malformed")
    assert all(quality == "good" for _, quality in said.values())


@pytest.mark.parametrize(
    "line",
    [
        b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*48",
        b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
        b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
        b"$GPGGA,123519,4807.038,N,\xff1131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
        b"$*00x",
        b"$",
        b"",
    ],
)
def test_what_is_not_sound_is_not_believed(line: bytes) -> None:
    assert decoder().decode(line, NOON_NS) is None


def test_a_makers_own_sentence_is_none_of_these_whatever_its_name_looks_like() -> None:
    for body in ("PGRMC,A,218.8,100,6378137.000,298.257223563,0.0,0.0,0.0,A,3,1,1,4,30", "PUBX,00,081350.00", "PMTK001,314,3", "PGGGA,1"):
        assert decoder().decode(sentence(body).strip(), NOON_NS) == []


def test_talkers_may_be_mixed() -> None:
    place = "4807.038,N,01131.000,E"
    for talker in ("GP", "GL", "GA", "GB", "BD", "GQ", "GN", "IN"):
        readings = decoder().decode(sentence(f"{talker}GGA,123519,{place},1,08,0.9,545.4,M,46.9,M,,").strip(), NOON_NS)
        assert readings is not None
        assert {reading.point: reading.value for reading in readings}[f"{readings[0].point.rpartition('/')[0]}/altitude"] == 545.4


TALKERS = st.sampled_from(["GP", "GN", "PG", "P1", "CC", "  "])


@examples(deadline=None, max_examples=200)
@given(
    st.binary(max_size=40),
    TALKERS,
    st.sampled_from(["GGA", "GNS", "RMC", "VTG", "ZDA", "GSV", "GPQ"]),
    st.text("0123456789.,-ANSEWVMQ", max_size=60),
)
def test_any_sentence_with_a_right_checksum_ends_in_readings_or_nothing(garbage: bytes, talker: str, kind: str, fields: str) -> None:
    line = garbage + sentence(f"{talker}{kind},{fields}").strip()
    for reading in decoder().decode(line, NOON_NS) or []:
        assert reading.value is None or math.isfinite(reading.value)
        assert (reading.value is None) == str(reading.quality).startswith("bad")


# --- time ---


def test_the_offset_is_gnss_time_minus_ours_once_a_second() -> None:
    one = decoder(latency=0.12)
    assert say(one, burst(TRUTH, NOON), NOON_NS + 620_000_000)["clock_offset"] == (-500.0, "good")
    assert "clock_offset" not in say(one, burst(TRUTH, NOON + 0.5), NOON_NS)  # a receiver at 2 Hz
    assert say(one, burst(TRUTH, NOON + 1), NOON_NS)["clock_offset"][0] == 1120.0


def test_zda_alone_gives_the_time() -> None:
    zda = burst(TRUTH, NOON)[-1]
    assert say(decoder(), [zda], NOON_NS - 1_000_000)["clock_offset"] == (1.0, "uncertain:no_fix")  # nothing says that it has a fix
    assert say(decoder(), burst(TRUTH, NOON)[2:], NOON_NS)["clock_offset"] == (0.0, "good")


def test_a_receiver_whose_week_number_overflowed_is_recognised() -> None:
    weeks = 1024 * 7 * 86_400
    assert say(decoder(), burst(TRUTH, NOON - weeks), NOON_NS)["clock_offset"] == (-weeks * 1000.0, "uncertain:week_rollover")
    assert say(decoder(), burst(TRUTH, NOON - weeks + 3 * 86_400), NOON_NS)["clock_offset"][1] == "good"


@pytest.mark.parametrize("fields", ["235960,A,,,,,,,040326,,,A", "120000,A,,,,,,,320326,,,A", "120000,A,,,,,,,,,,A", ",A,,,,,,,040326,,,A"])
def test_a_time_that_is_none_gives_no_offset(fields: str) -> None:
    assert "clock_offset" not in say(decoder(), [sentence(f"GPRMC,{fields}")])


# --- the receiver itself ---


@pytest.mark.parametrize("link", ["tcp", "gpsd"])
async def test_a_receiver_on_the_network_is_followed_along_its_track(link: str) -> None:
    track = Track(radius=250.0, speed=8.0)
    async with (Gpsd if link == "gpsd" else NmeaServer)(Receiver(track, clock_error=-30.0)) as server:
        said = await until(source(Path(), **{link: server.address}), lambda said: len({r.point for r in said}) == 10 and len(said) > 60)
    by_name: dict[str, list[Reading]] = {}
    for reading in said:
        by_name.setdefault(reading.point.removeprefix("truck-7/gnss/"), []).append(reading)
    assert all(reading.quality.good for reading in said)
    for north, east in zip(by_name["latitude"], by_name["longitude"], strict=False):
        assert north.value is not None
        assert east.value is not None
        metres = 6_371_000 * math.radians(1)
        radius = math.hypot((north.value + 22.2870) * metres, (east.value + 68.9010) * metres * math.cos(math.radians(22.2870)))
        assert radius == pytest.approx(250, abs=0.1)
    assert [reading.value for reading in by_name["speed"]] == pytest.approx([8.0] * len(by_name["speed"]), abs=1e-3)
    assert by_name["clock_offset"][0].value == pytest.approx(-30_000, abs=5_000)  # the machine may be busy


async def test_a_receiver_on_a_serial_port_loses_its_fix(tmp_path: Path) -> None:
    receiver = Receiver()
    async with SerialDevice(tmp_path / "gnss", receiver.say, every=0.05):
        reader = source(tmp_path, serial={"port": "gnss"}, outputs=["fix", "latitude"])

        def lose(said: list[Reading]) -> bool:
            receiver.fix = Fix.NONE if len(said) > 3 else Fix.GOOD
            return str(said[-1].quality) == "bad:no_fix" or said[-1].value == 0.0

        said = await until(reader, lose)
    assert {reading.point for reading in said} == {"truck-7/gnss/fix", "truck-7/gnss/latitude"}


async def test_gpsd_without_a_receiver_is_silence_and_its_refusal_is_retry() -> None:
    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"class":"VERSION","release":"3.22"}\r\n')
        await reader.readline()
        writer.write(b'{"class":"DEVICES","devices":[]}\r\n{"class":"WATCH","enable":true,"nmea":true}\r\n')
        await reader.read()

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"class":"ERROR","message":"Unrecognized request"}\r\n')
        await reader.read()

    async with Listener(waits) as server:
        said = await until(source(gpsd=server.address, stale_after=0.3, outputs=["fix"]), bool)
        assert [(reading.value, str(reading.quality)) for reading in said] == [(None, "bad:stale")]
    async with Listener(refuses) as server:
        with pytest.raises(Retry, match="it says: Unrecognized request"):
            await until(source(gpsd=server.address), bool)


def test_points_are_declared_with_units_in_both_languages() -> None:
    points = source(gpsd="localhost").points()
    assert {name.rpartition("/")[2]: point.unit for name, point in points.items()} == {
        "latitude": "deg",
        "longitude": "deg",
        "altitude": "m",
        "speed": "m/s",
        "course": "deg",
        "satellites": "1",
        "hdop": "1",
        "fix": "bool",
        "fix_type": "1",
        "clock_offset": "ms",
    }
    assert all(point.asset == "truck-7" and set(point.description) == {"es", "en"} for point in points.values())
    assert set(source(gpsd="localhost", outputs=["fix"]).points()) == {"truck-7/gnss/fix"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "write one of serial"),
        ({"gpsd": "localhost", "tcp": "10.0.0.1:10110"}, "write one of serial"),
        ({"tcp": "10.0.0.1"}, "the port is missing"),
        ({"gpsd": "localhost", "under": "truck 7"}, "write asset/signal"),
        ({"gpsd": "localhost", "outputs": ["lat"]}, "latitude"),
        ({"gpsd": "localhost", "under": "a/b/c/d/e/f"}, "2 to 6 parts"),
    ],
)
def test_wrong_settings_say_what_would_be_right(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        source(**more)


async def test_what_queued_behind_a_converter_that_hung_is_late_and_not_fresh() -> None:
    """The newest burst, then one that the receiver said ten seconds before: every reading of it is uncertain, those without a time too."""

    async def hands_out(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for unix in (NOON, NOON - 10):
            for line in burst(TRUTH, unix):
                writer.write(line)
        await asyncio.sleep(60)

    async with Listener(hands_out) as server:
        said = await until(source(tcp=server.address), lambda found: any(each.quality.reason == "late" for each in found[-2:]))
        at = next(place for place, reading in enumerate(said) if reading.quality.reason == "late")
    assert {str(reading.quality) for reading in said[at:]} == {"uncertain:late"}
    assert "late" not in {reading.quality.reason for reading in said[:at]}
