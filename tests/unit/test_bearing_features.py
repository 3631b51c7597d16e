"""Orders, envelope and features: check values, and what must not change them."""

import subprocess
import sys

import numpy as np
import pytest

from models.bearing import FEATURE_NAMES, REVOLUTIONS, BearingGeometry, envelope_spectrum, features, line_ratios

DRIVE_END = BearingGeometry(balls=9, ball_mm=7.94, pitch_mm=39.04)


def modulated(rate_hz: float, seconds: float, carrier_hz: float, line_hz: float, depth: float = 0.6) -> np.ndarray:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return (1 + depth * np.cos(2 * np.pi * line_hz * time)) * np.cos(2 * np.pi * carrier_hz * time)


def test_orders_of_a_6205_are_the_published_ones() -> None:
    orders = DRIVE_END.orders()
    assert orders == pytest.approx((3.5848, 5.4152, 2.3567, 0.3983), abs=5e-5)
    assert orders.bpfo + orders.bpfi == pytest.approx(9)


def test_a_contact_angle_brings_the_race_orders_together() -> None:
    flat, tilted = DRIVE_END.orders(), BearingGeometry(9, 7.94, 39.04, 40.0).orders()
    assert tilted.bpfo > flat.bpfo
    assert tilted.bpfi < flat.bpfi


@pytest.mark.parametrize(
    ("geometry", "word"),
    [
        ((2, 8, 39), "balls"),
        ((9, 40, 39), "ball_mm"),
        ((9, 0, 39), "ball_mm"),
        ((30, 7.94, 39.04), "fit"),
        ((9, 7.94, 39.04, 90), "contact"),
    ],
)
def test_a_bearing_that_cannot_be_built_is_refused(geometry: tuple[int, float, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        BearingGeometry(*geometry)


def test_the_envelope_spectrum_finds_a_modulation_with_its_amplitude() -> None:
    samples = 2.0 * modulated(12_000, 2, 3_000, 105, depth=0.6) + np.sin(2 * np.pi * 50 * np.arange(24_000) / 12_000)
    frequency, amplitude = envelope_spectrum(samples, 12_000, (2_000, 4_000))
    peak = int(np.argmax(amplitude))
    assert frequency[peak] == pytest.approx(105)
    assert amplitude[peak] == pytest.approx(2.0 * 0.6, rel=1e-3)
    assert amplitude[0] == pytest.approx(0, abs=1e-9)


def test_the_envelope_of_another_band_does_not_see_it() -> None:
    _, amplitude = envelope_spectrum(modulated(12_000, 2, 3_000, 105), 12_000, (4_000, 5_000))
    assert amplitude.max() < 1e-6


@pytest.mark.parametrize("band", [(3_000, 7_000), (-1, 100), (500, 500)])
def test_a_band_beyond_half_the_rate_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 to 6000"):
        envelope_spectrum(np.ones(1_000), 12_000, band)


def test_a_line_two_percent_off_is_still_matched_and_only_its_fault_stands_out() -> None:
    generator = np.random.default_rng(5)
    shaft = 29.0
    line = DRIVE_END.orders().bpfo * shaft * 1.015
    samples = modulated(12_000, 4, 3_000, line) + 0.3 * generator.standard_normal(48_000)
    ratios = line_ratios(*envelope_spectrum(samples, 12_000, (2_000, 4_000)), shaft, DRIVE_END.orders(), harmonics=3)
    assert ratios.shape == (4, 3)
    assert ratios[0, 0] > 20
    assert ratios[1:, 0].max() < 6


def shaken(rate_hz: float, seconds: float = 1.0, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return modulated(rate_hz, seconds, 0.25 * rate_hz, 100, 0.5) + generator.standard_normal(int(rate_hz * seconds))


def test_features_do_not_change_with_gain_and_offset() -> None:
    samples = shaken(12_000)
    row = features(samples, 12_000, 1_750, DRIVE_END)
    assert row.dtype == np.float32
    assert row.shape == (len(FEATURE_NAMES),)
    np.testing.assert_allclose(features(samples * 1e-3 + 7, 12_000, 1_750, DRIVE_END), row, atol=1e-4)
    np.testing.assert_allclose(features(samples * 4e4, 12_000, 1_750, DRIVE_END), row, atol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.7, 3.0])
def test_features_do_not_change_when_speed_and_rate_are_scaled_together(scale: float) -> None:
    samples = shaken(12_000)
    np.testing.assert_allclose(
        features(samples, 12_000 * scale, 1_750 * scale, DRIVE_END), features(samples, 12_000, 1_750, DRIVE_END), atol=1e-4
    )


def test_features_change_with_the_speed_they_are_told() -> None:
    samples = modulated(12_000, 1, 3_000, DRIVE_END.orders().bpfo * 30) + 0.3 * np.random.default_rng(2).standard_normal(12_000)
    at = FEATURE_NAMES.index("bands_bpfo_1")
    assert features(samples, 12_000, 1_800, DRIVE_END)[at] > 2 * features(samples, 12_000, 1_600, DRIVE_END)[at]


def test_a_longer_waveform_is_the_mean_of_its_segments() -> None:
    size = round(REVOLUTIONS * 12_000 / (1_750 / 60))
    samples = shaken(12_000, 2.0)[: 2 * size]
    parts = [features(samples[start : start + size], 12_000, 1_750, DRIVE_END) for start in (0, size // 2, 2 * (size // 2))]
    np.testing.assert_allclose(features(samples, 12_000, 1_750, DRIVE_END), np.mean(parts, axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "rpm", "word"),
    [
        (np.ones(12_000), 12_000, 1_750, "same value"),
        (np.zeros(12_000), 12_000, 1_750, "same value"),
        (np.arange(4_000.0), 12_000, 1_750, "at least 9874 samples"),
        (np.arange(12_000.0), 12_000, 0, "speed is 0"),
        (np.arange(12_000.0), 12_000, float("nan"), "speed is nan"),
        (np.arange(12_000.0), 1_000, 1_750, "at least 3949 Hz"),
        (np.arange(24_000.0).reshape(2, -1), 12_000, 1_750, "one dimension"),
        (np.where(np.arange(12_000) == 77, np.nan, np.arange(12_000.0)), 12_000, 1_750, "sample 77"),
    ],
)
def test_what_cannot_be_analysed_is_refused(samples: np.ndarray, rate_hz: float, rpm: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        features(samples, rate_hz, rpm, DRIVE_END)


def test_the_device_needs_numpy_only() -> None:
    code = (
        "import sys, models.bearing, models.runtime; print(sorted({'scipy', 'sklearn', 'onnx', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
