"""The tables of the alarm journal, the same on SQLite and PostgreSQL."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text

from gateway.database import METADATA

# Byte order everywhere: PostgreSQL's locale would sort event ids otherwise than Python does.
_ID = String(64).with_variant(String(64, collation="C"), "postgresql")
_KEY = String(128).with_variant(String(128, collation="C"), "postgresql")
_SERIAL = BigInteger().with_variant(Integer(), "sqlite")

DEFINITION = Table(
    "alarm_definition",
    METADATA,
    Column("key", _KEY, primary_key=True),
    Column("node", String(32), nullable=False, index=True),
    Column("retired", Boolean, nullable=False),  # no longer in the node's birth: kept for its standing alarm and its history
    Column("body", Text, nullable=False),  # AlarmDefinition as JSON
)

# What nodes said. Rows are added, never removed; `after` is derived and follows when history arrives behind.
EVENT = Table(
    "alarm_event",
    METADATA,
    Column("key", _KEY, primary_key=True),
    Column("id", _ID, primary_key=True),  # within the key: no node can mask the event of another by its id
    Column("node", String(32), nullable=False),
    Column("definition", String(64), nullable=False),
    Column("point", String(256), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("transition", String(16), nullable=False),
    Column("value", Float(53)),
    Column("quality", String(64), nullable=False),
    Column("evidence", Text, nullable=False),  # JSON list
    Column("first_up", Boolean),  # the first of its group
    Column("late", Boolean, nullable=False),
    Column("inferred", Boolean, nullable=False),  # from a birth; the event itself has not come yet
    Column("after", Text, nullable=False),  # lifecycle.Fold as JSON
)
Index("alarm_event_by_key", EVENT.c.key, EVENT.c.at_ns)
Index("alarm_event_by_time", EVENT.c.at_ns)
Index("alarm_event_by_node", EVENT.c.node, EVENT.c.at_ns)

# What people did.
ACTION = Table(
    "alarm_action",
    METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("key", _KEY, nullable=False),
    Column("node", String(32), nullable=False),
    Column("definition", String(64), nullable=False),
    Column("at_ns", BigInteger, nullable=False),  # its place among the events: never before what its author could see
    Column("done_ns", BigInteger, nullable=False),  # the gateway's clock
    Column("trigger", String(16), nullable=False),
    Column("who", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("until_ns", BigInteger),
    Column("after", Text, nullable=False),
)
Index("alarm_action_by_key", ACTION.c.key, ACTION.c.at_ns)
Index("alarm_action_by_time", ACTION.c.at_ns)
Index("alarm_action_by_node", ACTION.c.node, ACTION.c.at_ns)

STATE = Table(
    "alarm_state",
    METADATA,
    Column("key", _KEY, primary_key=True),
    Column("node", String(32), nullable=False),
    Column("definition", String(64), nullable=False),
    Column("point", String(256), nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("version", BigInteger, nullable=False),  # grows by one with every write
    Column("newest_ns", BigInteger, nullable=False),  # of its events and actions
    Column("shelved_until_ns", BigInteger),
    Column("after", Text, nullable=False),
)
