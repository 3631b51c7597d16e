"""NMEA 0183: a satellite receiver on a serial port, behind a TCP port, or shared by gpsd. Where a machine is, and what time it is there."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Annotated, ClassVar, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator

from contract.messages import PointDeclaration
from contract.values import Reading, check_point, worst
from edge.clock import MS
from edge.errors import Retry
from edge.items import Item
from edge.sources import SourceContext, SourceSettings
from edge.sources.chrony_sock import ChronySock
from edge.sources.endpoint import Endpoint, HostPort
from edge.sources.line_link import LineSettings, Link, open_serial, open_tcp
from edge.sources.line_reader import LineReader
from edge.sources.line_splitter import LineSplitter
from edge.sources.nmea_backlog import LATE, Backlog
from edge.sources.nmea_sentences import OUTPUTS, Output, SentenceDecoder

GPSD_PORT = 2947
_WATCH = b'?WATCH={"enable":true,"json":false,"nmea":true};\n'  # gpsd_json(5)
_MAX_LINE = 256  # bytes; the standard says 82, and some receivers say more
_MAX_GPSD = 8192  # its own messages are longer


class NmeaSettings(LineSettings):
    """A link to a receiver, and the name under which its readings come out."""

    gpsd: HostPort | None = Field(None, description="host or host:port of gpsd; port 2947 if not said")
    under: Annotated[str, AfterValidator(check_point)] = Field(
        description="Begins the name of each point: truck-7/gnss gives truck-7/gnss/latitude"
    )
    outputs: tuple[Output, ...] = Field(tuple(OUTPUTS), min_length=1, description="Which points; all if not said")
    latency: float = Field(0.0, ge=0, le=5, description="Seconds that a sentence comes after the instant it tells; corrects clock_offset")
    chrony: str | None = Field(
        None,
        min_length=1,
        max_length=107,
        description="Socket of chrony's refclock SOCK: each time that the receiver is sure of is sent there",
    )

    @model_validator(mode="after")
    def _one_link(self) -> Self:
        if [self.serial, self.tcp, self.gpsd].count(None) != 2:
            raise ValueError("write one of serial: {port: /dev/serial/by-id/…}, tcp: host:port or gpsd: localhost")
        if self.tcp is not None and not self.tcp.port:
            raise ValueError(
                f"tcp {self.tcp}: the port is missing; receivers and converters often use 10110 or 4001: write {self.tcp}:10110"
            )
        check_point(f"{self.under}/clock_offset")
        return self


class NmeaSource:
    """One receiver. ``lost_lines`` counts the sentences whose checksum was wrong or missing, and other garbage."""

    Settings: ClassVar[type[SourceSettings]] = NmeaSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, NmeaSettings):
            raise TypeError(f"NmeaSource takes NmeaSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        gpsd = settings.gpsd
        self._gpsd = Endpoint(gpsd.host, gpsd.port or GPSD_PORT) if gpsd is not None else None
        where = settings.serial or (f"tcp {settings.tcp}" if settings.tcp else f"gpsd {self._gpsd}")
        points = self.points()
        self._wanted = frozenset(points)
        self._clock = f"{settings.under}/clock_offset"
        self._chrony = ChronySock(context.folder / settings.chrony) if settings.chrony is not None else None
        self._reader = LineReader(
            str(where), list(points), stale_after=settings.stale_after, every=settings.every, eager=[f"{settings.under}/fix"]
        )

    @property
    def lost_lines(self) -> int:
        return self._reader.lost_lines

    def counters(self) -> Mapping[str, int]:
        return {"lost_lines": self.lost_lines}

    def points(self) -> Mapping[str, PointDeclaration]:
        under = self._settings.under
        asset = under.partition("/")[0]
        return {f"{under}/{output}": msgspec.structs.replace(OUTPUTS[output], asset=asset) for output in self._settings.outputs}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """Batches of readings as sentences come, stamped with their arrival. Raises Retry: see `LineReader.read`; and when gpsd refuses."""
        decoder, backlog = SentenceDecoder(self._settings.under, self._settings.latency), Backlog()
        waited = [False]

        def decode(line: bytes, time_ns: int) -> list[Reading] | None:
            if self._gpsd is not None and line.startswith(b"{"):
                return self._said_by_gpsd(line)
            readings = decoder.decode(line, time_ns)
            if readings is None:
                return None
            late = backlog.late(line, time.monotonic())
            waited[0] = waited[0] if late is None else late  # what tells no time comes with what does
            if waited[0]:
                readings = [Reading(each.point, each.time_ns, each.value, worst(each.quality, LATE)) for each in readings]
            self._tell_chrony(readings)
            return [reading for reading in readings if reading.point in self._wanted]

        splitter = LineSplitter(max_line=_MAX_GPSD if self._gpsd is not None else _MAX_LINE, whole=False)
        async with aclosing(self._reader.read(self._link(), splitter, decode)) as batches:
            async for batch in batches:
                yield batch

    def _tell_chrony(self, readings: list[Reading]) -> None:
        if self._chrony is None:
            return
        for reading in readings:
            if reading.point == self._clock and reading.value is not None and reading.quality.good:
                self._chrony.send(reading.time_ns, round(reading.value * MS))

    def _link(self) -> AbstractAsyncContextManager[Link]:
        settings = self._settings
        if settings.serial is not None:
            return open_serial(settings.serial, self._folder)
        if self._gpsd is not None:
            return open_tcp(self._gpsd, settings.timeout, greeting=_WATCH)
        assert settings.tcp is not None  # noqa: S101 - the settings have one of the three
        return open_tcp(settings.tcp, settings.timeout)

    def _said_by_gpsd(self, line: bytes) -> list[Reading] | None:
        try:
            said = msgspec.json.decode(line, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if "class" not in said:
            return None
        if said["class"] == "ERROR":
            raise Retry(f"gpsd {self._gpsd}: it says: {said.get('message', line.decode())}")
        return []
