"""Users and tokens in the shell. Whoever can write the gateway's database is trusted: that is how the first administrator comes in."""

import time
from pathlib import Path

import click

from gateway.accounts.passes import Passes
from gateway.accounts.roles import Role
from gateway.accounts.users import Users
from gateway.config import GatewayConfig
from gateway.opening import check, open_journal


def _open(file: Path) -> tuple[GatewayConfig, Users, Passes]:
    """Raises DocumentError, CannotStart. The database is made where there is none: users come before the first start."""
    config = check(file)
    engine = open_journal(config)
    return config, Users(engine), Passes(engine, idle_after=config.idle_after)


def add(file: Path, name: str, role: str, password: str) -> None:
    config, users, _ = _open(file)
    users.add(name, Role(role), password, now_ns=time.time_ns())
    click.echo(f"{name}: {role}")
    if config.effective_access == "open":
        click.echo(f"{file} has access: open, so nobody is asked to log in; write access: changes, or all", err=True)


def change(file: Path, name: str, *, role: str | None, password: str | None, active: bool | None) -> None:
    if role is None and password is None and active is None:
        raise ValueError("nothing to change: say --role, --password, --enable or --disable")
    _, users, passes = _open(file)
    users.change(name, role=Role(role) if role is not None else None, password=password, active=active)
    if password is not None or active is False:
        passes.end_all(name)
    click.echo(f"{name}: changed")


def show_people(file: Path) -> None:
    _, users, _ = _open(file)
    for user in users.every():
        click.echo(f"{user.name:<32} {user.role:<14} {'' if user.active else 'may not log in'}".rstrip())


def issue(file: Path, name: str, role: str) -> None:
    _, _, passes = _open(file)
    click.echo(passes.issue(name, Role(role), now_ns=time.time_ns()))


def revoke(file: Path, name: str) -> None:
    _, _, passes = _open(file)
    passes.revoke(name)
    click.echo(f"{name}: revoked")


def show_tokens(file: Path) -> None:
    _, _, passes = _open(file)
    for token in passes.tokens():
        click.echo(f"{token.name:<32} {token.role}")
