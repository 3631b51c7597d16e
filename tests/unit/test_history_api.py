"""Readings as they are, as files, and deleted: every parameter bounded, nothing larger in memory than a slice."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from gateway.accounts.roles import Role
from gateway.export import exported
from gateway.store import Series, StoreFrame
from gateway.store.scan import SCHEMA, table_of
from tests.rig.webapp import NODE, WebSite, website

T0 = 1_763_870_400_000_000_000
SECOND = 1_000_000_000
CO = "gas-2/co"
RANGE = {"start": str(T0 // 1_000_000), "end": str(T0 // 1_000_000 + 100_000)}


def filled(site: WebSite) -> None:
    site.store.write([StoreFrame(NODE, T0 + place * SECOND + 7, {CO: float(place), "gas-2/o2": 20.9}, {}) for place in range(50)])
    site.store.write([StoreFrame(NODE, T0 + 60 * SECOND, {}, {CO: "bad:wire_break"})])


def client(site: WebSite) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{site.url}/api/v1", trust_env=False, headers={"Origin": site.url})


async def test_every_reading_comes_a_page_at_a_time(tmp_path: Path) -> None:
    async with website(tmp_path) as site, client(site) as ask:
        filled(site)
        query: dict[str, str] = {"node": NODE, "point": CO, **RANGE, "limit": "20"}
        pages, readings = 0, []
        while True:
            answer = (await ask.get("/readings/raw", params=query)).json()
            readings += answer["readings"]
            pages += 1
            if answer["next"] is None:
                break
            query["start"] = answer["next"]
        assert pages == 3
        assert [one["value"] for one in readings] == [*map(float, range(50)), None]
        assert readings[-1]["quality"] == "bad:wire_break"


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
async def test_a_file_has_every_reading_with_its_quality_and_its_nanoseconds(form: str, tmp_path: Path) -> None:
    async with website(tmp_path) as site, client(site) as ask:
        filled(site)
        answer = await ask.get("/export", params={**RANGE, "format": form, "point": f"{NODE}/{CO}"})
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith(f'.{form}"')
        if form == "csv":
            assert answer.text.splitlines()[0] == '"time","time_ns","node","point","value","quality"'
            assert answer.text.splitlines()[1].startswith("2025-11-23 04:00:00.000000007Z,1763870400000000007,")
            table = pa_csv.read_csv(io.BytesIO(answer.content)).rename_columns(["moment", "time", "node", "point", "value", "quality"])
        elif form == "parquet":
            table = pa_parquet.read_table(io.BytesIO(answer.content))
        else:
            table = pa.ipc.open_stream(answer.content).read_all()
        assert table.column("time").to_pylist() == [*(T0 + place * SECOND + 7 for place in range(50)), T0 + 60 * SECOND]
        assert table.column("value").to_pylist() == [*map(float, range(50)), None]
        assert table.column("quality").to_pylist() == ["good"] * 50 + ["bad:wire_break"]
        everything = await ask.get("/export", params={**RANGE, "format": "arrow"})
        assert pa.ipc.open_stream(everything.content).read_all().num_rows == 101


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_pieces_put_together_are_the_file_whatever_their_number(form: str) -> None:
    series = Series("n", "a/b")
    tables = [table_of([(series, sample)]) for sample in _samples()]
    whole = b"".join(exported(iter([pa.concat_tables(tables)]), form))
    pieces = b"".join(exported(iter(tables), form))
    assert _read(form, whole).equals(_read(form, pieces))
    empty = _read(form, b"".join(exported(iter([]), form)))
    assert empty.num_rows == 0
    assert set(SCHEMA.names) <= {*empty.column_names}


def _read(form: str, data: bytes) -> Any:
    if form == "csv":
        return pa_csv.read_csv(io.BytesIO(data))
    return pa_parquet.read_table(io.BytesIO(data)) if form == "parquet" else pa.ipc.open_stream(data).read_all()


def _samples() -> list:  # type: ignore[type-arg]
    from gateway.store import Sample

    return [Sample(T0 + place, float(place), "good") for place in range(5)]


@pytest.mark.parametrize(
    ("path", "more", "reason"),
    [
        ("/export", {"format": "xlsx"}, "invalid_request"),
        ("/export", {"point": "no-point"}, "bad_point"),
        ("/export", {"point": "Bad Node/a/b"}, "bad_node"),
        ("/export", {"end": "1"}, "bad_range"),
        ("/export", {"start": "1", "end": "253402300799999"}, "bad_range"),
        ("/export", {"start": "yesterday"}, "bad_time"),
        ("/readings/raw", {"node": NODE, "point": CO, "limit": "10001"}, "invalid_request"),
        ("/readings/raw", {"node": NODE, "point": CO, "start": "99999999999999999999999ns"}, "bad_time"),
        ("/readings/deletions", {"limit": "0"}, "invalid_request"),
    ],
)
async def test_what_is_asked_for_wrongly_is_said(path: str, more: Mapping[str, str], reason: str, tmp_path: Path) -> None:
    async with website(tmp_path) as site, client(site) as ask:
        answer = await ask.get(path, params={**RANGE, **more})
        assert (answer.status_code, answer.json()["reason"]) == (422, reason)


async def test_two_exports_at_once_and_room_again_after_a_client_that_left(tmp_path: Path) -> None:
    async with website(tmp_path) as site, client(site) as ask:
        filled(site)
        for _ in range(5):
            async with ask.stream("GET", "/export", params=RANGE):
                pass  # left before the body was read
        answers = [await ask.get("/export", params=RANGE) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_an_administrator_deletes_and_who_and_why_stays(tmp_path: Path) -> None:
    async with website(tmp_path, access="changes") as site, client(site) as ask:
        filled(site)
        given = {"node": NODE, "point": CO, "start": T0 / 1e6, "end": T0 / 1e6 + 10_000, "reason": "calibration gas"}
        assert (await ask.post("/readings/delete", json=given)).status_code == 401
        engineer = {"Authorization": f"Bearer {_token(site, 'ing', Role.ENGINEER)}"}
        assert (await ask.post("/readings/delete", json=given, headers=engineer)).status_code == 403
        boss = {"Authorization": f"Bearer {_token(site, 'jefa', Role.ADMINISTRATOR)}"}
        assert (await ask.post("/readings/delete", json={**given, "reason": ""}, headers=boss)).status_code == 422
        done = await ask.post("/readings/delete", json=given, headers=boss)
        assert (done.status_code, done.json()["readings"]) == (200, 10)
        assert len(site.store.raw(Series(NODE, CO), 0, 2**62)) == 41
        (kept,) = (await ask.get("/readings/deletions")).json()
        assert (kept["who"], kept["reason"], kept["readings"], kept["point"]) == ("jefa", "calibration gas", 10, CO)


def _token(site: WebSite, name: str, role: Role) -> str:
    return site.services.passes.issue(name, role, now_ns=time.time_ns())
