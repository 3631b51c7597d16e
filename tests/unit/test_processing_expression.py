"""Expressions over points: figures, what makes them bad, what is refused, and sums that outlive a restart."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.processing import ProcessorContext
from edge.processing.expression import ExpressionProcessor, ExpressionSettings
from edge.processing.over_time import Integral
from rules.shifts import HOUR, Shifts

SECOND = 1_000_000_000
NOW = 1_780_000_000 * SECOND
POINTS = {"kw": "mill-1/power", "tph": "mill-1/feed"}


def processor(expression: str = "kw / tph", **settings: Any) -> ExpressionProcessor:
    given = {
        "name": "energy", "type": "expression", "input": "mill-1/power", "inputs": POINTS, "expression": expression,
        "output": "mill-1/specific_energy", "unit": "1", **settings,
    }  # fmt: skip
    return ExpressionProcessor(ExpressionSettings.model_validate(given), ProcessorContext("node-1", Path()))


def compute(one: ExpressionProcessor, *readings: Reading) -> Reading:
    """The last output."""
    *_, last = [output for reading in readings for output in one.process(reading)]
    assert last.point == "mill-1/specific_energy"
    return last


def power(kw: float | None, at: float = 0, quality: Quality = GOOD) -> Reading:
    return Reading("mill-1/power", NOW + round(at * SECOND), kw, quality)


def feed(tph: float | None, at: float = 0, quality: Quality = GOOD) -> Reading:
    return Reading("mill-1/feed", NOW + round(at * SECOND), tph, quality)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kw / tph", 12.0),
        ("kw - 10 * tph", 2000.0),
        ("-(kw + tph) / 2", -6500.0),
        ("max(kw, tph, 20000) - min(kw, tph)", 19000.0),
        ("abs(tph - kw)", 11000.0),
        ("kw / tph if tph > 50 else 0", 12.0),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    found = compute(processor(text), feed(1000.0), power(12_000.0))
    assert found.value == pytest.approx(expected)
    assert found.quality == GOOD
    assert found.time_ns == NOW


@pytest.mark.parametrize(
    ("first", "second", "quality"),
    [
        (feed(0.0), power(10.0), bad("division_by_zero")),
        (feed(5.0, -11), power(10.0), bad("stale")),
        (power(5.0), power(10.0), bad("stale")),
        (feed(None, 0, bad("wire_break")), power(10.0), bad("wire_break")),
        (feed(5.0, 0, bad("range")), power(10.0), bad("range")),
        (feed(5.0), power(None, 0, bad("no_response")), bad("no_response")),
    ],
)
def test_no_figure_without_sound_inputs(first: Reading, second: Reading, quality: Quality) -> None:
    found = compute(processor(), first, second)
    assert (found.value, found.quality) == (None, quality)


def test_the_worst_quality_is_that_of_the_result() -> None:
    assert compute(processor(), feed(5.0, 0, uncertain("stuck")), power(10.0)).quality == uncertain("stuck")


def test_a_value_beyond_the_range_is_told_and_doubted() -> None:
    found = compute(processor(range=[5, 30]), feed(5.0), power(10.0))
    assert (found.value, found.quality) == (2.0, uncertain("out_of_range"))


def test_energy_per_tonne_by_a_rate_of_a_counter() -> None:
    one = processor("rate(kwh) * 3600 / tph", inputs={"kwh": "mill-1/energy", "tph": "mill-1/feed"}, input="mill-1/energy")
    first, second = (Reading("mill-1/energy", NOW + at * SECOND, kwh) for at, kwh in ((0, 100.0), (6, 120.0)))
    found = [output for reading in (feed(1000.0), first, second) for output in one.process(reading)]
    assert [reading.quality for reading in found] == [bad("no_rate"), GOOD]
    assert found[-1].value == pytest.approx(12.0)


def test_a_rate_over_a_gap_is_none() -> None:
    one = processor("rate(kw)", inputs={"kw": "mill-1/power"})
    assert compute(one, power(1.0), power(3.0, 4)).value == pytest.approx(0.5)
    assert compute(one, power(9.0, 60)).quality == bad("no_rate")
    assert compute(one, power(None, 61, bad("stale")), power(5.0, 62)).quality == bad("no_rate")


def test_an_integral_outlives_a_restart_and_says_what_is_missing() -> None:
    settings: dict[str, Any] = {"inputs": {"kw": "mill-1/power"}, "max_age": 60}
    before, after = (processor("integral(kw) / 3600", **settings) for _ in range(2))
    found = compute(before, *(power(360.0, at) for at in range(0, 101, 10)))
    assert found.value == pytest.approx(10.0)
    assert found.quality == GOOD
    after.restore(before.state())
    found = compute(after, power(360.0, 130), power(360.0, 140))
    assert found.value == pytest.approx(11.0)
    assert found.quality == uncertain("incomplete")


def test_the_state_of_another_expression_is_not_taken() -> None:
    before, after = processor("integral(kw)", inputs={"kw": "mill-1/power"}), processor("integral(kw) * 2", inputs={"kw": "mill-1/power"})
    compute(before, power(1.0), power(1.0, 5))
    after.restore(before.state())
    assert compute(after, power(1.0, 6)).value == 0


def test_an_integral_begins_anew_at_the_shift() -> None:
    integral = Integral(10 * HOUR, Shifts.of(["00:00"], 0))
    midnight = NOW // (24 * HOUR) * (24 * HOUR)
    integral.add(midnight - HOUR, 4.0)
    assert not integral.complete, "it was not there when the day began"
    integral.add(midnight + HOUR, 8.0)
    assert integral.complete
    assert integral.total == pytest.approx((6 + 8) / 2 * 3600), "the part after midnight"


@given(st.lists(st.tuples(st.integers(1, 10), st.floats(-100, 100)), min_size=2, max_size=30))
def test_an_integral_is_the_sum_of_its_trapezoids(steps: list[tuple[int, float]]) -> None:
    integral, at, corners = Integral(10 * SECOND, None), 0, []
    for gap, value in steps:
        at += gap
        corners.append((at, value))
        integral.add(at * SECOND, value)
    expected = sum((a + b) / 2 * (end - begin) for (begin, a), (end, b) in pairwise(corners))
    assert integral.total == pytest.approx(expected, abs=1e-6)
    assert integral.complete


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expression": "kw / tons + tph"}, "'tons' is not among inputs"),
        ({"expression": "kw"}, "'tph' is not used"),
        ({"expression": "kw / tph +"}, "cannot be read"),
        ({"expression": "__import__('os')"}, "not allowed"),
        ({"expression": "kw.real / tph"}, "not allowed|Attribute"),
        ({"expression": "kw ** tph"}, "not allowed"),
        ({"expression": "rate(kw + tph)"}, "takes one alias"),
        ({"expression": "rate(kw, tph)"}, "takes one alias"),
        ({"expression": "integral()"}, "takes one alias"),
        ({"expression": "rate_kw / tph"}, "no alias"),
        ({"expression": "kw / tph" + " + kw" * 200}, "at most 500"),
        ({"unit": "kwh"}, "did you mean 'kWh'"),
        ({"input": "mill-1/other"}, "none of inputs"),
        ({"inputs": {"kw": "Power", "tph": "mill-1/feed"}}, "write asset/signal"),
        ({"range": [3, 1]}, "lowest, highest"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        processor(**settings)
