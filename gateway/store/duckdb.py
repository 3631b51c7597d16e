"""The embedded store: one DuckDB file, one writer process, a narrow table of samples."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from contract.values import Level, Quality
from gateway.store import Bucket, Retention, Sample, Series, StoreFrame, StoreHealth, StoreUnavailable
from gateway.store.duckdb_file import close_quietly, explain, open_file
from gateway.store.duckdb_newest import Batch, Newest
from gateway.store.duckdb_rollups import TABLES, Rollups, chart, read_kept
from gateway.store.intake import Checker
from gateway.store.rollup import Kept
from gateway.store.scan import SCHEMA, SLICE_ROWS, slices
from gateway.store.slots import check_limit, check_range, slot_width
from gateway.store.summary import bucket

GOOD = 0
_TEMPLATES = 10_000


class DuckDBStore:
    """Keeps times to the nanosecond. A write is one transaction, durable by the fsync of DuckDB's write-ahead log.

    No second process can open the file meanwhile, not even to read it. A quality is a code: 0 good, positive uncertain, negative bad.
    """

    class Settings(BaseModel):
        """``memory_limit`` and ``threads`` suit a Raspberry Pi; ``checkpoint_at`` is the size of the write-ahead log that is folded into the file."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        path: Path
        memory_limit: str = Field("64MB", pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$")
        threads: int = Field(2, ge=1, le=64)
        checkpoint_at: str = Field("16MB", pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$")

    def __init__(self, settings: Settings) -> None:
        """Opens the file. Raises StoreUnavailable that says what is wrong with it and what would be right."""
        self._settings = settings
        self._checker = Checker()
        self._write_lock = threading.Lock()
        self._upkeep_lock = threading.Lock()
        self._rollups = Rollups(self._write_lock)
        self._state_lock = threading.Lock()
        self._closed = False
        self._connection: Any = None
        self._open()

    def _open(self) -> None:
        settings = self._settings
        self._connection = open_file(
            settings.path,
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            checkpoint_at=settings.checkpoint_at,
            rollups=TABLES,
        )
        try:
            self._load()
        except duckdb.Error as error:  # the file opens, and its blocks cannot be read: it was cut off, or the disk is failing
            close_quietly(self._connection)
            raise StoreUnavailable(explain(settings.path, error)) from error

    def _load(self) -> None:
        series = {(node, point): id_ for id_, node, point in self._connection.execute("SELECT id, node, point FROM series").fetchall()}
        codes = {text: code for code, text in self._connection.execute("SELECT id, quality FROM quality").fetchall()}
        newest = Newest()
        newest.load(self._connection)
        self._rollups.load(self._connection)
        with self._state_lock:
            self._ids: dict[tuple[str, str], int] = series
            self._codes: dict[str, int] = codes
            self._texts: dict[int, str] = {GOOD: "good", **{code: text for text, code in codes.items()}}
            self._newest = newest
            self._templates: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    # --- writing

    def write(self, frames: Sequence[StoreFrame]) -> None:
        intake = self._checker.accept(frames)
        if intake.frames:
            with self._write_lock:
                self._check_open()
                frames = intake.recent(self._rollups.raw_from)
                try:
                    if frames:
                        self._commit(frames)
                except duckdb.Error as error:
                    self._recover(error)
                    raise StoreUnavailable(f"{self._settings.path}: not written ({str(error).splitlines()[0]})") from error
        intake.raise_refused()

    def _commit(self, frames: Sequence[StoreFrame]) -> None:
        new_series: dict[tuple[str, str], int] = {}
        new_codes: dict[str, int] = {}
        batch = self._columns(frames, new_series, new_codes)
        newest = self._newest
        newest.reserve(len(self._ids) + len(new_series))
        raised = newest.raised_by(batch)
        late = newest.late(batch)
        with self._state_lock:
            # Before the commit: a reader may meet a new code in the moment after it. A rollback loads the table again.
            self._texts.update((code, text) for text, code in new_codes.items())
        connection = self._connection
        connection.execute("BEGIN")
        if new_series:
            self._insert(
                "series", {"id": list(new_series.values()), "node": [n for n, _ in new_series], "point": [p for _, p in new_series]}
            )
        if new_codes:
            self._insert("quality", {"id": list(new_codes.values()), "quality": list(new_codes)})
        if late.any():
            self._delete(batch.where(late))
        self._rollups.mark(connection, batch)
        connection.register("incoming", batch.arrow())
        connection.execute("INSERT INTO sample SELECT series, time, value, quality FROM incoming")
        newest.save_raised(connection, raised)
        connection.execute("COMMIT")
        connection.unregister("incoming")
        with self._state_lock:
            self._ids.update(new_series)
            self._codes.update(new_codes)
            newest.take(raised)
        if newest.due():
            newest.save(connection)

    def _insert(self, table: str, columns: dict[str, list[Any]]) -> None:
        """Rows as an Arrow table: `executemany` takes seconds for the points of a fleet."""
        self._connection.register("rows", pa.table(columns))
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM rows")  # noqa: S608 - our own tables
        self._connection.unregister("rows")

    def _delete(self, late: Batch) -> None:
        """Makes room for rewrites. The range of time keeps the scan to the few row groups that can hold them."""
        self._connection.register("late", late.arrow())
        self._connection.execute(
            "DELETE FROM sample USING late WHERE sample.series = late.series AND sample.time = late.time AND sample.time BETWEEN ? AND ?",
            [int(late.times.min()), int(late.times.max())],
        )
        self._connection.unregister("late")

    def _columns(self, frames: Sequence[StoreFrame], new_series: dict[tuple[str, str], int], new_codes: dict[str, int]) -> Batch:
        ids: list[int] = []
        values: list[float] = []
        counts: list[int] = []
        codes: list[tuple[int, int]] = []
        for node, _, frame_values, quality in frames:
            before = len(ids)
            ids += self._template(node, tuple(frame_values), new_series)
            values += frame_values.values()
            if quality:
                places = {point: before + place for place, point in enumerate(frame_values)}
                for point, text in quality.items():
                    place = places.get(point, len(ids))
                    if place == len(ids):
                        ids += self._template(node, (point,), new_series)
                        values.append(np.nan)
                    codes.append((place, self._code(text, new_codes)))
            counts.append(len(ids) - before)
        column = np.zeros(len(ids), np.int16)
        for place, code in codes:
            column[place] = code
        times = np.repeat(np.array([frame.time_ns for frame in frames], np.int64), counts)
        return Batch(np.array(ids, np.int32), times, np.array(values, np.float64), column)

    def _template(self, node: str, points: tuple[str, ...], new_series: dict[tuple[str, str], int]) -> list[int]:
        """The ids of a node's points: frames of one node mostly carry the same points in the same order."""
        found = self._templates.get((node, points))
        if found is None:
            found = [self._ids.get((node, point), -1) for point in points]
            for place, point in enumerate(points):
                if found[place] < 0:
                    found[place] = new_series.setdefault((node, point), len(self._ids) + len(new_series))
            if not new_series:
                if len(self._templates) >= _TEMPLATES:
                    self._templates.clear()
                self._templates[node, points] = found
        return found

    def _code(self, text: str, new_codes: dict[str, int]) -> int:
        code = self._codes.get(text) or new_codes.get(text)
        if code is None:
            size = len(self._codes) + len(new_codes) + 1
            code = new_codes[text] = -size if Quality.parse(text).level is Level.BAD else size
        return code

    def _recover(self, error: Exception) -> None:
        """After a failed write: nothing of it is kept, and a database that DuckDB has given up on is opened again."""
        try:
            if isinstance(error, duckdb.FatalException | duckdb.InternalException):
                close_quietly(self._connection)
                self._open()
            else:
                self._connection.rollback()
                self._load()
        except (duckdb.Error, StoreUnavailable):
            # The disk may be full or gone: the next write tries again from the beginning.
            close_quietly(self._connection)
            self._connection = None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._settings.path}: the store is closed")
        if self._connection is None:
            self._open()

    # --- reading

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A connection of the caller's own: readers neither wait for the writer nor for each other."""
        with self._state_lock:
            connection = self._connection
            if self._closed or connection is None:
                raise StoreUnavailable(f"{self._settings.path}: the store is {'closed' if self._closed else 'not open'}")
            cursor = connection.cursor()
        try:
            with closing(cursor):
                yield cursor
        except duckdb.Error as error:
            raise StoreUnavailable(f"{self._settings.path}: not read ({str(error).splitlines()[0]})") from error

    def latest(self, series: Sequence[Series] | None = None) -> dict[Series, Sample]:
        with self._state_lock:
            wanted = self._ids if series is None else series
            found: dict[Series, Sample] = {}
            for node, point in wanted:
                id_ = self._ids.get((node, point))
                if id_ is not None and self._newest.times[id_] >= 0:
                    value = float(self._newest.values[id_])
                    found[Series(node, point)] = Sample(
                        int(self._newest.times[id_]), None if np.isnan(value) else value, self._texts[int(self._newest.codes[id_])]
                    )
            return found

    def raw(self, series: Series, start_ns: int, end_ns: int, limit: int = 10_000) -> list[Sample]:
        check_range(start_ns, end_ns)
        check_limit(limit)
        id_ = self._ids.get((series.node, series.point))
        if id_ is None:
            return []
        with self._cursor() as cursor:
            rows = cursor.execute(
                "SELECT time, value, quality FROM sample WHERE series = ? AND time >= ? AND time < ? ORDER BY time LIMIT ?",
                [id_, start_ns, end_ns, limit],
            ).fetchall()
        return [Sample(time_ns, value, self._texts[code]) for time_ns, value, code in rows]

    def buckets(self, series: Series, start_ns: int, end_ns: int, count: int) -> list[Bucket]:
        slot_width(start_ns, end_ns, count)
        id_ = self._ids.get((series.node, series.point))
        if id_ is None:
            return []
        with self._cursor() as cursor:
            rows = chart(cursor, id_, start_ns, end_ns, count)
        return [bucket(*row) for row in rows]

    def kept(self) -> Kept:
        with self._cursor() as cursor:
            return read_kept(cursor)

    def scan(self, start_ns: int, end_ns: int, series: Sequence[Series] | None = None) -> Iterator[Any]:
        check_range(start_ns, end_ns)
        ids = None if series is None else [id_ for one in series if (id_ := self._ids.get((one.node, one.point))) is not None]
        if ids is not None and not ids:
            return iter(())
        chosen = "" if ids is None else f" AND s.series IN ({', '.join(map(str, ids))})"

        def begin(low: int, high: int) -> int | None:
            with self._cursor() as cursor:
                query = f"SELECT min(s.time) FROM sample s WHERE s.time >= {low} AND s.time < {high}{chosen}"  # noqa: S608 - numbers of our own
                found = cursor.execute(query).fetchone()[0]
                return None if found is None else int(found)

        def fetch(low: int, high: int) -> Any | None:
            limit = 2**62 if high - low == 1 else SLICE_ROWS + 1
            with self._cursor() as cursor:
                table = cursor.sql(
                    "SELECT e.node, e.point, s.time, s.value, coalesce(q.quality, 'good') AS quality FROM"  # noqa: S608 - numbers of our own
                    f" (SELECT * FROM sample s WHERE s.time >= {low} AND s.time < {high}{chosen} LIMIT {limit}) s"
                    " JOIN series e ON e.id = s.series LEFT JOIN quality q ON q.id = s.quality ORDER BY s.time, e.node, e.point"
                ).to_arrow_table()
            return None if table.num_rows > SLICE_ROWS and high - low > 1 else table.cast(SCHEMA)

        return slices(start_ns, end_ns, begin, fetch)

    def series(self) -> list[Series]:
        with self._state_lock:
            return sorted(Series(node, point) for (node, point), id_ in self._ids.items() if self._newest.times[id_] >= 0)

    # --- upkeep

    def maintain(self, now_ns: int, retention: Retention) -> bool:
        with self._upkeep_lock, self._cursor() as cursor:
            more = self._rollups.refresh(cursor)
            more |= self._rollups.advance(cursor, now_ns)
            return self._rollups.drop(cursor, now_ns, retention) or more

    def delete(self, series: Series, start_ns: int, end_ns: int) -> int:
        check_range(start_ns, end_ns)
        with self._upkeep_lock, self._write_lock:
            self._check_open()
            id_ = self._ids.get((series.node, series.point))
            if id_ is None or start_ns == end_ns:
                return 0
            connection = self._connection
            try:
                connection.execute("BEGIN")
                removed = self._rollups.delete(connection, id_, start_ns, end_ns)
                again = self._newest.without(connection, id_, start_ns, end_ns)
                connection.execute("COMMIT")
            except duckdb.Error as error:
                self._recover(error)
                raise StoreUnavailable(f"{self._settings.path}: not deleted ({str(error).splitlines()[0]})") from error
            with self._state_lock:
                if again is not None:
                    self._newest.take(again)
            return removed

    def health(self) -> StoreHealth:
        name = f"duckdb {duckdb.__version__}"
        try:
            with self._cursor() as cursor:
                cursor.execute("SELECT 1").fetchone()
        except StoreUnavailable as error:
            return StoreHealth(ok=False, name=name, detail=str(error))
        return StoreHealth(ok=True, name=name)

    def close(self) -> None:
        """Folds the write-ahead log into the file and lets it go."""
        with self._upkeep_lock, self._write_lock, self._state_lock:
            if self._closed:
                return
            self._closed = True
            if self._connection is not None:
                try:
                    self._newest.save(self._connection)
                    self._connection.execute("CHECKPOINT")
                except duckdb.Error:
                    # What was acknowledged is in the write-ahead log already; the next start reads it from there.
                    pass
                finally:
                    close_quietly(self._connection)
