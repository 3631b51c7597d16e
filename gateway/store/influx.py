"""The InfluxDB store: wide lines in one measurement, read with InfluxQL, which every version speaks."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contract.values import IDENTIFIER, POINT
from gateway.store import Bucket, Retention, Sample, Series, StoreFrame, StoreHealth, StoreUnavailable
from gateway.store.influx_chart import Chart, has_emptied, statements
from gateway.store.influx_lines import (
    DELETED,
    MEASUREMENT,
    NOTHING,
    QUALITY,
    VOID,
    Existing,
    LineEncoder,
    join_point,
    sample_of,
    split_point,
)
from gateway.store.influx_rollups import InfluxRollups
from gateway.store.influx_server import PROBE, InfluxServer, LinesRefused
from gateway.store.intake import MAX_TIME_NS, Checker
from gateway.store.rollup import Kept, grid, pieces
from gateway.store.slots import check_limit, check_range

_BODY_BYTES = 2_000_000  # a request; InfluxDB 1.x takes 25 MB, a Pi's memory would rather not
_STATEMENTS = 100  # a request
_PAGE = 1000  # rows
_GAP_NS = 3_600 * 1_000_000_000


class InfluxStore:
    """Keeps times to the nanosecond. A write is acknowledged after InfluxDB's write-ahead log is on disk (``wal-fsync-delay`` 0, its default).

    Of a refused frame, the lines of its other assets may be stored. One gateway writes to one database: it knows which rollups its writes touch.
    """

    class Settings(BaseModel):
        """``password_file`` and ``token_file`` hold the secret on their first line; ``timeout`` is seconds; ``org`` is for 2.x."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        url: str = "http://127.0.0.1:8086"
        database: str = Field("muki", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
        username: str = ""
        password_file: Path | None = None
        token_file: Path | None = None
        org: str = ""
        timeout: float = Field(10.0, gt=0, le=300)

        @field_validator("url")
        @classmethod
        def _check_url(cls, url: str) -> str:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
                raise ValueError(
                    "write http://HOST:PORT or https://HOST:PORT, for example http://127.0.0.1:8086; user and password go elsewhere"
                )
            return url

    def __init__(self, settings: Settings) -> None:
        """Connects at the first use. Raises ValueError for a secret's file that cannot be read."""
        self._server = InfluxServer(
            settings.url,
            settings.database,
            username=settings.username,
            password=_secret(settings.password_file, "password_file"),
            token=_secret(settings.token_file, "token_file"),
            org=settings.org,
            timeout=settings.timeout,
        )
        self._checker = Checker()
        self._encoder = LineEncoder()
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._rollups = InfluxRollups(self._server, self._lock, self._samples)
        self._closed = False

    # --- writing

    def write(self, frames: Sequence[StoreFrame]) -> None:
        self._check_open()
        intake = self._checker.accept(frames)
        with self._lock:
            frames = intake.recent(self._rollups.kept().raw_from_ns)
            existing = self._existing(frames)
            lines = [self._encoder.encode(frame, existing.get(frame.node, NOTHING)) for frame in frames]
            try:
                if marks := self._rollups.marks(frames):
                    self._server.write(marks)
                for chunk in _chunks(lines):
                    self._send(frames, lines, chunk, intake.refused)
            except StoreUnavailable:
                self._newest.clear()  # some of the batch may be stored: ask again
                raise
            for frame in frames:
                self._newest[frame.node] = max(self._newest[frame.node], frame.time_ns)
        intake.raise_refused()

    def _send(self, frames: list[StoreFrame], lines: list[bytes], chunk: range, refused: list[tuple[StoreFrame, str]]) -> None:
        """Writes a run of frames; where the server refuses it, halves it until the frames that it will not take are found."""
        body = b"".join(lines[chunk.start : chunk.stop])
        if not body:
            return
        try:
            self._server.write(body)
        except LinesRefused as error:
            if len(chunk) == 1 or error.dropped == body.count(b"\n"):
                refused += [(frame, error.reason) for frame in frames[chunk.start : chunk.stop]]
                return
            middle = chunk.start + len(chunk) // 2
            self._send(frames, lines, range(chunk.start, middle), refused)
            self._send(frames, lines, range(middle, chunk.stop), refused)

    def _existing(self, frames: Sequence[StoreFrame]) -> dict[str, Existing]:
        """What is stored at the instants of frames that are not newer than all of their node: fields merge, so a rewrite must know it."""
        late: dict[str, list[StoreFrame]] = {}
        for frame in frames:
            if frame.node not in self._newest:
                self._newest[frame.node] = self._newest_of(frame.node)
            if frame.time_ns <= self._newest[frame.node]:
                late.setdefault(frame.node, []).append(frame)
        return {node: self._existing_of(node, of_node) for node, of_node in late.items()}

    def _newest_of(self, node: str) -> int:
        (series,) = self._server.query(f"SELECT * FROM {MEASUREMENT} WHERE node = '{node}' ORDER BY time DESC LIMIT 1")  # noqa: S608 - the intake lets only identifiers through
        return int(series[0]["values"][0][0]) if series else -1

    def _existing_of(self, node: str, frames: Sequence[StoreFrame]) -> Existing:
        turning = {split_point(point)[1] for frame in frames for point in frame.quality}
        statements: list[str] = []
        for low, high in _spans(sorted(frame.time_ns for frame in frames)):
            where = f"FROM {MEASUREMENT} WHERE node = '{node}' AND time >= {low} AND time <= {high} GROUP BY asset"
            statements.append(f"SELECT /\\{QUALITY}$/ {where}")
            if turning:
                statements.append(f"SELECT {', '.join(map(_quoted, sorted(turning)))} {where}")
        texts: dict[tuple[str, int], str] = {}
        numbers: set[tuple[str, int]] = set()
        for series in self._ask(statements):
            asset = series["tags"]["asset"]
            for column, name in enumerate(series["columns"][1:], start=1):
                point = join_point(asset, name.removesuffix(QUALITY))
                found = {(point, row[0]): row[column] for row in series["values"] if row[column] is not None}
                if name.endswith(QUALITY):
                    texts.update(found)
                else:
                    numbers.update(found)
        return Existing(texts, frozenset(numbers))

    # --- reading

    def latest(self, series: Sequence[Series] | None = None) -> dict[Series, Sample]:
        self._check_open()
        (keys,) = self._server.query(f"SHOW FIELD KEYS FROM {MEASUREMENT}")
        stored = {str(row[0]) for one in keys for row in one["values"]}
        wanted: set[str] | None = None
        where = ""
        if series is not None:
            asked = [one for one in series if _is_legal(one)]
            wanted = {split_point(one.point)[1] for one in asked}
            if 0 < len(asked) <= 20:
                pairs = sorted({(one.node, split_point(one.point)[0]) for one in asked})
                where = "WHERE " + " OR ".join(f"(node = '{node}' AND asset = '{asset}')" for node, asset in pairs) + " "
        fields = [name for name in sorted(stored) if not name.endswith(VOID) and (wanted is None or name.removesuffix(QUALITY) in wanted)]
        origin = f"FROM {MEASUREMENT} {where}GROUP BY node, asset"
        statements = [f"SELECT last({_quoted(name)}) AS {_quoted(name)} {origin}" for name in fields]
        numbers: dict[Series, tuple[int, float]] = {}
        texts: dict[Series, tuple[int, str]] = {}
        for found in self._ask(statements):
            name = found["columns"][1]
            one = Series(found["tags"]["node"], join_point(found["tags"]["asset"], name.removesuffix(QUALITY)))
            time_ns, value = found["values"][0]
            if name.endswith(QUALITY):
                texts[one] = (time_ns, value)
            else:
                numbers[one] = (time_ns, value)
        chosen = numbers.keys() | texts.keys() if series is None else [one for one in series if one in numbers or one in texts]
        deleted = {one for one in chosen if (text := texts.get(one)) and text[1] == DELETED}
        newest = {one: self._newest_kept(one) if one in deleted else self._newer(one, numbers.get(one), texts.get(one)) for one in chosen}
        return {one: sample for one, sample in newest.items() if sample is not None}

    def _newest_kept(self, series: Series) -> Sample | None:
        """The newest reading of a series whose last ones were deleted."""
        end_ns, field = MAX_TIME_NS + 1, split_point(series.point)[1]
        columns = f"{_quoted(field)}, {_quoted(field + QUALITY)}"
        while True:
            (found,) = self._server.query(f"SELECT {columns} {_from(series, 0, end_ns)} ORDER BY time DESC LIMIT {_PAGE}")
            rows = [row for one in found for row in one["values"]]
            sample = next((sample for row in rows if (sample := sample_of(*row)) is not None), None)
            if sample is not None or len(rows) < _PAGE:
                return sample
            end_ns = int(rows[-1][0])

    def _newer(self, series: Series, number: tuple[int, float] | None, text: tuple[int, str] | None) -> Sample | None:
        """The newer of the last number and the last quality; at one instant the two are one reading."""
        if text is None or (number is not None and number[0] > text[0]):
            return sample_of(*number, None) if number else None
        whole = sample_of(text[0], number[1] if number is not None and number[0] == text[0] else None, text[1])
        if whole is None:
            # Written between the two questions: the number was asked first.
            again = self._samples(series, text[0], text[0] + 1)
            return again[0] if again else sample_of(*number, None) if number else None
        return whole

    def raw(self, series: Series, start_ns: int, end_ns: int, limit: int = 10_000) -> list[Sample]:
        check_range(start_ns, end_ns)
        check_limit(limit)
        return self._samples(series, start_ns, end_ns, limit)

    def _samples(self, series: Series, start_ns: int, end_ns: int, limit: int | None = None) -> list[Sample]:
        """The first ``limit`` readings; rows that were deleted are none, and count for none."""
        self._check_open()
        samples: list[Sample] = []
        field = split_point(series.point)[1] if _is_legal(series) else ""
        while field and end_ns > max(start_ns, 0):
            asked = "" if limit is None else f" LIMIT {limit - len(samples)}"
            columns = f"{_quoted(field)}, {_quoted(field + QUALITY)}"
            (found,) = self._server.query(f"SELECT {columns} {_from(series, start_ns, end_ns)}{asked}")
            rows = [row for one in found for row in one["values"]]
            told = [sample_of(*row) for row in rows]
            samples += [sample for sample in told if sample is not None]
            if limit is None or len(rows) == 0 or len(samples) >= limit or all(told):
                break
            start_ns = int(rows[-1][0]) + 1
        return samples

    def buckets(self, series: Series, start_ns: int, end_ns: int, count: int) -> list[Bucket]:
        self._check_open()
        while True:
            kept = self._rollups.kept()
            slots = grid(start_ns, end_ns, count, kept)
            if not _is_legal(series) or end_ns <= max(start_ns, 0):
                return []
            stale = self._rollups.stale(series, start_ns, end_ns) if slots.level else []
            cut = sorted(pieces(slots.level, start_ns, end_ns, kept, stale), key=lambda piece: piece.start_ns)
            asked = [statements(series, piece, slots) for piece in cut if piece.end_ns > 0]
            answers = self._server.query(*(one for some in asked for one in some)) if asked else []
            chart = Chart(series, slots, self._samples)
            for piece, some in zip((piece for piece in cut if piece.end_ns > 0), asked, strict=True):
                told, answers = answers[: len(some)], answers[len(some) :]
                if has_emptied(piece, told):
                    told = self._server.query(*statements(series, piece, slots, emptied=True))
                chart.take(piece, told)
            if self._rollups.kept()[1:] == kept[1:]:  # else retention has dropped what was being read
                return chart.buckets()

    def kept(self) -> Kept:
        self._check_open()
        return self._rollups.kept()

    def maintain(self, now_ns: int, retention: Retention) -> bool:
        """On 1.x. On 2.x and 3.x nothing is rolled up and nothing dropped: that is the server's retention policy."""
        self._check_open()
        return self._rollups.maintain(now_ns, retention)

    def delete(self, series: Series, start_ns: int, end_ns: int) -> int:
        """The number of each reading is overwritten by 0 and its quality says that it is deleted: InfluxDB deletes whole assets only."""
        self._check_open()
        start_ns, end_ns = max(start_ns, 0), min(end_ns, MAX_TIME_NS + 1)
        if not _is_legal(series) or end_ns <= start_ns:
            return 0
        asset, field = split_point(series.point)
        with self._lock:
            samples = self._samples(series, start_ns, end_ns)
            lines = [
                f'{MEASUREMENT},asset={asset},node={series.node} {field}=0,{field}{VOID}=t,{field}{QUALITY}="{DELETED}" {sample.time_ns}\n'.encode()
                for sample in samples
            ]
            for chunk in _chunks(lines):
                self._server.write(b"".join(lines[chunk.start : chunk.stop]))
            self._rollups.empty(series, start_ns, end_ns)
        return len(samples)

    def scan(self, start_ns: int, end_ns: int, series: Sequence[Series] | None = None) -> Iterator[Any]:
        from gateway.store.scan import SLICE_ROWS, slices, table_of

        check_range(start_ns, end_ns)
        chosen = self.series() if series is None else list(series)

        def begin(low: int, high: int) -> int | None:
            return min((sample.time_ns for one in chosen for sample in self._samples(one, low, high, 1)), default=None)

        def fetch(low: int, high: int) -> Any | None:
            rows: list[tuple[Series, Sample]] = []
            for one in chosen:
                rows += [(one, sample) for sample in self._samples(one, low, high, SLICE_ROWS + 1)]
                if len(rows) > SLICE_ROWS and high - low > 1:
                    return None
            return table_of(rows)

        return slices(start_ns, end_ns, begin, fetch)

    def series(self) -> list[Series]:
        return sorted(self.latest())

    def _ask(self, statements: Sequence[str]) -> Iterator[dict[str, Any]]:
        for first in range(0, len(statements), _STATEMENTS):
            for found in self._server.query(*statements[first : first + _STATEMENTS]):
                yield from found

    # --- life

    def health(self) -> StoreHealth:
        name = "influxdb"
        try:
            self._check_open()
            name = f"influxdb {self._server.ping()}"
            self._server.query(PROBE)
        except StoreUnavailable as error:
            return StoreHealth(ok=False, name=name, detail=str(error))
        return StoreHealth(ok=True, name=name)

    def close(self) -> None:
        self._closed = True
        self._server.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._server.url}: the store is closed")


