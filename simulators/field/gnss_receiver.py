"""A satellite receiver on a haul truck: a track with known truth, the NMEA 0183 sentences of it, and the TCP ports that serve them."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import reduce
from operator import xor
from typing import NamedTuple

from simulators.field.listener import Listener

EARTH = 6_371_000.0  # m
KNOTS = 3600 / 1852  # per m/s


class Truth(NamedTuple):
    """Where the truck really is: degrees (WGS 84), metres, m/s, degrees from north."""

    latitude: float
    longitude: float
    altitude: float
    speed: float
    course: float


class Fix(StrEnum):
    """How the receiver sees the sky."""

    GOOD = "good"
    DEAD_RECKONING = "dead_reckoning"
    NONE = "none"  # it knows the time, and no place
    COLD = "cold"  # it knows nothing


class Track:
    """A circle around a centre, driven clockwise at a constant speed."""

    def __init__(
        self,
        latitude: float = -22.2870,
        longitude: float = -68.9010,
        *,
        altitude: float = 2850.0,
        radius: float = 250.0,
        speed: float = 8.0,
    ) -> None:
        self._latitude, self._longitude, self._altitude = latitude, longitude, altitude
        self._radius, self._speed = radius, speed

    def at(self, seconds: float) -> Truth:
        bearing = self._speed * seconds / self._radius  # of the truck, seen from the centre
        north, east = self._radius * math.cos(bearing), self._radius * math.sin(bearing)
        latitude = self._latitude + math.degrees(north / EARTH)
        longitude = self._longitude + math.degrees(east / (EARTH * math.cos(math.radians(self._latitude))))
        return Truth(latitude, longitude, self._altitude, self._speed, (math.degrees(bearing) + 90) % 360)


def sentence(body: str) -> bytes:
    """``$body*HH`` with the checksum of the standard, the XOR between ``$`` and ``*``."""
    return f"${body}*{reduce(xor, body.encode(), 0):02X}\r\n".encode()


def burst(truth: Truth, unix: float, fix: Fix = Fix.GOOD, *, talker: str = "GN") -> list[bytes]:
    """What a receiver says of one second: RMC, VTG, GGA, GSA, GSV, ZDA."""
    # From the fields, so that a whole minute is never written as 60.00000
    moment = datetime.fromtimestamp(round(unix, 2), UTC)
    clock = f"{moment:%H%M%S}.{moment.microsecond // 10_000:02d}" if fix is not Fix.COLD else ""
    day, zda = (f"{moment:%d%m%y}", f"{moment:%d,%m,%Y},00,00") if fix is not Fix.COLD else ("", ",,,,")
    if fix in (Fix.NONE, Fix.COLD):
        return [
            sentence(f"{talker}RMC,{clock},V,,,,,,,{day},,,N"),
            sentence(f"{talker}VTG,,T,,M,,N,,K,N"),
            sentence(f"{talker}GGA,{clock},,,,,0,00,99.99,,M,,M,,"),
            sentence(f"{talker}GSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99"),
            sentence(f"{talker}ZDA,{clock},{zda}"),
        ]
    place = f"{_dm(truth.latitude, 2)},{'S' if truth.latitude < 0 else 'N'},{_dm(truth.longitude, 3)},{'W' if truth.longitude < 0 else 'E'}"
    mode, kind = ("E", 6) if fix is Fix.DEAD_RECKONING else ("A", 1)
    knots, course = f"{truth.speed * KNOTS:.3f}", f"{truth.course:.2f}" if truth.speed > 0.1 else ""
    return [
        sentence(f"{talker}RMC,{clock},A,{place},{knots},{course},{day},,,{mode}"),
        sentence(f"{talker}VTG,{course},T,,M,{knots},N,{truth.speed * 3.6:.3f},K,{mode}"),
        sentence(f"{talker}GGA,{clock},{place},{kind},09,0.92,{truth.altitude:.1f},M,29.4,M,,"),
        sentence(f"{talker}GSA,A,3,03,04,06,17,19,22,25,,,,,,1.61,0.92,1.32"),
        sentence("GPGSV,1,1,03,03,72,011,44,17,36,131,40,19,55,222,42"),
        sentence(f"{talker}ZDA,{clock},{zda}"),
    ]


def _dm(degrees: float, width: int) -> str:
    """``ddmm.mmmmm``, rounded as a whole, so that 59.999999 minutes become the next degree."""
    units = round(abs(degrees) * 60 * 100_000)
    return f"{units // 6_000_000:0{width}d}{units % 6_000_000 / 100_000:08.5f}"


class Receiver:
    """The sentences of now, second by second. ``clock_error``: what the receiver's time is ahead of this machine's, in seconds."""

    def __init__(self, track: Track | None = None, *, clock_error: float = 0.0, wall: Callable[[], float] = time.time) -> None:
        self.track = track or Track()
        self.fix = Fix.GOOD
        self.clock_error = clock_error
        self._wall = wall
        self._begun = wall()

    def say(self) -> bytes:
        """One burst, for the instant of the call."""
        now = self._wall()
        return b"".join(burst(self.track.at(now - self._begun), now + self.clock_error, self.fix))


class NmeaServer(Listener):
    """A receiver behind a TCP port: a burst every ``every`` seconds to everyone who connects."""

    def __init__(self, receiver: Receiver, *, every: float = 0.1) -> None:
        super().__init__(self._serve_one)
        self.receiver = receiver
        self.every = every

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._talk(reader, writer)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            writer.write(self.receiver.say())
            await writer.drain()
            with contextlib.suppress(TimeoutError):  # what a client says is not for us, unless it is that it goes
                await asyncio.wait_for(reader.read(4096), self.every)


class Gpsd(NmeaServer):
    """gpsd as it speaks to a client (gpsd_json(5)): a greeting, and NMEA only to those who ask with ``?WATCH={"enable":true,"nmea":true}``."""

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_message("VERSION", release="3.22", rev="3.22", proto_major=3, proto_minor=14))
        await writer.drain()
        while line := await reader.readline():
            command, _, argument = line.decode().strip().rstrip(";").partition("=")
            try:
                wanted = json.loads(argument or "{}")
            except ValueError:
                wanted = None
            if command != "?WATCH" or not isinstance(wanted, dict):
                writer.write(_message("ERROR", message=f"Unrecognized request '{line.decode().strip()}'"))
                await writer.drain()
                continue
            device = {"class": "DEVICE", "path": "/dev/ttyACM0", "driver": "NMEA0183", "activated": "2026-01-01T00:00:00.000Z"}
            writer.write(_message("DEVICES", devices=[device]))
            writer.write(_message("WATCH", **wanted))
            await writer.drain()
            if wanted.get("enable") and wanted.get("nmea"):
                await self._talk(reader, writer)


def _message(kind: str, **fields: object) -> bytes:
    return json.dumps({"class": kind, **fields}, separators=(",", ":")).encode() + b"\r\n"
