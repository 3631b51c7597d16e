"""Charts over a large history, and a restart with it: through the API of a gateway that runs, on DuckDB and on InfluxDB.

    python -m benchmarks.charts [--values 100] [--charts 60] [--only duckdb|influx] [--keep FOLDER] [--json]

The history is ``--values`` million readings: a point at 1 Hz for a week and, before it, a year at one a minute; the rest is other points at 1 Hz
over the same week. A chart is at most 500 slots over a range that ends at a random moment. The peer, in the same run and over the same readings,
is the query that anyone would write: InfluxQL GROUP BY time over the readings, or SQL over DuckDB's view of readings. ``--keep`` leaves the
history there for the next run.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import click
import numpy as np

from benchmarks.table import report
from gateway.store import Retention, StoreFrame, TimeSeriesStore
from gateway.store.opening import open_store
from tests.rig.servers import Influx, Mosquitto
from tests.rig.site import SITE, Gateway

SECOND = 1_000_000_000
WEEK, YEAR = 7 * 86_400, 366 * 86_400
END_S = 1_763_870_400
NODE, POINT = "chart-1", "gas-1/co"
NODES = 4  # of the rest, each with a frame a second
LIMIT_WEEK_MS, LIMIT_YEAR_MS, LIMIT_RESTART_S = 60.0, 100.0, 3.0


def fill(store: TimeSeriesStore, millions: float) -> int:
    """Returns how many values it wrote."""
    generator = random.Random(7)
    walk = 20.0
    written = 0
    batch: list[StoreFrame] = []

    def put(frame: StoreFrame) -> None:
        nonlocal written
        batch.append(frame)
        written += len(frame.values)
        if len(batch) * len(frame.values) >= 50_000:
            store.write(batch)
            batch.clear()

    for at in [*range(END_S - YEAR, END_S - WEEK, 60), *range(END_S - WEEK, END_S)]:
        walk += generator.uniform(-0.5, 0.5)
        put(StoreFrame(NODE, at * SECOND, {POINT: round(walk, 2)}, {}))
    store.write(batch)
    batch.clear()
    rest = int(millions * 1e6) - written
    others = max(1, round(rest / WEEK / NODES))
    points = [f"machine-{place // 10}/signal-{place % 10}" for place in range(others)]
    for row in range(min(WEEK, rest // others // NODES)):
        for node in range(NODES):
            values = dict(zip(points, [(place * 7 + row * 13) % 1000 / 10 for place in range(others)], strict=True))
            put(StoreFrame(f"load-{node}", (END_S - WEEK + row) * SECOND, values, {}))
        if row % 60_000 == 0:
            print(f"{written / 1e6:.0f} M values", file=sys.stderr, flush=True)
    if batch:
        store.write(batch)
    while store.maintain(END_S * SECOND + 3600 * SECOND, Retention()):
        pass
    return written


def timed(ask: Callable[[int, int], int], span_s: int, charts: int) -> list[float]:
    """Milliseconds of each chart over ranges of this length; every one must show something."""
    generator = random.Random(3)
    found = []
    for _ in range(charts):
        end = END_S - generator.randrange(0, 3600)
        begun = time.perf_counter()
        slots = ask(end - span_s, end)
        found.append(1e3 * (time.perf_counter() - begun))
        assert slots > 100, f"only {slots} slots"
    return found


def by_api(gateway: Gateway) -> Callable[[int, int], int]:
    return lambda start, end: len(
        gateway.get("/api/v1/readings", node=NODE, point=POINT, start=start * 1000, end=end * 1000, buckets=500)["buckets"]
    )


def by_influxql(server: Influx) -> Callable[[int, int], int]:
    def ask(start: int, end: int) -> int:
        query = (
            f'SELECT min("co"), max("co"), mean("co") FROM readings WHERE node=\'{NODE}\' AND asset=\'gas-1\''  # noqa: S608 - ours
            f" AND time >= {start}s AND time < {end}s GROUP BY time({(end - start) // 500}s) fill(none)"
        )
        text = urllib.parse.urlencode({"db": "bench", "q": query})
        with urllib.request.urlopen(f"{server.url}/query?{text}", timeout=120) as answer:  # noqa: S310 - loopback
            return len(json.loads(answer.read())["results"][0]["series"][0]["values"])

    return ask


def by_sql(path: Path) -> Callable[[int, int], int]:
    import duckdb

    connection = duckdb.connect(str(path), read_only=True)

    def ask(start: int, end: int) -> int:
        width = (end - start) * SECOND // 500
        query = (
            "SELECT epoch_ns(time) // ? AS slot, min(value), max(value), avg(value) FROM reading"
            " WHERE node = ? AND point = ? AND epoch_ns(time) >= ? AND epoch_ns(time) < ? GROUP BY slot"
        )
        return len(connection.execute(query, [width, NODE, POINT, start * SECOND, end * SECOND]).fetchall())

    return ask


async def _first_ack(port: int) -> float:
    """When (monotonic) a message is acknowledged that is sent until it is."""
    boot = f"restart-{time.time_ns()}"
    data = {"boot": boot, "seq": 1, "sent": time.time_ns() // 10**6, "frames": [{"t": time.time_ns() // 10**6, "v": {"a/b": 1.0}}]}
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"muki/v1/{SITE}/restart-1/ack")

        async def send() -> None:
            while True:
                await client.publish(f"muki/v1/{SITE}/restart-1/data", json.dumps(data))
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        async for _ in client.messages:
            break
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return time.monotonic()


def rows_of(kind: str, folder: Path, millions: float, charts: int) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        server = stack.enter_context(Influx(folder / "server")) if kind == "influx" else None
        path = folder / "gateway" / "history.duckdb"
        path.parent.mkdir(parents=True, exist_ok=True)
        done = folder / f"{kind}-{millions:g}.done"
        settings: dict[str, Any] = (
            {"type": "influx", "url": server.url, "database": "bench"} if server else {"type": "duckdb", "path": str(path)}
        )
        if not done.exists():
            store = open_store(kind, {key: value for key, value in settings.items() if key != "type"})
            begun = time.monotonic()
            written = fill(store, millions)
            print(f"{kind}: {written / 1e6:.1f} M values in {time.monotonic() - begun:.0f} s", file=sys.stderr)
            store.close()
            done.touch()
        peer: dict[int, list[float]] = {}
        ask = by_influxql(server) if server else by_sql(path)
        for span in (WEEK, YEAR):
            peer[span] = timed(ask, span, max(5, charts // 6))
        del ask
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        begun = time.monotonic()
        gateway = stack.enter_context(Gateway(folder / "gateway", broker.port, settings, retention={"raw_days": None, "minute_days": None}))
        restart = asyncio.run(_first_ack(broker.port)) - begun
        gateway.wait_ready()
        time.sleep(3)
        for what, span, limit in (("7 days at 1 Hz", WEEK, LIMIT_WEEK_MS), ("a year", YEAR, LIMIT_YEAR_MS)):
            ours = timed(by_api(gateway), span, charts)
            p95 = float(np.percentile(ours, 95))
            yield {
                "what": f"{kind}: {what}",
                "p50 ms": float(np.median(ours)),
                "p95 ms": p95,
                "peer p50 ms": float(np.median(peer[span])),
                "peer ÷ ours": float(np.median(peer[span]) / np.median(ours)),
                "limit": limit,
                "within limit": "yes" if p95 <= limit else "NO",
            }
        yield {
            "what": f"{kind}: start to first acknowledged message, s",
            "p50 ms": 1e3 * restart,
            "limit": 1e3 * LIMIT_RESTART_S,
            "within limit": "yes" if restart <= LIMIT_RESTART_S else "NO",
        }


@click.command()
@click.option("--values", "millions", default=100.0, help="Million readings.")
@click.option("--charts", default=60, help="Charts of each kind.")
@click.option("--only", type=click.Choice(["duckdb", "influx"]), default=None)
@click.option("--keep", type=click.Path(path_type=Path), default=None, help="Where the history stays.")
@click.option("--json", "as_json", is_flag=True)
def main(millions: float, charts: int, only: str | None, keep: Path | None, as_json: bool) -> None:
    """Charts through the API over many readings, and the time of a restart."""
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        for kind in [only] if only else ["duckdb", "influx"]:
            folder = keep / kind if keep is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            found += rows_of(kind, folder, millions, charts)
    columns = list(dict.fromkeys(key for row in found for key in row))
    notes = [f"{millions:g} M readings stored; at most 500 slots a chart; the peer reads the readings themselves"]
    report("charts", [{key: row.get(key) for key in columns} for row in found], as_json=as_json, notes=notes)


if __name__ == "__main__":
    main()
