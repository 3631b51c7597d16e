"""Readings as files: CSV, Parquet or an Arrow stream, made table by table so that a year takes no more memory than a minute."""

import io
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from gateway.store.scan import SCHEMA

MEDIA = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "arrow": "application/vnd.apache.arrow.stream"}


class _Writer(Protocol):
    def write(self, table: Any) -> None: ...
    def close(self) -> None: ...


class _Csv:
    """``time`` in ISO 8601, UTC, and the same as Unix nanoseconds."""

    def __init__(self, sink: io.BytesIO) -> None:
        self._sink = sink
        self._head = True

    def write(self, table: Any) -> None:
        moments = table.column("time").cast(pa.timestamp("ns", "UTC"))
        columns = {
            "time": moments,
            "time_ns": table.column("time"),
            **{name: table.column(name) for name in ("node", "point", "value", "quality")},
        }
        pa_csv.write_csv(pa.table(columns), self._sink, pa_csv.WriteOptions(include_header=self._head))
        self._head = False

    def close(self) -> None:
        if self._head:
            self.write(SCHEMA.empty_table())


def _arrow(sink: io.BytesIO) -> Any:
    return pa.ipc.new_stream(sink, SCHEMA)


def _parquet(sink: io.BytesIO) -> Any:
    return pa_parquet.ParquetWriter(sink, SCHEMA, compression="zstd")


_WRITERS: dict[str, Callable[[io.BytesIO], _Writer]] = {"csv": _Csv, "arrow": _arrow, "parquet": _parquet}


class _Sink(io.BytesIO):
    """Keeps what was written until it is taken; its position goes on, as a file's would."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def take(self) -> bytes:
        data = self.getvalue()
        self._taken += len(data)
        self.seek(0)
        self.truncate()
        return data

    def close(self) -> None:
        """The writers close it before their last bytes are taken."""


def exported(tables: Iterator[Any], form: str) -> Iterator[bytes]:
    """Pieces of the file. ``tables`` have the schema of `gateway.store.scan`; ``form`` is one of MEDIA."""
    sink = _Sink()
    writer = _WRITERS[form](sink)
    for table in tables:
        writer.write(table)
        if piece := sink.take():
            yield piece
    writer.close()
    if piece := sink.take():
        yield piece
