"""Exposure: the formulas against published figures, windows against a brute-force reference, and missing time that is never clean air."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.units import standard_pressure_kpa
from contract.values import GOOD, Reading, bad, uncertain
from edge.processing import ProcessorContext
from edge.processing.dose import Dose
from edge.processing.exposure import ExposureProcessor
from edge.processing.exposure_settings import ExposureSettings
from edge.processing.gas_mixture import GasMixtureProcessor, GasMixtureSettings
from edge.processing.o2_pressure import O2PressureProcessor, O2PressureSettings
from edge.processing.shift_limits import brief_scala, ds594_art62, ds594_art63
from rules.exposure_limits import PE_RSSOM, limits_of
from rules.shifts import Shifts

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SHIFT = 1_780_000_000 * SECOND // (24 * HOUR) * (24 * HOUR) + 12 * HOUR  # 07:00 in Peru
CONTEXT = ProcessorContext("node-1", Path())
GAS = "gallery-4/gas/co"


def exposure(**settings: Any) -> ExposureProcessor:
    given = {"name": "co", "type": "exposure", "input": GAS, "unit": "ppm", "every": 0, "max_gap": 600, **settings}
    return ExposureProcessor(ExposureSettings.model_validate(given), CONTEXT)


def feed(processor: ExposureProcessor, readings: Sequence[Reading]) -> dict[str, Reading]:
    """The last output of each point, by what comes after the input's name."""
    found: dict[str, Reading] = {}
    for reading in readings:
        for output in processor.process(reading):
            assert output.point in processor.points()
            found[output.point.removeprefix(f"{GAS}/")] = output
    return found


def steps(*parts: tuple[float, float], start: int = SHIFT, every: int = 5 * MINUTE) -> list[Reading]:
    """Readings of (hours, ppm) one after the other, with one at the end."""
    readings, at = [], start
    for hours, ppm in parts:
        end = at + round(hours * HOUR)
        readings += [Reading(GAS, time, ppm) for time in range(at, end, every)]
        at = end
    return [*readings, Reading(GAS, at, parts[-1][1])]


def value(reading: Reading) -> float:
    assert reading.value is not None
    return reading.value


def test_twa_of_the_example_in_the_regulation() -> None:
    """29 CFR 1910.1000(d)(1)(ii): 2 h at 150, 2 h at 75 and 4 h at 50 ppm are 81.25 ppm over 8 h."""
    found = feed(exposure(shift_hours=8, twa=100), steps((2, 150), (2, 75), (4, 50)))
    assert value(found["twa"]) == pytest.approx(81.25)
    assert value(found["twa_projected"]) == pytest.approx(81.25)
    assert value(found["twa_percent"]) == pytest.approx(81.25)
    assert value(found["twa_coverage"]) == 100
    assert found["twa"].quality == GOOD


def test_twa_of_a_long_shift_is_over_8_hours_too() -> None:
    found = feed(exposure(shift_hours=12, shift_starts=["07:00"]), steps((12, 20)))
    assert value(found["twa"]) == pytest.approx(30)


def test_projection_is_the_dose_so_far_and_the_present_for_the_rest() -> None:
    found = feed(exposure(shift_hours=12), [*steps((3, 10)), Reading(GAS, SHIFT + 3 * HOUR + 1, 40.0)])
    assert value(found["twa"]) == pytest.approx(10 * 3 / 8, rel=1e-6)
    assert value(found["twa_projected"]) == pytest.approx((10 * 3 + 40 * 9) / 8, rel=1e-6)


def test_short_term_is_the_mean_of_15_minutes() -> None:
    found = feed(exposure(stel=50), steps((0.5, 10), (5 / 60, 100), every=MINUTE))
    assert value(found["stel"]) == pytest.approx((10 * 10 + 100 * 5) / 15)
    assert value(found["stel_percent"]) == pytest.approx(80)
    assert (value(found["stel_coverage"]), found["stel"].quality) == (100, GOOD)


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    values=st.lists(st.one_of(st.none(), st.floats(0, 1000)), min_size=60, max_size=60),
    max_gap=st.integers(1, 300),
)
def test_the_rolling_window_and_the_dose_are_those_of_a_second_by_second_reference(
    gaps: list[int], values: list[float | None], max_gap: int
) -> None:
    dose = Dose(max_gap * SECOND)
    seconds: list[float | None] = []
    at, held = 0, None
    dose.add(SHIFT, None)
    dose.begin_shift(SHIFT)
    for gap, value in zip(gaps, values, strict=False):
        seconds += [held if second < max_gap else None for second in range(gap)]
        at, held = at + gap, value
        dose.add(SHIFT + at * SECOND, value)
        dose.begin_shift(SHIFT)
    window = [second for second in seconds[-900:] if second is not None]
    everything = [second for second in seconds if second is not None]
    short, (shift, hours) = dose.short_term(), dose.shift()
    assert short.coverage == pytest.approx(len(window) / 900)
    assert shift.coverage == pytest.approx(len(everything) / len(seconds))
    assert hours == pytest.approx(at / 3600)
    assert short.mean == (pytest.approx(sum(window) / len(window)) if window else held)
    assert shift.mean == (pytest.approx(sum(everything) / len(everything)) if everything else held)


