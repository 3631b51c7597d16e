"""Reading a history from one end to the other in bounded memory: slice after slice of time, each as wide as its rows allow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from gateway.store import Sample, Series

SCHEMA = pa.schema(
    [
        ("node", pa.string()),
        ("point", pa.string()),
        ("time", pa.int64()),
        ("value", pa.float64()),
        ("quality", pa.string()),
    ]
)
"""``time`` is Unix nanoseconds; ``value`` is null where nothing could be read; rows of one table are in the order of time."""

SLICE_ROWS = 200_000
_FIRST_NS = 60_000_000_000


def slices(
    start_ns: int,
    end_ns: int,
    begin: Callable[[int, int], int | None],
    fetch: Callable[[int, int], Any | None],
    *,
    wanted: int = SLICE_ROWS,
) -> Iterator[Any]:
    """``begin(start, end)`` is the time of the first reading of a range, None without; ``fetch`` gives the range's rows, None when they are too many.

    A range of one nanosecond is fetched as it is: at one instant there is one reading a series.
    """
    at, width = start_ns, _FIRST_NS
    while at < end_ns:
        first = begin(at, end_ns)
        if first is None:
            return
        at = first
        while True:
            stop = min(at + width, end_ns)
            table = fetch(at, stop)
            if table is not None or width == 1:
                break
            width = max(1, width // 2)
        if table is not None and table.num_rows:
            yield table
            if table.num_rows < wanted // 2:
                width *= 2
        at = stop


def table_of(samples: Sequence[tuple[Series, Sample]]) -> Any:
    """Samples as a table of the schema, in the order of time."""
    ordered = sorted(samples, key=lambda row: (row[1].time_ns, row[0]))
    return pa.table(
        {
            "node": [series.node for series, _ in ordered],
            "point": [series.point for series, _ in ordered],
            "time": [sample.time_ns for _, sample in ordered],
            "value": [sample.value for _, sample in ordered],
            "quality": [sample.quality for _, sample in ordered],
        },
        schema=SCHEMA,
    )
