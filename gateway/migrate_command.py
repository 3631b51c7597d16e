"""`muki gateway migrate`: the history of one configuration's store into another's, with a bar, resumed where it was cut off."""

import hashlib
import time
from pathlib import Path

import click

from gateway.config import GatewayConfig
from gateway.migration import Progress, copy, counted, read_progress
from gateway.opening import CannotStart, check, store_settings
from gateway.store import StoreUnavailable, TimeSeriesStore
from gateway.store.opening import open_store


def migrate(old: Path, new: Path) -> bool:
    """True when every reading is in the new store. Raises DocumentError, CannotStart, ValueError."""
    source_config, target_config = check(old), check(new)
    if (source_config.store.type, store_settings(source_config)) == (target_config.store.type, store_settings(target_config)):
        raise ValueError(f"{old} and {new} name the same store")
    progress_file = target_config.data_dir / f"migration-{_name(source_config)}.json"
    target_config.data_dir.mkdir(parents=True, exist_ok=True)
    begun = read_progress(progress_file)
    if begun.readings:
        click.echo(f"goes on behind {begun.readings:,} readings")
    source = _open(source_config, old)
    try:
        target = _open(target_config, new)
        try:
            return _run(source, target, progress_file)
        finally:
            target.close()
    except StoreUnavailable as error:
        raise CannotStart(f"{error}; the copy goes on from here when you call it again") from None
    finally:
        source.close()


def _run(source: TimeSeriesStore, target: TimeSeriesStore, progress_file: Path) -> bool:
    first_ns, last_ns = _ends(source)
    begun, before = time.monotonic(), read_progress(progress_file).readings
    with click.progressbar(length=1000, label="copying", show_eta=True) as bar:

        def told(progress: Progress) -> None:
            share = (progress.reached_ns - first_ns) / max(1, last_ns + 1 - first_ns)
            bar.update(max(0, int(1000 * min(1.0, share)) - bar.pos))

        done = copy(source, target, progress_file, told)
    seconds = max(time.monotonic() - begun, 1e-3)
    click.echo(
        f"{done.readings:,} readings copied, {done.refused} refused by the new store; {(done.readings - before) / seconds:,.0f} a second"
    )
    click.echo("counting both ...")
    have, want = counted(target), counted(source)
    lacking = {series: count - have.get(series, 0) for series, count in want.items() if have.get(series, 0) < count}
    for (node, point), count in sorted(lacking.items())[:20]:
        click.echo(f"{node}/{point}: {count:,} readings are missing in the new store", err=True)
    if lacking:
        return False
    click.echo(f"complete: {sum(want.values()):,} readings of {len(want)} points are in both")
    progress_file.unlink()
    return True


def _ends(source: TimeSeriesStore) -> tuple[int, int]:
    newest = [sample.time_ns for sample in source.latest().values()]
    table = next(iter(source.scan(0, 2**62)), None)
    first = int(table.column("time")[0].as_py()) if table is not None else 0
    return first, max(newest, default=first)


def _open(config: GatewayConfig, file: Path) -> TimeSeriesStore:
    try:
        return open_store(config.store.type, store_settings(config))
    except (OSError, ValueError, StoreUnavailable) as error:
        raise CannotStart(f"{file}: store {config.store.type}: {error}") from None


def _name(config: GatewayConfig) -> str:
    """The same source, the same name."""
    return hashlib.sha256(repr((config.store.type, sorted(store_settings(config).items()))).encode()).hexdigest()[:12]
