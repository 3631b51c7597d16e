"""A history from one store to another: slice after slice of time, taken up again where it was cut off, and counted at the end."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateway.store import StoreFrame, StoreRefused, TimeSeriesStore

FRAMES = 5_000  # of one write
_END_NS = 2**62


class Progress(NamedTuple):
    """``reached_ns``: everything before it is in the new store."""

    reached_ns: int
    readings: int
    refused: int


def frames(table: Any) -> Iterator[StoreFrame]:
    """A table of `gateway.store.scan`, whose rows are in the order of time, as the frames that a store takes."""
    at: tuple[str, int] | None = None
    values: dict[str, float] = {}
    quality: dict[str, str] = {}
    columns = (table.column(name).to_pylist() for name in ("node", "point", "time", "value", "quality"))
    for node, point, time_ns, value, text in zip(*columns, strict=True):
        if (node, time_ns) != at:
            if at is not None:
                yield StoreFrame(at[0], at[1], values, quality)
            at, values, quality = (node, time_ns), {}, {}
        if value is not None:
            values[point] = value
        if text != "good":
            quality[point] = text
    if at is not None:
        yield StoreFrame(at[0], at[1], values, quality)


def read_progress(file: Path) -> Progress:
    """Where a copy was cut off; the beginning where there was none. Raises ValueError for a file that is none of ours."""
    if not file.exists():
        return Progress(0, 0, 0)
    try:
        return Progress(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} does not say how far a copy came ({error}): delete it to begin anew") from None


def _note(file: Path, progress: Progress) -> None:
    fresh = file.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as text:
        json.dump(progress._asdict(), text)
        text.flush()
        os.fsync(text.fileno())
    fresh.replace(file)


def copy(source: TimeSeriesStore, target: TimeSeriesStore, file: Path, told: Callable[[Progress], None]) -> Progress:
    """Everything of ``source``, from where ``file`` says on; a reading that is there already is written again with the same.

    Raises StoreUnavailable; call it again to go on. What ``target`` refuses for ever is counted.
    """
    progress = read_progress(file)
    for table in source.scan(progress.reached_ns, _END_NS):
        refused, some = progress.refused, []
        for frame in frames(table):
            some.append(frame)
            if len(some) >= FRAMES:
                refused += _write(target, some)
                some = []
        refused += _write(target, some)
        reached = table.column("time")[-1].as_py() + 1
        progress = Progress(reached, progress.readings + table.num_rows, refused)
        _note(file, progress)
        told(progress)
    return progress


def _write(target: TimeSeriesStore, some: list[StoreFrame]) -> int:
    if not some:
        return 0
    try:
        target.write(some)
    except StoreRefused as refused:
        return sum(len({*frame.values, *frame.quality}) for frame in refused.frames)
    return 0


def counted(store: TimeSeriesStore) -> dict[tuple[str, str], int]:
    """How many readings each series has."""

    found: dict[tuple[str, str], int] = {}
    for table in store.scan(0, _END_NS):
        for row in table.group_by(["node", "point"]).aggregate([("time", "count")]).to_pylist():
            key = (row["node"], row["point"])
            found[key] = found.get(key, 0) + row["time_count"]
    return found
