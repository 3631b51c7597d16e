"""`muki gateway`: run it, check its configuration, or run a small broker beside it."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from contract.documents import DocumentError

LEAVE_AFTER = 2.7  # seconds


class WrongConfiguration(click.ClickException):
    """One line a problem, ``file:line: key: …``; exit status 2, as `muki edge` has it."""

    exit_code = 2


@click.group()
def main() -> None:
    """Broker to history, alarms and the operator's page."""


def _log(verbose: bool) -> None:
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=form)
    logging.getLogger("transitions").setLevel(logging.WARNING)


def _leave_in_time() -> None:
    """A store that hangs in a call must not hold the process: nothing unwritten was acknowledged, so leaving it loses nothing."""

    def leave() -> None:
        logging.getLogger(__name__).warning("a call did not return within %.1f s of the stop: leaving without it", LEAVE_AFTER)
        os._exit(0)

    timer = threading.Timer(LEAVE_AFTER, leave)
    timer.daemon = True
    timer.start()


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config: Path, verbose: bool) -> None:
    """Run the gateway that the file CONFIG describes."""
    from gateway.opening import CannotStart, check
    from gateway.server import run as run_gateway

    _log(verbose)
    try:
        asyncio.run(run_gateway(check(config), stopping=_leave_in_time))
    except DocumentError as error:
        raise WrongConfiguration(str(error)) from None
    except CannotStart as error:
        raise click.ClickException(str(error)) from None
    except BaseExceptionGroup as group:
        cannot, others = group.split(CannotStart)
        if others is None and cannot is not None:
            raise click.ClickException(str(cannot.exceptions[0])) from None
        raise


@contextmanager
def _explained() -> Iterator[None]:
    """What a person can mend ends the command with a line that says how."""
    from gateway.opening import CannotStart

    try:
        yield
    except DocumentError as error:
        raise WrongConfiguration(str(error)) from None
    except (CannotStart, ValueError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
def nodes(config: Path) -> None:
    """Every node that the gateway of CONFIG ever heard: when last, its points and software, and who approved it."""
    from gateway.site_commands import show_nodes

    with _explained():
        show_nodes(config)


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("node")
@click.option("--who", default="", help="Your name: it stays beside the approval.")
@click.option("--note", default="", help="For example where the node hangs.")
@click.option("--withdraw", is_flag=True, help="Take the approval back: what the node sends waits on it again.")
def approve(config: Path, node: str, who: str, note: str, withdraw: bool) -> None:
    """Let NODE in, where the site approves nodes (`approve_nodes`). A running gateway follows within seconds."""
    from gateway.site_commands import approve as let_in

    with _explained():
        let_in(config, node, who=who, note=note, withdraw=withdraw)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--node", default=None, help="Only this node.")
@click.option("--all", "every", is_flag=True, help="Also the boots of which nothing is missing.")
def ledger(config: Path, node: str | None, every: bool) -> None:
    """What each node numbered and what the gateway of CONFIG has committed of it; exit status 1 where something is missing.

    A gap may still close: a node sends again what was not acknowledged.
    """
    from gateway.site_commands import show_ledger

    with _explained():
        complete = show_ledger(config, node=node, every=every)
    if not complete:
        raise SystemExit(1)


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
def check(config: Path) -> None:
    """Check the file CONFIG without starting anything."""
    from gateway.opening import check as check_file

    try:
        checked = check_file(config)
    except DocumentError as error:
        raise WrongConfiguration(str(error)) from None
    click.echo(
        f"{config}: correct; site {checked.site}, store {checked.store.type}, page on http://{checked.http.host}:{checked.http.port}"
    )


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; anyone who reaches it may publish.")
@click.option("--port", default=1883, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data-dir", type=click.Path(path_type=Path), default=None, help="Where retained messages outlive a restart.")
@click.option("--verbose", is_flag=True, help="Log more.")
def broker(host: str, port: int, data_dir: Path | None, verbose: bool) -> None:
    """Run the embedded broker: for trials and demonstrations; a site runs Mosquitto."""
    from gateway.broker import CannotListen
    from gateway.broker import run as run_broker

    _log(verbose)
    try:
        asyncio.run(run_broker(host, port, data_dir))
    except CannotListen as error:
        raise click.ClickException(str(error)) from None
