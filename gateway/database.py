"""The gateway's SQL database: alarms, ledger, nodes. SQLite by default, PostgreSQL by URL.

One gateway process a database: the ledger keeps its ranges in memory and would not see another's commits.
"""

from sqlalchemy import Engine, MetaData, create_engine, event, inspect
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

METADATA = MetaData()


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
        event.listen(engine, "begin", _sqlite_begin)
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
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")
