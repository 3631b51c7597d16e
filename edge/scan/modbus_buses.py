"""Modbus: the units on a serial line or behind TCP ports. Asks with reads only, within a limit of time, and never where another master speaks."""

import asyncio
import contextlib
import logging
import os
import termios
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge.errors import Retry
from edge.modbus_client import TCP_PORT, modbus_client
from edge.scan.found import Finding, Say, name_for
from edge.scan.holders import why_not
from edge.scan.modbus_unit import Asker, Unit, explore, floats, there
from edge.scan.modbus_wishes import LineTry, RtuWish
from edge.sources.endpoint import Endpoint
from edge.sources.line_link import SerialPort, open_serial
from edge.sources.modbus_settings import SerialLine

if TYPE_CHECKING:
    from edge.modbus_client import Client

AT_ONCE = 32  # TCP hosts asked together; a unit is asked one question at a time
LISTEN = 0.6  # s before the first request: a master polls its bus once a second or more often, mostly
MAX_POINTS = 16  # of a unit in a first configuration: a person goes through them
IGNORES_UNIT = 4  # units in a row that answer over TCP: most likely one device that does not look at the number


class Limits(NamedTuple):
    """``timeout`` for each answer and ``seconds`` for each bus; ``units`` are asked in this order."""

    units: Sequence[int]
    timeout: float
    seconds: float


class _Search(NamedTuple):
    """Units found on a bus; ``unasked`` says where the time was over."""

    units: tuple[Unit, ...]
    requests: int
    unasked: str = ""


async def scan_lines(wishes: Sequence[RtuWish], limits: Limits, say: Say) -> list[Finding]:
    """The units on each serial line, one line after the other."""
    return [await _line(wish, limits, say) for wish in wishes]


async def scan_endpoints(endpoints: Sequence[Endpoint], limits: Limits, say: Say) -> list[Finding]:
    """The units behind each TCP port. Of several hosts those that do not answer are told in one finding."""
    if not endpoints:
        return []
    say(f"Modbus TCP: {len(endpoints)} host{'s' * (len(endpoints) > 1)}, reading only, {limits.timeout:g} s for each answer …")
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(endpoint: Endpoint) -> Finding:
        async with turn:
            return await _endpoint(endpoint, limits)

    found = await asyncio.gather(*(one(each) for each in endpoints))
    silent = [each for each in found if not each.found]
    if len(endpoints) < 4 or not silent:
        return list(found)
    reasons = dict.fromkeys(str(each.trouble).partition("; ")[0] for each in silent)
    span = f"{silent[0].where} to {silent[-1].where}"
    told = Finding(
        kind="modbus",
        where=f"{len(silent)} other hosts, {span}",
        found=False,
        trouble=", ".join(list(reasons)[:3]),
        data={"hosts": [each.where for each in silent]},
    )
    return [*(each for each in found if each.found), told]


async def _line(wish: RtuWish, limits: Limits, say: Say) -> Finding:
    numbers = [unit for unit in limits.units if unit <= 247]

    def trouble(why: str) -> Finding:
        return Finding(kind="modbus", where=wish.port, found=False, trouble=why, asked=True)

    if (why := await asyncio.to_thread(why_not, Path(wish.port))) is not None:
        return trouble(why)
    try:
        heard = await _hear(wish)
    except Retry as error:
        return trouble(str(error).partition(": ")[2])
    if heard:
        return trouble(
            f"{heard} bytes came before anything was asked: another master, or a device that speaks by itself, is on this line; "
            "nothing was written, because two masters disturb each other"
        )
    worst = len(wish.tries) * len(numbers) * (limits.timeout + 0.01)
    say(
        f"Modbus RTU: WRITES read requests (function 3) on {wish.port}: units {_spans(numbers)} at {_ways(wish)}; "
        f"{min(worst, limits.seconds):.0f} s at most until a unit is found, then some 70 short reads of each. Ctrl-C stops it."
    )
    return await _ask_line(wish, numbers, limits, say)


async def _ask_line(wish: RtuWish, numbers: Sequence[int], limits: Limits, say: Say) -> Finding:
    """Each setting in turn, until units answer: a bus has one."""
    deadline = time.monotonic() + limits.seconds
    asked = 0
    failed: list[str] = []

    def trouble(why: str) -> Finding:
        return Finding(kind="modbus", where=wish.port, found=False, trouble=why, data={"requests": asked}, asked=True)

    for way in wish.tries:
        line = SerialLine(port=wish.port, baudrate=way.baudrate, parity=way.parity)
        try:
            async with _client(None, line, limits.timeout) as client:
                found = await _search(Asker(client, line.silence), numbers, deadline, f"{wish.port} at {way}", say)
        except Retry as error:  # some adapters and drivers know no parity: the other settings are still worth trying
            failed.append(f"{way}: {error}")
            continue
        asked += found.requests
        if found.units:
            return _units_on(wish.port, None, way, found)
        if found.unasked:
            return trouble(f"no unit answered; {found.unasked}")
    return trouble(
        "; ".join([f"no unit of {_spans(numbers)} answered at {_ways(wish)}", *failed])
        + "; check power, the wires A and B, and the numbers and line settings in the manual: "
        "--units, --baud, --parity"
    )


async def _hear(wish: RtuWish) -> int:
    """How many bytes come by themselves. Raises Retry where the port does not open."""
    heard = 0
    async with open_serial(SerialPort(port=wish.port, baudrate=wish.tries[0].baudrate, usb=None), Path("/")) as link:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN):
                while True:
                    heard += len(await link.read())
    return heard


