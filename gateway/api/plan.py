"""Routes of the site's plan: its picture and what stands where on it."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.api.access import Engineer, author
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import ErrorShape
from gateway.plan.book import Plan, PlanBook
from gateway.plan.settings import MOST_MARKERS, Marker
from gateway.services import Services

router = APIRouter(prefix="/plan", tags=["plan"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}


class PlanShape(BaseModel):
    """``picture`` is empty where there is none, and changes with the picture; ``who`` is empty for the configuration's plan."""

    markers: list[Marker]
    picture: str
    saved: float
    who: str


class Placing(BaseModel):
    """All markers, as they shall be."""

    model_config = ConfigDict(extra="forbid")
    markers: list[Marker] = Field(max_length=MOST_MARKERS)
    who: str = Field("", max_length=100)


@router.get("", response_model=PlanShape)
async def plan(services: Parts) -> dict[str, Any]:
    """The plan that counts: the newest that somebody saved, else the configuration's."""
    return _shape(await run_in_threadpool(_book(services).now))


@router.get("/picture", response_class=Response, responses={404: {"model": ErrorShape, "description": "there is none"}})
async def picture(services: Parts) -> Response:
    """Its picture. Whatever an SVG holds, it runs nothing."""
    try:
        found = await run_in_threadpool(_book(services).picture)
    except (OSError, ValueError) as error:
        raise Refused(404, "no_picture", str(error)) from None
    if found is None:
        raise Refused(404, "no_picture", "the plan has no picture yet")
    return Response(found[0], media_type=found[1])


@router.put("", response_model=PlanShape, responses=_REFUSALS)
async def place(services: Parts, person: Engineer, given: Placing) -> dict[str, Any]:
    """Puts markers on the plan, instead of those that were there."""
    who = author(person, given.who)
    return _shape(await run_in_threadpool(lambda: _book(services).place(given.markers, who=who, now_ns=time.time_ns())))


@router.put("/picture", response_model=PlanShape, responses=_REFUSALS)
async def draw(services: Parts, person: Engineer, request: Request, who: Annotated[str, Query(max_length=100)] = "") -> dict[str, Any]:
    """Takes another picture as the body (image/png, image/jpeg or image/svg+xml, 4 MiB); the markers stay where they are."""
    name, data = author(person, who), await request.body()
    try:
        return _shape(await run_in_threadpool(lambda: _book(services).draw(data, who=name, now_ns=time.time_ns())))
    except ValueError as error:
        raise Refused(422, "bad_picture", str(error)) from None


def _book(services: Services) -> PlanBook:
    return PlanBook(services.engine, services.config.data_dir / "plan", services.config.plan)


def _shape(plan: Plan) -> dict[str, Any]:
    return {"markers": list(plan.markers), "picture": plan.picture, "saved": to_ms(plan.at_ns), "who": plan.who}
