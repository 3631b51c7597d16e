"""What the outbox costs a memory card: device bytes written for each byte of payload, beside plainer ways to keep the same messages.

    python -m benchmarks.outbox_flash [--seconds 600] [--rounds 5] [--json]

Each way has an ext4 on a block device of its own (a loop device, hence root), and the device's own counter in /sys/block is read before and
after a sync: journals, checkpoints and the file system's metadata are in it. The load is that of a node: 100 points each second as one
message, a commit for each, and once a second the acknowledgement of what was put a second ago, so that everything is deleted again. Payload
is the JSON of the readings. The median of the rounds is shown. Limit (issue "months without a visit"): 4 bytes.

Peers in the same run: SQLite as most would use it (a row for each reading, a commit each, default journal); the same with a row for each message;
and persist-queue's acknowledging queue where it is installed.
"""

import contextlib
import importlib.util
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from benchmarks.table import report
from contract.messages import ReadingFrame
from edge.outbox import Outbox
from tests.rig.loop_disk import loop_disk

POINTS = 100
LIMIT = 4.0
DISK = 256 << 20

Message = list[ReadingFrame]
Way = Callable[[Path, list[list[Message]]], None]


def load(commits: int, messages: int) -> list[list[Message]]:
    """What is put with each commit: messages of 100 points, values as sensors give them."""
    return [
        [
            [
                ReadingFrame(
                    1_764_000_000_000 + 1000 * (commit * messages + number),
                    {f"heading-{index % 7}/gas/co-{index}": round(20 + (commit * 7 + index * 13) % 997 / 31, 2) for index in range(POINTS)},
                )
            ]
            for number in range(messages)
        ]
        for commit in range(commits)
    ]


def outbox(folder: Path, batches: list[list[Message]]) -> None:
    """The node's own."""
    under_test = Outbox(folder)
    try:
        for number, batch in enumerate(batches):
            stored = under_test.put(batch)
            if (last := stored[0].seq - 1) > 0:
                under_test.done(under_test.boot, [(1, last)])
            if number % 10 == 9:
                under_test.put([])  # as the node does with its health
    finally:
        under_test.close()


def row_for_each_reading(folder: Path, batches: list[list[Message]]) -> None:
    with contextlib.closing(sqlite3.connect(folder / "queue.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE reading (id INTEGER PRIMARY KEY, point TEXT, time_ms INTEGER, value REAL)")
        for batch in batches:
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM reading").fetchone()
            for message in batch:
                for frame in message:
                    for point, value in frame.v.items():
                        db.execute("INSERT INTO reading (point, time_ms, value) VALUES (?, ?, ?)", (point, frame.t, value))
            db.execute("DELETE FROM reading WHERE id <= ?", (last,))


def row_for_each_message(folder: Path, batches: list[list[Message]]) -> None:
    with contextlib.closing(sqlite3.connect(folder / "queue.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, payload BLOB)")
        for batch in batches:
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
            for message in batch:
                db.execute("INSERT INTO message (payload) VALUES (?)", (msgspec.json.encode(message),))
            db.execute("DELETE FROM message WHERE id <= ?", (last,))


def persist_queue(folder: Path, batches: list[list[Message]]) -> None:
    import persistqueue

    queue = persistqueue.SQLiteAckQueue(str(folder / "queue"), auto_commit=True)
    for batch in batches:
        for message in batch:
            queue.put(msgspec.json.encode(message))
        for _ in batch:
            queue.ack(queue.get())
    queue.clear_acked_data(keep_latest=0)
    queue.close()


WAYS: dict[str, tuple[Way, int]] = {
    "muki outbox": (outbox, 1),
    "SQLite, a row for each message, a commit each": (row_for_each_message, 5),
    "SQLite, a row for each reading, a commit each": (row_for_each_reading, 30),
    "persist-queue, SQLiteAckQueue": (persist_queue, 5),
}


def measure(way: Way, batches: list[list[Message]]) -> dict[str, float]:
    payload = sum(len(msgspec.json.encode(message)) for batch in batches for message in batch)
    with tempfile.TemporaryDirectory() as folder, loop_disk(Path(folder) / "disk", DISK) as disk:
        before, cpu, began = disk.written(), time.process_time(), time.monotonic()
        way(disk.folder, batches)
        return {
            "device B ÷ payload B": (disk.written() - before) / payload,
            "device kB/commit": (disk.written() - before) / len(batches) / 1e3,
            "payload kB/commit": payload / len(batches) / 1e3,
            "cpu ms/commit": (time.process_time() - cpu) / len(batches) * 1e3,
            "took s": time.monotonic() - began,
        }


def run(commits: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each way and each size of a commit; the slow ways get a part of the load, which their ratio does not depend on."""
    rows: list[dict[str, Any]] = []
    for messages in (1, 4, 20):
        for name, (way, divisor) in WAYS.items():
            if way is persist_queue and importlib.util.find_spec("persistqueue") is None:
                continue
            if messages > 1 and way is not outbox:
                continue
            batches = load(max(20, commits // divisor), messages)
            found = [measure(way, batches) for _ in range(rounds)]
            middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
            within = middle["device B ÷ payload B"] <= LIMIT
            verdict = ("yes" if within else "NO") if way is outbox else ""
            rows.append({"way": name, "messages/commit": messages, "commits": len(batches), **middle, "within 4": verdict})
    return rows


@click.command()
@click.option("--seconds", default=600, show_default=True, help="Commits of the outbox: one a second in a node.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(seconds: int, rounds: int, as_json: bool) -> None:
    """Device bytes per payload byte; exit status 1 above the limit."""
    rows = run(seconds, rounds)
    missing = [] if importlib.util.find_spec("persistqueue") else ["persist-queue is not installed: pip install persist-queue"]
    report("outbox flash", rows, as_json=as_json, notes=[f"limit: {LIMIT:g} device bytes for each byte of payload; ext4", *missing])
    sys.exit(1 if any(row["within 4"] == "NO" for row in rows) else 0)


if __name__ == "__main__":
    main()
