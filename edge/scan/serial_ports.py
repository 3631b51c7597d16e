"""Serial ports: which there are, who holds them, and what is heard on them. Listens only: not a byte is written."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge.errors import Retry
from edge.scan.found import Finding, Say, name_for
from edge.scan.holders import why_not
from edge.scan.line_guess import RECEIVER, SHOWN, Guess, guess, line_kinds
from edge.sources.line_link import SerialPort, open_serial
from edge.sources.nmea_sentences import OUTPUTS

SPEEDS = (9600, 4800, 115200, 19200, 38400, 57600, 2400)  # most frequent first: GNSS receivers, instruments, loggers
ENOUGH = 1500  # bytes that settle it at one speed
LEAST = 1.2  # s at one speed: most devices speak each second


class Port(NamedTuple):
    """A port, under the name that stays where there is one."""

    path: str
    device: str
    adapter: str = ""


def ports(by_id: Path = Path("/dev/serial/by-id")) -> list[Port]:
    """The serial ports with hardware behind them, as pyserial lists them."""
    from serial.tools.list_ports import comports

    stable = {os.path.realpath(link): str(link) for link in sorted(by_id.glob("*"))}
    found = []
    for each in sorted(comports(), key=lambda port: port.device):
        usb = f"{each.vid:04x}:{each.pid:04x} " if each.vid is not None and each.pid is not None else ""
        adapter = usb + (each.description if each.description not in (None, "n/a") else "")
        found.append(Port(stable.get(os.path.realpath(each.device), each.device), each.device, adapter.strip()))
    return found


def port_at(path: str) -> Port:
    """A port that somebody names."""
    return Port(path, os.path.realpath(path))


async def scan_ports(found: Sequence[Port], *, seconds: float, say: Say, asked: bool = False) -> list[Finding]:
    """What is heard on each port, all at once; up to ``seconds`` until the first byte, and as long at each line speed once there is one."""
    if found:
        say(f"serial: listening on {len(found)} port{'s' * (len(found) > 1)} for {seconds:g} s, longer where something speaks …")
    return list(await asyncio.gather(*(_port(each, seconds, asked) for each in found)))


async def _port(port: Port, seconds: float, asked: bool) -> Finding:
    base: dict[str, Any] = {"device": port.device, "adapter": port.adapter}
    says: tuple[str, ...] = (port.adapter,) if port.adapter else ()

    def trouble(why: str) -> Finding:
        return Finding(kind="serial", where=port.path, found=False, says=says, trouble=why, data=base, asked=asked)

    if (why := await asyncio.to_thread(why_not, Path(port.path))) is not None:
        return trouble(why)
    try:
        speed, heard, tried = await _listen(port.path, seconds)
    except Retry as error:
        return trouble(str(error).partition(": ")[2])
    base |= {"nature": heard.nature, "listened_at": tried}
    if heard.nature == "silence":
        quiet = f"silent for {seconds:g} s; a Modbus device speaks only when asked: muki edge scan --modbus-rtu {port.path}"
        return Finding(kind="serial", where=port.path, found=True, says=(*says, quiet), data=base, asked=asked)
    if not heard.certain:
        unknown = (
            f"bytes come that are no text at {', '.join(map(str, tried))} baud: another speed, a binary protocol, or the answers and "
            "requests of a bus with a master of its own"
        )
        return Finding(kind="serial", where=port.path, found=True, says=(*says, unknown), data=base, asked=asked)
    return _speaks(port, speed, heard, base=base, says=says, asked=asked)


async def _listen(path: str, seconds: float) -> tuple[int, Guess, list[int]]:
    """The line speed at which bytes make sense, what they are, and which speeds were tried."""
    tried: list[int] = []
    for speed in SPEEDS:
        data = await hear(path, speed, max(LEAST, seconds) if tried else seconds)
        tried.append(speed)
        heard = guess(data)
        if heard.certain or (speed == SPEEDS[0] and not data):
            return speed, heard, tried
    return 0, Guess("binary"), tried


async def hear(path: str, speed: int, seconds: float) -> bytes:
    """What comes on the port in that time, 8 data bits and no parity. Raises Retry where it cannot be opened."""
    data = bytearray()
    deadline = time.monotonic() + seconds
    async with open_serial(SerialPort(port=path, baudrate=speed, usb=None), Path("/")) as link:
        while len(data) < ENOUGH and (left := deadline - time.monotonic()) > 0:
            try:
                data += await asyncio.wait_for(link.read(), left)
            except TimeoutError:
                break
    return bytes(data)


def _speaks(port: Port, speed: int, heard: Guess, *, base: Mapping[str, Any], says: tuple[str, ...], asked: bool) -> Finding:
    line: dict[str, Any] = {"port": port.path, "baudrate": speed}
    if heard.parity != "N":
        line |= {"parity": heard.parity, "bytesize": 7}
    setting = f"{speed} baud, {'8N1' if heard.parity == 'N' else f'7{heard.parity}1'}"
    name = name_for("serial", port.device)
    data = {
        **base,
        "baudrate": speed,
        "parity": heard.parity,
        "sentences": heard.sentences,
        "units": heard.units,
        "lines": [each[:SHOWN] for each in heard.lines[:5]],
    }
    example = f"for example: {heard.lines[-1][:SHOWN]}" if heard.lines else ""
    if heard.nature == "nmea":
        known = ", ".join(heard.sentences)
        outputs = [output for output in OUTPUTS if output in _told_by(heard.sentences)]
        source: dict[str, Any] = {"name": name, "type": "nmea", "serial": line, "under": f"{name}/gnss", "outputs": outputs}
        says = (*says, f"a satellite receiver (NMEA 0183) at {setting}: {known}", example)
        fill_in: tuple[str, ...] = ("under: the machine that carries the receiver, for example truck-7/gnss",)
        return Finding(kind="serial", where=port.path, found=True, says=says, data=data, source=source, fill_in=fill_in, asked=asked)
    if heard.nature == "modbus":
        units = ", ".join(map(str, heard.units))
        master = f"Modbus RTU at {setting}: a master of another maker talks with unit {units}; Muki must not be a second one on these wires"
        return Finding(kind="serial", where=port.path, found=True, says=(*says, master), data=data, asked=asked)
    kinds = line_kinds(name, heard.lines)
    says = (*says, f"lines of text at {setting}{' with NMEA checksums' * heard.checksums}", example)
    if not kinds:
        return Finding(kind="serial", where=port.path, found=True, says=(*says, "they hold no number"), data=data, asked=asked)
    source = {"name": name, "type": "serial-line", "serial": line}
    if heard.checksums:
        source["checksum"] = {"kind": "xor", "after": "$", "before": "*"}
    source["lines"] = kinds
    shown = [f"heard: {each[:SHOWN]}" for each in dict.fromkeys(heard.lines[:3])]
    fill_in = (
        *shown,
        "each point: its name (asset/signal), unit, range and description, from the manual of the device; leave out what is no measurement",
    )
    return Finding(kind="serial", where=port.path, found=True, says=says, data=data, source=source, fill_in=fill_in, asked=asked)


def _told_by(sentences: Sequence[str]) -> set[str]:
    """Which outputs the sentences carry; a point that nothing tells would only ever be stale."""
    told: set[str] = set()
    for sentence in RECEIVER & set(sentences):
        told |= {
            "GGA": {"latitude", "longitude", "altitude", "satellites", "hdop", "fix", "fix_type"},
            "GNS": {"latitude", "longitude", "altitude", "satellites", "hdop", "fix"},
            "RMC": {"latitude", "longitude", "speed", "course", "fix", "fix_type", "clock_offset"},
            "VTG": {"speed", "course"},
            "ZDA": {"clock_offset"},
        }[sentence]
    return told
