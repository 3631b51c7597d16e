"""What people say of an alarm afterwards, over the API, with pictures and without."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from contract.alarms import Trigger
from gateway import audit
from gateway.evidence import Picture
from tests.rig.webapp import CO_HIGH, NODE, website
from tests.unit.test_evidence_gateway import JPEG

KEY = f"{NODE}.co-high"


async def test_a_verdict_and_a_work_order_stay_and_are_in_the_audit(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.event(CO_HIGH)
        path = f"/api/v1/alarms/{KEY}/remarks"
        first = await client.post(path, json={"event": "e00001", "verdict": "false", "who": "Ana", "note": "polvo"})
        assert first.status_code == 200
        second = await client.post(path, json={"event": "e00001", "work_order": "OT-12", "who": "Luis"})
        told = [(one["who"], one["verdict"], one["work_order"], one["note"]) for one in second.json()]
        assert told == [("Luis", None, "OT-12", ""), ("Ana", "false", "", "polvo")]
        assert (await client.get(path)).json() == second.json()
        kept = audit.entries(site.services.engine, kind="alarm.remark", limit=10)
        assert [(one.who, one.subject) for one in kept] == [("Luis", KEY), ("Ana", KEY)]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"event": "e00001", "who": "Ana"}, 422, None),
        ({"event": "e00001", "verdict": "perhaps", "who": "Ana"}, 422, None),
        ({"event": "e00001", "verdict": "true"}, 422, "who_required"),
        ({"event": "e99999", "verdict": "true", "who": "Ana"}, 404, "unknown_event"),
    ],
)
async def test_what_makes_no_sense_is_refused(tmp_path: Path, body: dict[str, str], status: int, reason: str | None) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.event(CO_HIGH)
        answer = await client.post(f"/api/v1/alarms/{KEY}/remarks", json=body)
        assert answer.status_code == status
        assert reason is None or answer.json()["reason"] == reason
        assert (await client.get(f"/api/v1/alarms/{KEY}/remarks")).json() == []


async def test_the_verdict_on_a_picture_and_on_its_event_are_one(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.event(CO_HIGH)
        site.evidence.keep(Picture(NODE, "e00001", time.time_ns(), JPEG))
        mine = (await client.get("/api/v1/evidence", params={"key": KEY, "unreviewed": False})).json()
        assert [one["event"] for one in mine] == ["e00001"]
        assert (await client.get("/api/v1/evidence", params={"key": "other.alarm", "unreviewed": False})).json() == []
        said = await client.post(
            f"/api/v1/alarms/{KEY}/remarks",
            json={"event": "e00001", "verdict": "nuisance", "work_order": "OT-3", "note": "sol", "who": "Ana"},
        )
        assert [(one["verdict"], one["work_order"], one["note"]) for one in said.json()] == [(None, "OT-3", ""), ("nuisance", "", "sol")]
        assert (await client.get("/api/v1/evidence", params={"unreviewed": False})).json()[0]["verdict"] == "nuisance"
        await client.post(f"/api/v1/evidence/{NODE}/e00001/verdict", json={"verdict": "true", "who": "Luis"})
        assert (await client.get(f"/api/v1/alarms/{KEY}/remarks")).json()[0]["verdict"] == "true"


async def test_one_alarm_is_read_also_when_it_is_normal(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url) as client:
        assert (await client.get(f"/api/v1/alarms/{KEY}")).json()["reason"] == "unknown_alarm"
        site.event(CO_HIGH)
        site.event(CO_HIGH, active=False)
        site.journal.act(KEY, Trigger.ACKNOWLEDGE, who="Ana", note="", now_ns=time.time_ns())
        assert (await client.get(f"/api/v1/alarms/{KEY}")).json()["state"] == "normal"


async def test_of_two_operators_at_once_one_acknowledges_and_the_other_is_told(tmp_path: Path) -> None:
    async with website(tmp_path) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.event(CO_HIGH)
        answers = await asyncio.gather(
            *(client.post(f"/api/v1/alarms/{KEY}/acknowledge", json={"who": who}) for who in ("Ana", "Luis", "Inés"))
        )
        assert sorted(one.status_code for one in answers) == [200, 409, 409]
        assert {one.json()["reason"] for one in answers if one.status_code == 409} == {"nothing_to_acknowledge"}
        winner = next(one for one in answers if one.status_code == 200).json()["acknowledged_by"]
        assert site.journal.get(KEY).now.acknowledged_by == winner
        assert [entry.who for entry in site.journal.history(key=KEY) if entry.what == "acknowledge"] == [winner]
