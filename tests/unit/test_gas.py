"""Gas and ventilation: averages against a naive reckoning, the air that is needed, clearance that time alone never gives, tests before entry."""

import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import PointDeclaration
from contract.values import Level
from gateway import audit
from gateway.gas.air import per_person, required
from gateway.gas.clearance import judge
from gateway.gas.crews import Been, breathed
from gateway.gas.entry_tests import verdict
from gateway.gas.exposure import HOUR_NS, average, dose
from gateway.gas.settings import GasConfig, Place, gas_problems
from gateway.store import Bucket, Sample, Series
from rules.exposure_limits import PE_ENTRY
from tests.rig.webapp import WebSite, website

S = 1_000_000_000
MINUTE = 60 * S
PLACE: dict[str, Any] = {
    "id": "heading-3",
    "title": {"es": "Frente 3", "en": "Heading 3"},
    "gases": {"CO": ["gas-north/gas-2/co"], "O2": ["gas-north/gas-2/o2"]},
    "airflow": "gas-north/fan-3/airflow",
    "people": 4,
    "diesel": [{"name": "scoop", "power_hp": 100, "availability": 0.9, "use": 0.5}],
}
POINTS = {
    "gas-2/co": PointDeclaration(unit="ppm", range=(0, 500), period=1),
    "gas-2/o2": PointDeclaration(unit="%vol", range=(0, 25), period=1),
    "fan-3/airflow": PointDeclaration(unit="m3/min", range=(0, 3000), period=1),
}


@given(st.lists(st.one_of(st.none(), st.floats(0, 1000)), min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 60))
def test_an_average_counts_what_was_measured_and_says_how_much_that_was(minutes: list[float | None], first: int, count: int) -> None:
    slots = [Bucket(n * MINUTE, v, v, v, 3, v, Level.GOOD) for n, v in enumerate(minutes) if v is not None]
    start, end = first * MINUTE, (first + count) * MINUTE
    inside = [minutes[n] for n in range(first, first + count) if n < len(minutes)]
    measured = [value for value in inside if value is not None]
    found = average(slots, MINUTE, start, end)
    assert found.coverage == pytest.approx(len(measured) / count)
    assert (found.mean is None) is (not measured)
    if found.mean is not None:
        assert found.mean == pytest.approx(math.fsum(measured) / len(measured), abs=1e-9)


def test_the_shift_is_divided_by_eight_also_when_it_is_longer() -> None:
    slots = [Bucket(n * MINUTE, 20, 20, 20, 1, 20, Level.GOOD) for n in range(360)]
    shift = average(slots, MINUTE, 0, 6 * HOUR_NS)
    found = dose(shift, shift, 30.0, passed_ns=6 * HOUR_NS, length_ns=12 * HOUR_NS)
    assert found.twa == pytest.approx(20 * 6 / 8)
    assert found.projected == pytest.approx((20 * 6 + 30 * 6) / 8)
    assert dose(shift, shift, None, passed_ns=6 * HOUR_NS, length_ns=12 * HOUR_NS).projected is None


@pytest.mark.parametrize(("altitude", "need"), [(0, 3), (1500, 3), (1501, 4), (3000, 4), (4000, 5), (4001, 6), (5200, 6)])
def test_air_for_a_person_grows_with_the_altitude(altitude: float, need: float) -> None:
    assert per_person(altitude) == need


def test_the_air_of_a_place_is_the_sum_of_what_needs_it() -> None:
    place = Place.model_validate(
        {
            **PLACE,
            "wood": {"percent": 41, "tonnes_per_shift": 50},
            "heat": {"dry_bulb": 24, "area": 10},
            "other": [{"name": "x", "m3_min": 5, "source": "plan"}],
        }
    )
    parts = required(place, 4200, 4)
    assert [(part.what, part.m3_min) for part in parts[:-1]] == [("people", 24), ("diesel", 135), ("wood", 50), ("heat", 300), ("other", 5)]
    assert parts[-1].m3_min == pytest.approx(0.15 * 514)
    assert all(part.source for part in parts)
    assert required(place, 4200, None)[0].what == "diesel"
    assert required(Place.model_validate({"id": "a", "title": PLACE["title"]}), 0, None) == []


