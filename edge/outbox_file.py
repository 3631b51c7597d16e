"""The outbox's file: locked for one agent, opened so that a commit survives a power cut, and what its errors mean for the agent."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from edge.errors import Fatal, Misconfigured, Retry

PAGE = 512  # bytes: a commit writes some five pages beside the payload, and a memory card wears by what is written; see outbox_flash
CHECKED_BYTES = 64 << 20  # a larger file is not read through at each start
# A disk that takes nothing now: people or another program may change that, and the node is worth having meanwhile.
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order; below zero for messages taken over from a damaged file
    kind INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    level INTEGER NOT NULL DEFAULT 0,      -- how often it was thinned
    payload BLOB NOT NULL,                 -- the frames or the event as JSON
    boot TEXT,                             -- NULL: this file's own
    boot_seq INTEGER                       -- NULL: the id
);
CREATE TABLE IF NOT EXISTS standing (
    definition TEXT PRIMARY KEY, point TEXT NOT NULL, event TEXT NOT NULL, since_ns INTEGER NOT NULL
) WITHOUT ROWID;
"""


def locked(folder: Path) -> IO[str]:
    """The folder, made if need be, for this agent alone until what is returned is closed.

    Raises Misconfigured when the folder cannot be used or another agent uses it, Retry when the disk takes nothing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "outbox.lock").open("a")
    except OSError as error:
        if error.errno in _REFUSALS:
            raise Retry(f"data_dir {folder}: {error.strerror}") from None
        raise Misconfigured(f"data_dir {folder}: {error.strerror}: choose a folder that the agent may write to") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Misconfigured(f"data_dir {folder}: another agent is running on it: stop that one, or give each its own folder") from None
    return lock


def connected(path: Path, max_pages: int | None) -> sqlite3.Connection:
    """The file, checked and with its tables. ``max_pages`` bounds it: SQLite then answers as on a full disk. Raises sqlite3.Error."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        db.execute(f"PRAGMA page_size={PAGE}")  # of a new file
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA journal_size_limit=4194304")
        if max_pages is not None:
            db.execute(f"PRAGMA max_page_count={max_pages:d}")
        if path.stat().st_size <= CHECKED_BYTES:
            verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)  # noqa: TRY301
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def reading_only(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it stands on a disk that takes nothing, not even the index that SQLite makes beside a journal. Raises sqlite3.Error."""
    journal = path.with_name(path.name + "-wal")
    # Without a journal the file is whole, and SQLite may be told so.
    whole = not journal.exists() or journal.stat().st_size == 0
    db = sqlite3.connect(f"{path.absolute().as_uri()}?{'immutable=1' if whole else 'mode=ro'}", uri=True, check_same_thread=False)
    try:
        yield db
    finally:
        db.close()


def explained(error: sqlite3.Error, path: Path) -> Retry | Fatal | Misconfigured:
    """What the agent is to do about an error of the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Fatal(f"{path}: {error}: the next start moves it aside and begins a new one")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        if _takes_nothing(path.parent):
            return Retry(f"{path}: the disk is full or was made read-only (df and dmesg show it)")
        return Misconfigured(f"{path}: {error}: the agent needs to write there")
    if code == sqlite3.SQLITE_FULL:
        return Retry(f"{path}: the disk is full: free some space")
    if code == sqlite3.SQLITE_IOERR:  # also what a disk without a free block says when a file is opened
        return Retry(f"{path}: {error}: the disk is full (df shows it) or failing (dmesg shows it)")
    return Retry(f"{path}: {error}")


def free_bytes(folder: Path) -> int | None:
    """What the file system still has for this process; None where it does not tell."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _takes_nothing(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return error.errno in _REFUSALS
    return bool(found.f_flag & os.ST_RDONLY) or found.f_bavail == 0 or found.f_favail == 0


class Commit:
    """BEGIN … COMMIT, or ROLLBACK on the way out of an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> Literal[False]:
        if kind is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()
        return False

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
