"""Builds the web application from the gateway's services."""

from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from contract import CONTRACT_VERSION
from gateway.api import access, alarms, assets, audit, evidence, gas, history, link, plan, points, remarks, shift, site, stream
from gateway.api.errors import Refused, invalid, no_route, refused, said
from gateway.api.protection import Protection
from gateway.api.shapes import ErrorShape
from gateway.services import Services
from gateway.store import StoreUnavailable
from gateway.web import page

PREFIX = "/api/v1"
STATIC = Path(page.__file__).parent / "static"


def create_app(services: Services) -> FastAPI:
    """The application. It owns nothing: whoever made the services closes them.

    Live streams never end by themselves: call `gateway.api.stream.end_streams(app)` when the server is told to stop, or it waits for them.
    Who may do what is `access.py`'s.
    """
    app = FastAPI(
        title="Muki gateway",
        version=f"{CONTRACT_VERSION}",
        description="Alarms, points, readings and nodes of one site. Times are Unix milliseconds, UTC. Advisory: no safety function.",
        docs_url=None,  # these pages load scripts from the internet, which a mine does not have
        redoc_url=None,
    )
    app.state.services = services
    app.state.streams = stream.Streams()
    said_of_all: dict[int | str, dict[str, object]] = {422: {"model": ErrorShape, "description": "what is wrong with the request"}}
    rooms = (alarms, assets, audit, evidence, gas, history, plan, points, remarks, shift, site, stream)
    for router in (room.router for room in rooms):
        seeing: dict[int | str, dict[str, object]] = {401: {"model": ErrorShape, "description": "log in"}}
        app.include_router(router, prefix=PREFIX, responses=said_of_all | seeing, dependencies=[Depends(access.may_see)])
    app.include_router(access.router, prefix=PREFIX, responses=said_of_all)
    app.include_router(link.router, prefix=PREFIX, responses=said_of_all)
    if services.config.oidc is not None:
        from gateway.api import oidc  # what it needs is loaded where a site signs people in so

        app.include_router(oidc.routes(oidc.Provider(services.config.oidc)), prefix=PREFIX)
        app.add_middleware(oidc.remembering)
    app.include_router(site.watch, prefix="")
    app.include_router(site.watch, prefix=PREFIX, include_in_schema=False)
    app.include_router(page.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, no_route)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_middleware(Protection, bound_to=services.config.http.host)
    return app


async def _unavailable(_request: Request, error: Exception) -> Response:
    return said(503, "store_unavailable", str(error), {"Retry-After": "5"})
