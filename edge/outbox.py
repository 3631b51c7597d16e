"""Durable store-and-forward: what a node has to say stays on its disk until the gateway has committed it (WIRE, "sent = stored").

SQLite, WAL, ``synchronous=FULL``, one commit a batch; what was acknowledged is deleted inside the next batch's commit. One writer thread.
The file holds one line of sequence numbers, named by a boot id made with the file: a restart resumes it. A file that is lost or damaged
begins a new boot; the damaged one is moved aside and kept, and what can still be read of it is taken over under its own boot and numbers.
So are the messages that got their numbers in memory while the disk took nothing (see `edge.memory_line`), behind those of the file.

The limits. Above ``max_bytes`` the oldest data are thinned, in sweeps from the oldest message on: each visit drops every second frame (of
a message with a single frame, every second message's), until a message is empty. A message is never removed, so no number is ever
missing, the history stays even, and an alarm event is never touched. What was thinned is counted. The file takes no more of the disk than
leaves ``min_free`` to others: with less than that it grows no further, and thins to live in the room that it has.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from contract.alarms import AlarmEvent, Transition
from contract.frames import event_to_wire
from contract.messages import ReadingFrame
from edge.clock import MS, now
from edge.errors import Fatal, Misconfigured, Retry
from edge.known import MEMORY, SUPPRESSED, Known, known_in
from edge.outbox_file import Commit, connected, explained, free_bytes, locked
from edge.salvage import move_aside, readable_rows
from edge.sequences import Acknowledged
from edge.stored import ALARM, DATA, Level, Stored
from edge.thinning import EMPTY, thinned_payload
from rules.identifiers import ulid

ROW_BYTES = 64  # what SQLite keeps around a payload, roughly
LEAST = 1 << 20  # bytes of history that a node keeps on a disk that has less than min_free
_SIZE = "SELECT page_count * page_size, freelist_count * page_size FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
_SWEEP = 200  # messages visited at a time
_SWEEPS_PER_PUT = 10
_REWRITTEN = 1 << 20  # bytes of thinned messages in one commit: its journal needs that room on a disk that may be nearly full
_OTHERS = "others"  # the key of meta that counts ids given to messages of other boots
_OLDER = -(1 << 62)  # ids of messages taken over from a damaged file sort before all others

_encoder = msgspec.json.Encoder()


class Outbox:
    """``put``, ``take`` and ``level`` are called from one thread; ``done`` from any."""

    def __init__(self, folder: Path, *, max_bytes: int = 256 << 20, min_free: int = 0, max_pages: int | None = None) -> None:
        """Opens or creates ``folder/outbox.db``. ``min_free`` bytes of the disk are left to others; ``max_pages`` bounds the file itself:
        SQLite then answers as on a full disk.

        Raises Misconfigured when the folder cannot be used or another agent uses it, Retry when the disk is full or takes nothing.
        """
        self._folder = folder
        self._path = folder / "outbox.db"
        self._suspect = folder / "outbox.suspect"
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._max_pages = max_pages
        self._acknowledged = Acknowledged()
        self._frozen: int | None = None  # the file's size, in bytes, since the disk has less than min_free
        self._sweep_after = _OLDER
        self.thinned = 0
        self.recovered = ""  # what happened to a damaged file, in words; empty when nothing did
        self._lock = locked(folder)
        try:
            self._open_or_recover()
        except sqlite3.Error as error:
            self._lock.close()
            raise explained(error, self._path) from None
        except BaseException:
            self._lock.close()
            raise

    def _open_or_recover(self) -> None:
        try:
            if self._suspect.exists():
                raise sqlite3.DatabaseError("it was found damaged while the agent ran")  # noqa: TRY301
            self._open()
        except sqlite3.OperationalError:
            raise
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
        self._db = connected(self._path, self._max_pages)
        try:
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('boot', ?)", (ulid(now().wall_ns),))
            self.boot = str(self._db.execute("SELECT value FROM meta WHERE key = 'boot'").fetchone()[0])
            self._others = int(self._meta(_OTHERS) or 0)
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
            self.last_seq = max(0, int(row[0]) - self._others) if row else 0
            depth, size = self._db.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM message").fetchone()
            self._depth, self._bytes = int(depth), int(size) + int(depth) * ROW_BYTES
            found = self._db.execute("SELECT boot, min(id), max(id) FROM message WHERE boot IS NOT NULL GROUP BY boot").fetchall()
            self._places = {str(boot): (int(first), int(last)) for boot, first, last in found}  # where the messages of other boots are
        except BaseException:
            self._db.close()
            raise

    @property
    def boots(self) -> set[str]:
        """Whose messages it holds, or may come to hold."""
        return {self.boot, *self._places}

    def _meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _take_over(self, damaged: Path) -> tuple[int, int]:
        messages, standing = readable_rows(damaged)
        with Commit(self._db):
            for place, (boot, seq, kind, time_ms, payload) in enumerate(messages):
                self._insert_other(_OLDER + 1 + place, Stored(0, boot, seq, kind, time_ms, payload))
            self._db.executemany("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", standing)
        return len(messages), len(standing)

    def put(
        self,
        data: Sequence[Sequence[ReadingFrame]],
        events: Iterable[AlarmEvent] = (),
        *,
        rescued: Sequence[Stored] = (),
        happened: Iterable[AlarmEvent] = (),
    ) -> list[Stored]:
        """Stores events, then one message for each list of frames, in one commit; durable when it returns.

        Before them come the messages that were ``rescued`` from memory, with the boots and numbers that they have, and what ``happened``
        while the disk took nothing, for `known`; neither is in what is returned.

        Raises Retry when the disk is full or answers with an error (nothing was stored; the same batch may be put again) and Fatal
        when the file is damaged: the next start begins a new one.
        """
        acknowledged, self._acknowledged = self._acknowledged, Acknowledged()
        before = (self._depth, self._bytes, self.last_seq, self.thinned, self._sweep_after, self._others, dict(self._places))
        time_ms = now().wall_ns // MS
        stored: list[Stored] = []
        try:
            with Commit(self._db):
                for boot, low, high in acknowledged.all():
                    self._delete(boot, low, high)
                for message in rescued:
                    self._others += 1
                    self._insert_other(self.last_seq + self._others, message)
                if rescued:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_OTHERS, str(self._others)))
                for event in happened:
                    self._remember(event)
                for event in events:
                    stored.append(self._insert(ALARM, time_ms, _encoder.encode(event_to_wire(event))))
                    self._remember(event)
                for frames in data:
                    stored.append(self._insert(DATA, time_ms, _encoder.encode(frames)))
                limit = self._limit()
                if self._bytes > limit:
                    self._thin(limit, max(_REWRITTEN, 2 * (self._bytes - before[1])))
        except BaseException as error:
            self._acknowledged = acknowledged.plus(self._acknowledged)
            self._depth, self._bytes, self.last_seq, self.thinned, self._sweep_after, self._others, self._places = before
            if isinstance(error, sqlite3.Error):
                raise self.explain(error) from None
            raise
        return stored

    def explain(self, error: sqlite3.Error) -> Retry | Fatal | Misconfigured:
        """What the agent is to do about an error of this file. Damage is noted beside it, for the next start."""
        told = explained(error, self._path)
        with contextlib.suppress(sqlite3.Error, OSError):
            if isinstance(told, Fatal):
                self._suspect.touch()
            else:  # a journal that begins again from its start needs no room of its own at the next attempt
                self._db.execute("PRAGMA wal_checkpoint(RESTART)")
        return told

    def _insert(self, kind: int, time_ms: int, payload: bytes) -> Stored:
        seq = self.last_seq + 1
        row = (kind, time_ms, payload, seq if self._others else None)
        cursor = self._db.execute("INSERT INTO message (kind, time_ms, payload, boot_seq) VALUES (?, ?, ?, ?)", row)
        assert cursor.lastrowid == seq + self._others  # noqa: S101 - an AUTOINCREMENT skips none; see _insert_other
        self.last_seq = seq
        self._depth += 1
        self._bytes += len(payload) + ROW_BYTES
        return Stored(cursor.lastrowid, self.boot, seq, kind, time_ms, payload)

    def _insert_other(self, place: int, message: Stored) -> None:
        _, boot, seq, kind, time_ms, payload = message
        self._db.execute(
            "INSERT INTO message (id, kind, time_ms, payload, boot, boot_seq) VALUES (?, ?, ?, ?, ?, ?)",
            (place, kind, time_ms, payload, boot, seq),
        )
        first, last = self._places.get(boot, (place, place))
        self._places[boot] = (min(first, place), max(last, place))
        self._depth += 1
        self._bytes += len(payload) + ROW_BYTES

    def _remember(self, event: AlarmEvent) -> None:
        if event.transition is Transition.ACTIVE:
            row = (event.definition, event.point, event.id, event.time_ns)
            self._db.execute("INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)", row)
        elif event.transition is Transition.NORMAL:
            self._db.execute("DELETE FROM standing WHERE definition = ?", (event.definition,))
        elif event.transition is Transition.SUPPRESS:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SUPPRESSED + event.definition, event.point))
        else:
            self._db.execute("DELETE FROM meta WHERE key = ?", (SUPPRESSED + event.definition,))

    def _delete(self, boot: str, low: int, high: int) -> None:
        if boot == self.boot:
            first, last, whose = low, high + self._others, "boot IS NULL AND coalesce(boot_seq, id)"
        elif boot in self._places:
            (first, last), whose = self._places[boot], "boot = ?3 AND boot_seq"
        else:
            return
        where, values = f"id BETWEEN ?1 AND ?2 AND {whose} BETWEEN ?4 AND ?5", (first, last, boot, low, high)
        count, size = self._db.execute(f"SELECT count(*), coalesce(sum(length(payload)), 0) FROM message WHERE {where}", values).fetchone()  # noqa: S608
        if count:
            self._db.execute(f"DELETE FROM message WHERE {where}", values)  # noqa: S608 - the text is one of two of ours
            self._depth -= int(count)
            self._bytes -= int(size) + int(count) * ROW_BYTES

    def take(self, after: int | None, limit: int) -> list[Stored]:
        """At most ``limit`` messages that are not acknowledged, oldest first, with an id above ``after`` (None: from the first)."""
        done = self._acknowledged
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
            found += [row for row in map(Stored._make, rows) if not done.covers(row)]
        return found[:limit]

    def done(self, boot: str, ranges: Iterable[tuple[int, int]]) -> None:
        """The gateway has these committed: they are not taken again, and go from the disk with the next put."""
        if boot in self.boots:  # another boot's: of a file that is gone
            self._acknowledged = self._acknowledged.with_more(boot, ranges)

    def known(self) -> Known:
        """As of the last commit."""
        return known_in(self._db)

    def remember(self, states: Mapping[str, str]) -> None:
        """What processors know, by their names, in a commit of its own. Raises sqlite3.Error; the next one is worth as much."""
        with Commit(self._db):
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(MEMORY + name, state) for name, state in states.items()])

    def level(self) -> Level:
        oldest = self.take(None, 1)
        age = max(0.0, now().wall_ns / MS - oldest[0].time_ms) / 1000 if oldest else 0.0
        return Level(self._depth, self._bytes, age, self.thinned, free_bytes(self._folder))

    def _limit(self) -> int:
        """Bytes that may wait: what is configured, or less where the disk would be left with too little."""
        if not self._min_free or (free := free_bytes(self._folder)) is None:
            return self._max_bytes
        size, spare = self._db.execute(_SIZE).fetchone()
        if free >= self._min_free:
            self._frozen, room = None, size + free - self._min_free
        else:  # the size when this began: one that is looked at again and again would creep
            room = self._frozen = self._frozen or size
        filled = self._bytes / max(size - spare, 1)  # of the pages in use; thinned messages leave theirs half empty
        return min(self._max_bytes, max(LEAST, int(room * 0.95 * min(max(filled, 0.25), 0.95))))

    def _thin(self, limit: int, most: int) -> None:
        """Sweeps on from where the last one stopped until a tenth is free again; the next put goes on when that took ``most`` bytes."""
        target = limit - limit // 10
        written = 0
        for _ in range(_SWEEPS_PER_PUT):
            if self._bytes <= target:
                return
            rows = self._db.execute(
                "SELECT id, level, payload FROM message WHERE id > ? AND kind = ? ORDER BY id LIMIT ?", (self._sweep_after, DATA, _SWEEP)
            ).fetchall()
            for place, level, payload in rows:
                if self._bytes <= target or written > most:
                    return
                self._sweep_after = place
                if payload != EMPTY:
                    lighter, dropped = thinned_payload(payload, place, level)
                    written += len(lighter) + ROW_BYTES
                    self._db.execute("UPDATE message SET level = ?, payload = ? WHERE id = ?", (level + 1, lighter, place))
                    self._bytes += len(lighter) - len(payload)
                    self.thinned += dropped
            if len(rows) < _SWEEP:
                self._sweep_after = _OLDER

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