def _is_legal(series: Series) -> bool:
    """Only such series can have been stored, and only such names may stand in a query."""
    return bool(IDENTIFIER.fullmatch(series.node) and POINT.fullmatch(series.point))


def _quoted(field: str) -> str:
    return f'"{field}"'


def _from(series: Series, start_ns: int, end_ns: int) -> str:
    asset = split_point(series.point)[0]
    low, high = max(start_ns, 0), min(end_ns - 1, MAX_TIME_NS)
    return f"FROM {MEASUREMENT} WHERE node = '{series.node}' AND asset = '{asset}' AND time >= {low} AND time <= {high}"


def _spans(times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The ordered times as spans without long gaps: one very late frame must not make us read the days between."""
    first = 0
    for place in range(1, len(times) + 1):
        if place == len(times) or times[place] - times[place - 1] > _GAP_NS:
            yield times[first], times[place - 1]
            first = place


def _chunks(lines: Sequence[bytes]) -> Iterable[range]:
    """Runs of lines of about the size of one request."""
    first, size = 0, 0
    for place, line in enumerate(lines):
        size += len(line)
        if size >= _BODY_BYTES:
            yield range(first, place + 1)
            first, size = place + 1, 0
    if first < len(lines):
        yield range(first, len(lines))


def _secret(path: Path | None, key: str) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text("utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{key} {path}: cannot be read ({error}); it must hold the secret on its first line") from error
    if not text:
        raise ValueError(f"{key} {path}: is empty; it must hold the secret on its first line")
    return text
