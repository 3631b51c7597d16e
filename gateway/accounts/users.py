"""The people of a site: names, roles and passwords (Argon2id), in the gateway's database."""

import re
import time
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import BigInteger, Boolean, Column, Engine, String, Table, Text, insert, select, update

from gateway import audit
from gateway.accounts.roles import Role
from gateway.database import METADATA, reading

USERS = Table(
    "account_user",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),  # Argon2id, with its salt and parameters, or ABROAD
    Column("active", Boolean, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
)
ABROAD = "elsewhere"  # in place of a hash: somebody whom another provider knows, and no password opens it
LEAST = 10  # characters; NIST SP 800-63B asks for 8, and length is what counts
_NAME = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,98}[^\s\x00-\x1f])?")
# RFC 9106's second recommendation (64 MiB), with one lane: a small gateway checks one password at a time.
_HASHER = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)


class User(NamedTuple):
    name: str
    role: Role
    active: bool
    since_ns: int


class Users:
    """Every method blocks. Raises ValueError saying what would be right."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._nobody = ""

    def add(self, name: str, role: Role, password: str, *, now_ns: int) -> None:
        if not named(name):
            raise ValueError(f"name {name!r}: write 1 to 100 characters, without blanks at its ends")
        row = {"name": name, "role": role.value, "password": _hashed(password), "active": True, "since_ns": now_ns}
        with self._engine.begin() as connection:
            if connection.execute(select(USERS.c.name).where(USERS.c.name == name)).one_or_none() is not None:
                raise ValueError(f"there is a user {name!r} already")
            connection.execute(insert(USERS).values(**row))
            audit.record(connection, audit.Entry(now_ns, "user.add", audit.SHELL, name, {"role": role.value}))

    def change(self, name: str, *, role: Role | None = None, password: str | None = None, active: bool | None = None) -> None:
        """Where the password changes or the account ends, the caller ends its sessions."""
        values: dict[str, object] = {}
        if role is not None:
            values["role"] = role.value
        if password is not None:
            values["password"] = _hashed(password)
        if active is not None:
            values["active"] = active
        with self._engine.begin() as connection:
            if not connection.execute(update(USERS).where(USERS.c.name == name).values(**values)).rowcount:
                raise ValueError(f"there is no user {name!r}")
            told = {"role": role.value if role else None, "password": password is not None, "active": active}
            audit.record(connection, audit.Entry(time.time_ns(), "user.change", audit.SHELL, name, told))

    def every(self) -> list[User]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(USERS).order_by(USERS.c.name)).all()
        return [User(row.name, Role(row.role), bool(row.active), row.since_ns) for row in rows]

    def get(self, name: str) -> User | None:
        """A user who may log in."""
        with reading(self._engine) as connection:
            row = connection.execute(select(USERS).where(USERS.c.name == name, USERS.c.active)).one_or_none()
        return None if row is None else User(row.name, Role(row.role), True, row.since_ns)

    def known(self, name: str) -> bool:
        """Whether somebody has or had this name."""
        with reading(self._engine) as connection:
            return connection.execute(select(USERS.c.name).where(USERS.c.name == name)).one_or_none() is not None

    def verify(self, name: str, password: str) -> User | None:
        """Who this is, or None. Takes as long for a name that does not exist as for a wrong password."""
        with reading(self._engine) as connection:
            row = connection.execute(select(USERS).where(USERS.c.name == name, USERS.c.active)).one_or_none()
        if row is None or row.password == ABROAD:
            self._nobody = self._nobody or _HASHER.hash("nobody has this password")
        try:
            _HASHER.verify(self._nobody if row is None or row.password == ABROAD else row.password, password)
        except (VerificationError, InvalidHashError):
            return None
        return None if row is None or row.password == ABROAD else User(row.name, Role(row.role), True, row.since_ns)


def named(name: str) -> bool:
    """Whether this can be somebody's name."""
    return _NAME.fullmatch(name) is not None


def _hashed(password: str) -> str:
    if len(password) < LEAST:
        raise ValueError(f"the password has {len(password)} characters; write {LEAST} or more: a few words are easy to keep")
    if len(password) > 1000:
        raise ValueError("the password has more than 1000 characters")
    return _HASHER.hash(password)
