"""Durable store-and-forward: what a node has to say stays on its disk until the gateway has committed it (WIRE, "sent = stored").

SQLite, WAL, ``synchronous=FULL``, one commit a batch; what was acknowledged is deleted inside the next batch's commit. One writer thread.
The file holds one line of sequence numbers, named by a boot id made with the file: a restart resumes it. A file that is lost or damaged
begins a new boot; the damaged one is moved aside and kept, and what can still be read of it is taken over under its own boot and numbers.

The limit. Above ``max_bytes`` the oldest data are thinned, in sweeps from the oldest message on: each visit drops every second frame (of
a message with a single frame, every second message's), until a message is empty. A message is never removed, so no number is ever
missing, the history stays even, and an alarm event is never touched. What was thinned is counted.
"""

import fcntl
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from contract.alarms import AlarmEvent, Transition
from contract.frames import event_to_wire
from contract.messages import ReadingFrame
from edge.alarms import StandingAlarm
from edge.clock import MS, now
from edge.errors import Fatal, Misconfigured, Retry
from edge.identifiers import ulid
from edge.salvage import move_aside, readable_rows
from edge.thinning import EMPTY, thinned_payload

DATA = 0
ALARM = 1
ROW_BYTES = 64  # what SQLite keeps around a payload, roughly
_SWEEP = 200  # messages visited at a time
_SWEEPS_PER_PUT = 10
_CHECKED_BYTES = 64 << 20  # a larger file is not read through at each start
_MEMORY = "memory/"  # begins the keys of meta that hold what a processor knows
_SUPPRESSED = "suppressed/"  # begins the keys of meta that name an alarm suppressed by design
_OLDER = -(1 << 62)  # ids of messages taken over from a damaged file sort before all others

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the seq of this file's boot; below zero for messages of an older boot
    kind INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    level INTEGER NOT NULL DEFAULT 0,      -- how often it was thinned
    payload BLOB NOT NULL,                 -- the frames or the event as JSON
    boot TEXT,                             -- NULL: this file's own
    boot_seq INTEGER
);
CREATE TABLE IF NOT EXISTS standing (
    definition TEXT PRIMARY KEY, point TEXT NOT NULL, event TEXT NOT NULL, since_ns INTEGER NOT NULL
) WITHOUT ROWID;
"""

_encoder = msgspec.json.Encoder()


class Stored(NamedTuple):
    """A message on disk. ``id`` orders all of them, oldest first; ``boot`` and ``seq`` are what the wire says."""

    id: int
    boot: str
    seq: int
    kind: int
    time_ms: int
    payload: bytes

    def wire(self, sent_ms: int) -> bytes:
        """The message as it is published, stamped with the time of sending."""
        name = b"event" if self.kind == ALARM else b"frames"
        return b'{"boot":"%s","seq":%d,"sent":%d,"%s":%s}' % (self.boot.encode(), self.seq, sent_ms, name, self.payload)


class Level(NamedTuple):
    """How full it is: messages, payload bytes with their rows, age of the oldest in seconds, frames thinned since the start."""

    depth: int
    bytes: int
    oldest_age: float
    thinned: int


class Outbox:
    """``put``, ``take`` and ``level`` are called from one thread; ``done`` from any."""

    def __init__(self, folder: Path, *, max_bytes: int = 256 << 20, max_pages: int | None = None) -> None:
        """Opens or creates ``folder/outbox.db``. ``max_pages`` bounds the file itself: SQLite then answers as on a full disk.

        Raises Misconfigured when the folder cannot be used or another agent uses it, Retry when the disk is full.
        """
        self._path = folder / "outbox.db"
        self._suspect = folder / "outbox.suspect"
        self._max_bytes = max_bytes
        self._max_pages = max_pages
        self._acknowledged: list[tuple[str, int, int]] = []
        self._sweep_after = _OLDER
        self.thinned = 0
        self.recovered = ""  # what happened to a damaged file, in words; empty when nothing did
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "outbox.lock").open("a")
        except OSError as error:
            raise Misconfigured(f"data_dir {folder}: {error.strerror}: choose a folder that the agent may write to") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise Misconfigured(f"data_dir {folder}: another agent is running on it: stop that one, or give each its own folder") from None
        try:
            self._open_or_recover()
        except BaseException:
            self._lock.close()
            raise

    def _open_or_recover(self) -> None:
        try:
            if self._suspect.exists():
                raise sqlite3.DatabaseError("it was found damaged while the agent ran")  # noqa: TRY301
            self._open()
        except sqlite3.OperationalError as error:
            raise _explain(error, self._path) from None
        except sqlite3.DatabaseError as error:
            aside = move_aside(self._path, now().wall_ns // MS)
            self._suspect.unlink(missing_ok=True)
            self._open()
            messages, standing = self._take_over(aside)
            self.recovered = (
                f"{self._path}: damaged ({error}): moved to {aside.name}; {messages} messages and {standing} standing alarms were"
                f" taken over, a new boot {self.boot} begins"
            )

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA journal_size_limit=4194304")
            if self._max_pages is not None:
                self._db.execute(f"PRAGMA max_page_count={self._max_pages:d}")
            if self._path.stat().st_size <= _CHECKED_BYTES:
                verdict = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)  # noqa: TRY301
            self._db.executescript(_SCHEMA)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('boot', ?)", (ulid(now().wall_ns),))
            self.boot = str(self._db.execute("SELECT value FROM meta WHERE key = 'boot'").fetchone()[0])
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
            self.last_seq = max(0, int(row[0])) if row else 0
            depth, size = self._db.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM message").fetchone()
            self._depth, self._bytes = int(depth), int(size) + int(depth) * ROW_BYTES
            older = self._db.execute("SELECT DISTINCT boot FROM message WHERE id < 0").fetchall()
            self.boots = {self.boot, *(str(row[0]) for row in older)}
        except BaseException:
            self._db.close()
            raise

    def _take_over(self, damaged: Path) -> tuple[int, int]:
        messages, standing = readable_rows(damaged)
        with self._commit():
            for place, (boot, seq, kind, time_ms, payload) in enumerate(messages):
                self._db.execute(
                    "INSERT INTO message (id, kind, time_ms, payload, boot, boot_seq) VALUES (?, ?, ?, ?, ?, ?)",
                    (_OLDER + 1 + place, kind, time_ms, payload, boot, seq),
                )
                self._bytes += len(payload) + ROW_BYTES
                self.boots.add(boot)
            self._db.executemany("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", standing)
        self._depth += len(messages)
        return len(messages), len(standing)

    def put(self, data: Sequence[Sequence[ReadingFrame]], events: Iterable[AlarmEvent] = ()) -> list[Stored]:
        """Stores events, then one message for each list of frames, in one commit; durable when it returns.

        Raises Retry when the disk is full or answers with an error (nothing was stored; the same batch may be put again) and Fatal
        when the file is damaged: the next start begins a new one.
        """
        acknowledged, self._acknowledged = self._acknowledged, []
        before = (self._depth, self._bytes, self.last_seq, self.thinned, self._sweep_after)
        time_ms = now().wall_ns // MS
        stored: list[Stored] = []
        try:
            with self._commit():
                for boot, low, high in acknowledged:
                    self._delete(boot, low, high)
                for event in events:
                    stored.append(self._insert(ALARM, time_ms, _encoder.encode(event_to_wire(event))))
                    self._remember(event)
                for frames in data:
                    stored.append(self._insert(DATA, time_ms, _encoder.encode(frames)))
                if self._bytes > self._max_bytes:
                    self._thin()
        except BaseException as error:
            self._acknowledged = acknowledged + self._acknowledged
            self._depth, self._bytes, self.last_seq, self.thinned, self._sweep_after = before
            if isinstance(error, sqlite3.Error):
                raise self.explain(error) from None
            raise
        return stored

    def explain(self, error: sqlite3.Error) -> Retry | Fatal | Misconfigured:
        """What the agent is to do about an error of this file. Damage is noted beside it, for the next start."""
        explained = _explain(error, self._path)
        if isinstance(explained, Fatal):
            self._suspect.touch()
        return explained

    def _commit(self) -> "_Commit":
        return _Commit(self._db)

    def _insert(self, kind: int, time_ms: int, payload: bytes) -> Stored:
        cursor = self._db.execute("INSERT INTO message (kind, time_ms, payload) VALUES (?, ?, ?)", (kind, time_ms, payload))
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always has one
        self.last_seq = cursor.lastrowid
        self._depth += 1
        self._bytes += len(payload) + ROW_BYTES
        return Stored(self.last_seq, self.boot, self.last_seq, kind, time_ms, payload)

    def _remember(self, event: AlarmEvent) -> None:
        if event.transition is Transition.ACTIVE:
            row = (event.definition, event.point, event.id, event.time_ns)
            self._db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", row)
        elif event.transition is Transition.NORMAL:
            self._db.execute("DELETE FROM standing WHERE definition = ?", (event.definition,))
        elif event.transition is Transition.SUPPRESS:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SUPPRESSED + event.definition, event.point))
        else:
            self._db.execute("DELETE FROM meta WHERE key = ?", (_SUPPRESSED + event.definition,))

    def _delete(self, boot: str, low: int, high: int) -> None:
        where, values = ("id BETWEEN ? AND ?", (low, high)) if boot == self.boot else _of_older(boot, low, high)
        count, size = self._db.execute(f"SELECT count(*), coalesce(sum(length(payload)), 0) FROM message WHERE {where}", values).fetchone()  # noqa: S608
        if count:
            self._db.execute(f"DELETE FROM message WHERE {where}", values)  # noqa: S608 - the text is one of two of ours
            self._depth -= int(count)
            self._bytes -= int(size) + int(count) * ROW_BYTES

    def take(self, after: int | None, limit: int) -> list[Stored]:
        """At most ``limit`` messages that are not acknowledged, oldest first, with an id above ``after`` (None: from the first)."""
        done = list(self._acknowledged)
        found: list[Stored] = []
        position = _OLDER if after is None else after
        while len(found) < limit:
            rows = self._db.execute(
                "SELECT id, coalesce(boot, ?), coalesce(boot_seq, id), kind, time_ms, payload FROM message WHERE id > ? ORDER BY id LIMIT ?",
                (self.boot, position, limit),
            ).fetchall()
            if not rows:
                break
            position = rows[-1][0]
            found += [row for row in map(Stored._make, rows) if not any(row.boot == b and low <= row.seq <= high for b, low, high in done)]
        return found[:limit]

    def done(self, boot: str, ranges: Iterable[tuple[int, int]]) -> None:
        """The gateway has these committed: they are not taken again, and go from the disk with the next put."""
        self._acknowledged = [*self._acknowledged, *((boot, low, high) for low, high in ranges)]

    def standing(self) -> dict[str, StandingAlarm]:
        """The raised alarms as of the last commit, by definition."""
        rows = self._db.execute("SELECT definition, point, event, since_ns FROM standing").fetchall()
        return {row[0]: StandingAlarm._make(row) for row in rows}

    def suppressed(self) -> dict[str, str]:
        """The points of the alarms suppressed by design as of the last commit, by definition."""
        rows = self._db.execute("SELECT key, value FROM meta WHERE key LIKE ? || '%'", (_SUPPRESSED,)).fetchall()
        return {row[0].removeprefix(_SUPPRESSED): row[1] for row in rows}

    def memories(self) -> dict[str, str]:
        """What `remember` kept, by processor."""
        rows = self._db.execute("SELECT key, value FROM meta WHERE key LIKE ? || '%'", (_MEMORY,)).fetchall()
        return {row[0].removeprefix(_MEMORY): row[1] for row in rows}

    def remember(self, states: Mapping[str, str]) -> None:
        """What processors know, by their names, in a commit of its own. Raises sqlite3.Error; the next one is worth as much."""
        with self._commit():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(_MEMORY + name, state) for name, state in states.items()])

    def level(self) -> Level:
        oldest = self.take(None, 1)
        age = max(0.0, now().wall_ns / MS - oldest[0].time_ms) / 1000 if oldest else 0.0
        return Level(self._depth, self._bytes, age, self.thinned)

    def _thin(self) -> None:
        """Sweeps on from where the last one stopped until a tenth is free again; two rounds without effect end it (only alarms are left)."""
        target = self._max_bytes - self._max_bytes // 10
        for _ in range(_SWEEPS_PER_PUT):
            if self._bytes <= target:
                return
            rows = self._db.execute(
                "SELECT id, level, payload FROM message WHERE id > ? AND kind = ? ORDER BY id LIMIT ?", (self._sweep_after, DATA, _SWEEP)
            ).fetchall()
            for place, level, payload in rows:
                lighter, dropped = thinned_payload(payload, place, level)
                if payload != EMPTY:
                    self._db.execute("UPDATE message SET level = ?, payload = ? WHERE id = ?", (level + 1, lighter, place))
                    self._bytes += len(lighter) - len(payload)
                    self.thinned += dropped
            self._sweep_after = rows[-1][0] if len(rows) == _SWEEP else _OLDER

    def close(self) -> None:
        """Deletes what was acknowledged and closes the file. Never raises for a full disk: what stays is sent again."""
        try:
            if self._acknowledged:
                self.put([])
        except (Retry, Fatal):
            pass
        finally:
            self._db.close()
            self._lock.close()


class _Commit:
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


def _of_older(boot: str, low: int, high: int) -> tuple[str, tuple[str | int, ...]]:
    return "id < 0 AND boot = ? AND boot_seq BETWEEN ? AND ?", (boot, low, high)


def _explain(error: sqlite3.Error, path: Path) -> Retry | Fatal | Misconfigured:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return Fatal(f"{path}: {error}: the next start moves it aside and begins a new one")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return Misconfigured(f"{path}: {error}: the agent needs to write there")
    if code == sqlite3.SQLITE_FULL:
        return Retry(f"{path}: the disk is full: free some space; readings wait in memory")
    if code == sqlite3.SQLITE_IOERR:  # also what a disk without a free block says when a file is opened
        return Retry(f"{path}: {error}: the disk is full (df shows it) or failing (dmesg shows it)")
    return Retry(f"{path}: {error}")