CO = PE_ENTRY["CO"]


def every(value: float | None = 5.0, quality: str = "good", *, start: int = 0, end: int = 300, step: int = 1) -> list[Sample]:
    return [Sample(at * S, value, quality) for at in range(start, end + 1, step)]


@pytest.mark.parametrize(
    ("samples", "word"),
    [
        (every(), "clear"),
        (every(25.0), "clear"),
        (every(25.1), "outside"),
        ([], "no_data"),
        (every(step=20), "gap"),
        (every(end=280), "gap"),
        (every(start=20), "gap"),
        ([*every(end=99), Sample(100 * S, None, "bad:wire_break"), *every(start=101)], "bad"),
        (every(quality="uncertain:uncalibrated"), "bad"),
        ([*every(end=99), Sample(100 * S, 26.0, "good"), *every(start=101)], "outside"),
    ],
)
def test_a_head_is_clear_by_measured_gas_only(samples: list[Sample], word: str) -> None:
    assert judge(samples, CO, start_ns=0, now_ns=300 * S, longest_gap_ns=15 * S) == word


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 60), st.sampled_from(["good", "uncertain:stale", "bad:stuck"])), max_size=40))
def test_whatever_comes_clear_means_that_everything_was_good_and_within(said: list[tuple[int, float, str]]) -> None:
    samples = [Sample(at * S, value, quality) for at, value, quality in sorted(said)]
    if judge(samples, CO, start_ns=0, now_ns=300 * S, longest_gap_ns=30 * S) == "clear":
        assert all(sample.quality == "good" and sample.value is not None and sample.value <= 25 for sample in samples)
        assert len(samples) >= 9


def test_oxygen_has_two_limits_and_four_gases_must_be_there() -> None:
    good = {"O2": 20.8, "CO": 3.0, "CO2": 600.0, "NO2": 0.1}
    assert verdict(good) == []
    assert verdict({**good, "O2": 19.4}) == ["outside:O2"]
    assert verdict({**good, "O2": 23.0}) == ["outside:O2"]
    assert verdict({"O2": 20.8, "CO": 26.0}) == ["missing:CO2", "missing:NO2", "outside:CO"]
    with pytest.raises(ValueError, match="write one of"):
        verdict({"Xe": 1.0})


def test_wrong_places_are_named() -> None:
    config = GasConfig.model_validate({"places": [PLACE, PLACE]})
    assert [key for key, _ in gas_problems(config)] == [("places", 1, "id"), ("altitude",)]
    with pytest.raises(ValueError, match="write one of O2"):
        Place.model_validate({**PLACE, "gases": {"co": []}})
    with pytest.raises(ValueError, match="write NODE/asset/signal"):
        Place.model_validate({**PLACE, "airflow": "airflow"})


def gas(altitude: float = 4200, clear_for: float = 30) -> dict[str, Any]:
    return {"gas": {"altitude": altitude, "clear_for": clear_for, "places": [PLACE]}}


def breathe(site: WebSite, co: float, *, since: int = 60) -> None:
    """A second by second past of so many seconds, instead of what was there."""
    for point in POINTS:
        site.store.delete(Series("gas-north", point), 0, time.time_ns() + S)
    for ago in range(since, -1, -1):
        site.read({"gas-2/co": co, "gas-2/o2": 20.8, "fan-3/airflow": 150.0}, ago=ago)


def an_hour_in() -> dict[str, Any]:
    """A twelve-hour shift that began an hour ago, whatever the time is."""
    began = datetime.now(UTC) - timedelta(hours=1)
    return {"time_zone": "UTC", "shifts": [f"{time:%H:%M}" for time in (began, began + timedelta(hours=12))]}


