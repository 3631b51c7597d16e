"""What a field engineer asks a gateway's database in the shell, whether the gateway runs or not: its nodes, who may send, what is missing."""

import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from sqlalchemy import Engine

from contract.values import check_identifier
from gateway.approvals import Approvals
from gateway.config import GatewayConfig
from gateway.ledger import Ledger
from gateway.nodes import Nodes
from gateway.opening import CannotStart, check, open_journal

MOST_GAPS = 20  # of a node; the rest is told as a number


def open_site(file: Path) -> tuple[GatewayConfig, Engine]:
    """The configuration and its database. Raises DocumentError, CannotStart."""
    config = check(file)
    if config.database is None and not (config.data_dir / "journal.db").is_file():
        raise CannotStart(f"{config.data_dir} has no journal.db: no gateway has run with {file} yet")
    return config, open_journal(config)


def show_nodes(file: Path) -> None:
    """Prints every node that was heard."""
    settings, engine = open_site(file)
    approvals = Approvals(engine, required=settings.approve_nodes)
    by, zone = approvals.by(), ZoneInfo(settings.time_zone)
    views = Nodes(engine, silence_after=settings.silence_after, now_ns=time.time_ns()).views(time.time_ns())
    for view in views:
        said = f"approved by {by[view.node]}" if view.node in by else "NOT APPROVED" if settings.approve_nodes else ""
        click.echo(f"{view.node:<32} {_moment(view.last_seen_ns, zone):<25} {view.points:>6} points  {view.software:<20} {said}".rstrip())
    if not views:
        click.echo("no node was heard yet")


def approve(file: Path, node: str, *, who: str, note: str, withdraw: bool) -> None:
    """Lets a node in, or takes that back. Raises ValueError for a name that is none, or nobody's approval."""
    settings, engine = open_site(file)
    approvals = Approvals(engine, required=settings.approve_nodes)
    check_identifier(node, "node")
    if withdraw:
        if not approvals.withdraw(node):
            raise ValueError(f"{node} was not approved")
    else:
        approvals.approve(node, who=who, note=note, now_ns=time.time_ns())
    click.echo(f"{node}: {'no longer approved' if withdraw else 'approved'}")
    if not settings.approve_nodes:
        click.echo(f"{file} does not say approve_nodes: true, so every node is let in", err=True)


def show_ledger(file: Path, *, node: str | None, every: bool) -> bool:
    """Prints what is missing; True where nothing is."""
    settings, engine = open_site(file)
    book, zone = Ledger(engine), ZoneInfo(settings.time_zone)
    lines = [line for line in book.report() if node is None or line.node == node]
    if not lines:
        click.echo("nothing was received yet" if node is None else f"nothing was received of {node!r}")
    missing = sum(line.missing for line in lines)
    for line in lines:
        if line.missing or every:
            click.echo(
                f"{line.node}  boot {line.boot} since {_moment(line.begun_ns, zone)}: {line.committed} of {line.last}, {line.missing} missing"
            )
            gaps = [gap for gap in book.gaps(line.node) if gap.boot == line.boot]
            for gap in gaps[:MOST_GAPS]:
                click.echo(f"  {gap.first}" + (f" to {gap.last}" if gap.last > gap.first else ""))
            if len(gaps) > MOST_GAPS:
                click.echo(f"  and {len(gaps) - MOST_GAPS} more gaps")
    if lines:
        click.echo(
            f"{sum(line.committed for line in lines)} messages of {len({line.node for line in lines})} nodes committed, {missing} missing"
        )
    return missing == 0


def _moment(time_ns: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, zone).isoformat(timespec="seconds") if time_ns else "never"
