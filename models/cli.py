"""``muki models``: list, verify, keygen, sign, evaluate, bench."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from models.cards import ARTIFACTS, Card, Metric, ModelError, card_path, read_card
from models.runtime import load, located, names
from models.signing import make_keys, read_public, sign

_FILE = click.Path(path_type=Path)  # what is wrong with a key is said by who reads it


@click.group()
def main() -> None:
    """The models: list, verify, keygen, sign, evaluate, bench."""


@main.command("list")
def list_models() -> None:
    """Name, version, size, threshold and purpose of every model."""
    failed = False
    for name in names():
        path = ARTIFACTS / f"{name}.onnx"
        try:
            card = read_card(card_path(path))
        except ModelError as error:
            failed = True
            click.echo(f"{name}  NO USABLE CARD: {error}", err=True)
            continue
        size = path.stat().st_size / 1024
        click.echo(f"{name}  {card.version}  {size:.1f} KiB  threshold {card.threshold.value:g}\n    {card.purpose}")
    if failed:
        sys.exit(1)


@main.command()
@click.argument("name", required=False)
@click.option("--key", "keys", type=_FILE, multiple=True, help="A public key: the signature is demanded, by this key or another --key.")
def verify(name: str | None, keys: tuple[Path, ...]) -> None:
    """Card, hash and a run, of one model or of all; exit status 1 with the reason if anything is wrong."""
    try:
        trusted = [read_public(path) for path in keys]
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    chosen = [name] if name else names()
    if not chosen:
        raise click.ClickException(f"{ARTIFACTS}: there is no model to verify")
    failed = False
    for one in chosen:
        try:
            model = load(one, keys=trusted or None)
        except ModelError as error:
            failed = True
            click.echo(f"{one}: FAILED: {error}", err=True)
        else:
            told = "card, SHA-256, signature and run" if trusted else "card, SHA-256 and run"
            click.echo(f"{one}: {told} are right (version {model.card.version}, {model.card.sha256[:12]}…)")
    if failed:
        sys.exit(1)


@main.command()
@click.argument("key", type=click.Path(path_type=Path))
def keygen(key: Path) -> None:
    """Makes a key pair: KEY is the secret one, KEY.pub the one that nodes are told to trust. Neither is overwritten."""
    try:
        public = make_keys(key)
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{key}: keep it off the nodes; {public.path}: give it to them (models: trusted_keys). Its id is {public.id}")


@main.command("sign")
@click.argument("key", type=_FILE)
@click.argument("name")
def sign_model(key: Path, name: str) -> None:
    """Signs the model NAME (or ….onnx) and its card with the secret KEY, after verifying that they fit each other. Writes NAME.sig."""
    try:
        load(name)
        written = sign(key, located(name))
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{written}: signed; it holds until the model or its card changes")


@main.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every model that ships, one after the other.")
def evaluate(name: str | None, every: bool) -> None:
    """The table of the card, recomputed from the data set (found through MUKI_DATA), beside what the card says.

    Exit status 1 when a figure is not in the card, or lies outside the card's interval.
    """
    if (name is None) is not every:
        raise click.UsageError("say which model, or --all")
    wrong = [one for one in (names() if name is None else [name]) if not _reproduced(one)]
    if wrong:
        raise click.ClickException(f"not what the card says: {', '.join(wrong)}: the artifact is of other code or data")


def _reproduced(name: str) -> bool:
    """Prints the table; whether every figure lies in the card's interval."""
    try:
        card = _card(name)
        table: list[Metric] = importlib.import_module(f"models.evaluate.{card.name}").metrics()
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    except ModuleNotFoundError as missing:
        raise click.ClickException(f"evaluating {name} needs {missing.name}: install the extra, pip install 'muki[train]'") from None
    click.echo(f"{card.name} {card.version}")
    for metric in table:
        click.echo(_line(metric))
    different = disagreements(card, table)
    for text in different:
        click.echo(text, err=True)
    return not different


def disagreements(card: Card, table: Sequence[Metric]) -> list[str]:
    """A line for each figure that the card does not have, or that lies outside the card's interval, and for each that is only in the card."""
    found = {(metric.name, metric.split): metric for metric in table}
    written = {(metric.name, metric.split): metric for metric in card.metrics}
    lines = [f"{name}, {split}: in the card, but no longer measured" for name, split in written.keys() - found.keys()]
    for (name, split), metric in found.items():
        known = written.get((name, split))
        if known is None:
            lines.append(f"{name}, {split}: {metric.value:g}, of which the card says nothing")
        elif not known.interval_95[0] <= metric.value <= known.interval_95[1]:
            lines.append(f"{name}, {split}: {metric.value:g}; the card says {known.value:g} {list(known.interval_95)}")
    return lines


@main.command()
@click.argument("name")
def bench(name: str) -> None:
    """Latency at one thread (p50, p95) and peak memory on this machine."""
    from models.bench import measure

    try:
        found = measure(name)
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name}: p50 {found.p50_ms:.3f} ms, p95 {found.p95_ms:.3f} ms, peak memory {found.peak_memory_mb:.0f} MB ({found.machine})")


def _card(name: str) -> Card:
    path = Path(name) if name.endswith(".onnx") else ARTIFACTS / f"{name}.onnx"
    return read_card(card_path(path))


def _line(metric: Metric) -> str:
    low, high = metric.interval_95
    beside = "; ".join(f"{name} {figure.value:.2f}" for name, figure in metric.baselines.items())
    return f"{metric.value:.3f} [{low:.3f}, {high:.3f}]  {metric.name}\n    {metric.split}\n    beside it: {beside}"


if __name__ == "__main__":
    main()
