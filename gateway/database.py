"""The gateway's SQL database: alarms, ledger, nodes. SQLite by default, PostgreSQL by URL.

One gateway process a database: the ledger keeps its ranges in memory and would not see another's commits.
"""

import threading
from collections import deque
from functools import partial

from sqlalchemy import Engine, MetaData, create_engine, event, inspect
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

METADATA = MetaData()
BUSY_SECONDS = 10.0
_TURN = "muki_turn"


def open_database(url: str) -> Engine:
    """An engine whose commits survive power loss, with every table made. Raises ValueError for a URL that is none.

    SQLite runs in WAL with ``synchronous=FULL``; each transaction that `reading` did not open begins IMMEDIATE, so that a reader that turns
    writer never meets a lock it cannot wait for.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"database {url!r}: write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME") from None
    engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        line = Line()
        event.listen(engine, "begin", partial(_sqlite_begin, line))
        event.listen(engine, "checkin", line.left)
    METADATA.create_all(engine)
    _add_new_columns(engine)
    return engine


def _add_new_columns(engine: Engine) -> None:
    """A database of an older release gets the columns that are new since; its rows have no value there, so such a column takes NULL."""
    inspector = inspect(engine)
    for table in METADATA.sorted_tables:
        known = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                added = CreateColumn(column).compile(dialect=engine.dialect)
                with engine.begin() as connection:
                    connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {added}")


def reading(engine: Engine) -> Connection:
    """A connection for reading alone: on SQLite it sees one state of the file and waits for no writer, nor any writer for it."""
    return engine.execution_options(reading=True).connect()


def _sqlite_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000:.0f}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(line: "Line", connection: Connection) -> None:
    if connection.get_execution_options().get("reading", False):
        connection.exec_driver_sql("BEGIN")
        return
    line.enter(connection)
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class Line:
    """The writers of this process, in the order they came: SQLite lets whoever asks at the right moment in, and a busy one starves the others.

    A turn ends when its connection goes back to the pool. Whoever waits longer than SQLite itself would goes on without one.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def enter(self, connection: Connection) -> None:
        if _TURN in connection.info:
            return
        with self._guard:
            if not self._taken:
                self._taken = True
                connection.info[_TURN] = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(BUSY_SECONDS):
            connection.info[_TURN] = True
            return
        with self._guard:
            if mine.is_set():
                connection.info[_TURN] = True
            else:
                self._waiting.remove(mine)

    def left(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        if entry.info.pop(_TURN, None) is None:
            return
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