@given(rate=st.integers(2, 50), values=st.lists(st.floats(0, 100), min_size=50, max_size=400))
def test_a_fast_sensor_costs_no_accuracy_and_no_memory(rate: int, values: list[float]) -> None:
    dose = Dose(60 * SECOND)
    for index, value in enumerate(values):
        dose.add(SHIFT + index * SECOND // rate, value)
    assert dose.short_term().mean == pytest.approx(sum(values[:-1]) / (len(values) - 1), rel=1e-6, abs=1e-6)
    assert len(dose.state()["minutes"]) <= len(values) / rate / 60 + 2


def test_missing_minutes_are_told_and_are_not_zero() -> None:
    start, hole = steps((2, 40)), steps((2, 40), start=SHIFT + 4 * HOUR)
    found = feed(exposure(shift_hours=8), [*start, Reading(GAS, SHIFT + 2 * HOUR, None, bad("no_response")), *hole])
    assert value(found["twa_coverage"]) == pytest.approx(100 * 4 / 6)
    assert value(found["twa"]) == pytest.approx(40 * 6 / 8), "taken for as bad as what was measured, not for clean air"
    assert found["twa"].quality == found["twa_projected"].quality == uncertain("incomplete")
    assert found["stel"].quality == GOOD, "the last 15 minutes are all there"


def test_nothing_is_said_where_nothing_was_read() -> None:
    found = feed(exposure(stel=5, twa=3, ceiling=9), [Reading(GAS, SHIFT + HOUR, None, bad("wire_break"))])
    for name in ("stel", "stel_percent", "twa", "twa_projected", "twa_percent"):
        assert (found[name].value, found[name].quality) == (None, bad("not_read")), name
    assert found["ceiling_exceeded"].quality == bad("wire_break")
    assert (found["stel_coverage"].value, found["twa_coverage"].value) == (0, 0)


def test_a_start_in_mid_shift_is_incomplete() -> None:
    found = feed(exposure(shift_hours=8), steps((0.5, 24), start=SHIFT + 4 * HOUR))
    assert value(found["twa_coverage"]) == pytest.approx(100 * 0.5 / 4.5)
    assert value(found["twa"]) == pytest.approx(24 * 4.5 / 8)
    assert found["twa"].quality == uncertain("incomplete")


def test_the_shift_begins_anew() -> None:
    found = feed(exposure(shift_hours=12), steps((12, 100), (2, 8)))
    assert value(found["twa"]) == pytest.approx(8 * 2 / 8)
    assert found["twa"].quality == GOOD


def test_between_two_shifts_there_is_no_dose() -> None:
    found = feed(exposure(shift_hours=8, shift_starts=["07:00"], twa=25), steps((9, 10)))
    for name in ("twa", "twa_projected", "twa_percent", "twa_coverage"):
        assert (found[name].value, found[name].quality) == (None, bad("off_shift"))
    assert value(found["stel"]) == 10


def test_a_drift_below_zero_is_no_credit() -> None:
    assert value(feed(exposure(), steps((1, -2.0), (1, 4.0)))["twa"]) == pytest.approx(4 / 8)


def test_a_doubtful_value_makes_the_averages_doubtful_that_hold_it() -> None:
    readings = steps((1, 10))
    readings[3] = Reading(GAS, readings[3].time_ns, 10.0, uncertain("calibration_overdue"))
    found = feed(exposure(), readings)
    assert found["stel"].quality == GOOD, "older than 15 minutes"
    assert found["twa"].quality == uncertain("calibration_overdue")


def test_the_ceiling_is_told_at_once_and_the_rest_now_and_then() -> None:
    processor = exposure(ceiling=50, every=60)
    counts = [
        len(processor.process(Reading(GAS, SHIFT + second * SECOND, ppm))) for second, ppm in enumerate([10.0, 10.0, 51.0, 52.0, 50.0])
    ]
    assert [bool(count) for count in counts] == [True, False, True, False, True]
    assert value(feed(exposure(ceiling=50), [Reading(GAS, SHIFT, 50.1)])["ceiling_exceeded"]) == 1
    assert value(feed(exposure(ceiling=50), [Reading(GAS, SHIFT, 50.0)])["ceiling_exceeded"]) == 0


def test_a_clock_that_is_set_back_keeps_the_dose_and_a_late_reading_is_left_out() -> None:
    processor = exposure()
    feed(processor, steps((1, 10)))
    assert processor.process(Reading(GAS, SHIFT + HOUR - SECOND, 999.0)) == []
    found = feed(processor, [Reading(GAS, SHIFT + HOUR // 4, 20.0)])
    assert value(found["stel_coverage"]) == 0
    assert value(found["twa"]) == pytest.approx(10 * 1 / 8), "an hour was breathed, whatever the clock says now"
    assert value(found["twa_coverage"]) == 100
    found = feed(processor, [Reading(GAS, SHIFT - HOUR, 20.0)])
    assert value(found["stel_coverage"]) == 0, "before that shift nothing was measured"
    assert found["twa"].quality == uncertain("incomplete")


def test_minutes_missing_in_mid_shift_are_told_and_the_shift_goes_on() -> None:
    readings = steps((2, 10), every=MINUTE) + steps((1, 30), start=SHIFT + 4 * HOUR, every=MINUTE)
    found = feed(exposure(twa=25, max_gap=60, shift_hours=8), readings)
    assert value(found["twa_coverage"]) == pytest.approx(100 * 181 / 300, abs=0.01), "3 h and the last minute before the gap, of 5 h"
    mean = (121 * 10 + 60 * 30) / 181
    assert value(found["twa"]) == pytest.approx(mean * 5 / 8), "never as if two hours had been clean air"
    assert value(found["twa_projected"]) == pytest.approx((mean * 5 + 30 * 3) / 8)
    assert found["twa"].quality == uncertain("incomplete")


@given(st.lists(st.floats(0, 500), min_size=30, max_size=300), st.integers(1, 200))
def test_a_clock_set_back_within_the_shift_never_lowers_the_dose(values: list[float], minutes: int) -> None:
    dose = Dose(5 * MINUTE)
    for index, ppm in enumerate(values):
        dose.add(SHIFT + 4 * HOUR + index * MINUTE, ppm)
        dose.begin_shift(SHIFT)
    before, passed = dose.shift()
    breathed = sum(values[:-1]) / 60  # ppm·h
    dose.add(SHIFT + 4 * HOUR + (len(values) - 1 - minutes) * MINUTE, values[-1])
    dose.begin_shift(SHIFT)
    after, hours = dose.shift()
    assert after.mean is not None
    assert before.mean is not None
    assert after.mean * hours >= breathed * (1 - 1e-9)
    assert 0 <= after.coverage <= 1 + 1e-12
    assert hours <= passed


def test_a_restart_with_its_state_goes_on() -> None:
    before, after, whole = exposure(stel=50), exposure(stel=50), exposure(stel=50)
    first = steps((3, 12), (0.2, 60), every=MINUTE)
    rest = steps((0.1, 30), start=first[-1].time_ns + MINUTE, every=MINUTE)
    feed(before, first)
    after.restore(before.state())
    found, expected = feed(after, rest), feed(whole, [*first, *rest])
    assert value(found["twa_coverage"]) == pytest.approx(100 * (1 - 1 / (3.3 * 60 + 1)), abs=0.01), (
        "one minute is missing, and is said to be"
    )
    assert value(found["twa"]) == pytest.approx(value(expected["twa"]), rel=0.02)
    assert value(found["stel"]) == pytest.approx(value(expected["stel"]), rel=0.05)
    assert found["stel"].quality == uncertain("incomplete")


def test_the_state_of_another_unit_is_not_taken() -> None:
    before, after = exposure(), exposure(unit="%vol")
    feed(before, steps((3, 12)))
    after.restore(before.state())
    assert value(feed(after, [Reading(GAS, SHIFT + 3 * HOUR, 0.1)])["twa_coverage"]) == 0


def test_a_state_is_small() -> None:
    processor = exposure(max_gap=60)
    feed(processor, steps((2, 12.345678), every=SECOND))
    assert len(processor.state()) < 2_000


@pytest.mark.parametrize(
    ("shift", "week", "factor"),
    [
        (8, 40, 1),
        (9, 40, 0.833),
        (10, 40, 0.7),
        (12, 40, 0.5),
        (8, 48, 0.781),
        (8, 56, 0.625),
        (8, 60, 0.5625),
        (8, 72, 0.417),
        (8, 84, 0.3125),
    ],
)
def test_brief_and_scala(shift: float, week: float, factor: float) -> None:
    assert brief_scala(shift, week) == pytest.approx(factor, abs=5e-4)


def test_a_limit_is_never_raised() -> None:
    assert brief_scala(4, 20) == 1
    assert ds594_art62(40) == 1
    assert ds594_art62(56) == pytest.approx(0.8)
    assert ds594_art62(56, ordinary_week=45) == pytest.approx(45 / 56 * 112 / 123)
    assert [ds594_art62(hours) for hours in (47.9, 48, 60)] == [1, 1, pytest.approx(0.72)]
    assert ds594_art63(101.3, 900) == 1
    assert [ds594_art63(90, metres) for metres in (1000, 1000.1)] == [1, pytest.approx(90 / 101.325)]
    assert ds594_art63(105, 1200) == 1


@pytest.mark.parametrize(("metres", "factor"), [(4000, 0.608), (4500, 0.570)])
def test_article_63(metres: float, factor: float) -> None:
    assert ds594_art63(standard_pressure_kpa(metres), metres) == pytest.approx(factor, abs=1e-3)


def test_a_reduced_limit_is_compared_with_the_average_of_the_shift_and_never_with_twa8() -> None:
    processor = exposure(shift_hours=12, substance="CO", limits="pe-rssom", reduction="brief-scala", week_hours=56, shift_starts=["07:00"])
    found = feed(processor, steps((12, 12.5)))
    assert value(found["shift_average"]) == pytest.approx(12.5)
    assert value(found["shift_average_percent"]) == pytest.approx(100), "25 ppm reduced by 0.5"
    assert not any(name.startswith("twa") and name != "twa_coverage" for name in found)
    assert "12.5 ppm" in processor.points()[f"{GAS}/shift_average_percent"].description["es"]
    settings = ExposureSettings.model_validate(
        {
            **{"name": "x", "type": "exposure", "input": GAS, "unit": "ppm", "twa": 30, "stel": 40, "ceiling": 50},
            **{"reduction": "brief-scala", "week_hours": 56},
        }
    )
    assert tuple(settings.judged()) == pytest.approx((15, 40, 50)), "the longer shift is no reason for another limit of 15 minutes"


def test_article_63_lowers_mg_m3_only() -> None:
    dust = exposure(unit="mg/m3", substance="respirable-dust", limits="pe-rssom", ds594_altitude_m=4500, shift_hours=8)
    assert value(feed(dust, steps((8, 3 * 0.5697)))["twa_percent"]) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ds594_altitude_m": 4500}, "never rescaled"),
        ({"unit": "mm/s"}, "measures velocity"),
        ({"substance": "CO"}, "belong together"),
        ({"substance": "XY", "limits": "pe-rssom"}, "CO, CO2, NO2"),
        ({"substance": "CO", "limits": "acgih"}, "pe-rssom"),
        ({"unit": "mg/m3", "substance": "CO", "limits": "pe-rssom"}, "ppm_from_mg_m3"),
        ({"reduction": "brief-scala"}, "week_hours"),
        ({"shift_starts": ["7:00"]}, "hh:mm"),
        ({"pressure_kpa": 60}, "ds594_altitude_m"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        exposure(**settings)


def test_a_limit_in_ppm_judges_percent_by_volume() -> None:
    co2 = exposure(unit="%vol", substance="CO2", limits="pe-rssom")
    assert value(feed(co2, steps((1, 1.5)))["stel_percent"]) == pytest.approx(50)


def test_the_shipped_limits_have_a_source() -> None:
    assert (limits_of("pe-rssom", "NO2").twa, limits_of("pe-rssom", "NO2").stel, limits_of("pe-rssom", "CO").twa) == (3, 5, 25)
    for limits in PE_RSSOM.values():
        assert limits.source
        assert limits.stel is None or limits.stel > limits.twa
        assert limits.idlh is None or limits.idlh > (limits.stel or limits.twa)


@given(st.integers(0, 10**9), st.sampled_from([-5.0, 0.0, 5.5, 13.0]))
def test_a_shift_began_at_its_local_time_and_not_long_ago(seconds: int, offset: float) -> None:
    time = seconds * SECOND
    began = Shifts.of(["19:00", "07:00"], offset).began(time)
    assert 0 <= time - began < 12 * HOUR
    assert (began + round(offset * HOUR)) % (24 * HOUR) in {7 * HOUR, 19 * HOUR}


def local(text: str, zone: str = "America/Santiago", fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("now", "began", "hours"),
    [  # Chile: forward at 2026-09-06 00:00, which becomes 01:00; back at 2026-04-05 00:00, which becomes 23:00 of the day before
        ("2026-09-05T20:00", "2026-09-05T19:00", 11),
        ("2026-09-06T06:59:59", "2026-09-05T19:00", 11),
        ("2026-09-06T07:00", "2026-09-06T07:00", 12),
        ("2026-04-05T06:30", "2026-04-04T19:00", 13),
        ("2026-04-05T07:00", "2026-04-05T07:00", 12),
        ("2026-01-01T00:00", "2025-12-31T19:00", 12),
    ],
)
def test_shifts_follow_the_clock_on_the_wall(now: str, began: str, hours: float) -> None:
    shifts = Shifts.of(["07:00", "19:00"], 0, "America/Santiago")
    assert shifts.began(local(now)) == local(began)
    assert shifts.hours(local(began), 12) == hours


def test_a_beginning_that_is_left_out_or_comes_twice_is_one_beginning() -> None:
    shifts = Shifts.of(["00:30", "23:30"], 0, "America/Santiago")
    found = [shifts.began(local("2026-09-05T22:00") + minute * MINUTE) for minute in range(0, 600, 10)]
    assert found == sorted(found)
    assert len(set(found)) == 3, "22:00 belongs to 00:30; then 23:30, and 00:30, which is 01:30"
    night = [shifts.began(local("2026-04-04T22:00") + minute * MINUTE) for minute in range(0, 600, 10)]
    assert night == sorted(night)
    assert len(set(night)) == 3
    assert local("2026-04-04T23:30") in night
    assert local("2026-04-04T23:30", fold=1) not in night


def test_the_hour_that_comes_twice_is_breathed_twice() -> None:
    night = exposure(shift_hours=12, time_zone="America/Santiago", twa=25)
    start = local("2026-04-04T19:00")
    found = feed(night, steps((12.9, 8), start=start))
    assert value(found["twa"]) == pytest.approx(12.9)
    assert value(found["twa_projected"]) == pytest.approx(13)
    found = feed(night, steps((0.1, 8), start=start + 13 * HOUR))
    assert value(found["twa"]) == pytest.approx(0.1), "the next shift"


def test_a_time_zone_must_exist_and_excludes_an_offset() -> None:
    with pytest.raises(ValidationError, match="is unknown: write a name of the IANA table"):
        exposure(time_zone="Chile/Santiago")
    with pytest.raises(ValidationError, match="either time_zone or utc_offset"):
        exposure(time_zone="America/Santiago", utc_offset=-4)
    with pytest.raises(ValidationError, match="ordinary_week is for"):
        exposure(ordinary_week=45)


def mixture(**settings: Any) -> GasMixtureProcessor:
    components = [{"point": "a/gas/no", "limit": 25}, {"point": "a/gas/no2", "limit": 3}]
    given = {"name": "mix", "type": "gas-mixture", "input": "a/gas/no2", "components": components, "output": "a/gas/mixture", **settings}
    return GasMixtureProcessor(GasMixtureSettings.model_validate(given), CONTEXT)


def mixed(no: Reading | None, no2: Reading) -> Reading:
    processor = mixture()
    if no is not None:
        assert processor.process(no) == []
    (found,) = processor.process(no2)
    return found


def test_mixture_of_the_example_in_the_regulation() -> None:
    """29 CFR 1910.1000(d)(2)(ii): 500/1000 + 45/200 + 40/200 is 0.925."""
    parts = {"a/gas/x": (500, 1000), "a/gas/y": (45, 200), "a/gas/z": (40, 200)}
    processor = mixture(input="a/gas/z", components=[{"point": point, "limit": limit} for point, (_, limit) in parts.items()])
    *_, found = [output for point, (ppm, _) in parts.items() for output in processor.process(Reading(point, SHIFT, float(ppm)))]
    assert value(found) == pytest.approx(0.925)


@pytest.mark.parametrize(
    ("no", "no2", "expected", "quality"),
    [
        (None, 1.5, None, bad("incomplete")),
        (None, 3.3, 1.1, uncertain("incomplete")),
        (Reading("a/gas/no", SHIFT - 90 * SECOND, 5.0), 1.5, None, bad("incomplete")),
        (Reading("a/gas/no", SHIFT, None, bad("wire_break")), 1.5, None, bad("incomplete")),
        (Reading("a/gas/no", SHIFT, 5.0, uncertain("stuck")), 1.5, 0.7, uncertain("stuck")),
        (Reading("a/gas/no", SHIFT, -5.0), 1.5, 0.5, GOOD),
    ],
)
def test_a_gas_that_is_not_known_is_not_zero(no: Reading | None, no2: float, expected: float | None, quality: object) -> None:
    found = mixed(no, Reading("a/gas/no2", SHIFT, no2))
    assert found.value == (None if expected is None else pytest.approx(expected))
    assert found.quality == quality


def test_exactly_the_limit_does_not_exceed_and_a_drift_below_zero_is_no_credit() -> None:
    assert mixed(None, Reading("a/gas/no2", SHIFT, 3.0)) == Reading("a/gas/mixture", SHIFT, None, bad("incomplete")), "3/3 is not above 1"
    assert value(mixed(Reading("a/gas/no", SHIFT, -5.0), Reading("a/gas/no2", SHIFT, 1.5))) == pytest.approx(0.5)


def test_a_mixture_needs_its_input_among_different_components() -> None:
    with pytest.raises(ValidationError, match="none of the components"):
        mixture(input="a/gas/co")
    with pytest.raises(ValidationError, match="twice"):
        mixture(components=[{"point": "a/gas/no2", "limit": 3}, {"point": "a/gas/no2", "limit": 5}])


def oxygen(barometer: Reading | None = None, shown: float = 20.9, **settings: Any) -> dict[str, Reading]:
    given = {"name": "o2", "type": "o2-pressure", "input": "a/gas/o2", "calibration_kpa": 101.325, **settings}
    processor = O2PressureProcessor(O2PressureSettings.model_validate(given), CONTEXT)
    if barometer is not None:
        assert processor.process(barometer) == []
    return {reading.point.rpartition("/")[2]: reading for reading in processor.process(Reading("a/gas/o2", SHIFT, shown))}


def test_a_cell_of_sea_level_at_4500_metres() -> None:
    found = oxygen(shown=11.9, pressure_kpa=standard_pressure_kpa(4500))
    assert value(found["corrected"]) == pytest.approx(20.9, abs=0.05)
    assert value(found["pressure_deviation"]) == pytest.approx(-43.0, abs=0.1)
    assert found["corrected"].quality == uncertain("calibration_pressure"), "it is to be calibrated at the site"


def test_a_cell_calibrated_at_the_site_follows_its_barometer() -> None:
    found = oxygen(
        Reading("a/air/pressure", SHIFT, 570.0), 20.5, calibration_kpa=58.0, pressure_point="a/air/pressure", pressure_unit="hPa"
    )
    assert value(found["corrected"]) == pytest.approx(20.5 * 58 / 57)
    assert found["corrected"].quality == GOOD


@pytest.mark.parametrize(
    ("barometer", "quality"),
    [
        (None, bad("no_pressure")),
        (Reading("a/air/pressure", SHIFT, None, bad("no_response")), bad("no_pressure")),
        (Reading("a/air/pressure", SHIFT, 5.8), bad("no_pressure")),
        (Reading("a/air/pressure", SHIFT - HOUR, 58.0), bad("stale_pressure")),
    ],
)
def test_without_a_pressure_oxygen_is_not_guessed(barometer: Reading | None, quality: object) -> None:
    found = oxygen(barometer, pressure_point="a/air/pressure")
    assert (found["corrected"].value, found["corrected"].quality) == (None, quality)


@pytest.mark.parametrize(("kpa", "doubt"), [(95.1, False), (94.9, True), (104.9, False), (105.1, True)])
def test_five_percent_of_pressure_ask_for_a_calibration(kpa: float, doubt: bool) -> None:
    found = oxygen(None, calibration_kpa=100, pressure_kpa=kpa)
    assert found["corrected"].quality == (uncertain("calibration_pressure") if doubt else GOOD)


def test_one_pressure_is_needed() -> None:
    with pytest.raises(ValidationError, match="either pressure_point"):
        oxygen()
