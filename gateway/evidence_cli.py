"""`muki evidence`: checks bundles without a gateway."""

from pathlib import Path

import click

from gateway.bundle_check import check


@click.group()
def main() -> None:
    """Bundles of evidence: a ZIP that the gateway made of one alarm."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Say what of FILE holds and what does not; exit status 1 where something does not. Needs no gateway."""
    try:
        found = check(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    for text in found.holds:
        click.echo(f"holds: {text}")
    for text in found.broken:
        click.echo(f"BROKEN: {text}", err=True)
    if found.broken:
        raise SystemExit(1)
