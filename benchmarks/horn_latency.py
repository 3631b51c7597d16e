"""From a register that crosses its limit to the coil of the horn: a real agent on Modbus TCP, with neither broker nor gateway.

    python -m benchmarks.horn_latency [--every 0.1 --every 0.5 --every 1] [--trials 100] [--json]

The register changes at any moment of the poll interval; the time ends when the relay module is told. Limit: one poll interval plus 100 ms,
kept by 99 % of the trials. Beside it, in the same run: the peer, which is the least that anyone could write (a loop of pymodbus that polls and sets
the coil itself), and the agent with its outbox locked by another process (a commit waits 10 s, then fails, as on a disk that stopped) and with
four accelerometers being analysed at 25.6 kHz.
"""

import asyncio
import contextlib
import json
import random
import sqlite3
import struct
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.table import report
from simulators.field.modbus_pdu import Bank, Unit
from simulators.field.modbus_slave import TcpSlave
from tests.rig.processes import Child, free_port, wait_for
from tests.rig.site import Node

ALLOWANCE = 0.1  # s beyond the poll interval
STUCK = 30.0  # s after which a horn that stayed silent ends the run
STREAMS = 4  # accelerometers
RATE = 25_600  # Hz of each
BLOCK = RATE // 10  # samples sent at a time
HEADER, MAGIC = struct.Struct("<IQQI"), 0x4B554D57

PEER = textwrap.dedent(
    """
    import sys, time
    from pymodbus.client import ModbusTcpClient
    (host, port), (relay_host, relay_port), every = sys.argv[1].split(":"), sys.argv[2].split(":"), float(sys.argv[3])
    gas, relay = ModbusTcpClient(host, port=int(port)), ModbusTcpClient(relay_host, port=int(relay_port))
    gas.connect(), relay.connect()
    shown, due = None, time.monotonic()
    while True:
        high = gas.read_input_registers(0, count=1, device_id=1).registers[0] > 25
        if high is not shown:
            relay.write_coil(0, high, device_id=1)
            shown = high
        due += every
        time.sleep(max(0.0, due - time.monotonic()))
    """
)


class Horn(Bank):
    """One coil that notes when it was told to change; steady s."""

    def __init__(self) -> None:
        super().__init__()
        self.sounding = False
        self.changed = 0.0
        self.told = asyncio.Event()
        super().put(0, 0)

    def put(self, address: int, *values: int) -> None:
        super().put(address, *values)
        if bool(values[0]) is not self.sounding:
            self.sounding, self.changed = bool(values[0]), time.monotonic()
            self.told.set()


class Site:
    """A gas head and a horn on two Modbus TCP modules, and the trials on them."""

    def __init__(self) -> None:
        self.head, self.board, self.horn = Unit(), Unit(), Horn()
        self.value = 0
        self.read_at = 0.0  # steady s at which the present value was first read
        self._was_read = asyncio.Event()
        self.head.input.compute(0, 1, self._read)
        self.board.coils = self.horn

    def _read(self) -> list[int]:
        self.read_at = self.read_at or time.monotonic()
        self._was_read.set()
        return [self.value]

    def set(self, value: int) -> float:
        self.value, self.read_at = value, 0.0
        self._was_read.clear()
        return time.monotonic()

    async def sounds(self, wanted: bool) -> None:
        async with asyncio.timeout(STUCK):
            while self.horn.sounding is not wanted:
                self.horn.told.clear()
                await self.horn.told.wait()

    async def read(self) -> None:
        async with asyncio.timeout(STUCK):
            await self._was_read.wait()

    async def trials(self, count: int, every: float) -> list[tuple[float, float]]:
        """(from the change, from the first read of it) to the horn, s."""
        samples = []
        self.set(0)
        await self.read()
        await self.sounds(False)
        for _ in range(count):
            await asyncio.sleep(random.uniform(0, every))
            changed = self.set(100)
            await self.sounds(True)
            samples.append((self.horn.changed - changed, self.horn.changed - self.read_at))
            self.set(0)
            await self.sounds(False)
        return samples


class Accelerometer:
    """A logger that streams noise, as docs/sources.md describes it."""

    def __init__(self) -> None:
        self._samples = np.random.default_rng(7).normal(0, 3000, BLOCK).astype("<i2").tobytes()

    async def serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = {"rate_hz": RATE, "channels": ["de"], "dtype": "int16", "scale": [0.001], "unit": ["g"]}
        first, due = 0, time.monotonic()
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(greeting).encode() + b"\n")
            while True:
                writer.write(HEADER.pack(MAGIC, first, time.time_ns(), BLOCK) + self._samples)
                await writer.drain()
                first, due = first + BLOCK, due + BLOCK / RATE
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.close()


