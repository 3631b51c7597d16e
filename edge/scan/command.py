"""`muki edge scan`: the command line of a scan. Only what stands in it is imported before it is called."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edge.scan.found import Finding
    from edge.scan.survey import Wishes

_T = TypeVar("_T")

LINE_TIMEOUT, TCP_TIMEOUT = 0.3, 1.0  # s; a gateway waits for its own line before it says that a unit is silent


@click.command()
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=3.0, show_default=True, help="How long to listen at each place.")
@click.option("--serial", "serial", multiple=True, metavar="PORT", help="Listen on this serial port too. Repeatable, as are those below.")
@click.option(
    "--can", "can", multiple=True, metavar="BUS", help="Listen on this CAN bus: can0, or INTERFACE:CHANNEL[@BITRATE] of python-can."
)
@click.option(
    "--modbus-rtu", "rtu", multiple=True, metavar="PORT[:BAUD]", help="Find Modbus units on a serial line. WRITES read requests on it."
)
@click.option(
    "--modbus-tcp", "tcp", multiple=True, metavar="WHERE", help="Find Modbus units at HOST, HOST:PORT, 192.168.1.0/28 or 192.168.1.10-20."
)
@click.option(
    "--camera", "cameras", multiple=True, metavar="WHERE", help="Find a stream on HOST, or try a whole rtsp:// or http:// address."
)
@click.option("--units", default="1-16", show_default=True, help="Which Modbus units to ask: 1-247, or 1,3,17-20.")
@click.option(
    "--baud",
    "bauds",
    multiple=True,
    type=click.IntRange(300, 4_000_000),
    help="Line speeds to try for Modbus RTU; 9600 and 19200 if not said.",
)
@click.option(
    "--parity", "parities", multiple=True, type=click.Choice(["N", "E", "O"]), help="Parities to try for Modbus RTU; N and E if not said."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.02, 10),
    help="Seconds for one answer of a Modbus unit; 0.3 on a serial line and 1 over TCP if not said.",
)
@click.option("--max-seconds", type=click.FloatRange(1, 3600), default=120.0, show_default=True, help="Seconds for one Modbus bus.")
@click.option("--only-asked", is_flag=True, help="Only the places named here; do not look around.")
@click.option("--write", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write a first configuration of what was found.")
@click.option("--force", is_flag=True, help="Overwrite FILE of --write.")
@click.option("--json", "as_json", is_flag=True, help="For machines; progress stays on standard error.")
def scan(*, file: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Finds what is attached to this machine: serial ports and what they say, CAN traffic, cameras; and Modbus units where it may ask.

    Without options it only listens: nothing is written to any port or bus. Exit status 1 when a place that was named gave nothing, or
    nothing could be written to FILE; 2 for a wrong option.
    """
    from edge.scan import survey

    wishes = _wishes(**options)
    if file is not None:
        _may_write(file, force)
    findings = asyncio.run(survey.survey(wishes, os.environ, lambda line: click.echo(line, err=True)))
    problem = _write(findings, file, force) if file is not None else None
    written = str(file) if file is not None and problem is None else None
    click.echo(survey.as_json(findings, written) if as_json else survey.told(findings))
    if problem is not None:
        click.echo(f"{file}: {problem}", err=True)
    elif file is not None:
        click.echo(f"written: {file}; fill in what it marks, then: muki edge check {file}", err=True)
    sys.exit(1 if problem is not None or any(finding.asked and not finding.found for finding in findings) else 0)


def _wishes(
    *,
    seconds: float,
    serial: tuple[str, ...],
    can: tuple[str, ...],
    rtu: tuple[str, ...],
    tcp: tuple[str, ...],
    cameras: tuple[str, ...],
    units: str,
    bauds: tuple[int, ...],
    parities: tuple[Any, ...],
    timeout: float | None,
    max_seconds: float,
    only_asked: bool,
) -> "Wishes":
    """Everything is checked before anything is opened."""
    from edge.scan.cameras import check_wish
    from edge.scan.can_buses import Bus
    from edge.scan.modbus_buses import Limits
    from edge.scan.modbus_wishes import MAX_HOSTS, rtu_wish, tcp_endpoints
    from edge.scan.modbus_wishes import units as unit_numbers
    from edge.scan.survey import Wishes

    if only_asked and not (serial or can or rtu or tcp or cameras):
        raise click.UsageError("--only-asked: name a place, for example --modbus-tcp 192.168.1.10")
    if (bauds or parities) and not rtu:
        raise click.UsageError("--baud and --parity belong to --modbus-rtu: name its port")
    for wish in cameras:
        if (problem := check_wish(wish, os.environ)) is not None:
            raise click.UsageError(f"--camera: {problem}")
    lines = [_checked("--modbus-rtu", lambda text: rtu_wish(text, bauds, parities), text) for text in rtu]
    lines = [line._replace(port=_port(line.port)) for line in lines]
    endpoints = [endpoint for text in tcp for endpoint in _checked("--modbus-tcp", tcp_endpoints, text)]
    if len(endpoints) > MAX_HOSTS:
        raise click.UsageError(f"--modbus-tcp: {len(endpoints)} hosts, {MAX_HOSTS} at most")
    numbers = _checked("--units", unit_numbers, units)
    if rtu and not any(unit <= 247 for unit in numbers):
        raise click.UsageError("--units: on a serial line units are numbered 1 to 247")
    buses = [_checked("--can", Bus.parse, text) for text in can]
    return Wishes(
        seconds,
        Limits(numbers, timeout or LINE_TIMEOUT, max_seconds),
        Limits(numbers, timeout or TCP_TIMEOUT, max_seconds),
        not only_asked,
        serial=tuple(dict.fromkeys(map(_port, serial))),
        can=tuple(dict.fromkeys(buses)),
        rtu=lines,
        tcp=tuple(dict.fromkeys(endpoints)),
        cameras=tuple(dict.fromkeys(cameras)),
    )


def _port(text: str) -> str:
    """The whole path of a port: the file that is written may lie in another folder. ``ttyUSB0`` stands for the device of that name."""
    device = Path("/dev") / text
    return str(device if "/" not in text and device.exists() else Path(text).absolute())


def _checked(option: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def _may_write(file: Path, force: bool) -> None:
    """Said before the scan, which takes time."""
    if file.exists() and not force:
        raise click.UsageError(f"--write: {file} exists, and is left as it is; choose another name, or --force")
    if not file.parent.is_dir():
        raise click.UsageError(f"--write: there is no folder {file.parent}")


def _write(findings: "list[Finding]", file: Path, force: bool) -> str | None:
    """Why the file could not be written, or None."""
    from contract.documents import DocumentError
    from edge.config import load
    from edge.scan.draft import draft

    try:
        text = draft(findings, file=str(file), hostname=socket.gethostname())
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
        load(file)
    except ValueError as error:
        if isinstance(error, DocumentError):
            return f"was written and is not correct, which is a fault of this command: {'; '.join(error.problems)}"
        return f"not written: {error}"
    except OSError as error:
        return f"not written: {error.strerror}"
    return None
