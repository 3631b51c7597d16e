"""CAN interfaces, and the traffic on those that are up. Listens only: no frame is sent, and no interface is brought up."""

import asyncio
import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge.errors import EdgeError
from edge.scan.found import Finding, Say, name_for
from edge.sources.can_bus import listening
from edge.sources.can_j1939 import DM1, SPNS, TIRE, TIRE_LOCATION, Spn, decode_dm1, decode_spn, identify
from edge.sources.can_points import Frame
from edge.sources.can_settings import CanSettings
from edge.sources.can_transport import TP_CONTROL, TP_DATA

ARPHRD_CAN = "280"  # linux/if_arp.h
NET = Path("/sys/class/net")
SHOWN = 12  # messages that are listed for people; --json has all
MAX_MESSAGES = 2000  # distinct ones that are kept: a bus in order has some hundred
_NAMES = {DM1: "active trouble codes (DM1)", TP_CONTROL: "transport protocol", TP_DATA: "transport protocol, data"}


class Bus(NamedTuple):
    """An interface of python-can and its channel; for `socketcan` the network interface, whose ``bitrate`` is set by `ip link`."""

    interface: str
    channel: str
    bitrate: int | None = None

    def __str__(self) -> str:
        return self.channel if self.interface == "socketcan" else f"{self.interface}:{self.channel}"

    @classmethod
    def parse(cls, text: str) -> "Bus":
        """``can0``, or ``INTERFACE:CHANNEL[@BITRATE]`` of python-can, such as ``slcan:/dev/ttyACM0@250000``. Raises ValueError."""
        interface, colon, rest = text.partition(":")
        channel, at, bitrate = rest.rpartition("@") if "@" in rest else (rest, "", "")
        if not colon:
            interface, channel = "socketcan", text
        if interface == "socketcan" and not re.fullmatch(r"[^\s/@]{1,15}", channel):
            raise ValueError(f"{text!r}: write the name of a network interface, for example can0, or INTERFACE:CHANNEL of python-can")
        if not interface or not channel or (at and not (bitrate.isdecimal() and 5_000 <= int(bitrate) <= 1_000_000)):
            raise ValueError(f"{text!r}: write INTERFACE:CHANNEL@BITRATE, for example slcan:/dev/ttyACM0@250000")
        return cls(interface, channel, int(bitrate) if at else None)

    def settings(self) -> dict[str, Any]:
        """The keys of the bus in a configuration. An slcan adapter is told not even to acknowledge what it hears."""
        more: dict[str, Any] = {"options": {"listen_only": True}} if self.interface == "slcan" else {}
        more |= {"bitrate": self.bitrate} if self.bitrate is not None else {}
        return {"type": "can", "interface": self.interface, "channel": self.channel, **more}


class Traffic:
    """What was heard, message by message. Pure."""

    def __init__(self) -> None:
        self.frames = 0
        self.counts: Counter[tuple[bool, int]] = Counter()
        self.last: dict[tuple[bool, int], bytes] = {}
        self.other = 0

    def accept(self, frame: Frame) -> None:
        self.frames += 1
        key = frame.extended, frame.arbitration_id
        if key not in self.counts and len(self.counts) >= MAX_MESSAGES:
            self.other += 1
            return
        self.counts[key] += 1
        self.last[key] = frame.data

    @property
    def j1939(self) -> bool:
        """Whether a message is one that the table of J1939 knows; extended identifiers alone prove nothing."""
        return any(extended and named(identify(ident).pgn) for extended, ident in self.counts)


def named(pgn: int) -> str:
    """What a PGN carries, as far as Muki's table of J1939 knows it; empty where it does not."""
    return _NAMES.get(pgn) or ", ".join(spn.en.lower() for spn in SPNS.values() if spn.pgn == pgn)


def interfaces(net: Path = NET) -> list[str]:
    """The CAN network interfaces, up or down."""
    return sorted(each.name for each in net.glob("*") if _content(each / "type") == ARPHRD_CAN)


def nothing_here(kernel: Path = Path("/proc/net/can")) -> Finding:
    """Why there may be no interface."""
    if kernel.exists():
        why = "no CAN interface; is the adapter plugged in? A board on SPI (MCP2515) needs its overlay in config.txt"
    else:
        why = "no CAN interface, and this kernel has no CAN loaded: plug the adapter in, or load it with: modprobe can_raw"
    return Finding(kind="can", where="CAN", found=False, trouble=why)


async def scan_buses(buses: Sequence[Bus], *, seconds: float, say: Say, asked: bool = False) -> list[Finding]:
    """What is heard on each bus within ``seconds``."""
    if buses:
        say(f"CAN: listening on {', '.join(map(str, buses))} for {seconds:g} s …")
    return list(await asyncio.gather(*(_bus(each, seconds, asked) for each in buses)))


async def _bus(bus: Bus, seconds: float, asked: bool) -> Finding:
    link = await _link(bus.channel) if bus.interface == "socketcan" else {}
    base: dict[str, Any] = {"interface": bus.interface, "channel": bus.channel, **link}
    settings = CanSettings.model_validate({"name": "scan", **bus.settings(), "points": {"scan/any": {"spn": 190}}})
    traffic = Traffic()
    try:
        async with listening(settings, [], traffic.accept) as listener:
            await asyncio.wait([listener.failure], timeout=seconds)
            errors = listener.error_frames
            if listener.failure.done():
                raise listener.failure.result()
    except EdgeError as error:
        why = str(error).partition(": ")[2] or str(error)
        if "type can bitrate" in why:
            why += " listen-only on  (250000 or 500000 on most machines; listen-only does not disturb the bus when it is wrong)"
        return Finding(kind="can", where=str(bus), found=False, trouble=why, data=base, asked=asked)
    return _heard(bus, traffic, seconds, errors=errors, base=base, asked=asked)


