"""Serial lines: a device that sends its values as lines of text, over a serial port or a serial-to-Ethernet converter."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from contract.messages import PointDeclaration
from contract.values import Reading
from edge.items import Item
from edge.sources import SourceContext, SourceSettings
from edge.sources.line_checksum import LineChecksum
from edge.sources.line_fields import LineDecoder, LineKind
from edge.sources.line_link import LineSettings, open_serial, open_tcp
from edge.sources.line_reader import LineReader
from edge.sources.line_splitter import MAX_LINE, LineSplitter


class SerialLineSettings(LineSettings):
    """A link, how its lines are told from garbage, and what they say."""

    lines: list[LineKind] = Field(min_length=1, description="The kinds of line; the first that fits is taken")
    checksum: LineChecksum | None = Field(None, description="What every line carries")
    ends: str = Field("", max_length=4, description='Characters that end a line besides CR and LF, for example "\\x03" (ETX)')
    max_line: int = Field(MAX_LINE, ge=8, le=65536, description="Bytes in a line at most; a longer one is dropped")
    encoding: Literal["ascii", "latin-1", "utf-8"] = "ascii"

    @model_validator(mode="after")
    def _one_link(self) -> Self:
        if (self.serial is None) == (self.tcp is None):
            raise ValueError("write either serial: {port: /dev/serial/by-id/…} or tcp: host:port, one of the two")
        if self.tcp is not None and not self.tcp.port:
            raise ValueError(f"tcp {self.tcp}: the port is missing; converters often use 4001, 10001 or 23: write {self.tcp}:4001")
        if not self.ends.isascii():
            raise ValueError("ends: write ASCII characters")
        seen: set[str] = set()
        for name in (name for kind in self.lines for name in kind.points):
            if name in seen:
                raise ValueError(f"point {name}: stands in two kinds of line; keep one")
            seen.add(name)
        return self


class SerialLineSource:
    """One device that speaks in lines. ``lost_lines`` counts those that were damaged, too long or not understood."""

    Settings: ClassVar[type[SourceSettings]] = SerialLineSettings

    def __init__(self, settings: SourceSettings, context: SourceContext) -> None:
        if not isinstance(settings, SerialLineSettings):
            raise TypeError(f"SerialLineSource takes SerialLineSettings, not {type(settings).__name__}")
        self._settings = settings
        self._folder = context.folder
        self._decoder = LineDecoder(settings.lines, settings.encoding)
        points = self.points()
        self._reader = LineReader(
            f"{settings.serial or f'tcp {settings.tcp}'}",
            list(points),
            stale_after=settings.stale_after,
            every=settings.every,
            eager=[name for name, point in points.items() if point.kind == "digital"],
        )

    @property
    def lost_lines(self) -> int:
        return self._reader.lost_lines

    def counters(self) -> Mapping[str, int]:
        return {"lost_lines": self.lost_lines}

    def points(self) -> Mapping[str, PointDeclaration]:
        return {name: point.declaration(name) for kind in self._settings.lines for name, point in kind.points.items()}

    async def items(self) -> AsyncIterator[Sequence[Item]]:
        """Batches of readings as lines come, stamped with their arrival. Raises Retry: see `LineReader.read`."""
        settings = self._settings
        splitter = LineSplitter(max_line=settings.max_line, ends=settings.ends.encode(), whole=settings.checksum is None)
        if settings.serial is not None:
            link = open_serial(settings.serial, self._folder)
        else:
            assert settings.tcp is not None  # noqa: S101 - the settings have one of the two
            link = open_tcp(settings.tcp, settings.timeout)
        async with aclosing(self._reader.read(link, splitter, self._decode)) as batches:
            async for batch in batches:
                yield batch

    def _decode(self, line: bytes, time_ns: int) -> list[Reading] | None:
        checksum = self._settings.checksum
        content = line if checksum is None else checksum.content(line)
        return None if content is None else self._decoder.decode(content, time_ns)
