"""People whom the mine's own sign-in knows (OpenID Connect): who is let in, by which name, and in which role."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, Engine, String, Table, insert, select, update

from gateway import audit
from gateway.accounts.roles import Role
from gateway.accounts.users import ABROAD, USERS, User, named
from gateway.database import METADATA

_SUBJECTS = Table(
    "account_subject",
    METADATA,
    Column("issuer", String(500), primary_key=True),
    Column(
        "subject", String(255), primary_key=True
    ),  # OpenID Connect Core 1.0, 2: at most 255 ASCII characters, never given to somebody else
    Column("name", String(100), nullable=False, unique=True),
)
_Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$", max_length=500)]


class OidcSettings(BaseModel):
    """``page``: the gateway's address as people's browsers reach it. ``roles``: which groups make somebody what; the highest counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    issuer: _Address
    client_id: Annotated[str, Field(min_length=1, max_length=500)]
    client_secret_file: Path
    page: _Address
    label: Annotated[str, Field(min_length=1, max_length=60)] = "SSO"  # what the button says
    scope: str = "openid profile email"
    name_claim: str = "preferred_username"
    roles_claim: str = "groups"  # dots lead into objects: realm_access.roles
    roles: Annotated[dict[Role, list[str]], Field(min_length=1)]
    ca_file: Path | None = None  # who signed the certificate of the issuer, where the system does not know it


def oidc_files(settings: OidcSettings, folder: Path) -> dict[str, Path]:
    """The files that the settings name, which lie beside the configuration."""
    wanted = {"client_secret_file": settings.client_secret_file, "ca_file": settings.ca_file}
    return {name: folder / file for name, file in wanted.items() if file is not None}


class Denied(Exception):
    """Whom the provider knows and the gateway does not let in; ``reason`` is a key of the pages' texts."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Identity(NamedTuple):
    """Of an ID token that was verified."""

    issuer: str
    subject: str
    name: str
    role: Role


def identity(settings: OidcSettings, claims: Mapping[str, Any]) -> Identity:
    """Raises Denied."""
    name = claim(claims, settings.name_claim)
    if not isinstance(name, str) or not named(name):
        raise Denied("oidc_no_name", f"oidc.name_claim: {settings.name_claim!r} is {name!r} in the token: a name has 1 to 100 characters")
    groups = claim(claims, settings.roles_claim)
    groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, Sequence) else []
    roles = [role for role in Role if set(settings.roles.get(role, ())) & {group for group in groups if isinstance(group, str)}]
    if not roles:
        raise Denied("oidc_no_role", f"{name} is in none of the groups of oidc.roles; the token's {settings.roles_claim!r} has {groups!r}")
    return Identity(str(claims["iss"]), str(claims["sub"]), name, roles[-1])


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """None where it is not there. A claim may have dots in its own name."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def admit(engine: Engine, who: Identity, *, now_ns: int) -> User:
    """The user that this identity is here, made or changed to what the provider says now. Blocks. Raises Denied.

    A name belongs to who had it first: neither does somebody of the provider become a user of the gateway's own, nor another of the provider's.
    """
    this = (_SUBJECTS.c.issuer == who.issuer, _SUBJECTS.c.subject == who.subject)
    with engine.begin() as connection:
        name = connection.execute(select(_SUBJECTS.c.name).where(*this)).scalar_one_or_none()
        if name is None:
            if connection.execute(select(USERS.c.name).where(USERS.c.name == who.name)).one_or_none() is not None:
                raise Denied(
                    "oidc_name_taken", f"there is a user {who.name!r} already, who does not sign in as {who.subject!r} of {who.issuer}"
                )
            row = {"name": who.name, "role": who.role.value, "password": ABROAD, "active": True, "since_ns": now_ns}
            connection.execute(insert(USERS).values(**row))
            connection.execute(insert(_SUBJECTS).values(issuer=who.issuer, subject=who.subject, name=who.name))
            told = {"role": who.role.value, "issuer": who.issuer, "subject": who.subject}
            audit.record(connection, audit.Entry(now_ns, "user.add", audit.GATEWAY, who.name, told))
            return User(who.name, who.role, True, now_ns)
        user = connection.execute(select(USERS).where(USERS.c.name == name)).one()
        if not user.active:
            raise Denied("oidc_ended", f"the account {name!r} was ended here")
        if user.role != who.role.value:
            connection.execute(update(USERS).where(USERS.c.name == name).values(role=who.role.value))
            told = {"role": who.role.value, "issuer": who.issuer}
            audit.record(connection, audit.Entry(now_ns, "user.change", audit.GATEWAY, name, told))
        return User(name, who.role, True, user.since_ns)
