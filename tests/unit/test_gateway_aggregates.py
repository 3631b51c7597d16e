"""Figures of shifts, days and hours: what they count, what they do not claim, and what happens when readings arrive behind."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contract.documents import DocumentError
from gateway.aggregates import INCOMPLETE, RUNNING, Aggregate, Figure, Tally, combined
from gateway.aggregation import Aggregation, periods
from gateway.config import load
from gateway.malfunctions import GATEWAY_NODE
from gateway.store import Sample, Series, StoreFrame
from gateway.store.memory import MemoryStore

SECOND = 1_000_000_000
LIMA = ZoneInfo("America/Lima")
POWER, COUNTER = Series("plant-1", "mill-1/power"), Series("plant-1", "mill-1/ore_total")
UNITS = {POWER: "kW", COUNTER: "t"}


def at(text: str, zone: ZoneInfo = LIMA) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * SECOND


def aggregate(**more: Any) -> Aggregate:
    plain = {"point": "mill/energy/shift", "over": "shift", "unit": "kWh", "of": "plant-1/mill-1/power", "take": "integral"}
    return Aggregate.model_validate(plain | {"title": {"es": "Energía", "en": "Energy"}} | more)


ENERGY = aggregate()
ORE = aggregate(point="mill/ore/shift", unit="t", of="plant-1/mill-1/ore_total", take="change")
PER_TONNE = aggregate(
    point="mill/energy_per_tonne/shift",
    unit="kWh/t",
    of=None,
    take=None,
    expression="energy / ore",
    points={"energy": "mill/energy/shift", "ore": "mill/ore/shift"},
)
CO2E = aggregate(
    point="mill/co2e/shift",
    unit="kg",
    of=None,
    take=None,
    expression="grid * energy",
    points={"energy": "mill/energy/shift"},
    factors={"grid": {"value": 0.2, "source": "a test", "certainty": "L"}},
)


def samples(*pairs: tuple[float, float | None], quality: str = "good") -> list[Sample]:
    return [Sample(round(second * SECOND), value, quality) for second, value in pairs]


def figure(tally: Tally, take: Any, source: str, target: str, elapsed: float = 100.0, *, over: bool = True) -> Figure:
    return tally.figure(take, source, target, elapsed=elapsed, over=over)


def test_an_integral_counts_what_was_measured_and_says_when_that_is_not_all() -> None:
    tally = Tally(60)
    tally.add(samples((0, 100.0), (50, 200.0), (100, 200.0)))
    assert figure(tally, "integral", "kW", "kWh").value == pytest.approx((7500 + 10_000) / 3600)
    assert figure(tally, "mean", "kW", "W").value == pytest.approx(175_000)
    assert str(figure(tally, "integral", "kW", "kWh").quality) == "good"
    tally.add(samples((161, 900.0), (200, None)))
    assert figure(tally, "integral", "kW", "kWh", 161).value == pytest.approx(17_500 / 3600), "nobody knows what was in a gap of 61 s"
    assert figure(tally, "integral", "kW", "kWh", 161).quality == INCOMPLETE
    assert figure(tally, "integral", "kW", "kWh", 161, over=False).quality == RUNNING
    assert figure(tally, "maximum", "kW", "MW").value == pytest.approx(0.9)


def test_bad_values_count_for_nothing_and_uncertain_ones_count() -> None:
    tally = Tally(60)
    tally.add(samples((0, 5.0)) + samples((10, 500.0), quality="bad:sensor_fault") + samples((20, 7.0), quality="uncertain:late"))
    assert figure(tally, "maximum", "degC", "degC").value == 7.0
    assert Tally(60).figure("mean", "kW", "kW", elapsed=1, over=True) == Figure(
        None, Figure(None, figure(Tally(1), "mean", "kW", "kW").quality).quality
    )
    assert str(figure(Tally(60), "change", "t", "t").quality) == "bad:no_data"


def test_a_counter_that_begins_anew_goes_on() -> None:
    tally = Tally(60)
    tally.add(samples((0, 90.0), (50, 100.0), (1000, 160.0), (1001, 5.0), (1100, 8.0)))
    assert figure(tally, "change", "t", "kg", 1100).value == pytest.approx(78_000)
    assert str(figure(tally, "change", "t", "t", 1100).quality) == "good", "a counter counts in the gap too"
    assert figure(tally, "change", "t", "t", 2000).quality == INCOMPLETE


def test_a_difference_of_temperatures_has_no_zero_point() -> None:
    tally = Tally(60)
    tally.add(samples((0, 20.0), (10, 30.0)))
    assert figure(tally, "change", "degC", "K").value == pytest.approx(10)


@pytest.mark.parametrize(
    ("source", "target", "said"), [("kW", "t", "no t: write one of J, kWh, MWh"), ("ppm", "kWh", "the integral of ppm")]
)
def test_units_that_do_not_fit_are_told(source: str, target: str, said: str) -> None:
    tally = Tally(60)
    tally.add(samples((0, 1.0), (10, 1.0)))
    with pytest.raises(ValueError, match=said):
        figure(tally, "integral", source, target)


def test_an_expression_takes_the_worst_of_its_figures() -> None:
    good = figure_of(10.0)
    assert combined(PER_TONNE, {"mill/energy/shift": good, "mill/ore/shift": figure_of(4.0)}).value == 2.5
    assert (
        combined(PER_TONNE, {"mill/energy/shift": Figure(10.0, INCOMPLETE), "mill/ore/shift": Figure(4.0, RUNNING)}).quality == INCOMPLETE
    )
    assert combined(PER_TONNE, {"mill/energy/shift": good, "mill/ore/shift": Figure(None, RUNNING)}).value is None
    assert str(combined(PER_TONNE, {"mill/energy/shift": good, "mill/ore/shift": figure_of(0.0)}).quality) == "bad:no_result"
    assert combined(CO2E, {"mill/energy/shift": good}).value == 2.0


def figure_of(value: float) -> Figure:
    tally = Tally(1e9)
    tally.add(samples((0, value), (100, value)))
    return figure(tally, "mean", "1", "1")


class Mill:
    """A store with readings each 30 s of a mill of 100 kW and 50 t/h, and the figures over it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.figures = self.restarted()

    def restarted(self) -> Aggregation:
        return Aggregation([ENERGY, ORE, PER_TONNE, CO2E], self.store, periods(["07:00", "19:00"], "America/Lima"), UNITS.get)

    def runs(self, start_ns: int, end_ns: int) -> None:
        for time_ns in range(start_ns, end_ns, 30 * SECOND):
            values = {POWER.point: 100.0, COUNTER.point: time_ns / SECOND / 3600 * 50}
            self.store.write([StoreFrame("plant-1", time_ns, values, {})])

    def told(self, point: str, start: str) -> tuple[Any, str] | None:
        found = self.store.raw(Series(GATEWAY_NODE, point), at(start), at(start) + 1)
        return (found[0].value, found[0].quality) if found else None