async def test_the_board_says_what_is_measured_and_what_is_not(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **gas(), **an_hour_in()) as site, httpx.AsyncClient(base_url=site.url) as client:
        site.born(points=POINTS)
        place = (await client.get("/api/v1/gas")).json()["places"][0]
        assert [(one["gas"], one["state"], one["why"]) for one in place["gases"]] == [
            ("CO", "blind", "no_value"),
            ("O2", "blind", "no_value"),
        ]
        assert place["air"]["state"] == "blind"
        breathe(site, 10.0, since=900)
        place = (await client.get("/api/v1/gas")).json()["places"][0]
        co = place["gases"][0]
        assert (co["value"], co["stel"], co["stel_coverage"]) == (10.0, pytest.approx(10.0), pytest.approx(1.0, abs=0.1))
        assert place["air"]["required"] == pytest.approx((24 + 135) * 1.15)
        assert place["air"]["state"] == "over", "150 m3/min are fewer than 182.85"
        site.read({"gas-2/co": 80.0, "gas-2/o2": 19.0})
        states = {one["gas"]: one["state"] for one in (await client.get("/api/v1/gas")).json()["places"][0]["gases"]}
        assert states == {"CO": "over", "O2": "over"}, "80 ppm until the end of the shift is beyond 25 over 8 h"
        site.read({}, quality={"gas-2/co": "bad:wire_break"})
        assert (await client.get("/api/v1/gas")).json()["places"][0]["gases"][0]["why"] == "bad"


async def test_people_go_back_when_gas_is_measured_clear_and_never_by_time(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **gas()) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.born(points=POINTS)
        hour_ago = (time.time() - 3600) * 1000
        fired = (await client.post("/api/v1/gas/blasts", json={"place": "heading-3", "who": "Ana", "at": hour_ago})).json()
        path = f"/api/v1/gas/blasts/{fired['number']}/open"
        for co, told in ((None, "no_data"), (60.0, "outside")):
            if co is not None:
                breathe(site, co)
            refused = await client.post(path, json={"who": "Luis"})
            assert refused.status_code == 409
            assert told in refused.json()["detail"]
        breathe(site, 8.0)
        (waiting,) = (await client.get("/api/v1/gas")).json()["places"][0]["blasts"]
        assert {head["verdict"] for head in waiting["heads"]} == {"clear"}
        assert (await client.post(path, json={})).json()["reason"] == "who_required"
        opened = (await client.post(path, json={"who": "Luis"})).json()
        assert opened["opened_by"] == "Luis"
        assert {head["verdict"] for head in opened["measured"]} == {"clear"}
        assert (await client.post(path, json={"who": "Eva"})).json()["reason"] == "open_already"
        assert (await client.get("/api/v1/gas")).json()["places"][0]["blasts"] == []
        kinds = [entry.kind for entry in audit.entries(site.services.engine, limit=10)]
        assert kinds[:2] == ["gas.reentry", "gas.blast"]


async def test_clean_air_from_before_the_blast_says_nothing(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **gas()) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        site.born(points=POINTS)
        breathe(site, 2.0)
        fired = (await client.post("/api/v1/gas/blasts", json={"place": "heading-3", "who": "Ana"})).json()
        refused = await client.post(f"/api/v1/gas/blasts/{fired['number']}/open", json={"who": "Luis"})
        assert "too_soon" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"place": "nowhere"}, "unknown_place"),
        ({"calibrated": "2999-01-01"}, "bad_calibration"),
        ({"readings": {"Xe": 1}}, "unknown_gas"),
        ({"who": ""}, "who_required"),
        ({"told": ""}, None),
        ({"readings": {"O2": -1}}, None),
    ],
)
async def test_a_test_that_makes_no_sense_is_refused(tmp_path: Path, body: dict[str, Any], reason: str | None) -> None:
    async with website(tmp_path, born=False, **gas()) as site, httpx.AsyncClient(base_url=site.url, headers={"Origin": site.url}) as client:
        good = {
            "place": "heading-3",
            "readings": {"O2": 20.8},
            "instrument": "X 1",
            "calibrated": "2026-01-02",
            "told": "all",
            "who": "Ana",
        }
        answer = await client.post("/api/v1/gas/tests", json={**good, **body})
        assert answer.status_code in {404, 422}
        assert reason is None or answer.json()["reason"] == reason
        assert (await client.get("/api/v1/gas/tests")).json() == []


