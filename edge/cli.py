"""`muki edge`: find what is attached, check a node's configuration, run the node, or read every source once."""

import asyncio
import datetime
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from contract.documents import DocumentError
from contract.log_lines import FORMS, formatter
from edge.config import NodeConfig, load
from edge.errors import EdgeError
from edge.once import read_once, table
from edge.output_trial import trials
from edge.outputs import ConfiguredOutput
from edge.scan.command import scan
from rules.words import describe

log = logging.getLogger("muki.edge")

STOP_WITHIN = 2.9  # s from the signal to the end
_CONFIGURATION = click.Path(dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """The agent on the device."""


main.add_command(scan)


@main.command()
@click.argument("file", type=_CONFIGURATION)
def check(file: Path) -> None:
    """Checks a configuration without starting anything. Exit status 2 and a line for each problem."""
    config = _load(file)
    click.echo(f"{file}: node {config.node} of site {config.site}: {len(config.points)} points, {len(config.alarms)} alarms")
    for name, point in sorted(config.points.items()):
        span = f"{point.range[0]:g} to {point.range[1]:g} " if point.range else ""
        click.echo(f"  point  {name}  {point.kind}  {span}{point.unit}")
    for alarm in config.alarms:
        click.echo(f"  alarm  {alarm.id}  {alarm.priority}  {alarm.point} {describe(alarm)}")
    for pack in config.packs:
        bound = ", ".join(f"{signal} → {point}" for signal, point in pack.bind.items())
        click.echo(f"  pack  {pack.reference}  {bound}" + (f"  (not bound: {', '.join(pack.unbound)})" if pack.unbound else ""))
        for change in pack.changes:
            click.echo(f"  override  {change}")
    for entry in config.outputs:
        drivers = ", ".join(alarm.id for alarm in config.alarms if entry.settings.drives.takes(alarm))
        click.echo(f"  output  {entry.settings.name}  {entry.settings.role}  {entry.settings.type}  driven by {drivers}")


@main.command()
@click.argument("file", type=_CONFIGURATION)
@click.option("--once", is_flag=True, help="Read every source once, print what it says, and end. Nothing is stored or sent.")
@click.option("--verbose", is_flag=True, help="Every retry in the log, not only what is news.")
@click.option("--log", "form", type=click.Choice(FORMS), default="text", envvar="MUKI_LOG", help="json: one object a line.")
def run(file: Path, once: bool, verbose: bool, form: str) -> None:
    """Runs the node until SIGTERM or SIGINT."""
    _log_to_stderr(form, verbose=verbose)
    config = _load(file)
    if once:
        rows = asyncio.run(read_once(config))
        click.echo(table(rows))
        _leave(0 if all(row.good for row in rows) else 1)
    with asyncio.Runner() as runner:
        # A name look-up or a connection attempt in a thread cannot be cancelled and would hold the exit back for many seconds: everything is
        # on disk and said by now, so the process leaves without waiting for it.
        _leave(runner.run(_run(config)))


@main.command("test-outputs")
@click.argument("file", type=_CONFIGURATION)
@click.option("--only", metavar="NAME", help="This output alone.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="How long each is driven.")
def test_outputs(file: Path, only: str | None, seconds: float) -> None:
    """Sounds each horn, beacon and relay once and says what came of it. Exit status 1 when one failed.

    A pin can be tried only while the agent is stopped.
    """
    config = _load(file)
    outputs = [entry for entry in config.outputs if only in (None, entry.settings.name)]
    if not outputs:
        known = ", ".join(entry.settings.name for entry in config.outputs) or "none"
        click.echo(f"{file}: there is no output {only or 'to test'}; configured: {known}", err=True)
        sys.exit(2)
    _leave(asyncio.run(_try(outputs, seconds)))


@main.command()
@click.argument("file", type=_CONFIGURATION)
@click.argument("point")
@click.option("--bump", is_flag=True, help="It was a bump test, not a calibration.")
@click.option("--by", metavar="NAME", help="Who did it; the user of this machine if not said.")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day it was done; today (UTC) if not said.")
def calibrated(file: Path, point: str, bump: bool, by: str | None, day: datetime.datetime | None) -> None:
    """Records that the sensor of POINT was calibrated, or bump tested. An agent that runs takes note within 10 s.

    The record is added to calibrations.jsonl in the node's folder; the configuration stays as it is.
    """
    from edge.calibrations import CalibrationError, recorded

    try:
        click.echo(recorded(_load(file), point, bump=bump, by=by, day=day.date() if day else None, now=datetime.datetime.now(datetime.UTC)))
    except CalibrationError as error:
        click.echo(f"{file}: {error}", err=True)
        sys.exit(2)
    except EdgeError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


async def _try(outputs: Sequence[ConfiguredOutput], seconds: float) -> int:
    status = 0
    async for trial in trials(outputs, seconds):
        click.echo(f"{trial.name}: {trial.text}")
        status = status if trial.passed else 1
    return status


async def _run(config: NodeConfig) -> int:
    from edge.agent import Agent

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _begin_to_stop, config.node, stop)
    try:
        await Agent(config).run(stop)
    except EdgeError as error:
        log.critical("node=%s %s", config.node, error)
        return 1
    except BaseExceptionGroup as errors:
        _, surprises = errors.split(EdgeError)
        if surprises is not None:
            raise
        for failure in _leaves(errors):
            log.critical("node=%s stopped: %s", config.node, failure)
        return 1
    return 0


def _begin_to_stop(node: str, stop: asyncio.Event) -> None:
    """Stops in order, and after `STOP_WITHIN` without it: a source that does not let go must not keep the node from ending."""
    if stop.is_set():
        return
    stop.set()
    timer = threading.Timer(STOP_WITHIN, _give_up, (node,))
    timer.daemon = True
    timer.start()


def _give_up(node: str) -> None:
    log.error("node=%s something does not let go: ending without it; what was committed is kept", node)
    _leave(1)


def _leaves(errors: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _load(file: Path) -> NodeConfig:
    try:
        return load(file)
    except DocumentError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(2)


def _log_to_stderr(form: str = "text", *, verbose: bool) -> None:
    """One line an event: time in UTC, level, part, then node=, source= and the words."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    root = logging.getLogger("muki")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)


def _leave(status: int) -> NoReturn:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
