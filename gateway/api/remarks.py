"""Routes of what people say of an alarm afterwards: was it true, and which work order it led to."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.alarms import remarks
from gateway.alarms.remarks import Remark, UnknownEvent
from gateway.api.access import Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.shapes import ErrorShape
from gateway.evidence import UnknownEvidence
from gateway.services import Services

router = APIRouter(prefix="/alarms", tags=["alarms"])
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
    404: {"model": ErrorShape, "description": "the alarm has no such event"},
}
Key = Annotated[str, Path(max_length=128, description="NODE.DEFINITION")]


class RemarkShape(BaseModel):
    """What somebody said of one event; of several verdicts the newest counts."""

    key: str
    event: str
    at: float
    who: str
    verdict: str | None
    work_order: str
    note: str


class Said(BaseModel):
    """At least one of ``verdict``, ``work_order`` and ``note``."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    event: str = Field(min_length=1, max_length=64)
    verdict: Literal["true", "false", "nuisance", "test"] | None = None
    work_order: str = Field("", max_length=200)
    note: str = Field("", max_length=2000)
    who: str = Field("", max_length=100)

    @model_validator(mode="after")
    def _something(self) -> "Said":
        if not (self.verdict or self.work_order or self.note):
            raise ValueError("nothing is said: give verdict, work_order or note")
        return self


@router.get("/{key}/remarks", response_model=list[RemarkShape])
async def said(services: Parts, key: Key) -> list[dict[str, object]]:
    """The newest first, 500 at most."""
    return [remark.to_json() for remark in await run_in_threadpool(remarks.of, services.engine, key)]


@router.post("/{key}/remarks", response_model=list[RemarkShape], responses=_REFUSALS)
async def say(services: Parts, person: Operator, key: Key, given: Said) -> list[dict[str, object]]:
    """Answers with all remarks of the alarm. A verdict on an event with a picture is that picture's verdict too."""
    remark = Remark(key, given.event, time.time_ns(), author(person, given.who), given.verdict, given.work_order, given.note)
    try:
        await run_in_threadpool(_written, services, remark)
    except UnknownEvent as error:
        raise Refused(404, "unknown_event", str(error)) from None
    return [remark.to_json() for remark in await run_in_threadpool(remarks.of, services.engine, key)]


def _written(services: Services, remark: Remark) -> None:
    node = remark.key.partition(".")[0]
    if remark.verdict is not None and (node, remark.event) in services.evidence.of_alarm(remark.key, remarks.MOST):
        try:
            services.evidence.judge(node, remark.event, remark.verdict, who=remark.who, note=remark.note, now_ns=remark.at_ns)
        except UnknownEvidence:  # deleted between the two looks: the event keeps its verdict
            pass
        else:
            if not remark.work_order:
                return
            remark = remark._replace(verdict=None, note="")
    remarks.write(services.engine, remark)
