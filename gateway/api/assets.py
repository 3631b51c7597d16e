"""Routes of the assets: all of them with the worst first, one with its zones, its spectra, and notes."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.api.access import Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns, range_of
from gateway.api.shapes import ErrorShape
from gateway.assets import notes, spectra
from gateway.assets.condition import Asset, detail, find, overview
from gateway.assets.notes import AssetNote
from gateway.services import Services
from gateway.store import Series

router = APIRouter(prefix="/assets", tags=["assets"])
MOST_ROWS = 60
_UNKNOWN: dict[int | str, dict[str, object]] = {404: {"model": ErrorShape, "description": "no such asset"}}
_REFUSALS: dict[int | str, dict[str, object]] = {
    **_UNKNOWN,
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
}
Node = Annotated[str, Path(max_length=32)]
Name = Annotated[str, Path(max_length=64)]


class NewNote(BaseModel):
    """Something about an asset that stays."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    text: str = Field(min_length=1, max_length=4000)
    who: str = Field("", max_length=100)


@router.get("", response_model=list[dict[str, Any]])
async def all_assets(services: Parts) -> list[dict[str, Any]]:
    """Every asset, the worst first: alarms, zone (1 to 4), how many of its points nobody sees."""
    return await run_in_threadpool(lambda: overview(services, time.time_ns()))


@router.get("/{node}/{asset}", response_model=dict[str, Any], responses=_UNKNOWN)
async def one_asset(services: Parts, node: Node, asset: Name) -> dict[str, Any]:
    """Its alarms, its ISO zones with the moment each was crossed, which spectra it has, and what people noted."""
    found = _found(services, node, asset)
    told = await run_in_threadpool(lambda: detail(services, found, time.time_ns()))
    told["notes"] = [_note(one) for one in await run_in_threadpool(notes.of, services.engine, node, asset)]
    return told


@router.get("/{node}/{asset}/spectra", response_model=dict[str, Any], responses=_UNKNOWN)
async def asset_spectra(
    services: Parts,
    *,
    node: Node,
    asset: Name,
    point: Annotated[str, Query(max_length=256, description="The input, as /vibration/de")],
    kind: Literal["spectrum", "envelope"],
    start: str,
    end: str,
    rows: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 30,
) -> dict[str, Any]:
    """The lines of a spectrum, their means over ``rows`` slots of time, the median of all of them, and where fault lines lie (shaft orders)."""
    found = _found(services, node, asset)
    start_ns, end_ns = range_of(moment_ns(start, "start"), moment_ns(end, "end"))
    lines = spectra.lines(found.points, point, kind)
    if not lines:
        raise Refused(404, "unknown_spectrum", f"{point!r} tells no {kind}: see GET /assets/{node}/{asset}")
    told = await run_in_threadpool(lambda: spectra.waterfall(services.store, node, lines, start_ns=start_ns, end_ns=end_ns, rows=rows))
    orders = {match["line"]: name for name in found.points if (match := spectra.ORDER.fullmatch(name)) and match["input"] == point}
    latest = await run_in_threadpool(services.store.latest, [Series(node, name) for name in orders.values()]) if orders else {}
    birth = services.nodes.birth(node)
    return {
        "axis": told.axis,
        "unit": birth.points[lines[0][2]].unit if birth else "",
        "at": told.at,
        "rows": [{"time": to_ms(at), "values": values} for at, values in told.rows],
        "median": spectra.median(told.rows),
        "orders": {line: sample.value for line, name in orders.items() if (sample := latest.get(Series(node, name)))},
    }


@router.post("/{node}/{asset}/notes", response_model=dict[str, Any], responses=_REFUSALS)
async def note(services: Parts, person: Operator, node: Node, asset: Name, given: NewNote) -> dict[str, Any]:
    """Adds a note to an asset. Notes are never changed."""
    _found(services, node, asset)
    written = AssetNote(node, asset, time.time_ns(), author(person, given.who), given.text)
    await run_in_threadpool(notes.write, services.engine, written)
    return _note(written)


def _found(services: Services, node: str, name: str) -> Asset:
    found = find(services, node, name)
    if found is None:
        raise Refused(404, "unknown_asset", f"node {node!r} has no asset {name!r}: see GET /assets")
    return found


def _note(one: AssetNote) -> dict[str, Any]:
    return {"at": to_ms(one.at_ns), "who": one.who, "text": one.text}
