"""Routes of the site: its nodes, what was received of each, and how the gateway itself is."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, literal, select
from sqlalchemy.exc import SQLAlchemyError

from contract.frames import to_ms
from gateway.api.access import Engineer, author, may_see
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import Acknowledgement, ErrorShape, LedgerShape, NodeShape, ReadyShape
from gateway.database import reading
from gateway.ledger import missing

router = APIRouter(tags=["site"])
watch = APIRouter(tags=["watching the gateway"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
    404: {"model": ErrorShape, "description": "no such node"},
}
NodeName = Annotated[str, Path(max_length=32, description="The node's name")]
MOST_GAPS = 100


@router.get("/nodes", response_model=list[NodeShape])
async def nodes(services: Parts) -> list[dict[str, object]]:
    """Every node that was ever heard, and whether it is telling now."""
    views = services.nodes.views(time.time_ns())
    return [
        {
            **view.to_json(),
            "since": to_ms(view.since_ns),
            "last_seen": to_ms(view.last_seen_ns),
            "approved": services.approvals.approved(view.node),
        }
        for view in views
    ]


@router.post("/nodes/{node}/approve", response_model=list[NodeShape], responses=_REFUSALS)
async def approve(services: Parts, person: Engineer, node: NodeName, given: Acknowledgement) -> list[dict[str, object]]:
    """Lets a node in that was heard; from then on what it has kept is taken. Answers as GET /nodes does."""
    if services.nodes.view(node, time.time_ns()) is None:
        raise Refused(404, "unknown_node", f"no node {node!r} was heard yet: GET /nodes names those that were")
    who = author(person, given.who)
    await run_in_threadpool(services.approvals.approve, node, who=who, note=given.note, now_ns=time.time_ns())
    return await nodes(services)


@router.get("/ledger", response_model=list[LedgerShape])
async def ledger(services: Parts) -> list[dict[str, object]]:
    """What each node numbered and what is committed of it; what is missing never arrived, or not yet."""
    report = await run_in_threadpool(services.ledger.report)
    return [
        {**line._asdict(), "begun": to_ms(line.begun_ns), "gaps": missing(services.ledger.ranges(line.node, line.boot))[:MOST_GAPS]}
        for line in report
    ]


@watch.get("/metrics", response_class=Response, dependencies=[Depends(may_see)])
async def metrics(services: Parts) -> Response:
    """Prometheus' text format."""
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@watch.get("/health")
async def health() -> dict[str, str]:
    """The process is alive and its event loop turns. Says nothing about its parts: see /ready."""
    return {"status": "ok"}


@watch.get("/ready", response_model=ReadyShape)
async def ready(services: Parts, response: Response) -> dict[str, object]:
    """200 when broker, store and journal all answer, 503 with the reason when one does not."""
    store = await run_in_threadpool(services.store.health)
    journal = await run_in_threadpool(_journal_problem, services.engine)
    connected = services.metrics.registry.get_sample_value("muki_broker_connected")
    parts = {
        "broker": "ok" if connected else "not connected",
        "store": "ok" if store.ok else store.detail or f"{store.name} does not take writes",
        "journal": journal or services.annunciator.trouble or "ok",
    }
    is_ready = all(state == "ok" for state in parts.values())
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready, "parts": parts}


def _journal_problem(engine: Engine) -> str:
    try:
        with reading(engine) as connection:
            connection.execute(select(literal(1)))
    except SQLAlchemyError as error:
        return type(error).__name__
    return ""
