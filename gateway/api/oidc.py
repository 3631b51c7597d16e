"""Signing in with the account of the mine (OpenID Connect, authorization code with PKCE): to the provider, and back."""

import logging
import secrets
import ssl
import time
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from httpx2 import HTTPError
from joserfc.errors import JoseError
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp

from gateway.accounts.oidc import Denied, OidcSettings, admit, claim, identity
from gateway.api.access import keep_session
from gateway.api.errors import Parts
from gateway.services import Services
from gateway.turns import Pace

log = logging.getLogger(__name__)
ROUTE = "/api/v1/session/oidc"
_WITHIN = 600  # s from leaving for the provider until coming back
_NEXT = "muki_next"


class Provider:
    """Where people sign in. Nothing is asked of it until somebody does. Raises OSError where a file cannot be read."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        options: dict[str, Any] = {"scope": settings.scope, "code_challenge_method": "S256", "timeout": 10}
        if settings.ca_file is not None:
            options["verify"] = ssl.create_default_context(cafile=str(settings.ca_file))
        self.client = OAuth().register(
            "site",
            client_id=settings.client_id,
            client_secret=settings.client_secret_file.read_text("utf-8").strip(),
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs=options,
        )
        self.pace = Pace(30, 1.0)

    async def claims(self, request: Request) -> dict[str, Any]:
        """Of whoever came back, verified. Raises OAuthError, JoseError, HTTPError, ValueError."""
        metadata = await self.client.load_server_metadata()
        if metadata.get("issuer") != self.settings.issuer:
            raise ValueError(
                f"oidc.issuer is {self.settings.issuer!r}, and the provider calls itself {metadata.get('issuer')!r}: write that"
            )
        token = await self.client.authorize_access_token(request)
        if "userinfo" not in token:
            raise ValueError("the provider sent no ID token: oidc.scope must have openid")
        claims = dict(token["userinfo"])
        if claim(claims, self.settings.roles_claim) is None and metadata.get("userinfo_endpoint"):
            more = await self.client.userinfo(token=token)
            if more.get("sub") == claims["sub"]:  # OpenID Connect Core 1.0, 5.3.2: otherwise it must not be used
                claims = {**more, **claims}
        return claims


def routes(provider: Provider) -> APIRouter:
    """The two ends of the way, which browsers follow and programs do not."""
    router = APIRouter(prefix="/session/oidc", tags=["access"], include_in_schema=False)

    @router.get("")
    async def leave(request: Request, services: Parts, after: Annotated[str, Query(alias="next", max_length=500)] = "/") -> Response:
        if not provider.pace.allows("", time.time_ns()):
            return _home("too_often")
        request.session.clear()
        request.session[_NEXT] = after if _is_ours(after) else "/"
        try:
            answer: Response = await provider.client.authorize_redirect(request, f"{provider.settings.page.rstrip('/')}{ROUTE}/back")
        except (HTTPError, OAuthError, ValueError, RuntimeError) as error:
            return await _refuse(services, request, "oidc_unreachable", f"{provider.settings.issuer}: {error or type(error).__name__}")
        return answer

    @router.get("/back")
    async def back(request: Request, services: Parts) -> Response:
        after = request.session.pop(_NEXT, "/")
        try:
            who = identity(provider.settings, await provider.claims(request))
            user = await run_in_threadpool(partial(admit, services.engine, who, now_ns=time.time_ns()))
        except Denied as error:
            return await _refuse(services, request, error.reason, str(error))
        except (OAuthError, JoseError, KeyError, ValueError, RuntimeError) as error:
            return await _refuse(services, request, "oidc_refused", f"{provider.settings.issuer}: {error or type(error).__name__}")
        except HTTPError as error:
            return await _refuse(services, request, "oidc_unreachable", f"{provider.settings.issuer}: {error or type(error).__name__}")
        finally:
            request.session.clear()
        answer = RedirectResponse(after, 303)
        await keep_session(request, answer, services, user.name, by=provider.settings.issuer)
        return answer

    return router


def remembering(app: ASGIApp) -> ASGIApp:
    """Between leaving and coming back a signed cookie remembers what was asked; a gateway that starts anew forgets it, and one asks again."""
    return SessionMiddleware(app, secrets.token_hex(32), session_cookie="muki_oidc", max_age=_WITHIN, path=ROUTE, same_site="lax")


async def _refuse(services: Services, request: Request, reason: str, detail: str) -> Response:
    log.warning("sign-in by OpenID Connect: %s", detail)
    address = request.client.host if request.client else ""
    await run_in_threadpool(lambda: services.sign_ins.refused("", address, reason, now_ns=time.time_ns()))
    return _home(reason)


def _home(reason: str) -> Response:
    return RedirectResponse(f"/?login={quote(reason)}", 303)


def _is_ours(path: str) -> bool:
    """A path of this gateway: anything else would lead people who just signed in elsewhere."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
