"""`muki query`: points, values and files of a running gateway in the shell."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.remote import CannotAsk, Remote

BARS = "▁▂▃▄▅▆▇█"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
FORMS = ("csv", "parquet", "arrow")


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """15m, 8h, 7d as seconds."""
    found = _SPAN.fullmatch(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no span: write a number and s, m, h, d or w, for example 8h", ctx, param)
    return float(found[1]) * UNITS[found[2]]


@click.group()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, envvar="MUKI_URL", help="The gateway.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    envvar="MUKI_TOKEN_FILE",
    help="A file whose first line is a token, where the site asks for one.",
)
@click.pass_context
def main(ctx: click.Context, url: str, token_file: Path | None) -> None:
    """Ask a running gateway: its points, their history, files of it."""
    try:
        ctx.obj = Remote(url, token_file)
        ctx.call_on_close(ctx.obj.close)
    except CannotAsk as error:
        raise click.ClickException(str(error)) from None


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, a space where there is none; all the same is the lowest."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(BARS) - 1)
    return "".join(" " if value is None else BARS[round((value - low) / step) if step else 0] for value in values)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; what follows the first two is aligned to the right."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = [
        [cell.ljust(width) if place < 2 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in [head, *rows]
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _moment(ms: float | None) -> str:
    return "-" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


@main.command()
@click.argument("text", default="")
@click.option("--node", default=None, help="Only this node.")
@click.pass_obj
def points(remote: Remote, text: str, node: str | None) -> None:
    """Every point whose name has TEXT, with its newest value. Times are UTC."""
    try:
        known = remote.get("/points", {"node": node} if node else {})
    except CannotAsk as error:
        raise click.ClickException(str(error)) from None
    rows = [
        (one["node"], one["point"], _number(one["value"]), one["unit"], one["quality"] or "-", _moment(one["time"]))
        for one in known
        if text.lower() in f"{one['node']}/{one['point']}".lower()
    ]
    if not rows:
        raise click.ClickException(f"no point has {text!r} in its name" if text else "no node has declared a point yet")
    click.echo(table(("node", "point", "value", "unit", "quality", "time"), rows))


@main.command()
@click.argument("node")
@click.argument("point")
@click.option("--last", callback=_seconds, default="1h", show_default=True, help="How far back: 15m, 8h, 7d.")
@click.option("--start", default=None, help="Instead: from there, ISO 8601 with an offset or Unix ms.")
@click.option("--end", default=None, help="Until there, outside (now).")
@click.option("--rows", default=24, show_default=True, type=click.IntRange(1, 1000), help="Rows of the table.")
@click.pass_obj
def readings(remote: Remote, *, node: str, point: str, last: float, start: str | None, end: str | None, rows: int) -> None:
    """The history of POINT of NODE as a line and a table of minimum, mean and maximum. Times are UTC."""
    now_ms = time.time() * 1000
    begin = start if start is not None else f"{now_ms - last * 1000:.0f}"
    query = {"node": node, "point": point, "start": begin, "end": end if end is not None else f"{now_ms:.0f}"}
    try:
        fine = remote.get("/readings", {**query, "buckets": 72})
        coarse = remote.get("/readings", {**query, "buckets": rows})
    except CannotAsk as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{node}/{point}{' in ' + fine['unit'] if fine['unit'] not in ('', '1') else ''}, {_moment(fine['start'])} to {_moment(fine['end'])} UTC"
    )
    if not fine["buckets"]:
        click.echo("no reading in this range")
        return
    slots = {round((slot["time"] - fine["start"]) / fine["width"]): slot["mean"] for slot in fine["buckets"]}
    click.echo(sparkline([slots.get(place) for place in range(max(slots) + 1)]))
    cells = [
        (_moment(one["time"]), "", _number(one["minimum"]), _number(one["mean"]), _number(one["maximum"]), str(one["samples"]))
        for one in coarse["buckets"]
    ]
    click.echo(table(("time", "", "minimum", "mean", "maximum", "readings"), cells))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--point", "chosen", multiple=True, help="NODE/asset/signal, as often as you like; without it every point.")
@click.option("--last", callback=_seconds, default="1d", show_default=True, help="How far back: 8h, 7d.")
@click.option("--start", default=None, help="Instead: from there, ISO 8601 with an offset or Unix ms.")
@click.option("--end", default=None, help="Until there, outside (now).")
@click.pass_obj
def export(remote: Remote, *, file: Path, chosen: tuple[str, ...], last: float, start: str | None, end: str | None) -> None:
    """Write the readings to FILE: .csv, .parquet or .arrow. An unfinished file is not left behind."""
    form = file.suffix.removeprefix(".")
    if form not in FORMS:
        raise click.ClickException(f"{file}: write a name that ends in .csv, .parquet or .arrow")
    now_ms = time.time() * 1000
    begin = start if start is not None else f"{now_ms - last * 1000:.0f}"
    query: list[tuple[str, object]] = [("start", begin), ("end", end if end is not None else f"{now_ms:.0f}"), ("format", form)]
    fresh = file.with_name(f"{file.name}.part")
    try:
        with fresh.open("wb") as out:
            for piece in remote.file("/export", [*query, *(("point", one) for one in chosen)]):
                out.write(piece)
        fresh.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    except CannotAsk as error:
        raise click.ClickException(str(error)) from None
    finally:
        fresh.unlink(missing_ok=True)
    click.echo(f"{file}: {file.stat().st_size:,} bytes")
