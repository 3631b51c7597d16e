"""`muki edge run --once`: each source read once, through the processors, as a table: what a field engineer looks at first."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, cast

from contract.values import GOOD, Quality, Reading, bad
from edge.bench import subject
from edge.config import ConfiguredProcessor, ConfiguredSource, NodeConfig
from edge.errors import EdgeError
from edge.items import Frame, Item, Waveform
from edge.trust import within_range
from edge.worker import explain

PATIENCE = 10.0  # s for each source to say everything once


class Row(NamedTuple):
    """One point's first reading; ``ms`` since its source was opened, None when nothing came."""

    point: str
    value: float | None
    unit: str
    quality: Quality
    ms: float | None
    note: str = ""

    @property
    def good(self) -> bool:
        return self.quality.good


async def read_once(config: NodeConfig, patience: float = PATIENCE) -> list[Row]:
    """A row for each point of each source, and for what its processors made of its first items; then everything is closed."""
    found = await asyncio.gather(*(_read(entry, config, patience) for entry in config.sources))
    rows = [row for rows in found for row in rows]
    seen = {row.point for row in rows}
    for entry in config.processing:
        for point, declaration in entry.processor.points().items():
            if point not in seen:
                rows.append(Row(point, None, declaration.unit, bad("no_reading"), None, f"processor {entry.settings.name} gave nothing"))
    return rows


async def _read(entry: ConfiguredSource, config: NodeConfig, patience: float) -> list[Row]:
    rows: dict[str, Row] = {}
    expected = set(entry.source.points())
    began = time.monotonic()
    note = f"source {entry.settings.name}: nothing within {patience:g} s"
    fed: list[ConfiguredProcessor] = []

    def take(readings: Sequence[Reading]) -> None:
        for said in readings:
            reading = within_range(said, config.points.get(said.point))
            unit = config.points[reading.point].unit if reading.point in config.points else ""
            ms = (time.monotonic() - began) * 1000
            rows.setdefault(reading.point, Row(reading.point, reading.value, unit, reading.quality, ms))

    try:
        async with asyncio.timeout(patience), aclosing(cast("AsyncGenerator[Sequence[Item], None]", entry.source.items())) as items:
            async for batch in items:
                take([item for item in batch if isinstance(item, Reading)])
                for item in batch:
                    if not isinstance(item, Reading):  # what stays on the device: that it came is what a field engineer asks
                        ms = (time.monotonic() - began) * 1000
                        rows.setdefault(subject(item), Row(subject(item), None, "", GOOD, ms, described(item)))
                    for processor in config.processing:
                        if subject(item) in processor.processor.wants():
                            take(await asyncio.to_thread(_compute, processor, item, fed))
                            expected |= set() if isinstance(item, Reading) else set(processor.processor.points())
                if expected <= rows.keys():
                    break
    except TimeoutError:
        pass
    except EdgeError as error:
        note = f"source {entry.settings.name}: {error}"
    except Exception as error:  # whatever a source raises, the other rows are worth seeing
        note = f"source {entry.settings.name}: {explain(error)}"
    for point in sorted(expected - rows.keys()):
        rows[point] = Row(point, None, config.points[point].unit, bad("no_reading"), None, note)
    if not rows and not expected:
        rows[entry.settings.name] = Row(entry.settings.name, None, "", bad("no_reading"), None, note)
    return list(rows.values())


def described(item: Waveform | Frame) -> str:
    """A picture or a waveform in words."""
    if isinstance(item, Frame):
        height, width = item.image.shape[:2]
        return f"picture, {width} x {height}"
    return f"waveform, {len(item.samples)} samples at {item.rate_hz:g} Hz in {item.unit}"


def _compute(entry: ConfiguredProcessor, item: Item, started: list[ConfiguredProcessor]) -> Sequence[Reading]:
    if entry not in started:
        entry.processor.start()
        started.append(entry)
    return entry.processor.process(item)


def table(rows: Sequence[Row]) -> str:
    """Plain columns: point, value, unit, quality, ms."""
    cells = [("point", "value", "unit", "quality", "ms", "")]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.6g}"
        cells.append((row.point, value, row.unit or "-", str(row.quality), "-" if row.ms is None else f"{row.ms:.0f}", row.note))
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[5]]).rstrip() for line in cells
    )