def test_a_shift_that_runs_and_ends() -> None:
    mill = Mill()
    mill.runs(at("2026-11-25 07:00"), at("2026-11-25 09:00"))
    mill.figures.look(at("2026-11-25 09:00"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (pytest.approx(200, rel=0.01), "uncertain:running")
    mill.runs(at("2026-11-25 09:00"), at("2026-11-25 19:01"))
    mill.figures.look(at("2026-11-25 18:59"))
    mill.figures.look(at("2026-11-25 19:00"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (pytest.approx(1200, rel=0.001), "good")
    assert mill.told("mill/ore/shift", "2026-11-25 07:00") == (pytest.approx(600, rel=0.001), "good")
    assert mill.told("mill/energy_per_tonne/shift", "2026-11-25 07:00") == (pytest.approx(2.0, rel=0.001), "good")
    assert mill.told("mill/co2e/shift", "2026-11-25 07:00") == (pytest.approx(240, rel=0.001), "good")
    assert mill.told("mill/energy/shift", "2026-11-24 19:00") is None, "nothing is claimed of a shift nobody watched"


def test_what_arrives_behind_is_counted_within_the_hour() -> None:
    mill = Mill()
    mill.runs(at("2026-11-25 07:00"), at("2026-11-25 12:00"))
    mill.figures.look(at("2026-11-25 18:59"))
    mill.figures.look(at("2026-11-25 19:00"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (pytest.approx(500, rel=0.01), "uncertain:incomplete")
    mill.runs(at("2026-11-25 12:00"), at("2026-11-25 19:00"))
    mill.figures.look(at("2026-11-25 19:05"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (pytest.approx(500, rel=0.01), "uncertain:incomplete")
    mill.figures.look(at("2026-11-25 19:10"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (pytest.approx(1200, rel=0.001), "good")


def test_a_gateway_that_was_away_at_the_end_of_a_shift_counts_it_when_it_is_back() -> None:
    mill = Mill()
    mill.runs(at("2026-11-24 19:00"), at("2026-11-25 19:00"))
    mill.restarted().look(at("2026-11-25 22:00"))
    for start in ("2026-11-24 19:00", "2026-11-25 07:00"):
        assert mill.told("mill/energy/shift", start) == (pytest.approx(1200, rel=0.001), "good")


def test_a_point_that_nobody_declared_is_told_and_the_others_go_on() -> None:
    mill = Mill()
    mill.runs(at("2026-11-25 07:00"), at("2026-11-25 08:00"))
    figures = Aggregation([ENERGY, ORE], mill.store, periods(["07:00", "19:00"], "America/Lima"), {COUNTER: "t"}.get)
    figures.look(at("2026-11-25 08:00"))
    assert mill.told("mill/energy/shift", "2026-11-25 07:00") == (None, "bad:unknown_point")
    assert mill.told("mill/ore/shift", "2026-11-25 07:00") == (pytest.approx(50, rel=0.01), "uncertain:running")


def test_a_day_of_23_hours_ends_where_the_next_begins() -> None:
    begins = periods(["07:00"], "America/Santiago")["day"]
    zone = ZoneInfo("America/Santiago")
    start = begins.began(at("2026-09-06 12:00", zone))
    assert begins.ends(start) - start == 23 * 3600 * SECOND
    assert begins.ends(start) == at("2026-09-07 00:00", zone)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"take": None}, "take is missing"),
        ({"of": None}, "write either of and take"),
        ({"of": "mill-1/power"}, "write NODE/asset/signal"),
        ({"unit": "kwh"}, "did you mean 'kWh'"),
        ({"factors": {"a": {"value": 1, "source": "x", "certainty": "H"}}}, "belong to an expression"),
        ({"of": None, "take": None, "expression": "a / b", "points": {"a": "mill/ore/shift"}}, "do not agree on b"),
        ({"of": None, "take": None, "expression": "a * f", "points": {"a": "x/y"}, "factors": {"f": {"value": 1}}}, "source"),
        ({"of": None, "take": None, "expression": "a", "points": {"a": "mill/later/shift"}}, "is no figure above this one"),
        ({"of": None, "take": None, "expression": "a", "points": {"a": "mill/first/day"}}, "only figures of one period combine"),
        ({"point": "mill/first/day"}, "is taken"),
    ],
)
def test_a_wrong_figure_is_told_with_its_line(written: dict[str, Any], said: str, tmp_path: Path) -> None:
    import yaml

    first = aggregate(point="mill/first/day", over="day").model_dump(exclude_none=True)
    second = {key: value for key, value in (ENERGY.model_dump(exclude_none=True) | written).items() if value is not None}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump({"site": "test", "data_dir": ".", "aggregates": [first, second]}))
    with pytest.raises(DocumentError, match=said) as caught:
        load(tmp_path / "gateway.yaml")
    assert "gateway.yaml:" in str(caught.value)
