"""What can still be read of a damaged outbox: the file is kept, its readable messages go on under their own boot and numbers."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec

from contract.messages import ReadingFrame, WireEvent

Row = tuple[str, int, int, int, bytes]  # boot, seq, kind, time_ms, payload
StandingRow = tuple[str, str, str, int]

_TABLE_SQL = "SELECT id, coalesce(boot_seq, id), boot, kind, time_ms, payload FROM message ORDER BY id {order}"
_SHAPES: dict[int, type] = {0: list[ReadingFrame], 1: WireEvent}


def move_aside(path: Path, time_ms: int) -> Path:
    """Renames the file, its journal with it, to ``NAME.damaged-MS``; nothing is deleted."""
    aside = path.with_name(f"{path.name}.damaged-{time_ms}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def readable_rows(path: Path) -> tuple[list[Row], list[StandingRow]]:
    """Messages from both ends up to the damage, oldest first, each checked to be JSON of its kind, and the standing alarms if readable."""
    found: dict[int, Row] = {}
    standing: list[StandingRow] = []
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            boot = str(db.execute("SELECT value FROM meta WHERE key = 'boot'").fetchone()[0])
            for order in ("ASC", "DESC"):
                _read(db, boot, order, found)
            standing = db.execute("SELECT definition, point, event, since_ns FROM standing").fetchall()
    except (sqlite3.Error, TypeError):
        pass  # no header, no boot: nothing in it can be told apart
    return [found[place] for place in sorted(found)], standing


def _read(db: sqlite3.Connection, own_boot: str, order: str, found: dict[int, Row]) -> None:
    with contextlib.suppress(sqlite3.Error):
        for place, seq, boot, kind, time_ms, payload in db.execute(_TABLE_SQL.format(order=order)):
            if place in found:
                return
            with contextlib.suppress(msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
                msgspec.json.decode(payload, type=_SHAPES[kind])
                found[place] = (boot or own_boot, int(seq), int(kind), int(time_ms), bytes(payload))
