"""Routes of gas and ventilation: the board, blasts and re-entry, gas tests before entry."""

import time
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from contract.frames import to_ms
from gateway.api.access import Operator, author
from gateway.api.errors import Parts, Refused
from gateway.api.moments import moment_ns
from gateway.api.shapes import ErrorShape
from gateway.gas import entry_tests
from gateway.gas.board import blast_json, board, reopen
from gateway.gas.clearance import NotClear, blasts, fired
from gateway.gas.entry_tests import EntryTest
from gateway.services import Services
from rules.exposure_limits import PE_ENTRY

router = APIRouter(prefix="/gas", tags=["gas"])
DAY_NS = 86_400_000_000_000
_REFUSALS: dict[int | str, dict[str, object]] = {
    401: {"model": ErrorShape, "description": "log in"},
    403: {"model": ErrorShape, "description": "this needs another role"},
    404: {"model": ErrorShape, "description": "no such place, blast or test"},
    409: {"model": ErrorShape, "description": "the gas does not allow it, or somebody was faster"},
}
Number = Annotated[int, Path(ge=1, le=2**53)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Fired(_Strict):
    """A blast; ``at`` is when it was (Unix ms or ISO 8601), now without it, a day ago at the most."""

    place: str = Field(max_length=32)
    at: float | str | None = None
    who: str = Field("", max_length=100)
    note: str = Field("", max_length=2000)


class Opening(_Strict):
    """Who lets people in again."""

    who: str = Field("", max_length=100)
    note: str = Field("", max_length=2000)


class NewTest(_Strict):
    """A gas test by hand: values in %vol for O2 and CH4, in ppm for the rest; when the instrument was calibrated; who was told the result."""

    place: str = Field(max_length=32)
    readings: dict[str, Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]] = Field(min_length=1, max_length=20)
    instrument: str = Field(min_length=1, max_length=200)
    calibrated: date
    told: str = Field(min_length=1, max_length=2000)
    note: str = Field("", max_length=2000)
    who: str = Field("", max_length=100)


@router.get("", response_model=dict[str, Any])
async def gas(services: Parts) -> dict[str, Any]:
    """Each place: its gas with 15 minutes, shift and projection beside their limits, the air that it needs and has, blasts that wait."""
    return await run_in_threadpool(lambda: board(services, time.time_ns()))


@router.get("/limits", response_model=list[dict[str, Any]])
async def limits() -> list[dict[str, Any]]:
    """Within which values a place may be entered, each with its source and certainty."""
    return [{"gas": gas, **limit._asdict()} for gas, limit in PE_ENTRY.items()]


@router.get("/blasts", response_model=list[dict[str, Any]])
async def all_blasts(services: Parts, limit: Limit = 100) -> list[dict[str, Any]]:
    """Newest first."""
    return [blast_json(one) for one in await run_in_threadpool(lambda: blasts(services.engine, limit=limit))]


@router.post("/blasts", response_model=dict[str, Any], responses=_REFUSALS)
async def blast(services: Parts, person: Operator, given: Fired) -> dict[str, Any]:
    """Notes a blast: from then on its place waits for clear gas."""
    who, now_ns = author(person, given.who), time.time_ns()
    _place(services, given.place)
    at_ns = now_ns if given.at is None else moment_ns(given.at, "at")
    if not now_ns - DAY_NS <= at_ns <= now_ns + 60_000_000_000:
        raise Refused(422, "bad_time", "at: a blast lies within the last day")
    number = await run_in_threadpool(lambda: fired(services.engine, given.place, at_ns=at_ns, who=who, note=given.note, now_ns=now_ns))
    return blast_json((await run_in_threadpool(lambda: blasts(services.engine, number=number)))[0])


@router.post("/blasts/{number}/open", response_model=dict[str, Any], responses=_REFUSALS)
async def open_again(services: Parts, person: Operator, number: Number, given: Opening) -> dict[str, Any]:
    """Lets people in again. Refused until every head of the place has measured clear air for as long as the site wants: time alone opens nothing."""
    who = author(person, given.who)
    found = await run_in_threadpool(lambda: blasts(services.engine, number=number))
    if not found:
        raise Refused(404, "unknown_blast", f"there is no blast {number}: see GET /gas/blasts")
    try:
        done = await run_in_threadpool(lambda: reopen(services, found[0], who=who, note=given.note))
    except NotClear as error:
        raise Refused(409, "not_clear", "; ".join(error.reasons)) from None
    if not done:
        raise Refused(409, "open_already", f"blast {number}: the place was opened already")
    return blast_json((await run_in_threadpool(lambda: blasts(services.engine, number=number)))[0])


@router.get("/tests", response_model=list[dict[str, Any]])
async def all_tests(services: Parts, limit: Limit = 100) -> list[dict[str, Any]]:
    """Newest first."""
    return [_test_json(one) for one in await run_in_threadpool(lambda: entry_tests.kept(services.engine, limit=limit))]


@router.get("/tests/{number}", response_model=dict[str, Any], responses={404: _REFUSALS[404]})
async def one_test(services: Parts, number: Number) -> dict[str, Any]:
    """One of them."""
    found = await run_in_threadpool(lambda: entry_tests.kept(services.engine, number=number))
    if not found:
        raise Refused(404, "unknown_test", f"there is no gas test {number}: see GET /gas/tests")
    return _test_json(found[0])


@router.post("/tests", response_model=dict[str, Any], responses=_REFUSALS)
async def test(services: Parts, person: Operator, given: NewTest) -> dict[str, Any]:
    """Keeps a gas test with its verdict. O2, CO, CO2 and NO2 must be there for a place to be fit (art. 246 a)."""
    who, now_ns = author(person, given.who), time.time_ns()
    _place(services, given.place)
    if given.calibrated > datetime.now(UTC).date():
        raise Refused(422, "bad_calibration", "calibrated: lies in the future")
    made = EntryTest(given.place, now_ns, who, given.instrument, given.calibrated.isoformat(), given.readings, given.told, given.note)
    try:
        return _test_json(await run_in_threadpool(entry_tests.write, services.engine, made))
    except ValueError as error:
        raise Refused(422, "unknown_gas", str(error)) from None


def _place(services: Services, name: str) -> None:
    known = services.config.gas.by_id
    if name not in known:
        raise Refused(
            404, "unknown_place", f"there is no place {name!r}: write one of {', '.join(known) or 'none: the site configures none'}"
        )


def _test_json(test: EntryTest) -> dict[str, Any]:
    told: dict[str, Any] = test._asdict()
    told["at"] = to_ms(test.at_ns)
    del told["at_ns"]
    return told