def test_a_crew_breathes_what_was_measured_where_it_was() -> None:
    here, away, half = dict.fromkeys(range(6), 1.0), dict.fromkeys(range(6), 0.0), dict.fromkeys(range(6), 0.5)
    co = {0: 10.0, 1: 20.0, 2: 30.0, 3: 40.0, 5: 60.0}
    assert breathed([Been(here, [co])], 6) == [10, 20, 30, 40, None, 60], "what was not measured is not known"
    assert breathed([Been(away, [co])], 6) == [0] * 6, "outside of every place the air is clean"
    assert breathed([Been(half, [co, {0: 90.0}]), Been(away, [])], 4) == [45, 10, 15, 20], "of two heads the highest"
    assert breathed([Been(here, [co]), Been(here, [{0: 30.0}])], 1) == [20], "at two places at once: half at each"
    assert breathed([Been({0: 1.0}, [co])], 2) == [10, None], "nobody knows where it was"
    assert breathed([Been(here, [])], 1) == [None]


def crewed() -> dict[str, Any]:
    crews = [
        {
            "id": f"crew-{name}",
            "title": {"es": f"Cuadrilla {name}", "en": f"Crew {name}"},
            "at": {"heading-3": f"gas-north/gate-3/crew-{name}"},
        }
        for name in "ab"
    ]
    return {"gas": gas()["gas"] | {"crews": crews}}


TAGS = {f"gate-3/crew-{name}": PointDeclaration(unit=unit, kind="digital", period=5) for name, unit in (("a", "bool"), ("b", "1"))}


async def test_the_dose_of_a_crew_is_that_of_the_places_where_it_was(tmp_path: Path) -> None:
    async with website(tmp_path, born=False, **crewed(), **an_hour_in()) as site, httpx.AsyncClient(base_url=site.url) as client:
        site.born(points=POINTS | TAGS)
        for ago in range(3600, -1, -10):
            site.read({"gas-2/co": 160.0, "gas-2/o2": 20.8, "gate-3/crew-a": float(ago > 1800), "gate-3/crew-b": 0.0}, ago=ago)
        crew_a, crew_b = (await client.get("/api/v1/gas")).json()["crews"]
        (co,) = crew_a["gases"]
        assert (crew_a["places"], crew_a["lost"], co["value"], co["stel"]) == ([], False, 0, 0)
        assert co["twa"] == pytest.approx(160 * 0.5 / 8, rel=0.05), "half an hour at 160 ppm, divided by 8"
        assert co["twa_projected"] == co["twa"]
        assert co["state"] == "within"
        assert [(one["twa"], one["state"]) for one in crew_b["gases"]] == [(0, "within")]
        site.store.delete(Series("gas-north", "gate-3/crew-b"), 0, time.time_ns() + 120 * S)
        _, crew_b = (await client.get("/api/v1/gas")).json()["crews"]
        assert (crew_b["lost"], crew_b["gases"][0]["state"]) == (True, "blind")


def test_a_crew_at_a_place_that_is_none_is_named() -> None:
    crew = {"id": "a", "title": {"es": "A", "en": "A"}, "at": {"heading-9": "n/gate/a"}}
    (wrong,) = gas_problems(GasConfig.model_validate({"altitude": 4000, "places": [PLACE], "crews": [crew]}))
    assert wrong == (("crews", 0, "at", "heading-9"), "'heading-9' is no place; there is heading-3")
