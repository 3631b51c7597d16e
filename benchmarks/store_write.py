"""How fast the stores take readings, beside the obvious way, in the same run: wide frames of 100 values, one a second.

    python -m benchmarks.store_write [--json] [--frames N]

The obvious way for InfluxDB is `influxdb-client`'s Point, one field a line, posted to ``/write``; for DuckDB it is `executemany`. Every
contender gets the same batches, one after the other, and is stopped after some seconds. CPU seconds are this process's, without the server's.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import report
from gateway.store import Series, StoreFrame
from gateway.store.opening import open_store
from tests.rig.servers import Influx

SECOND = 1_000_000_000
T0 = 1_763_870_400 * SECOND
BATCH = 50  # frames, 5,000 values
LIMIT_S = 8.0
PEERS = {"duckdb": "duckdb executemany", "influx": "influx Point"}
POINTS = [f"pump-{place // 10}/vibration/de/signal-{place % 10}" for place in range(100)]


class Result(NamedTuple):
    """One contender: values a second of wall clock and of CPU."""

    name: str
    values: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.values / self.wall_s

    @property
    def cpu_rate(self) -> float:
        return self.values / max(self.cpu_s, 1e-9)


def batches(frames: int) -> Iterator[list[StoreFrame]]:
    """Frames as the decoder gives them: a fresh map each, values that differ."""
    for first in range(0, frames, BATCH):
        yield [
            StoreFrame(
                "node-1", T0 + at * SECOND, {point: (at * 31 + place * 7) % 1000 / 8 + 0.1 for place, point in enumerate(POINTS)}, {}
            )
            for at in range(first, min(first + BATCH, frames))
        ]


def measure(name: str, write: Callable[[Sequence[StoreFrame]], None], frames: int) -> Result:
    """Writes batches until all are written or the time is over. Making the frames is not counted."""
    values, wall, cpu = 0, 0.0, 0.0
    for batch in batches(frames):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        write(batch)
        wall += time.perf_counter() - begun
        cpu += time.process_time() - begun_cpu
        values += sum(len(frame.values) for frame in batch)
        if wall > LIMIT_S:
            break
    return Result(name, values, wall, cpu)


def obvious_influx(url: str) -> Callable[[Sequence[StoreFrame]], None]:
    """Point by point, one field a line; `/write`, because 1.6 has no `/api/v2/write`."""
    import urllib3
    from influxdb_client.client.write.point import Point

    new_point: Any = Point  # the client has no types here
    pool = urllib3.connection_from_url(url)
    pool.request("POST", "/query", fields={"q": "CREATE DATABASE obvious"}, encode_multipart=False)

    def write(frames: Sequence[StoreFrame]) -> None:
        lines = [
            new_point("readings").tag("node", frame.node).tag("point", point).field("value", value).time(frame.time_ns).to_line_protocol()
            for frame in frames
            for point, value in frame.values.items()
        ]
        answer = pool.request("POST", "/write?db=obvious", body="\n".join(lines).encode())
        assert answer.status == 204, answer.data

    return write


def obvious_duckdb(folder: Path) -> Callable[[Sequence[StoreFrame]], None]:
    """One row a reading with `executemany`, without the key that would make writing twice harmless: with it, it is slower still."""
    import duckdb

    connection = duckdb.connect(str(folder / "obvious.duckdb"), config={"memory_limit": "256MB", "threads": 2})
    connection.execute("CREATE TABLE reading (node VARCHAR, point VARCHAR, time BIGINT, value DOUBLE)")

    def write(frames: Sequence[StoreFrame]) -> None:
        rows = [(frame.node, point, frame.time_ns, value) for frame in frames for point, value in frame.values.items()]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    return write


class Reads(NamedTuple):
    """Milliseconds of the reads that an operator waits for, over what was written."""

    name: str
    chart_ms: float
    latest_ms: float


def run(frames: int) -> tuple[list[Result], list[Reads]]:
    results: list[Result] = []
    reads: list[Reads] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(open_store("duckdb", {"path": folder / "history.duckdb"})) as store:
            results.append(measure("duckdb", store.write, frames))
            reads.append(_read("duckdb", store))
        results.append(measure("duckdb executemany", obvious_duckdb(folder), frames))
        with Influx(folder / "influx") as server:
            with closing(open_store("influx", {"url": server.url})) as store:
                results.append(measure("influx", store.write, frames))
                reads.append(_read("influx", store))
            results.append(measure("influx Point", obvious_influx(server.url), frames))
    return results, reads


def _read(name: str, store: object) -> Reads:
    from gateway.store import TimeSeriesStore

    assert isinstance(store, TimeSeriesStore)
    begun = time.perf_counter()
    assert store.buckets(Series("node-1", POINTS[42]), T0, T0 + 7 * 86_400 * SECOND, 1000)
    chart = time.perf_counter() - begun
    begun = time.perf_counter()
    assert len(store.latest()) == len(POINTS)
    return Reads(name, chart * 1e3, (time.perf_counter() - begun) * 1e3)


def main() -> int:
    parser = argparse.ArgumentParser(description="values a second into the stores, beside the obvious way")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--frames", type=int, default=10_000, help="frames of 100 values (default 10,000: a million values)")
    arguments = parser.parse_args()
    results, reads = run(arguments.frames)
    rates = {result.name: result for result in results}
    report(
        "stores: values written in frames of 100",
        [
            {
                "store": result.name,
                "values": result.values,
                "values_per_s": result.rate,
                "cpu_s": result.cpu_s,
                "values_per_cpu_s": result.cpu_rate,
                "wall_ratio": result.rate / rates[PEERS.get(result.name, result.name)].rate,
                "cpu_ratio": result.cpu_rate / rates[PEERS.get(result.name, result.name)].cpu_rate,
            }
            for result in results
        ],
        as_json=arguments.json,
        notes=[
            "the ratios are to the obvious way to the same database; CPU seconds are this process's, without the server's",
            *(f"{one.name}: chart of 7 days {one.chart_ms:.1f} ms, latest of {len(POINTS)} series {one.latest_ms:.1f} ms" for one in reads),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
