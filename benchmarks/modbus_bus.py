"""Twenty units on one Modbus bus, none, one or ten of them dead: what rate the others keep.

    python -m benchmarks.modbus_bus [--seconds 20] [--every 0.5] [--timeout 0.3] [--json]

Buses are a serial line (a pseudo-terminal, so without the time that characters take on copper) and a TCP gateway. The peer, in the same
run on a bus of its own, is the loop that anyone writes first: pymodbus, one unit after the other, at the same period and with the same
timeout, without repetitions. Limit: with one unit dead each of the others keeps 90 % of its polls.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any

import click
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from benchmarks.table import report
from edge.sources import SourceContext
from edge.sources.modbus import ModbusSource
from edge.sources.modbus_settings import ModbusSettings
from simulators.field.modbus_pdu import FaultKind, Unit
from simulators.field.modbus_slave import RtuBus, TcpSlave

UNITS = 20
DEAD = (0, 1, 10)
LIMIT = 0.9


class Polls:
    """When each unit was read, in s since the start."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.at: dict[int, list[float]] = {number: [] for number in range(1, UNITS + 1)}

    def note(self, unit: int) -> None:
        self.at[unit].append(time.monotonic() - self.begun)

    def row(self, bus: str, who: str, dead: int, slots: int) -> dict[str, Any]:
        alive = [times for number, times in self.at.items() if number > dead]
        kept = [len(times) / slots for times in alive]
        gaps = [later - earlier for times in alive for earlier, later in itertools.pairwise(times)]
        return {
            "bus": bus,
            "who": who,
            "dead": dead,
            "polls kept, worst unit": min(kept),
            "median": statistics.median(kept),
            "longest gap s": max(gaps, default=float("inf")),
        }


async def _ours(where: dict[str, Any], every: float, patience: float, seconds: float) -> Polls:
    units = {n: {f"unit-{n}/x": {"table": "holding", "register": 0, "type": "uint16", "unit": "1"}} for n in range(1, UNITS + 1)}
    settings = ModbusSettings.model_validate(
        {"name": "bus", "type": "modbus", "units": units, "every": every, "timeout": patience, "backoff_max": 60, **where}
    )
    polls = Polls()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(ModbusSource(settings, SourceContext("n", Path())).items()) as items:  # type: ignore[type-var]
            async for batch in items:
                for unit in Counter(int(r.point.partition("/")[0].removeprefix("unit-")) for r in batch if r.quality.good):  # type: ignore[union-attr]
                    polls.note(unit)
    return polls


async def _naive(where: dict[str, Any], every: float, patience: float, seconds: float) -> Polls:
    if "rtu" in where:
        client: Any = AsyncModbusSerialClient(where["rtu"]["port"], baudrate=where["rtu"]["baudrate"], timeout=patience, retries=0)
    else:
        host, _, port = where["tcp"].partition(":")
        client = AsyncModbusTcpClient(host, port=int(port), timeout=patience, retries=0)
    await client.connect()
    client.set_max_no_responses(1 << 30)
    polls = Polls()
    due = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                for unit in range(1, UNITS + 1):
                    with suppress(ModbusException):
                        if not (await client.read_holding_registers(0, count=1, device_id=unit)).isError():
                            polls.note(unit)
                due = max(due + every, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
    client.close()
    return polls


async def _bus(stack: AsyncExitStack, kind: str, link: Path, dead: int) -> dict[str, Any]:
    units = {number: Unit() for number in range(1, UNITS + 1)}
    for number, unit in units.items():
        unit.holding.put(0, number)
        if number <= dead:
            unit.inject(FaultKind.DEAD)
    if kind == "rtu":
        await stack.enter_async_context(RtuBus(units, link=link))
        return {"rtu": {"port": str(link), "baudrate": 115200}}
    return {"tcp": (await stack.enter_async_context(TcpSlave(units))).address}


async def _run(every: float, patience: float, seconds: float) -> list[dict[str, Any]]:
    rows = []
    slots = max(1, round(seconds / every))
    for kind in ("rtu", "tcp"):
        for dead in DEAD:
            with tempfile.TemporaryDirectory() as folder:
                async with AsyncExitStack() as stack:
                    places = [await _bus(stack, kind, Path(folder) / who, dead) for who in ("muki", "loop")]
                    ours, naive = await asyncio.gather(
                        _ours(places[0], every, patience, seconds), _naive(places[1], every, patience, seconds)
                    )
            rows += [ours.row(kind, "muki", dead, slots), naive.row(kind, "loop", dead, slots)]
    return rows


@click.command(help=__doc__)
@click.option("--seconds", default=20.0, help="How long each bus is watched")
@click.option("--every", default=0.5, help="Seconds between polls")
@click.option("--timeout", default=0.3, help="Seconds that a unit has for its answer")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, every: float, timeout: float, as_json: bool) -> None:
    rows = asyncio.run(_run(every, timeout, seconds))
    notes = [f"Polls kept: of those that {seconds:g} s at every {every:g} s have room for. Timeout {timeout:g} s."]
    report("Modbus bus of 20 units", rows, as_json=as_json, notes=notes)
    for row in rows:
        if row["who"] == "muki" and row["dead"] == 1 and row["polls kept, worst unit"] < LIMIT:
            raise SystemExit(f"{row['bus']}: with one dead unit another kept {row['polls kept, worst unit']:.0%} of its polls")


if __name__ == "__main__":
    main()
