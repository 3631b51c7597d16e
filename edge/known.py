"""What a node must know when it starts, as its outbox's file holds it beside the messages."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from edge.outbox_file import reading_only
from rules.engine import StandingAlarm

MEMORY = "memory/"  # begins the keys of meta that hold what a processor knows
SUPPRESSED = "suppressed/"  # begins the keys of meta that name an alarm suppressed by design


class Known(NamedTuple):
    """Raised alarms and points of suppressed ones by definition, states of processors by name."""

    standing: dict[str, StandingAlarm]
    suppressed: dict[str, str]
    memories: dict[str, str]


def known_in(db: sqlite3.Connection) -> Known:
    """As of the last commit. Raises sqlite3.Error."""
    standing = db.execute("SELECT definition, point, event, since_ns FROM standing").fetchall()

    def noted(prefix: str) -> dict[str, str]:
        rows = db.execute("SELECT key, value FROM meta WHERE key LIKE ? || '%'", (prefix,)).fetchall()
        return {row[0].removeprefix(prefix): row[1] for row in rows}

    return Known({row[0]: StandingAlarm._make(row) for row in standing}, noted(SUPPRESSED), noted(MEMORY))


def peek(folder: Path) -> Known:
    """What a file holds that cannot be opened to be written; nothing where it cannot be read either."""
    try:
        with reading_only(folder / "outbox.db") as db:
            return known_in(db)
    except (sqlite3.Error, OSError):
        return Known({}, {}, {})
