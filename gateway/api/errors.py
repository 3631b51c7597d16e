"""How the API refuses, and how routes get at the services."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.services import Services


class Refused(Exception):
    """An answer that is no. ``reason`` is one word for programs, ``detail`` says to people what would be right."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def said(status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal as every route gives it. What the request brought may be no text at all, and is then shown escaped."""
    return JSONResponse({"reason": reason, "detail": detail.encode("utf-8", "backslashreplace").decode()}, status, headers)


async def refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this class alone
    return said(error.status, error.reason, error.detail)


async def invalid(_request: Request, error: Exception) -> Response:
    """What the framework finds wrong with a request: each place, and what is wrong there."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    return said(422, "invalid_request", "; ".join(_problem(one) for one in error.errors()[:10]))


async def no_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    reason = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return said(error.status_code, reason, f"{error.detail}: /openapi.json names what there is", error.headers)


def _problem(found: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in found["loc"])
    given = "" if found["type"] in {"missing", "json_invalid"} else f" (got {str(found['input'])[:100]!r})"
    return f"{place}: {found['msg']}{given}"


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(_services)]
