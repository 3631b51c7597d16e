"""One scan: what is asked for, done kind by kind, and told in words or as JSON."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from edge.scan import cameras, can_buses, modbus_buses, serial_ports
from edge.scan.can_buses import Bus
from edge.scan.found import Finding, Say
from edge.scan.modbus_buses import Limits
from edge.scan.modbus_wishes import RtuWish
from edge.sources.endpoint import Endpoint

CAMERA_TIMEOUT = 3.0  # s for one answer


class Wishes(NamedTuple):
    """``look_around`` is the scan without options; the others are places that somebody named. ``seconds`` to listen at each place."""

    seconds: float
    line_limits: Limits
    tcp_limits: Limits
    look_around: bool = True
    serial: Sequence[str] = ()
    can: Sequence[Bus] = ()
    rtu: Sequence[RtuWish] = ()
    tcp: Sequence[Endpoint] = ()
    cameras: Sequence[str] = ()


async def survey(wishes: Wishes, environment: Mapping[str, str], say: Say) -> list[Finding]:
    """Every finding: first what only listens, then what asks, so that nobody hears our own questions."""
    named = [serial_ports.port_at(path) for path in wishes.serial]
    # A port that will be asked for Modbus is not listened to before: it is opened once, at its own settings.
    busy = {serial_ports.port_at(path).device for path in [*wishes.serial, *(each.port for each in wishes.rtu)]}
    ports = [each for each in serial_ports.ports() if each.device not in busy] if wishes.look_around else []
    asked_buses = list(wishes.can)
    buses = [Bus("socketcan", name) for name in can_buses.interfaces()] if wishes.look_around else []
    buses = [each for each in buses if each not in asked_buses]
    heard = await asyncio.gather(
        serial_ports.scan_ports(ports, seconds=wishes.seconds, say=say),
        serial_ports.scan_ports(named, seconds=wishes.seconds, say=say, asked=True),
        can_buses.scan_buses(buses, seconds=wishes.seconds, say=say),
        can_buses.scan_buses(asked_buses, seconds=wishes.seconds, say=say, asked=True),
    )
    findings = [finding for part in heard for finding in part]
    if wishes.look_around:
        if not ports and not busy:
            findings.append(Finding(kind="serial", where="serial ports", found=False, trouble="none; is the USB adapter plugged in?"))
        if not buses and not asked_buses:
            findings.append(can_buses.nothing_here())
        findings += cameras.local_cameras() or [
            Finding(kind="camera", where="cameras", found=False, trouble="none on this machine; one on the network: --camera HOST")
        ]
    findings += await modbus_buses.scan_lines(wishes.rtu, wishes.line_limits, say)
    findings += await modbus_buses.scan_endpoints(wishes.tcp, wishes.tcp_limits, say)
    findings += await cameras.scan_hosts(wishes.cameras, environment, timeout=CAMERA_TIMEOUT, say=say)
    return findings


def told(findings: Sequence[Finding]) -> str:
    """A paragraph for each finding, of which the lines of trouble begin with a mark."""
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.kind:<8}{finding.where}")
        lines += [f"        {each}" for each in finding.says]
        lines += [f"      ! {finding.trouble}"] if finding.trouble is not None else []
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def as_json(findings: Sequence[Finding], written: str | None) -> str:
    """``{"findings": […], "written": FILE or null}``, on several lines."""
    whole = msgspec.json.encode({"findings": findings, "written": written})
    return msgspec.json.format(whole, indent=2).decode()
