"""Vibration figures of one waveform: velocity by integration in the spectrum, shape of the signal, and ISO zones. Pure; NumPy only.

ISO 13374 block: data manipulation (the figures) and state detection (the zone).
"""

from typing import Any, Literal, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

STANDARD_GRAVITY = 9.80665  # m/s2 (ISO 80000-3)
SLOW_RPM = 600.0  # below this the velocity band begins at 2 Hz (ISO 10816-3:2009)
HIGH_HZ = 1000.0  # end of the velocity band (the same)
LEAST_RATE_HZ = 2 * HIGH_HZ
LEAST_PERIODS = 4  # of the lowest frequency in a waveform; fewer, and the lower end of the band is doubtful


class Zones(NamedTuple):
    """The limits A/B, B/C and C/D of broad-band velocity, mm/s RMS; ``label`` names where they come from.

    ``certainty``: H, read in two sources; M, in one; L, from general knowledge: check these against the standard before a machine relies on them.
    """

    limits: tuple[float, float, float]
    label: str
    certainty: Literal["H", "M", "L"]


ZONES: dict[str, Zones] = {
    # Group 1: above 300 kW, or shaft height of 315 mm and more. Group 2: 15 to 300 kW.
    "iso10816_3_group1_rigid": Zones((2.3, 4.5, 7.1), "ISO 10816-3:2009 values, group 1, rigid support", "H"),
    "iso10816_3_group1_flexible": Zones((3.5, 7.1, 11.0), "ISO 10816-3:2009 values, group 1, flexible support", "H"),
    "iso10816_3_group2_rigid": Zones((1.4, 2.8, 4.5), "ISO 10816-3:2009 values, group 2, rigid support", "H"),
    "iso10816_3_group2_flexible": Zones((2.3, 4.5, 7.1), "ISO 10816-3:2009 values, group 2, flexible support", "H"),
    # Pumps left part 3 in 2009. Category I: pumps that safety or reliability depends on; category II: the others.
    "iso10816_7_cat1_le200": Zones((2.5, 4.0, 6.6), "ISO 10816-7:2009 values, category I, up to 200 kW", "L"),
    "iso10816_7_cat1_gt200": Zones((3.5, 5.0, 7.6), "ISO 10816-7:2009 values, category I, above 200 kW", "L"),
    "iso10816_7_cat2_le200": Zones((3.2, 5.1, 8.5), "ISO 10816-7:2009 values, category II, up to 200 kW", "M"),
    "iso10816_7_cat2_gt200": Zones((4.2, 6.1, 9.5), "ISO 10816-7:2009 values, category II, above 200 kW", "M"),
    # Fans of category BV-3, in situ: start-up, alarm and shutdown limits.
    "iso14694_bv3_rigid": Zones((4.5, 7.1, 9.0), "ISO 14694 values, BV-3 in situ, rigid support", "H"),
    "iso14694_bv3_flexible": Zones((6.3, 11.8, 12.5), "ISO 14694 values, BV-3 in situ, flexible support", "H"),
}
"""Mills, crushers and screens are in none of these tables: judge them against their own baseline."""


def zone(velocity_mm_s: float, limits: tuple[float, float, float]) -> int:
    """1 to 4 for the zones A to D; a value on a limit belongs to the better zone."""
    return 1 + sum(velocity_mm_s > limit for limit in limits)


class Spectrum(NamedTuple):
    """``power`` of each line in g2, shape (n // 2 + 1,), at ``frequency`` in Hz: what a band holds is the sum over its lines."""

    frequency: np.ndarray[Any, np.dtype[np.floating]]
    power: np.ndarray[Any, np.dtype[np.floating]]


def quick_length(size: int) -> int:
    """The largest length up to ``size`` without a prime factor above 11: at most 2.2 % less from 1000 on.

    A transform of a length with a large prime factor, as an odd sampling rate gives, takes three to ten times as long.
    """
    for length in range(size, 0, -1):
        rest = length
        for prime in (2, 3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
    return size


def power_spectrum(acceleration_g: Floats, rate_hz: float) -> Spectrum:
    """Of an acceleration in g, shape (n,): Hann window, power corrected for it, so a tone between two lines costs well below 1 %."""
    size = len(acceleration_g)
    window = np.hanning(size + 1)[:-1]  # periodic
    lines = np.fft.rfft((acceleration_g - acceleration_g.mean()) * window)
    power = (lines.real**2 + lines.imag**2) * (2 / (size * float(np.sum(window**2))))
    return Spectrum(np.fft.rfftfreq(size, 1 / rate_hz), power)


def rms_velocity(spectrum: Spectrum, low_hz: float, high_hz: float = HIGH_HZ) -> float:
    """Broad-band velocity, mm/s RMS, between two frequencies, both included: each line is divided by its angular frequency."""
    first, last = np.searchsorted(spectrum.frequency, low_hz), np.searchsorted(spectrum.frequency, high_hz, "right")
    power = np.sum(spectrum.power[first:last] / (2 * np.pi * spectrum.frequency[first:last]) ** 2)
    return float(np.sqrt(power)) * STANDARD_GRAVITY * 1000


def rms_acceleration(spectrum: Spectrum, low_hz: float, high_hz: float) -> float:
    """The acceleration between two frequencies, g RMS: [low, high), so that neighbouring bands add up by their squares."""
    first, last = np.searchsorted(spectrum.frequency, (low_hz, high_hz))
    return float(np.sqrt(np.sum(spectrum.power[first:last])))


class Shape(NamedTuple):
    """RMS and peak in the unit of the samples; crest factor and kurtosis without unit (a sine: 1.41 and 1.5; Gaussian noise: kurtosis 3)."""

    rms: float
    peak: float
    crest: float
    kurtosis: float


def shape_of(samples: Floats) -> Shape | None:
    """The shape of the signal about its mean; None where every sample has the same value."""
    centred = samples - samples.mean()
    square = centred * centred
    mean_square = float(square.mean())
    if mean_square <= 0:
        return None
    rms, peak = float(np.sqrt(mean_square)), float(np.sqrt(square.max()))
    return Shape(rms, peak, peak / rms, float((square * square).mean()) / mean_square**2)


def is_clipped(samples: Floats, full_scale: float | None = None) -> bool:
    """Whether the tops of the signal are cut off.

    With ``full_scale`` (the unit of the samples): two samples at 99.9 % of it or beyond. Without: the greatest or least value occurs at
    least 8 times, and 4 times as often as all values in the hundredth of the range next to it. A sine in counts of a converter has at
    most 2.4 there; one cut at 95 % of its height has 4, at 80 % it has 24.
    """
    if full_scale is not None:
        return int(np.count_nonzero(np.abs(samples) >= 0.999 * full_scale)) >= 2
    return _has_flat_top(samples) or _has_flat_top(-samples)


def _has_flat_top(samples: Floats) -> bool:
    top = samples.max()
    at_top = samples == top
    count = int(np.count_nonzero(at_top))
    if count < 8 or count == len(samples):
        return False
    below = samples[~at_top]
    edge = min(top - 0.01 * (top - samples.min()), below.max())  # a coarse converter has no value within the hundredth
    return count >= 4 * int(np.count_nonzero(below >= edge))
