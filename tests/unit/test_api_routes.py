"""The API over a real socket: what it answers, and how it refuses."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from contract.alarms import State
from tests.rig.webapp import CO_HIGH, NODE, O2_LOW, WebSite, website

KEY = f"{NODE}.co-high"
ANA = {"who": "Ana", "note": "ventilando"}


@contextlib.asynccontextmanager
async def site_and_client(folder: Path) -> AsyncIterator[tuple[WebSite, httpx.AsyncClient]]:
    async with website(folder) as site, httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False) as client:
        yield site, client


async def test_an_alarm_is_acknowledged_and_everyone_hears_of_it(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event(CO_HIGH, value=41.5)
        [alarm] = (await client.get("/alarms")).json()
        assert (alarm["key"], alarm["state"], alarm["value"], alarm["limit"]) == (KEY, "unacknowledged", 41.5, 25.0)
        with site.bus.subscribe() as watcher:
            answer = await client.post(f"/alarms/{KEY}/acknowledge", json=ANA)
            assert (answer.status_code, answer.json()["state"], answer.json()["acknowledged_by"]) == (200, "acknowledged", "Ana")
            assert (await watcher.take())[0].data["state"] == "acknowledged"
        assert site.published[-1][0].endswith(f"/_gateway/alarms/{KEY}")
        assert b'"acknowledged_by":"Ana"' in site.published[-1][1]
        history = (await client.get("/alarms/history")).json()
        assert [(entry["what"], entry["who"], entry["note"]) for entry in history["entries"]] == [
            ("acknowledge", "Ana", "ventilando"),
            ("active", None, ""),
        ]


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("none.none/acknowledge", ANA, 404, "unknown_alarm"),
        (f"{KEY}/reset", ANA, 409, "nothing_to_reset"),
        (f"{KEY}/unshelve", ANA, 409, "not_shelved"),
        (f"{KEY}/shelve", {"who": "Ana", "reason": "x", "until": 5}, 409, "until_past"),
        (f"{KEY}/shelve", {"who": "Ana", "reason": "x", "until": "mañana"}, 422, "bad_time"),
    ],
)
async def test_what_is_not_possible_is_refused_with_its_reason(
    tmp_path: Path, path: str, body: dict[str, object], status: int, reason: str
) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event()
        answer = await client.post(f"/alarms/{path}", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert answer.json()["detail"]
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED


@pytest.mark.parametrize("body", [{}, {"who": ""}, {"who": "   "}, {"who": 7}, {"who": "x" * 101}, {"who": "Ana", "by": "x"}, ["Ana"]])
async def test_an_acknowledgement_needs_a_name_and_nothing_else(tmp_path: Path, body: object) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event()
        assert (await client.post(f"/alarms/{KEY}/acknowledge", json=body)).status_code == 422
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED


async def test_what_is_no_text_is_refused_like_the_rest(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event()
        head = {"Content-Type": "application/json"}
        answer = await client.post(f"/alarms/{KEY}/acknowledge", content=b'{"who": "\\ud800", "note": "x"}', headers=head)
        assert (answer.status_code, answer.json()["reason"]) == (422, "invalid_request")
        assert "body.who" in answer.json()["detail"]
        assert site.journal.get(KEY).state is State.UNACKNOWLEDGED


@pytest.mark.parametrize(
    ("request_line", "status", "reason", "word"),
    [
        ("GET /readings?node=gas-1", 422, "invalid_request", "query.point"),
        ("GET /alarms/history?limit=0", 422, "invalid_request", "query.limit"),
        ("GET /nothing", 404, "not_found", "/openapi.json"),
        ("PUT /points", 405, "method_not_allowed", "/openapi.json"),
    ],
)
async def test_every_refusal_says_reason_and_detail(tmp_path: Path, request_line: str, status: int, reason: str, word: str) -> None:
    method, path = request_line.split()
    async with site_and_client(tmp_path) as (_, client):
        answer = await client.request(method, path, json={} if method == "PUT" else None)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)
        assert word in answer.json()["detail"]


async def test_shelving_and_taking_back(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event()
        until = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
        shelved = await client.post(f"/alarms/{KEY}/shelve", json={"who": "Ana", "reason": "calibración", "until": until})
        assert (shelved.status_code, shelved.json()["state"], shelved.json()["note"]) == (200, "shelved", "calibración")
        back = await client.post(f"/alarms/{KEY}/unshelve", json={"who": "Luis"})
        assert back.json()["state"] == "unacknowledged"


async def test_history_is_read_in_pages(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        for number in range(5):
            site.event(active=number % 2 == 0, ago=10 - number)
        first = (await client.get("/alarms/history", params={"limit": 3})).json()
        rest = (await client.get("/alarms/history", params={"limit": 3, "before": first["next"]})).json()
        assert [entry["what"] for entry in first["entries"] + rest["entries"]] == ["active", "normal"] * 2 + ["active"]
        assert rest["next"] is None
        assert (await client.get("/alarms/history", params={"before": "x"})).status_code == 422


async def test_points_with_their_newest_value_limits_and_quality(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.read({"gas-2/co": 12.5}, quality={"gas-2/o2": "bad:wire_break"}, ago=3)
        co, o2 = (await client.get("/points")).json()
        assert (co["point"], co["value"], co["unit"], co["quality"], co["asset"]) == ("gas-2/co", 12.5, "ppm", "good", "gas-2")
        assert 3 <= co["age"] < 30
        assert co["limits"] == [{"definition": "co-high", "kind": "above", "limit": 25.0, "priority": "critical"}]
        assert (o2["value"], o2["quality"]) == (None, "bad:wire_break")
        assert (await client.get("/points", params={"node": "other"})).json() == []


async def test_readings_for_a_chart(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        for ago in range(60):
            site.read({"gas-2/co": float(ago)}, ago=ago)
        end = time.time() * 1000 + 1000
        query: dict[str, str | float] = {"node": NODE, "point": "gas-2/co", "start": end - 120_000, "end": end, "buckets": 10}
        answer = (await client.get("/readings", params=query)).json()
        assert (answer["unit"], answer["width"]) == ("ppm", pytest.approx(12_000, abs=0.01))
        assert sum(bucket["samples"] for bucket in answer["buckets"]) == 60
        assert len(answer["buckets"]) <= 10
        assert answer["buckets"][-1]["minimum"] == 0
        iso = {"start": "2026-01-01T00:00:00-05:00", "end": "2026-01-01T06:00:00Z"}
        empty = (await client.get("/readings", params={**query, **iso})).json()
        assert (empty["end"] - empty["start"], empty["buckets"]) == (3_600_000, [])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"buckets": 1001}, 422),
        ({"buckets": 0}, 422),
        ({"start": "2000"}, 422),  # not before the end
        ({"start": "yesterday"}, 422),
        ({"start": "2026-01-01T00:00:00"}, 422),  # whose midnight?
        ({"start": "-5"}, 422),
        ({"start": "nan"}, 422),
        ({"end": "1e300"}, 422),
        ({"end": str(200 * 366 * 86_400_000)}, 422),
        ({"node": "../etc"}, 422),
        ({"point": "gas-2"}, 422),
        ({"point": "gas-2/none"}, 404),
        ({"node": "none"}, 404),
    ],
)
async def test_a_range_or_point_that_is_none_is_refused(tmp_path: Path, change: dict[str, str | int], status: int) -> None:
    async with site_and_client(tmp_path) as (_, client):
        query: dict[str, str | int] = {"node": NODE, "point": "gas-2/co", "start": "1000", "end": "2000", **change}
        answer = await client.get("/readings", params=query)
        assert answer.status_code == status
        assert answer.json()["detail"]


async def test_nodes_ledger_and_the_watchers_of_the_gateway(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        [node] = (await client.get("/nodes")).json()
        assert (node["node"], node["status"], node["points"], node["software"]) == (NODE, "online", 2, "muki-edge 0.1.0")
        assert abs(node["last_seen"] - time.time() * 1000) < 30_000
        [line] = (await client.get("/ledger")).json()
        assert (line["node"], line["committed"], line["missing"]) == (NODE, 1, 0)
        assert (await client.get(f"{site.url}/health")).json() == {"status": "ok"}
        assert "# TYPE muki_messages_total counter" in (await client.get(f"{site.url}/metrics")).text
        ready = await client.get(f"{site.url}/ready")
        assert (ready.status_code, ready.json()["parts"]["broker"]) == (503, "not connected")
        site.services.metrics.broker_connected.set(1)
        ready = await client.get(f"{site.url}/ready")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "parts": {"broker": "ok", "store": "ok", "journal": "ok"}})


async def test_the_description_is_served_and_pages_from_elsewhere_are_not(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        paths = (await client.get(f"{site.url}/openapi.json")).json()["paths"]
        assert {"/api/v1/alarms", "/api/v1/alarms/{key}/acknowledge", "/api/v1/readings", "/api/v1/events", "/ready"} <= paths.keys()
        assert (await client.get(f"{site.url}/docs")).status_code == 404
        assert (await client.get(f"{site.url}/redoc")).status_code == 404


async def test_two_at_once_acknowledge_and_one_is_told(tmp_path: Path) -> None:
    async with site_and_client(tmp_path) as (site, client):
        site.event(O2_LOW)
        path = f"/alarms/{NODE}.o2-low/acknowledge"
        answers = await asyncio.gather(*(client.post(path, json={"who": who}) for who in ("Ana", "Luis")))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
