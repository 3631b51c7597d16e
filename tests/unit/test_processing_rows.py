"""Readings of several points become rows: by period, by cycle, with what is missing said and never made up."""

import numpy as np
import pytest

from contract.values import Quality, Reading, bad, uncertain
from edge.processing.rows import Row, Rows

SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND


def gatherer(period: float | None = 1.0) -> Rows:
    return Rows({"a/x": lambda value: value, "a/y": lambda value: 10 * value}, period, 5.0)


def reading(point: str, seconds: float, value: float | None = 1.0, quality: Quality | None = None) -> Reading:
    return Reading(point, START + round(seconds * SECOND), value, quality or Reading(point, 0, 1.0).quality)


def told(rows: Rows, *readings: Reading) -> list[Row]:
    return [row for one in readings for row in rows.add(one)]


def values(row: Row) -> list[float]:
    assert row.values is not None
    return [float(value) for value in np.asarray(row.values)]


def test_a_row_is_the_mean_of_each_point_in_its_period_in_the_units_asked_for() -> None:
    (row,) = told(gatherer(), reading("a/x", 0.1, 2.0), reading("a/y", 0.2, 3.0), reading("a/x", 0.7, 4.0), reading("a/x", 1.0))
    assert values(row) == [3.0, 30.0]
    assert (row.time_ns, row.quality.good, row.missing) == (START + round(0.7 * SECOND), True, 0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [([], "bad:stale"), ([reading("a/y", 0.3, None, bad("wire_break"))], "bad:wire_break")],
)
def test_a_row_without_a_good_reading_of_each_point_has_no_values(wrong: list[Reading], says: str) -> None:
    (row,) = told(gatherer(), reading("a/x", 0.1), *wrong, reading("a/x", 1.1))
    assert (row.values, str(row.quality)) == (None, says)


def test_one_good_reading_of_a_point_in_the_period_is_enough_and_doubt_is_passed_on() -> None:
    (row,) = told(
        gatherer(),
        reading("a/x", 0.1, None, bad("wire_break")),
        reading("a/x", 0.2, 7.0, uncertain("out_of_range")),
        reading("a/y", 0.3),
        reading("a/y", 1.3),
    )
    assert (values(row), str(row.quality)) == ([7.0, 10.0], "uncertain:out_of_range")


def test_periods_of_which_nothing_was_read_are_counted() -> None:
    rows = gatherer()
    first, second = told(rows, reading("a/x", 0), reading("a/y", 0), reading("a/x", 5), reading("a/y", 5), reading("a/x", 6))
    assert (first.missing, second.missing) == (0, 4)


def test_late_readings_are_left_out_and_a_clock_set_back_begins_anew() -> None:
    rows = gatherer()
    told(rows, reading("a/x", 100), reading("a/y", 100))
    assert told(rows, reading("a/x", 98, 99.0)) == []
    (row,) = told(rows, reading("a/x", 101))
    assert values(row) == [1.0, 10.0]
    later = told(rows, reading("a/x", 50, 3.0), reading("a/y", 50, 3.0), reading("a/x", 51))
    assert [(values(row), row.missing) for row in later] == [([3.0, 30.0], 1)]


def test_a_cycle_is_told_as_soon_as_it_is_complete() -> None:
    rows = gatherer(None)
    assert [values(row) for row in told(rows, reading("a/y", 0), reading("a/x", 1), reading("a/x", 700, 2.0), reading("a/y", 701))] == [
        [1.0, 10.0],
        [2.0, 10.0],
    ]


def test_a_cycle_with_a_point_left_out_is_missing_and_readings_too_far_apart_are_of_two_cycles() -> None:
    rows = gatherer(None)
    twice = told(rows, reading("a/x", 0), reading("a/x", 1), reading("a/y", 1))
    assert [row.values is None for row in twice] == [True, False]
    apart = told(rows, reading("a/x", 100), reading("a/y", 106), reading("a/x", 107))
    assert [row.values is None for row in apart] == [True, False]


def test_the_time_of_a_restart_is_missing() -> None:
    first, second = gatherer(), gatherer()
    told(first, reading("a/x", 0), reading("a/y", 0), reading("a/x", 1))
    second.begin_after(first.place)
    (row,) = told(second, reading("a/x", 5), reading("a/y", 5), reading("a/x", 6))
    assert row.missing == 4
