"""How every benchmark reports: a table for people, JSON for machines."""

import json
import platform
from collections.abc import Sequence
from typing import Any

import click


def report(title: str, rows: Sequence[dict[str, Any]], *, as_json: bool, notes: Sequence[str] = ()) -> None:
    """Prints the rows, which share their keys; numbers to three significant digits in the table and whole in the JSON."""
    if as_json:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        click.echo(json.dumps({"benchmark": title, "rows": list(rows), "notes": list(notes), **machine}))
        return
    columns = list(rows[0])
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[index]) for line in cells)) for index, column in enumerate(columns)]
    click.echo(title)
    for line in (columns, ["-" * width for width in widths], *cells):
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    for note in notes:
        click.echo(note)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value)
