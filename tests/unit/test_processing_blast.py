"""Blast vibration: frequency and peak of made signals, the limits at their corners, and what is not judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contract.values import GOOD, Quality, Reading, bad, uncertain
from edge.items import Waveform
from edge.processing import ProcessorContext
from edge.processing.blast import BlastProcessor, BlastSettings, axis_of, dominant_hz, zero_crossing_hz
from edge.processing.blast_limits import din4150_limit, usbm_limit

START = 1_780_000_000_000_000_000
RATE = 2000.0
AXES = ("town/blast/longitudinal", "town/blast/transverse", "town/blast/vertical")


def burst(hz: float, mm_s: float, rate: float = RATE, seconds: float = 2.0) -> Any:
    """A wave that swells and dies around the middle, mm/s, with its greatest value at the top of a half wave."""
    time = np.arange(int(rate * seconds)) / rate - seconds / 2
    return mm_s * np.cos(2 * np.pi * hz * time) * np.exp(-((time / 0.25) ** 2))


def processor(**settings: Any) -> BlastProcessor:
    given = {
        "name": "blast",
        "type": "blast",
        "input": AXES[0],
        "transverse": AXES[1],
        "vertical": AXES[2],
        "under": "town/blast",
        **settings,
    }
    return BlastProcessor(BlastSettings.model_validate(given), ProcessorContext("node-1", Path()))


def record(axis: int, samples: Any, **values: Any) -> Waveform:
    given = {"point": AXES[axis], "start_ns": START, "rate_hz": RATE, "unit": "mm/s", "samples": samples.astype(np.float32), **values}
    return Waveform(**given)


def blast(*samples: Any, settings: dict[str, Any] | None = None, **values: Any) -> dict[str, Reading]:
    one = processor(**(settings or {}))
    readings = [reading for axis, signal in enumerate(samples) for reading in one.process(record(axis, signal, **values))]
    assert {reading.point for reading in readings} == set(one.points())
    return {reading.point.rpartition("/")[2]: reading for reading in readings}


def value(reading: Reading) -> float:
    assert reading.value is not None, str(reading.quality)
    return reading.value


@pytest.mark.parametrize(
    ("building", "corners"),
    [
        ("industrial", {1: 20, 10: 20, 30: 30, 50: 40, 100: 50, 200: 50}),
        ("dwelling", {1: 5, 5: 5, 10: 5, 30: 10, 50: 15, 75: 17.5, 100: 20}),
        ("sensitive", {0.5: 3, 10: 3, 50: 8, 100: 10, 250: 10}),
    ],
)
def test_din_4150_3(building: str, corners: dict[float, float]) -> None:
    for hz, limit in corners.items():
        assert din4150_limit(hz, building) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("hz", "plaster", "drywall"),
    [(5, 12.7, 19.05), (9.9, 12.7, 19.05), (20, 25.5, 25.5), (40, 50.8, 50.8), (100, 50.8, 50.8), (1, 4.79, 4.79)],
)
def test_usbm_ri_8507(hz: float, plaster: float, drywall: float) -> None:
    assert usbm_limit(hz, "plaster") == pytest.approx(plaster, abs=0.05)
    assert usbm_limit(hz, "drywall") == pytest.approx(drywall, abs=0.05)


@pytest.mark.parametrize("hz", [4.0, 12.5, 33.3, 80.0, 150.0])
def test_both_frequencies_of_one_wave(hz: float) -> None:
    axis = axis_of(burst(hz, 10), RATE)
    assert axis.peak == pytest.approx(10, rel=0.01)
    assert axis.zero_crossing == pytest.approx(hz, rel=0.02)
    assert axis.fft == pytest.approx(hz, rel=0.03)


def test_the_zero_crossings_are_those_of_the_peak_and_the_fft_that_of_the_record() -> None:
    long_and_low, short_and_high = burst(8, 3, seconds=4), np.zeros(8000)
    short_and_high[4000:4010] = 9 * np.sin(np.pi * np.arange(10) / 10)  # a half wave of 5 ms
    both = long_and_low + short_and_high
    axis = axis_of(both, RATE)
    assert axis.zero_crossing is not None
    assert dominant_hz(both, RATE) == pytest.approx(8, rel=0.1)
    assert zero_crossing_hz(short_and_high, RATE, 4005) == pytest.approx(100, rel=0.01)


def test_peak_sum_and_share_of_the_limits() -> None:
    found = blast(burst(30, 6), burst(30, 8), burst(30, 1))
    assert value(found["ppv"]) == pytest.approx(8, rel=0.01)
    assert value(found["pvs"]) == pytest.approx(101**0.5, rel=0.01)
    assert value(found["frequency_zero_crossing"]) == pytest.approx(30, rel=0.02)
    assert value(found["din4150_percent"]) == pytest.approx(80, rel=0.03)
    assert value(found["usbm_percent"]) == pytest.approx(100 * 8 / usbm_limit(30, "plaster"), rel=0.03)
    assert {reading.quality for reading in found.values()} == {GOOD}
    assert {reading.time_ns for reading in found.values()} == {START}


def test_a_weaker_axis_of_low_frequency_may_use_up_more() -> None:
    found = blast(burst(80, 8), burst(6, 4.5), burst(80, 1))
    assert value(found["ppv"]) == pytest.approx(8, rel=0.02)
    assert value(found["frequency_fft"]) == pytest.approx(80, rel=0.03)
    assert value(found["din4150_percent"]) == pytest.approx(90, rel=0.03)


def test_units_and_offset() -> None:
    inches = burst(30, 10) / 25.4 + 0.05
    assert value(blast(inches, inches, inches, unit="in/s")["ppv"]) == pytest.approx(10, rel=0.01)


def test_a_peak_of_just_the_trigger_is_a_blast() -> None:
    wave = burst(30, 4.0)
    peak = value(blast(wave, wave, wave)["ppv"])
    assert value(blast(wave, wave, wave, settings={"trigger": peak})["din4150_percent"]) > 0
    assert blast(wave, wave, wave, settings={"trigger": peak * 1.0001})["din4150_percent"].value is None


def test_nothing_is_judged_below_the_trigger() -> None:
    quiet = burst(30, 0.2)
    found = blast(quiet, quiet, quiet)
    assert value(found["ppv"]) == pytest.approx(0.2, rel=0.01)
    for name in ("frequency_zero_crossing", "frequency_fft", "din4150_percent", "usbm_percent"):
        assert (found[name].value, found[name].quality) == (None, bad("below_trigger"))


@pytest.mark.parametrize(
    ("values", "quality"),
    [
        ({"unit": "g"}, bad("wrong_unit")),
        ({"unit": "shakes"}, bad("wrong_unit")),
        ({"rate_hz": 400.0}, bad("rate_too_low")),
        ({"rate_hz": 20_000.0}, bad("short_waveform")),
        ({"dropped": 3}, uncertain("dropped_samples")),
    ],
)
def test_what_is_not_to_be_trusted_is_said(values: dict[str, Any], quality: Quality) -> None:
    wave = burst(30, 10)
    found = blast(wave, wave, wave, **values)
    assert {reading.quality for reading in found.values()} == {quality}


def test_a_clipped_and_a_cut_off_record() -> None:
    clipped = np.clip(burst(30, 10), -8, 8)
    assert blast(clipped, clipped, clipped, settings={"full_scale": 8.0})["ppv"].quality == uncertain("clipped")
    cut = burst(30, 10)[2000:]
    assert blast(cut, cut, cut)["ppv"].quality == uncertain("cut_off")


def test_three_axes_of_one_record_are_waited_for() -> None:
    one, wave = processor(), burst(30, 10)
    assert one.process(record(0, wave)) == []
    assert one.process(record(1, wave)) == []
    later = START + 10_000_000_000
    assert one.process(record(2, wave, start_ns=later)) == [], "of another record"
    assert one.process(record(0, 2 * wave, start_ns=later)) == []
    found = one.process(record(1, wave, start_ns=later))
    assert found[0].time_ns == later
    assert value(found[0]) == pytest.approx(20, rel=0.01)


def test_records_of_different_length_are_refused() -> None:
    one, wave = processor(), burst(30, 10)
    one.process(record(0, wave))
    one.process(record(1, wave))
    assert {reading.quality for reading in one.process(record(2, wave[:-10]))} == {bad("different_records")}


def test_three_different_points_are_needed() -> None:
    with pytest.raises(ValidationError, match="three different points"):
        processor(vertical=AXES[0])
