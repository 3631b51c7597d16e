"""What a request shows: a session of somebody who logged in, or a token of a program. Only their hashes are kept.

A session that nothing was done with for a while may still see: an operator who comes back to the wall finds the alarms there, and the password is
asked for when they act.
"""

import hashlib
import secrets
import time
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Engine, String, Table, delete, insert, select, update

from gateway import audit
from gateway.accounts.roles import Person, Role
from gateway.accounts.users import USERS
from gateway.database import METADATA, reading

SECOND = 1_000_000_000  # ns
LIFETIME = 30 * 86_400  # s from the login until a session is nothing any more
NOTED = 30  # s: not every act is written down as the last one
PREFIX = "muki_"

_SESSIONS = Table(
    "account_session",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False, index=True),
    Column("begun_ns", BigInteger, nullable=False),
    Column("acted_ns", BigInteger, nullable=False),
)
_TOKENS = Table(
    "account_token",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("begun_ns", BigInteger, nullable=False),
)


class Token(NamedTuple):
    name: str
    role: Role
    begun_ns: int


class Passes:
    """Every method blocks."""

    def __init__(self, engine: Engine, *, idle_after: float) -> None:
        """``idle_after``: seconds without an act after which a session only sees."""
        self._engine = engine
        self._idle_ns = round(idle_after * SECOND)

    def begin(self, name: str, *, now_ns: int, address: str = "", by: str = "password") -> str:
        """A session for somebody who said who they are: the secret that the browser keeps. ``address``, ``by``: for the audit."""
        secret = secrets.token_urlsafe(32)
        with self._engine.begin() as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.begun_ns < now_ns - LIFETIME * SECOND))
            connection.execute(insert(_SESSIONS).values(hash=_hash(secret), name=name, begun_ns=now_ns, acted_ns=now_ns))
            audit.record(connection, audit.Entry(now_ns, "session.begin", name, name, {"address": address[:100], "by": by}))
        return secret

    def session(self, secret: str, *, now_ns: int, acting: bool) -> Person | None:
        """Whose session it is. ``acting``: they do something now, which keeps it awake unless it is idle already."""
        joined = _SESSIONS.join(USERS, USERS.c.name == _SESSIONS.c.name)
        this = _SESSIONS.c.hash == _hash(secret)
        with reading(self._engine) as connection:
            query = select(USERS.c.name, USERS.c.role, _SESSIONS.c.begun_ns, _SESSIONS.c.acted_ns).select_from(joined)
            row = connection.execute(query.where(this, USERS.c.active)).one_or_none()
        if row is None or now_ns - row.begun_ns > LIFETIME * SECOND:
            return None
        if now_ns - row.acted_ns > self._idle_ns:
            return Person(row.name, Role.VIEWER, idle=True)
        if acting and now_ns - row.acted_ns > NOTED * SECOND:
            with self._engine.begin() as connection:
                connection.execute(update(_SESSIONS).where(this).values(acted_ns=now_ns))
        return Person(row.name, Role(row.role))

    def end(self, secret: str) -> None:
        this = _SESSIONS.c.hash == _hash(secret)
        with self._engine.begin() as connection:
            name = connection.execute(select(_SESSIONS.c.name).where(this)).scalar_one_or_none()
            if name is not None and connection.execute(delete(_SESSIONS).where(this)).rowcount:
                audit.record(connection, audit.Entry(time.time_ns(), "session.end", name, name, {}))

    def end_all(self, name: str) -> None:
        """Of somebody whose password or account is no longer what it was."""
        with self._engine.begin() as connection:
            if ended := connection.execute(delete(_SESSIONS).where(_SESSIONS.c.name == name)).rowcount:
                audit.record(connection, audit.Entry(time.time_ns(), "session.end_all", audit.SHELL, name, {"sessions": ended}))

    def issue(self, name: str, role: Role, *, now_ns: int) -> str:
        """A token for a program, shown this once. Raises ValueError where the name is taken."""
        secret = PREFIX + secrets.token_urlsafe(32)
        if not name.strip() or len(name) > 100:
            raise ValueError(f"token {name!r}: name the program that uses it, in 1 to 100 characters")
        with self._engine.begin() as connection:
            if connection.execute(select(_TOKENS.c.name).where(_TOKENS.c.name == name)).one_or_none() is not None:
                raise ValueError(f"there is a token {name!r} already: revoke it, or choose another name")
            connection.execute(insert(_TOKENS).values(name=name, hash=_hash(secret), role=role.value, begun_ns=now_ns))
            audit.record(connection, audit.Entry(now_ns, "token.create", audit.SHELL, name, {"role": role.value}))
        return secret

    def revoke(self, name: str) -> None:
        """Raises ValueError where there is none."""
        with self._engine.begin() as connection:
            if not connection.execute(delete(_TOKENS).where(_TOKENS.c.name == name)).rowcount:
                raise ValueError(f"there is no token {name!r}")
            audit.record(connection, audit.Entry(time.time_ns(), "token.revoke", audit.SHELL, name, {}))

    def tokens(self) -> list[Token]:
        with reading(self._engine) as connection:
            return [Token(row.name, Role(row.role), row.begun_ns) for row in connection.execute(select(_TOKENS).order_by(_TOKENS.c.name))]

    def token(self, secret: str) -> Person | None:
        """Which program it is."""
        with reading(self._engine) as connection:
            row = connection.execute(select(_TOKENS.c.name, _TOKENS.c.role).where(_TOKENS.c.hash == _hash(secret))).one_or_none()
        return None if row is None else Person(row.name, Role(row.role))


def _hash(secret: str) -> str:
    """The secrets are random and long: nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
