"""How the API refuses, and how routes get at the services."""

from typing import Annotated

from fastapi import Depends, Request

from gateway.services import Services


class Refused(Exception):
    """An answer that is no. ``reason`` is one word for programs, ``detail`` says to people what would be right."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(_services)]
