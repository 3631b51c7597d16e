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
from contract.log_lines import FORMS, formatter

LEAVE_AFTER = 2.7  # seconds


class WrongConfiguration(click.ClickException):
    """One line a problem, ``file:line: key: …``; exit status 2, as `muki edge` has it."""

    exit_code = 2


@click.group()
def main() -> None:
    """Broker to history, alarms and the operator's page."""


def _log(verbose: bool, form: str = "text") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
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
@click.option("--log", "form", type=click.Choice(FORMS), default="text", envvar="MUKI_LOG", help="json: one object a line.")
def run(config: Path, verbose: bool, form: str) -> None:
    """Run the gateway that the file CONFIG describes."""
    from gateway.opening import CannotStart, check
    from gateway.server import run as run_gateway

    _log(verbose, form)
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


@main.command("notify-test")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("channel")
def notify_test(config: Path, channel: str) -> None:
    """Send a test message through CHANNEL."""
    from gateway.notify import ChannelFailed
    from gateway.notify.room import try_channel
    from gateway.opening import check as check_file

    with _explained():
        checked = check_file(config)
        try:
            told = try_channel(checked.notify, channel, site=checked.site, language=checked.language)
        except ChannelFailed as error:
            raise click.ClickException(f"{channel}: {error}") from None
    click.echo(f'{channel}: sent "{told.title}"')


ROLES = click.Choice(["viewer", "operator", "engineer", "administrator"])


def _new_password() -> str:
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@main.group()
def user() -> None:
    """The people who may log in: add, change, list."""


@user.command("add")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--role", type=ROLES, default="operator", show_default=True)
@click.option(
    "--password-file", type=click.Path(path_type=Path), default=None, help="Its first line; without it the password is asked for."
)
def add_user(config: Path, name: str, role: str, password_file: Path | None) -> None:
    """Let NAME log in."""
    from gateway.people_commands import add

    try:
        password = password_file.read_text("utf-8").split("\n", 1)[0].strip() if password_file is not None else _new_password()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"--password-file {password_file}: {error}") from None
    with _explained():
        add(config, name, role, password)


@user.command("change")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--role", type=ROLES, default=None)
@click.option("--password", is_flag=True, help="Ask for a new password.")
@click.option("--enable/--disable", "active", default=None, help="Whether NAME may log in.")
def change_user(config: Path, name: str, role: str | None, password: bool, active: bool | None) -> None:
    """Change the role or the password of NAME, or whether they may log in; a new password ends every session."""
    from gateway.people_commands import change

    new = _new_password() if password else None
    with _explained():
        change(config, name, role=role, password=new, active=active)


@user.command("list")
@click.argument("config", type=click.Path(path_type=Path))
def list_users(config: Path) -> None:
    """Everybody with their role."""
    from gateway.people_commands import show_people

    with _explained():
        show_people(config)


@main.group()
def token() -> None:
    """Tokens for programs that use the API: create, revoke, list."""


@token.command("create")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--role", type=ROLES, default="viewer", show_default=True, help="What the program may do.")
def create_token(config: Path, name: str, role: str) -> None:
    """Print a token for the program NAME; it is shown this once."""
    from gateway.people_commands import issue

    with _explained():
        issue(config, name, role)


@token.command("revoke")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("name")
def revoke_token(config: Path, name: str) -> None:
    """End the token of the program NAME."""
    from gateway.people_commands import revoke

    with _explained():
        revoke(config, name)


@token.command("list")
@click.argument("config", type=click.Path(path_type=Path))
def list_tokens(config: Path) -> None:
    """Every token's program and role, never the token."""
    from gateway.people_commands import show_tokens

    with _explained():
        show_tokens(config)


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
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def migrate(old: Path, new: Path) -> None:
    """Copy the history of the store that the configuration OLD names into the one that NEW names; exit status 1 where something is missing.

    Stop the gateway first. A copy that was cut off goes on where it was. OLD keeps everything.
    """
    from gateway.migrate_command import migrate as run_migration

    with _explained():
        complete = run_migration(old, new)
    if not complete:
        raise SystemExit(1)


@main.group("audit")
def audit_group() -> None:
    """Who did what and when, each entry sealed by the hash of all before it."""


@audit_group.command("verify")
@click.argument("config", type=click.Path(path_type=Path))
def verify_audit(config: Path) -> None:
    """Read the whole chain; exit status 1 where it is broken. Keep the head that is printed: it shows later that nothing was cut off."""
    from gateway.audit_commands import verify

    with _explained():
        whole = verify(config)
    if not whole:
        raise SystemExit(1)


@audit_group.command("export")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
def export_audit(config: Path, file: Path) -> None:
    """Write every entry to FILE, a JSON object a line."""
    from gateway.audit_commands import export

    with _explained():
        try:
            export(config, file)
        except OSError as error:
            raise click.ClickException(f"{file}: {error.strerror}") from None


@main.group("dead-letters")
def dead_letters() -> None:
    """Readings that the store did not get: an impossible time, or refused for ever. They stay on disk until they are replayed."""


@dead_letters.command("show")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--node", default=None, help="Only this node.")
def show_dead_letters(config: Path, node: str | None) -> None:
    """What is there, a line for each node and reason."""
    from gateway.letter_commands import show_letters

    with _explained():
        show_letters(config, node)


@dead_letters.command("replay")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("node")
@click.option(
    "--shift", default=0.0, help="Seconds to add to each time: negative for a clock that was ahead. Moved values are marked clock_unsure."
)
def replay_dead_letters(config: Path, node: str, shift: float) -> None:
    """Write the dead letters of NODE into the store; exit status 1 where some stay. Stop a gateway that runs on DuckDB first."""
    from gateway.letter_commands import replay_letters
    from gateway.store import StoreUnavailable

    with _explained():
        try:
            done = replay_letters(config, node, shift)
        except StoreUnavailable as error:
            raise click.ClickException(f"the store takes nothing: {error}; every letter stays") from None
    if not done:
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
