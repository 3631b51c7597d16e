"""Who asks, and whether they may: the dependencies that routes name, and the routes of logging in and out."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from gateway.accounts.roles import ANYBODY, Person, Role
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import ErrorShape
from gateway.services import Services

COOKIE = "muki_session"
_COOKIE_AGE = 30 * 86_400  # s
router = APIRouter(prefix="/session", tags=["access"])


class Login(BaseModel):
    """A person's name and password."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=1, max_length=1000)


class SessionShape(BaseModel):
    """``access``: what needs a login here (``open``: nothing, ``changes``, ``all``). ``idle``: the password is asked for at the next change.
    ``provider``: how the account of the mine is called with which one can log in at `/session/oidc`; empty where there is none.
    """

    access: str
    name: str
    role: str
    idle: bool
    provider: str


async def whoever(request: Request, services: Parts) -> Person | None:
    """Who asks; None for somebody who does not say, or whose session or token is none."""
    if services.config.effective_access == "open":
        return ANYBODY
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await run_in_threadpool(services.passes.token, token.strip())
    secret = request.cookies.get(COOKIE)
    if secret is None:
        return None
    acting = request.method not in {"GET", "HEAD"}
    return await run_in_threadpool(lambda: services.passes.session(secret, now_ns=time.time_ns(), acting=acting))


Whoever = Annotated[Person | None, Depends(whoever)]


async def may_see(services: Parts, person: Whoever) -> None:
    """Raises Refused where the site shows itself to nobody unknown."""
    if person is None and services.config.effective_access == "all":
        raise Refused(401, "login_required", "log in (POST /session), or send Authorization: Bearer TOKEN")


def needs(role: Role) -> Callable[[Whoever], Awaitable[Person]]:
    """The dependency of a route that changes something. Raises Refused for somebody who may not."""

    async def allowed(person: Whoever) -> Person:
        if person is None:
            raise Refused(401, "login_required", "log in (POST /session), or send Authorization: Bearer TOKEN")
        if person.idle:
            raise Refused(401, "session_idle", f"{person.name} has done nothing for a while: say the password again")
        if not person.role.may(role):
            raise Refused(403, "not_allowed", f"{person.name} is {person.role}: this needs {role}")
        return person

    return allowed


Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Engineer = Annotated[Person, Depends(needs(Role.ENGINEER))]
Administrator = Annotated[Person, Depends(needs(Role.ADMINISTRATOR))]


def author(person: Person, given: str) -> str:
    """The name on a change: of who is logged in, or what they say where nobody logs in. Raises Refused without one."""
    name = person.name or given.strip()
    if not name:
        raise Refused(422, "who_required", "who: a change has a name on it")
    return name


@router.get("", response_model=SessionShape)
async def session(services: Parts, person: Whoever) -> dict[str, object]:
    """Who the gateway takes this browser for."""
    return _shown(services, person)


@router.post(
    "",
    response_model=SessionShape,
    responses={401: {"model": ErrorShape, "description": "wrong"}, 429: {"model": ErrorShape, "description": "too often"}},
)
async def log_in(request: Request, response: Response, services: Parts, given: Login) -> dict[str, object]:
    """Begins a session, which the browser keeps in a cookie that no script can read."""
    address = request.client.host if request.client else ""
    keys = [f"name {given.name}", f"address {address}"]
    now = time.monotonic()
    if (wait := max(services.throttle.wait(key, now) for key in keys)) > 0:
        await _refused(services, given.name, address, "too_often")
        detail = f"wrong too often: try again in {wait:.0f} s"
        raise Refused(429, "too_often", detail)
    user = await run_in_threadpool(services.users.verify, given.name, given.password)
    if user is None:
        for key in keys:
            services.throttle.failed(key, now)
        await _refused(services, given.name, address, "wrong_password")
        raise Refused(401, "wrong_password", "name or password is wrong")
    for key in keys:
        services.throttle.succeeded(key)
    await keep_session(request, response, services, user.name)
    return _shown(services, Person(user.name, user.role))


async def keep_session(request: Request, response: Response, services: Services, name: str, *, by: str = "password") -> None:
    """Begins the session of somebody who said who they are, and gives it to their browser."""
    address = request.client.host if request.client else ""
    secret = await run_in_threadpool(lambda: services.passes.begin(name, now_ns=time.time_ns(), address=address, by=by))
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(COOKIE, secret, max_age=_COOKIE_AGE, httponly=True, samesite="strict", secure=secure)


@router.delete("", response_model=SessionShape)
async def log_out(request: Request, response: Response, services: Parts) -> dict[str, object]:
    """Ends the session."""
    if (secret := request.cookies.get(COOKIE)) is not None:
        await run_in_threadpool(services.passes.end, secret)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return _shown(services, ANYBODY if services.config.effective_access == "open" else None)


async def _refused(services: Services, name: str, address: str, why: str) -> None:
    await run_in_threadpool(lambda: services.sign_ins.refused(name, address, why, now_ns=time.time_ns()))


def _shown(services: Services, person: Person | None) -> dict[str, object]:
    name, role, idle = person if person is not None else ("", "", False)
    oidc = services.config.oidc
    told: dict[str, object] = {"access": services.config.effective_access, "name": name, "role": str(role), "idle": idle}
    return told | {"provider": oidc.label if oidc is not None else ""}
