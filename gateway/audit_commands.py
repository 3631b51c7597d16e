"""The audit in the shell: whether it holds, and all of it as a file."""

import json
from pathlib import Path

import click

from gateway import audit
from gateway.site_commands import open_site


def verify(file: Path) -> bool:
    """Prints how far the chain holds; True where it does to the end. Raises DocumentError, CannotStart."""
    _, engine = open_site(file)
    try:
        found = audit.verify(engine)
    finally:
        engine.dispose()
    click.echo(f"{found.good} entries stand unbroken; head {found.head.number} {found.head.hash}")
    if found.problem:
        click.echo(f"BROKEN: {found.problem}", err=True)
    return not found.problem


def export(file: Path, out: Path) -> None:
    """Writes every entry as a JSON object a line. Raises DocumentError, CannotStart, OSError."""
    _, engine = open_site(file)
    count = 0
    try:
        with out.open("w", encoding="utf-8") as lines:
            for one in audit.every(engine):
                count += 1
                lines.write(json.dumps({**one._asdict(), "what": json.loads(one.what)}, ensure_ascii=False) + "\n")
    finally:
        engine.dispose()
    click.echo(f"{out}: {count} entries")
