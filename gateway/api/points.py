"""Routes of the points and their readings."""

import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from contract.alarms import AlarmDefinition, ConditionKind
from contract.frames import to_ms
from contract.messages import Birth, PointDeclaration
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns, range_of, series_of
from gateway.api.shapes import PointShape, ReadingsShape
from gateway.malfunctions import GATEWAY_NODE
from gateway.services import Services
from gateway.store import Sample, Series
from gateway.store.rollup import grid

router = APIRouter(tags=["points"])
_ON_VALUE = frozenset({ConditionKind.ABOVE, ConditionKind.BELOW, ConditionKind.EQUALS})


@router.get("/points", response_model=list[PointShape])
async def points(services: Parts, node: Annotated[str | None, Query(max_length=32)] = None) -> list[dict[str, object]]:
    """Every declared point with its newest reading."""
    births = {name: birth for name, birth in _births(services).items() if node in {None, name}}
    series = [Series(name, point) for name, birth in births.items() for point in birth.points]
    latest = await run_in_threadpool(services.store.latest, series) if series else {}
    now_ns = time.time_ns()
    return [line for name, birth in sorted(births.items()) for line in _lines(name, birth, latest, now_ns)]


@router.get("/readings", response_model=ReadingsShape)
async def readings(
    services: Parts,
    *,
    node: str,
    point: str,
    start: str,
    end: str,
    buckets: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> dict[str, object]:
    """Minimum, maximum and mean of one point over a range (start inside, end outside), in at most ``buckets`` equal slots."""
    series = series_of(node, point)
    start_ns, end_ns = range_of(moment_ns(start, "start"), moment_ns(end, "end"))
    birth = services.aggregation.birth if node == GATEWAY_NODE else services.nodes.birth(node)
    declared = birth.points.get(point) if birth else None
    if declared is None and not await run_in_threadpool(services.store.latest, [series]):
        raise Refused(404, "unknown_point", f"node {node!r} has no point {point!r}: see GET /points")
    slots = await run_in_threadpool(services.store.buckets, series, start_ns, end_ns, buckets)
    kept = await run_in_threadpool(services.store.kept)
    return {
        "node": node,
        "point": point,
        "unit": declared.unit if declared else "",
        "start": to_ms(start_ns),
        "end": to_ms(end_ns),
        "width": grid(start_ns, end_ns, buckets, kept).width_ns / 1e6,
        "buckets": [
            {"time": to_ms(slot.start_ns), "minimum": slot.minimum, "maximum": slot.maximum, "mean": slot.mean, "samples": slot.samples}
            for slot in slots
        ],
    }


def _births(services: Services) -> dict[str, Birth]:
    """Of every node, and what the gateway itself adds up."""
    own = services.aggregation.birth
    return services.nodes.births() | ({GATEWAY_NODE: own} if own is not None else {})


def _lines(node: str, birth: Birth, latest: dict[Series, Sample], now_ns: int) -> Iterator[dict[str, object]]:
    for name, declared in birth.points.items():
        definitions = [alarm for alarm in birth.alarms if alarm.point == name]
        yield _line(node, name, declared, definitions=definitions, sample=latest.get(Series(node, name)), now_ns=now_ns)


def _line(
    node: str, name: str, declared: PointDeclaration, *, definitions: list[AlarmDefinition], sample: Sample | None, now_ns: int
) -> dict[str, object]:
    return {
        "node": node,
        "point": name,
        "asset": declared.asset or name.partition("/")[0],
        "unit": declared.unit,
        "kind": declared.kind,
        "range": declared.range,
        "period": declared.period,
        "description": declared.description,
        "limits": [
            {"definition": alarm.id, "kind": alarm.condition.kind, "limit": alarm.condition.limit, "priority": alarm.priority}
            for alarm in definitions
            if alarm.condition.kind in _ON_VALUE and alarm.condition.limit is not None
        ],
        "value": sample.value if sample else None,
        "quality": sample.quality if sample else None,
        "time": to_ms(sample.time_ns) if sample else None,
        "age": (now_ns - sample.time_ns) / 1e9 if sample else None,
    }
