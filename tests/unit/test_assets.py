"""Assets: since when a zone holds, against a look at every reading; spectra and their past; notes."""

import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.alarms import AlarmDefinition, Condition, ConditionKind, Priority
from contract.messages import ModelFigure, ModelUse, PointDeclaration
from gateway import audit
from gateway.assets.crossing import crossed
from gateway.store import Series, StoreFrame
from gateway.store.memory import MemoryStore
from tests.rig.webapp import WebSite, website

S = 1_000_000_000
MINUTE = 60 * S
NOW = 1_790_000_000 * S
SERIES = Series("pump-1", "slurry-1/vibration/de/zone")
DE = "slurry-1/vibration/de"
POINTS = {
    f"{DE}/rms_velocity": PointDeclaration(unit="mm/s", range=(0, 50), period=2),
    f"{DE}/zone": PointDeclaration(unit="1", range=(1, 4), period=2, description={"es": "Zona", "en": "Zone"}),
    **{f"{DE}/spectrum/hz-{hz:05}": PointDeclaration(unit="mm/s", period=10) for hz in (10, 20, 40)},
    **{f"{DE}/envelope/order-{tenth:03}": PointDeclaration(unit="g", period=10) for tenth in (10, 36, 54)},
    f"{DE}/bpfo_order": PointDeclaration(unit="1", period=10),
    "pump-1/disk/free": PointDeclaration(unit="MB", asset="pump-1"),
}
MODEL = ModelUse(
    "bearing_condition",
    "1.0.0",
    "ab" * 32,
    [f"{DE}/rms_velocity", "elsewhere/score"],
    purpose={"es": "Ordena inspecciones.", "en": "Orders inspection work."},
    threshold=0.8,
    why={"en": "few false calls"},
    figures=[ModelFigure("macro-F1", 0.95, 0.9, 0.98, "bearing_cwru", "7 mil left out", {"random forest": 0.76})],
    fails=[{"es": "otras máquinas", "en": "other machines"}],
)
VIBRATION = AlarmDefinition("vibration-high", f"{DE}/rms_velocity", Condition(ConditionKind.ABOVE, 5.1), Priority.MEDIUM)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0, 4.0]), st.sampled_from([1, 5, 60, 700, 5000, 40_000])), min_size=1, max_size=8),
    st.sampled_from([1, 30]),
)
def test_a_crossing_is_found_to_the_minute_of_what_every_reading_says(steps: list[tuple[float, int]], every: int) -> None:
    """(zone, minutes that it lasts), oldest first, a reading every so many minutes up to now."""
    store = MemoryStore()
    readings, at = [], NOW
    for zone, minutes in reversed(steps):
        count = max(1, minutes // max(every, minutes // 300 or 1))
        for _ in range(count):
            readings.append((at, zone))
            at -= max(1, minutes // count) * MINUTE
    readings.reverse()
    store.write([StoreFrame(SERIES.node, at_ns, {SERIES.point: zone}, {}) for at_ns, zone in readings if at_ns > NOW - 366 * 1440 * MINUTE])
    readings = [one for one in readings if one[0] > NOW - 366 * 1440 * MINUTE]
    value = readings[-1][1]
    place = len(readings) - 1
    while place >= 0 and readings[place][1] == value:
        place -= 1
    found = crossed(store, SERIES, value, NOW)
    assert found is not None
    if place < 0:
        assert found.before is None
        assert abs(found.since_ns - readings[0][0]) <= 1440 * MINUTE, "from the first reading on, to a slot of a year"
        return
    assert found.before == readings[place][1]
    assert readings[place][0] - MINUTE <= found.since_ns <= readings[place + 1][0] + MINUTE


def test_without_a_reading_nothing_is_known() -> None:
    assert crossed(MemoryStore(), SERIES, 1.0, NOW) is None


def shaken(site: WebSite) -> None:
    site.born("pump-1", POINTS, [VIBRATION], [MODEL])
    for ago in range(600, -1, -10):
        zone, loud = (3.0, 6.0) if ago < 200 else (2.0, 3.0)
        values = {f"{DE}/rms_velocity": loud, f"{DE}/zone": zone, f"{DE}/bpfo_order": 3.58}
        values |= {f"{DE}/spectrum/hz-{hz:05}": loud / hz for hz in (10, 20, 40)}
        values |= {f"{DE}/envelope/order-{tenth:03}": 0.5 if tenth == 36 and ago < 100 else 0.01 for tenth in (10, 36, 54)}
        site.read(values, node="pump-1", ago=ago)
    site.event(VIBRATION, node="pump-1", value=6.0, ago=190)


async def test_an_asset_tells_its_alarms_its_zone_and_what_nobody_sees(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, httpx.AsyncClient(base_url=site.url) as client:
        shaken(site)
        site.born()  # a gas head that says nothing
        lines = (await client.get("/api/v1/assets")).json()
        assert [(one["node"], one["asset"], one["priority"], one["zone"]) for one in lines] == [
            ("pump-1", "slurry-1", "medium", 3.0),
            ("gas-north", "gas-2", None, None),
        ]
        assert [(one["points"], one["blind"]) for one in lines] == [(2, 0), (2, 2)]
        told = (await client.get("/api/v1/assets/pump-1/slurry-1")).json()
        (zone,) = told["zones"]
        assert (zone["zone"], zone["before"]) == ("C", "B")
        assert abs(zone["since"] - (time.time() - 190) * 1000) < 61_000
        assert [one["key"] for one in told["alarms"]] == ["pump-1.vibration-high"]
        assert told["spectra"] == {DE: ["envelope", "spectrum"]}
        (model,) = told["models"]
        assert (model["name"], model["points"]) == ("bearing_condition", [f"{DE}/rms_velocity"]), "with its points of this asset"
        assert model["figures"][0]["low"] == 0.9
        assert [one["models"] for one in (await client.get("/api/v1/nodes")).json() if one["node"] == "pump-1"] == [
            ["bearing_condition 1.0.0"]
        ]
        assert (await client.get("/api/v1/assets/pump-1/nothing")).json()["reason"] == "unknown_asset"


async def test_a_spectrum_has_lines_rows_a_median_and_the_orders_of_the_faults(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, httpx.AsyncClient(base_url=site.url) as client:
        shaken(site)
        now = time.time() * 1000
        asked: dict[str, str | float] = {"point": DE, "kind": "envelope", "start": now - 600_000, "end": now + 1000, "rows": 10}
        told = (await client.get("/api/v1/assets/pump-1/slurry-1/spectra", params=asked)).json()
        assert (told["axis"], told["unit"], told["orders"]) == ("order", "g", {"bpfo": 3.58})
        assert told["at"] == pytest.approx([1.0, 3.6, 5.4])
        assert 5 <= len(told["rows"]) <= 10
        assert told["rows"][0]["values"][1] == pytest.approx(0.01)
        assert told["rows"][-1]["values"][1] == pytest.approx(0.5)
        assert told["median"] == pytest.approx([0.01, 0.01, 0.01])
        assert (await client.get("/api/v1/assets/pump-1/slurry-1/spectra", params={**asked, "point": "x"})).json()[
            "reason"
        ] == "unknown_spectrum"
        assert (await client.get("/api/v1/assets/pump-1/slurry-1/spectra", params={**asked, "rows": 61})).status_code == 422


async def test_notes_stay_with_a_name(tmp_path: Path) -> None:
    async with website(tmp_path, born=False) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        shaken(site)
        path = "/api/v1/assets/pump-1/slurry-1/notes"
        assert (await client.post(path, json={"text": "rodamiento nuevo"})).json()["reason"] == "who_required"
        assert (await client.post("/api/v1/assets/pump-1/x/notes", json={"text": "a", "who": "b"})).json()["reason"] == "unknown_asset"
        assert (await client.post(path, json={"text": "rodamiento nuevo", "who": "Ana"})).status_code == 200
        told = (await client.get("/api/v1/assets/pump-1/slurry-1")).json()["notes"]
        assert [(one["who"], one["text"]) for one in told] == [("Ana", "rodamiento nuevo")]
        assert audit.entries(site.services.engine, kind="asset.note", limit=1)[0].subject == "pump-1/slurry-1"
