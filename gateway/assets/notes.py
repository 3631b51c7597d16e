"""What engineers note about an asset: added, with a name and a time, and never changed."""

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, Index, Integer, String, Table, Text, insert, select

from gateway import audit
from gateway.database import METADATA, reading

NOTE = Table(
    "asset_note",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("node", String(32), nullable=False),
    Column("asset", String(64), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("text", Text, nullable=False),
)
Index("asset_note_by_asset", NOTE.c.node, NOTE.c.asset, NOTE.c.at_ns)


class AssetNote(NamedTuple):
    node: str
    asset: str
    at_ns: int
    who: str
    text: str


def write(engine: Engine, note: AssetNote) -> None:
    """Durable on return. Blocks."""
    with engine.begin() as connection:
        connection.execute(insert(NOTE).values(note._asdict()))
        audit.record(connection, audit.Entry(note.at_ns, "asset.note", note.who, f"{note.node}/{note.asset}", {"text": note.text}))


def of(engine: Engine, node: str, asset: str, limit: int = 100) -> list[AssetNote]:
    """Newest first. Blocks."""
    columns = [NOTE.c[name] for name in AssetNote._fields]
    query = select(*columns).where(NOTE.c.node == node, NOTE.c.asset == asset).order_by(NOTE.c.id.desc()).limit(limit)
    with reading(engine) as connection:
        return [AssetNote(*row) for row in connection.execute(query)]
