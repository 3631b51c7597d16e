"""Opens the DuckDB file: its settings, its tables, and errors that say what is wrong with it and what would be right."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import duckdb

from gateway.store import StoreUnavailable

FORMAT = 2
"""1 had no rollups; such a file gets its tables, and is rolled up in the background."""

TABLES = """
CREATE TABLE muki_format (version INTEGER NOT NULL);
INSERT INTO muki_format VALUES (2);
CREATE TABLE series (id INTEGER NOT NULL, node VARCHAR NOT NULL, point VARCHAR NOT NULL);
CREATE TABLE quality (id SMALLINT NOT NULL, quality VARCHAR NOT NULL);
CREATE TABLE sample (series INTEGER NOT NULL, time BIGINT NOT NULL, value DOUBLE, quality SMALLINT NOT NULL);
CREATE TABLE newest (series INTEGER NOT NULL, time BIGINT NOT NULL, value DOUBLE, quality SMALLINT NOT NULL);
CREATE TABLE newest_floor (time BIGINT NOT NULL);
INSERT INTO newest_floor VALUES (-1);
CREATE VIEW reading AS
  SELECT s.node, s.point, make_timestamp_ns(r.time) AS time, r.value, coalesce(q.quality, 'good') AS quality
  FROM sample r JOIN series s ON s.id = r.series LEFT JOIN quality q ON q.id = r.quality;
"""

_HOLDER = re.compile(r"held in (.*?) \(PID (\d+)\)")


def open_file(path: Path, *, memory_limit: str, threads: int, checkpoint_at: str, rollups: str) -> Any:
    """A connection to the file, created with its tables when it is new; ``rollups`` is the SQL that makes those of the rollups.

    A file that cannot be read is left as it is, one without rollups gets their tables.

    Raises StoreUnavailable that names the file, what is wrong with it and what would be right.
    """
    _check_place(path)
    configuration: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "threads": threads,
        "checkpoint_threshold": checkpoint_at,
        # A gateway works without internet, and nothing may be fetched behind its back.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    try:
        connection = duckdb.connect(str(path), config=configuration)
    except duckdb.Error as error:
        raise StoreUnavailable(explain(path, error)) from error
    try:
        _check_format(connection, path, rollups)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StoreUnavailable(f"{path}: is a folder; write the path of a file, for example {path / 'history.duckdb'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{path}: its folder cannot be made ({error.strerror}); choose a folder that the gateway may write"
        ) from error
    for place in (path, path.with_name(path.name + ".wal")) if path.exists() else (path.parent,):
        if place.exists() and not os.access(place, os.W_OK):
            raise StoreUnavailable(f"{place}: is not writable for the user of the gateway; change its owner, or choose another path")


def _check_format(connection: Any, path: Path, rollups: str) -> None:
    try:
        names = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not names:
            connection.execute(f"BEGIN; {TABLES} {rollups} COMMIT")
            return
        if "muki_format" not in names:
            raise StoreUnavailable(
                f"{path}: is a DuckDB file of something else (tables {', '.join(sorted(names)[:5])}); choose another path"
            )
        version = connection.execute("SELECT max(version) FROM muki_format").fetchone()[0]
        if version == 1:
            connection.execute(f"BEGIN; {rollups} UPDATE muki_format SET version = {FORMAT}; COMMIT")  # noqa: S608 - a number of our own
            return
    except duckdb.Error as error:
        raise StoreUnavailable(explain(path, error)) from error
    if version != FORMAT:
        raise StoreUnavailable(f"{path}: has format {version}, this gateway writes format {FORMAT}; start the gateway that wrote it")


_DAMAGED = ("not a valid duckdb database", "corrupt", "serialization", "checksum", "could not read enough bytes")


def explain(path: Path, error: Exception) -> str:
    """What is wrong with the file, and what would be right."""
    text = str(error).split("\n", 1)[0]
    if holder := _HOLDER.search(text):
        held = f"{path}: is open in another process, {holder[1]} (PID {holder[2]}), and DuckDB allows one"
        return f"{held}; stop that one, or give this gateway a file of its own"
    if any(sign in text.lower() for sign in _DAMAGED):
        return f"{path}: is damaged or no DuckDB file; it was left as it is: restore a backup, or move it away and start with an empty one ({text})"
    return f"{path}: cannot be opened ({text})"


def close_quietly(connection: Any) -> None:
    """Closes a connection that may be broken already."""
    with contextlib.suppress(duckdb.Error):
        connection.close()