def configuration(head: str, board: str, every: float, streams: list[str]) -> dict[str, Any]:
    gas = {"table": "input", "register": 0, "type": "uint16", "unit": "ppm", "range": [0, 500]}
    sources: list[dict[str, Any]] = [{"name": "head", "type": "modbus", "tcp": head, "every": every, "units": {1: {"heading-3/co": gas}}}]
    processing = []
    for index, address in enumerate(streams):
        point = f"fan-{index}/vibration/de"
        sources.append(
            {
                "name": f"fan-{index}",
                "type": "waveform",
                "tcp": address,
                "points": {"de": point},
                "snapshot": 1.0,
                "every": 1.0,
            }
        )
        bearing = {"balls": 9, "ball_mm": 7.94, "pitch_mm": 39.04}
        processing.append({"name": f"fan-{index}", "type": "vibration", "input": point, "rpm": 1480, "bearing": bearing})
    return {
        "sources": sources,
        "processing": processing,
        "alarms": [
            {
                "id": "co",
                "point": "heading-3/co",
                "condition": {"kind": "above", "limit": 25},
                "priority": "critical",
                "title": {"es": "CO alto", "en": "High CO"},
            }
        ],
        "outputs": [{"name": "horn", "type": "modbus-coil", "role": "horn", "tcp": board, "coil": 0}],
    }


@contextlib.asynccontextmanager
async def locked(outbox: Path) -> AsyncIterator[None]:
    """Nobody else can commit to the outbox within the block."""
    holder = sqlite3.connect(outbox, isolation_level=None, timeout=10, check_same_thread=False)
    await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


async def agent(folder: Path, every: float, count: int, *, lock: bool = False, busy: bool = False) -> list[tuple[float, float]]:
    """The trials on a fresh agent."""
    site = Site()
    async with AsyncExitStack() as stack:
        head = await stack.enter_async_context(TcpSlave({1: site.head}))
        board = await stack.enter_async_context(TcpSlave({1: site.board}))
        streams = []
        for _ in range(STREAMS if busy else 0):
            server = await asyncio.start_server(Accelerometer().serve, "127.0.0.1", 0)
            stack.callback(server.close)
            streams.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        node = stack.enter_context(Node(folder, "bench", free_port(), **configuration(head.address, board.address, every, streams)))
        try:
            await site.read()
            if busy:
                await asyncio.to_thread(wait_for, lambda: analysed(folder / "data" / "outbox.db"), describe="analysis", log=node)
            if lock:
                await stack.enter_async_context(locked(folder / "data" / "outbox.db"))
            return await site.trials(count, every)
        except TimeoutError:
            raise click.ClickException(f"the horn did not change for {STUCK:.0f} s:\n{node.tail()}") from None


def analysed(outbox: Path) -> bool:
    """Whether a waveform has been analysed: the processing is at work."""
    with contextlib.closing(sqlite3.connect(outbox, timeout=10)) as reader:
        return bool(reader.execute("SELECT 1 FROM message WHERE instr(payload, CAST('rms_velocity' AS BLOB)) LIMIT 1").fetchone())


async def peer(folder: Path, every: float, count: int) -> list[tuple[float, float]]:
    site = Site()
    async with TcpSlave({1: site.head}) as head, TcpSlave({1: site.board}) as board:
        with Child([sys.executable, "-c", PEER, head.address, board.address, str(every)], folder / "peer.log"):
            return await site.trials(count, every)


async def run(intervals: tuple[float, ...], count: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for every in intervals:
            folder = Path(name) / str(every)
            folder.mkdir()
            bare = await peer(folder, every, count)
            rows.append(row("bare loop (peer)", every, bare, bare))
            rows.append(row("agent", every, await agent(folder / "quiet", every, count), bare))
            rows.append(row("agent, outbox locked", every, await agent(folder / "locked", every, count, lock=True), bare))
            rows.append(row("agent, processing busy", every, await agent(folder / "busy", every, count, busy=True), bare))
    return rows


def row(what: str, every: float, samples: list[tuple[float, float]], bare: list[tuple[float, float]]) -> dict[str, Any]:
    whole, way = (np.array(column) for column in zip(*samples, strict=True))
    p50, p95, p99 = (float(np.percentile(whole, q)) for q in (50, 95, 99))
    limit = every + ALLOWANCE
    return {
        "what": what,
        "poll ms": 1e3 * every,
        "n": len(samples),
        "p50 ms": 1e3 * p50,
        "p95 ms": 1e3 * p95,
        "p99 ms": 1e3 * p99,
        "max ms": 1e3 * float(whole.max()),
        "limit ms": 1e3 * limit,
        "p99 within": "yes" if p99 <= limit else "NO",
        "read to horn p50 ms": 1e3 * float(np.median(way)),
        "p99 of it ms": 1e3 * float(np.percentile(way, 99)),
        "of it, ÷ peer": float(np.median(way)) / float(np.median([one for _, one in bare])),
    }


@click.command()
@click.option("--every", "intervals", multiple=True, type=float, default=(0.1, 0.5, 1.0), help="Poll interval, s; may be repeated.")
@click.option("--trials", default=100, help="Changes of the register in each row.")
@click.option("--json", "as_json", is_flag=True)
def main(intervals: tuple[float, ...], trials: int, as_json: bool) -> None:
    """Register to horn, in milliseconds."""
    rows = asyncio.run(run(intervals, trials))
    report(
        "horn latency", rows, as_json=as_json, notes=[f"limit: one poll interval + {1e3 * ALLOWANCE:.0f} ms at p99; no broker, no gateway"]
    )


if __name__ == "__main__":
    main()