async def _endpoint(endpoint: Endpoint, limits: Limits) -> Finding:
    where = str(endpoint if endpoint.port else Endpoint(endpoint.host, TCP_PORT))

    def trouble(why: str) -> Finding:
        return Finding(kind="modbus", where=where, found=False, trouble=why, asked=True)

    try:  # pymodbus keeps the reason of a failed connection to itself
        async with asyncio.timeout(limits.timeout):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port or TCP_PORT)
    except TimeoutError:
        return trouble(f"no answer within {limits.timeout:g} s; is it on, and the address right?")
    except OSError as error:
        return trouble(f"{os.strerror(error.errno) if error.errno else error}; is it on, and the port right?")
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    try:
        async with _client(endpoint, None, limits.timeout) as client:
            found = await _search(Asker(client), limits.units, time.monotonic() + limits.seconds, where, None)
    except Retry as error:
        return trouble(str(error))
    if found.units:
        return _units_on(where, endpoint, None, found)
    return trouble(f"the port is open, and no unit of {_spans(limits.units)} answers; {found.unasked or 'does it speak Modbus? --units'}")


async def _search(asker: Asker, numbers: Sequence[int], deadline: float, where: str, say: Say | None) -> _Search:
    """Which units are there, then what each has; ends with what there is when the time is over."""
    present: list[int] = []
    unasked = ""
    for index, number in enumerate(numbers):
        if time.monotonic() > deadline:
            unasked = f"the time was over before unit {number}: --max-seconds"
            break
        if say is not None and index % 16 == 0:
            say(f"  {where}: units {number} to {numbers[min(index + 15, len(numbers) - 1)]} …")
        if not asker.connected:
            raise Retry(f"the connection was lost at unit {number}")
        if there(await asker.read(number, "holding", 0, 1)):
            present.append(number)
            if say is None and present == list(numbers[:IGNORES_UNIT]):
                break
    if say is None and len(present) == IGNORES_UNIT:
        unasked = (
            f"units {_spans(present)} all answer: one device that does not look at the number, most likely; unit {present[0]} is taken"
        )
        present = present[:1]
    units = []
    for number in present:
        late = time.monotonic() > deadline
        units.append(Unit(number) if late else await explore(asker, number))
        unasked = f"the time was over before unit {number} was read: --max-seconds" if late else unasked
    return _Search(tuple(units), asker.requests, unasked)


@contextlib.asynccontextmanager
async def _client(tcp: Endpoint | None, rtu: SerialLine | None, limit: float) -> AsyncIterator["Client"]:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it reports each silent unit as an error; here that is the question
    client = modbus_client(tcp, rtu, timeout=limit, folder=Path("/"))
    try:
        try:
            connected = await client.connect()
        except termios.error:  # is no OSError
            connected = False
        if not connected:
            raise Retry("the port does not take it" if rtu else "did not accept the connection a second time")
        await asyncio.sleep(0)  # a serial transport attaches itself to the loop one step later
        yield client
    finally:
        transport = client.ctx.transport
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
        await asyncio.sleep(0)


def _units_on(where: str, endpoint: Endpoint | None, way: LineTry | None, found: _Search) -> Finding:
    place = where if endpoint is None else str(endpoint)
    name = name_for("modbus", str(Path(where).resolve()) if endpoint is None else place)
    says = [f"{len(found.units)} unit{'s' * (len(found.units) > 1)}{f' at {way}' if way else ''}, {found.requests} reads"]
    fill_in: list[str] = []
    points: dict[int, dict[str, Any]] = {}
    for unit in found.units:
        who = ", ".join(unit.identity) or "does not say who made it"
        what = "; ".join(map(str, unit.blocks)) or "no register of the usual addresses answers: its manual has them"
        says.append(f"unit {unit.number}: {who}; {what}")
        more = sum(block.size for block in unit.blocks) > MAX_POINTS
        fill_in.append(f"unit {unit.number}: {who}; answers at {what}{f' (the first {MAX_POINTS} are below)' * more}")
        for block in unit.blocks:
            if (guess := floats(block)) is not None:
                order, numbers = guess
                shown = ", ".join(f"{number:.5g}" for number in numbers[:4])
                fill_in.append(f"unit {unit.number}: {block} look like float32, word_order {order}, two registers each: {shown}")
        if drafted := _points(name, unit):
            points[unit.number] = drafted
    if found.unasked:
        says.append(found.unasked)
    fill_in.append(
        "each point: its name (asset/signal), type, unit, scale, range and description, from the manual; leave out what is no measurement"
    )
    source: dict[str, Any] | None = None
    if points:
        bus: dict[str, Any] = {"tcp": place}
        if way is not None:
            bus = {"rtu": {"port": where, "baudrate": way.baudrate, "parity": way.parity}}
        source = {"name": name, "type": "modbus", **bus, "units": points}
    data: Mapping[str, Any] = {
        "line": str(way) if way else None,
        "requests": found.requests,
        "units": [
            {"unit": unit.number, "identity": unit.identity, "blocks": [each._asdict() for each in unit.blocks]} for unit in found.units
        ],
    }
    return Finding(kind="modbus", where=where, found=True, says=tuple(says), data=data, source=source, fill_in=tuple(fill_in), asked=True)


def _points(name: str, unit: Unit) -> dict[str, Any]:
    """A point for each of the first registers and bits that answer, as plain numbers without unit."""
    points: dict[str, Any] = {}
    for block in unit.blocks:
        for address in range(block.address, block.address + block.size):
            if len(points) >= MAX_POINTS:
                return points
            bit = block.table in ("coil", "discrete")
            kind = {} if bit else {"type": "uint16", "unit": "1"}
            points[f"{name}/unit-{unit.number}/{block.table}-{address}"] = {"table": block.table, "register": address, **kind}
    return points


def _ways(wish: RtuWish) -> str:
    return ", ".join(map(str, wish.tries))


def _spans(numbers: Sequence[int]) -> str:
    """1-16, 20."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in spans)