def _heard(bus: Bus, traffic: Traffic, seconds: float, *, errors: int, base: Mapping[str, Any], asked: bool) -> Finding:
    says = []
    if base.get("bitrate"):
        says.append(f"{base['bitrate']} bit/s, {base.get('state', 'state unknown')}{', listen-only' * bool(base.get('listen_only'))}")
    if errors:
        says.append(f"{errors} error frames: check the bit rate, CAN-H and CAN-L, and the two 120 ohm resistors")
    data = {**base, "frames": traffic.frames, "error_frames": errors, "j1939": traffic.j1939, "messages": messages(traffic, seconds)}
    if not traffic.frames:
        says.append(f"silent for {seconds:g} s; is the ignition on, and the bit rate right (250000 or 500000 on most machines)?")
        return Finding(kind="can", where=str(bus), found=True, says=tuple(says), data=data, asked=asked)
    kind = "J1939" if traffic.j1939 else "not J1939 as far as Muki's table goes: its maker's DBC file tells the signals"
    says.append(f"{traffic.frames} frames of {len(traffic.counts)} messages in {seconds:g} s; {kind}")
    says += [_line(each) for each in data["messages"][:SHOWN]]
    if len(data["messages"]) > SHOWN:
        says.append(f"and {len(data['messages']) - SHOWN} more: --json lists them all")
    name = name_for("can", bus.channel)
    points = drafted(name, traffic) if traffic.j1939 else {}
    source: dict[str, Any] | None = None
    if points:
        source = {"name": name, **bus.settings()}
        source |= {"bitrate": base["bitrate"]} if base.get("bitrate") else {}
        source["points"] = points
    fill_in = (
        "each point: its name (asset/signal); check its value against the instrument of the machine, makers differ",
        "signals that J1939 does not name: dbc, message, signal and unit, from the maker's DBC file",
    )
    return Finding(kind="can", where=str(bus), found=True, says=tuple(says), data=data, source=source, fill_in=fill_in, asked=asked)


def messages(traffic: Traffic, seconds: float) -> list[dict[str, Any]]:
    """Each message once, the most frequent first."""
    found = []
    for (extended, ident), count in traffic.counts.most_common():
        entry: dict[str, Any] = {"id": f"{ident:08X}" if extended else f"{ident:03X}", "per_second": round(count / seconds, 2)}
        entry["last"] = traffic.last[extended, ident].hex()
        if extended and traffic.j1939:
            parts = identify(ident)
            entry |= {"pgn": parts.pgn, "source_address": parts.source, "carries": named(parts.pgn)}
        found.append(entry)
    return found


def _line(message: Mapping[str, Any]) -> str:
    rate = f"{message['per_second']:g}/s"
    if "pgn" not in message:
        return f"id {message['id']}  {rate}  last {message['last'] or 'empty'}"
    return f"id {message['id']}  {rate}  PGN {message['pgn']} from address {message['source_address']}  {message['carries']}".rstrip()


def drafted(name: str, traffic: Traffic) -> dict[str, dict[str, Any]]:
    """A point for each J1939 parameter that was heard with a value, and for the trouble codes of each controller that tells them."""
    points: dict[str, dict[str, Any]] = {}
    for (extended, ident), data in sorted(traffic.last.items()):
        if not extended:
            continue
        parts = identify(ident)
        under = f"{name}/address-{parts.source}"
        if parts.source > 253:  # no controller has these
            continue
        for spn in SPNS.values():
            if spn.pgn != parts.pgn or decode_spn(spn, data)[0] is None:
                continue
            location = {"location": data[TIRE_LOCATION]} if spn.pgn == TIRE else {}
            if location.get("location") == 255:  # SPN 929 not available: it is no tire
                continue
            points[_point(under, spn, location)] = {"spn": spn.number, **location, "source_address": parts.source}
        if parts.pgn == DM1 and decode_dm1(data) is not None:
            points[f"{under}/codes/count"] = {"dm1": "count", "source_address": parts.source}
            points[f"{under}/codes/red_stop"] = {"dm1": "red_stop", "source_address": parts.source}
    return points


def _point(under: str, spn: Spn, location: Mapping[str, int]) -> str:
    words = spn.en.lower().replace(" ", "_")[:32]
    return f"{under}/{words}" + (f"/{location['location']}" if location else "")


async def _link(channel: str) -> dict[str, Any]:
    """What `ip` tells of the interface: bit rate, state, listen-only; nothing where there is no such program."""
    program = shutil.which("ip")
    if program is None or channel not in interfaces():
        return {}
    process = await asyncio.create_subprocess_exec(
        program, "-json", "-details", "link", "show", "dev", channel, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    with contextlib.suppress(ValueError, LookupError, TypeError, TimeoutError):
        async with asyncio.timeout(5):
            output, _ = await process.communicate()
        return link_facts(json.loads(output)[0]["linkinfo"]["info_data"])
    return {}


def link_facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """Of the JSON of iproute2: ``bitrate`` in bit/s, ``state``, ``listen_only``, as far as they are there."""
    facts: dict[str, Any] = {}
    if isinstance(bitrate := info.get("bittiming", {}).get("bitrate"), int) and 5_000 <= bitrate <= 1_000_000:
        facts["bitrate"] = bitrate
    if isinstance(info.get("state"), str):
        facts["state"] = info["state"]
    facts["listen_only"] = "LISTEN-ONLY" in info.get("ctrlmode", [])
    return facts


def _content(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
