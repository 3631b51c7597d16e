"""What a worn rolling bearing does to a vibration waveform: fault orders, envelope spectra and the features the bearing model is given.

NumPy only: the same code runs in training and on the device. Frequencies inside are *orders* (multiples of shaft speed) and bands are
fractions of the sampling rate, so speed, geometry and gain of the recording drop out. ISO 13374 block: state detection.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Floats = np.ndarray[Any, np.dtype[Any]]
Features = np.ndarray[Any, np.dtype[np.float32]]

REVOLUTIONS = 24
"""Shaft revolutions in one analysed segment (0.97 s at 1480 rpm): features of a longer waveform are means over such segments."""
SLIP = 0.02
"""Rolling elements slip: a fault line is looked for within this share of its computed frequency (figures of practice: 1 to 2 %)."""


class FaultOrders(NamedTuple):
    """Fault frequencies in multiples of shaft speed: outer race, inner race, ball spin (a ball defect strikes at twice that), cage."""

    bpfo: float
    bpfi: float
    bsf: float
    ftf: float


class _Geometry(NamedTuple):
    balls: int
    ball_mm: float
    pitch_mm: float
    contact_deg: float = 0.0


class BearingGeometry(_Geometry):
    """Rolling elements, their diameter and the pitch diameter in mm, contact angle in degrees (0 for a deep-groove ball bearing).

    Raises ValueError for a geometry that cannot be built.
    """

    __slots__ = ()

    def __new__(cls, balls: int, ball_mm: float, pitch_mm: float, contact_deg: float = 0.0) -> "BearingGeometry":
        if not 3 <= balls <= 200:
            raise ValueError(f"bearing geometry: balls is {balls}; a rolling bearing has 3 to 200 rolling elements")
        if not 0 < ball_mm < pitch_mm:
            raise ValueError(f"bearing geometry: ball_mm is {ball_mm} and pitch_mm {pitch_mm}; 0 < ball_mm < pitch_mm is needed")
        if balls * ball_mm > np.pi * pitch_mm:
            raise ValueError(f"bearing geometry: {balls} balls of {ball_mm} mm do not fit on a pitch diameter of {pitch_mm} mm")
        if not 0 <= contact_deg < 90:
            raise ValueError(f"bearing geometry: contact_deg is {contact_deg}; 0 to below 90 is possible")
        return super().__new__(cls, balls, ball_mm, pitch_mm, contact_deg)

    def orders(self) -> FaultOrders:
        """The kinematic formulas for a fixed outer and a turning inner ring; a 6205 gives 3.5848, 5.4152, 2.3567 and 0.3983."""
        ratio = self.ball_mm / self.pitch_mm * float(np.cos(np.radians(self.contact_deg)))
        return FaultOrders(
            bpfo=self.balls / 2 * (1 - ratio),
            bpfi=self.balls / 2 * (1 + ratio),
            bsf=self.pitch_mm / (2 * self.ball_mm) * (1 - ratio**2),
            ftf=(1 - ratio) / 2,
        )


def envelope_spectrum(samples: np.ndarray[Any, Any], rate_hz: float, band_hz: tuple[float, float]) -> tuple[Floats, Floats]:
    """Frequencies in Hz, shape (n // 2 + 1,), and the amplitude of the envelope's lines, in the unit of ``samples``, shape (n,).

    FFT band-pass to ``band_hz``, FFT Hilbert transform, magnitude, mean removed. Raises ValueError for a band outside 0 to rate / 2, for
    fewer than 16 samples or for samples that are not finite.
    """
    signal = _checked(samples, rate_hz, 16)
    low, high = band_hz
    if not 0 <= low < high <= rate_hz / 2:
        raise ValueError(
            f"envelope band {low} to {high} Hz: it must lie within 0 to {rate_hz / 2} Hz, half the sampling rate of {rate_hz} Hz"
        )
    size = len(signal)
    spectrum = np.fft.fft(signal - signal.mean())
    frequency = np.fft.fftfreq(size, 1 / rate_hz)
    analytic = np.fft.ifft(np.where((frequency > 0) & (frequency >= low) & (frequency <= high), 2 * spectrum, 0))
    envelope = np.abs(analytic)
    frequencies: Floats = np.fft.rfftfreq(size, 1 / rate_hz)
    return frequencies, np.abs(np.fft.rfft(envelope - envelope.mean())) * 2 / size


def line_ratios(
    frequency_hz: np.ndarray[Any, Any], amplitude: np.ndarray[Any, Any], shaft_hz: float, orders: FaultOrders, *, harmonics: int = 3
) -> Floats:
    """How far each fault line stands out: amplitude over the local median, shape (4, harmonics), rows as in FaultOrders; 1 is nothing there.

    Takes an envelope spectrum. All harmonics of a fault share one slip within ``SLIP``; the slip where they stand out most is taken. The
    local median is over half a shaft order on each side. A harmonic beyond the spectrum is 1.
    """
    if shaft_hz <= 0:
        raise ValueError(f"shaft speed is {shaft_hz} Hz; lines are placed by speed, so it must be above 0")
    step = float(frequency_hz[1] - frequency_hz[0]) / shaft_hz
    logs = _above_local_median(np.asarray(amplitude, np.float64)[None, :], step)
    # In a long record the lines are narrow: from one candidate to the next the highest harmonic moves by one of them at most, or it is missed.
    counts = [max(17, int(np.ceil(2 * SLIP * harmonics * order / step)) + 1) for order in orders]
    ratios: Floats = np.exp(
        np.concatenate([_comb(logs, step, order, harmonics, count)[0] for order, count in zip(orders, counts, strict=True)])
    )
    return ratios


HARMONICS = 4
_FADE = 0.05  # of a segment at each end
_EDGES = np.linspace(0.02, 0.49, 11)  # of the sampling rate: below is the shaft, above is the converter's filter
_NARROW = [(float(_EDGES[i]), float(_EDGES[i + 2])) for i in range(9)]
_WIDE = [(float(_EDGES[i]), float(_EDGES[i + 4])) for i in range(0, 7, 2)]
BANDS: tuple[tuple[float, float], ...] = (*_NARROW, *_WIDE, (0.02, 0.49))
"""Where resonances are looked for, as fractions of the sampling rate; overlapping, because a resonance may lie on an edge."""
WHITENED_BANDS: tuple[tuple[float, float], ...] = ((0.02, 0.49), (0.02, 0.25), (0.25, 0.49))
"""The same with every spectral line made equal first (cepstrum pre-whitening, Borghesani et al., MSSP 36, 2013)."""

_LINES = tuple(
    f"{line}_{harmonic}"
    for line, count in (
        *(("bpfo", HARMONICS), ("bpfo_sidebands", 2), ("bpfi", HARMONICS), ("bpfi_sidebands", 2)),
        *(("ball", HARMONICS), ("ball_sidebands", 2), ("bsf_odd", 2), ("ftf", HARMONICS), ("shaft", 4)),
    )
    for harmonic in range(1, count + 1)
)
FEATURE_NAMES: tuple[str, ...] = (
    *(f"bands_{line}" for line in _LINES),
    *(f"whitened_{line}" for line in _LINES),
    "impulsiveness_mean",
    "impulsiveness_greatest",
)
"""``bands_…``: mean over all bands of the natural logarithm of a line over its local median; ``whitened_…``: over the whitened ones;
``ball`` is twice the ball spin frequency; ``impulsiveness``: logarithm of the envelope's fourth moment over that of Gaussian noise, 0 there."""


def features(samples: np.ndarray[Any, Any], rate_hz: float, rpm: float, geometry: BearingGeometry) -> Features:
    """What the bearing-condition model is given: float32, shape (len(FEATURE_NAMES),), without unit.

    ``samples``: acceleration in any unit, at least ``REVOLUTIONS`` shaft revolutions long; a longer waveform is cut into such segments,
    half overlapping, and the features are their means. The result does not change with gain or offset, nor when speed and sampling rate
    are scaled together. Raises ValueError for a waveform that is too short, flat or not finite, for a speed of 0, and for a sampling rate
    below 25 times the inner-race frequency.
    """
    if not 0 < rpm < np.inf:
        raise ValueError(f"speed is {rpm} rpm; fault lines are placed by speed, so it must be above 0 and finite")
    shaft_hz, orders = rpm / 60, geometry.orders()
    if rate_hz < 25 * orders.bpfi * shaft_hz:
        raise ValueError(
            f"sampling rate {rate_hz} Hz at {rpm} rpm: at least {25 * orders.bpfi * shaft_hz:.0f} Hz show this bearing's lines"
        )
    size = round(REVOLUTIONS * rate_hz / shaft_hz)
    signal = _checked(samples, rate_hz, size)
    starts = range(0, len(signal) - size + 1, max(1, size // 2))
    rows = [_segment_features(signal[start : start + size], rate_hz / size / shaft_hz, orders) for start in starts]
    mean: Features = np.mean(rows, axis=0).astype(np.float32)
    return mean


def _segment_features(segment: Floats, step: float, orders: FaultOrders) -> Floats:
    """The features of one segment whose spectra have bins of ``step`` orders."""
    centred = segment - segment.mean()
    if not centred.any():
        raise ValueError("waveform: every sample has the same value: a sensor that measures shows at least noise")
    spectrum = np.fft.rfft(centred * _faded(len(segment)))
    magnitude = np.abs(spectrum)
    whitened = spectrum / np.maximum(magnitude, np.finfo(np.float64).tiny)
    bins = int(max(HARMONICS * max(orders), 2 * orders.bpfi + 1, 4) * (1 + SLIP) / step) + 4
    size = len(segment)
    plain = [_envelope(spectrum[int(low * size) : int(high * size)], bins) for low, high in BANDS]
    flat = [_envelope(whitened[int(low * size) : int(high * size)], bins) for low, high in WHITENED_BANDS]
    logs = _above_local_median(np.array([lines for lines, _ in (*plain, *flat)]), step)
    table = _line_table(logs, step, orders)
    impulsiveness = np.maximum(0.0, [moment for _, moment in plain])
    return np.concatenate([table.mean(axis=0), table[len(BANDS) :].mean(axis=0), [impulsiveness.mean(), impulsiveness.max()]])


def _envelope(band: np.ndarray[Any, Any], bins: int) -> tuple[Floats, float]:
    """The lines of the squared envelope of a band, given as its part of the one-sided spectrum, and its impulsiveness.

    The inverse transform of the positive frequencies alone is the analytic signal, and its magnitude does not depend on where the band
    lay: it is moved to 0, so a short transform will do. Lines further apart than the band is wide cannot be in its envelope: they are 0.
    """
    size = 1 << int(np.ceil(np.log2(2 * max(len(band), bins))))
    power = np.abs(np.fft.ifft(band, size)) ** 2
    power /= power.mean() or 1.0
    lines = np.abs(np.fft.rfft((power - 1) * np.hanning(size)))[:bins]
    lines[len(band) :] = 0.0
    inner = power[int(_FADE * size) : int((1 - _FADE) * size)]
    return lines, float(np.log(max((inner**2).mean(), 1e-12) / (2 * max(inner.mean(), 1e-6) ** 2)))


def _faded(size: int) -> Floats:
    """Cosine ends: where a segment is cut out of drift or low frequency, the jump would ring through every band like an impact."""
    ramp = np.sin(np.linspace(0, np.pi / 2, int(_FADE * size))) ** 2
    window: Floats = np.concatenate([ramp, np.ones(size - 2 * len(ramp)), ramp[::-1]])
    return window


def _line_table(logs: Floats, step: float, orders: FaultOrders) -> Floats:
    """Log ratios, shape (bands, len(_LINES)); sidebands are taken around the harmonics where these were found."""
    columns = []
    for order, spacing in ((orders.bpfo, 1.0), (orders.bpfi, 1.0), (2 * orders.bsf, orders.ftf)):
        found, slip = _comb(logs, step, order, HARMONICS)
        columns.append(found)
        for harmonic in (1, 2):
            centre = harmonic * order * slip[:, None]
            columns.append(_at(logs, step, np.hstack([centre - spacing, centre + spacing])).mean(axis=1, keepdims=True))
    columns.append(_at(logs, step, np.tile([orders.bsf, 3 * orders.bsf], (len(logs), 1))))
    columns.append(_comb(logs, step, orders.ftf, HARMONICS)[0])
    columns.append(_at(logs, step, np.tile([1.0, 2.0, 3.0, 4.0], (len(logs), 1))))
    return np.concatenate(columns, axis=1)


def _at(logs: Floats, step: float, orders: Floats) -> Floats:
    """The greater of the two bins around each order; ``orders`` (bands, k) like the result; 0 beyond the spectrum."""
    places = np.abs(orders) / step
    low = np.minimum(places.astype(np.intp), logs.shape[1] - 2)
    rows = np.arange(len(logs))[:, None]
    greater: Floats = np.where(places < logs.shape[1] - 1, np.maximum(logs[rows, low], logs[rows, low + 1]), 0.0)
    return greater


def _checked(samples: np.ndarray[Any, Any], rate_hz: float, least: int) -> Floats:
    signal = np.asarray(samples, np.float64)
    if signal.ndim != 1 or len(signal) < least:
        raise ValueError(f"waveform of shape {signal.shape}: one dimension of at least {least} samples is needed")
    if not rate_hz > 0:
        raise ValueError(f"sampling rate is {rate_hz} Hz; it must be above 0")
    if not np.isfinite(signal).all():
        raise ValueError(f"waveform: sample {int(np.argmin(np.isfinite(signal)))} is not a finite number")
    return signal


def _above_local_median(amplitude: Floats, step: float) -> Floats:
    """Natural logarithm of each bin over the median of half an order on each side; ``amplitude`` (bands, bins), ``step`` in orders."""
    half = max(3, round(0.5 / step))
    padded = np.pad(amplitude, ((0, 0), (half, half)), mode="reflect")
    local = np.median(sliding_window_view(padded, 2 * half + 1, axis=1), axis=2)
    floor = np.finfo(np.float64).tiny
    logs: Floats = np.log(np.maximum(amplitude, floor)) - np.log(np.maximum(local, floor))
    return logs


def _comb(logs: Floats, step: float, order: float, harmonics: int, candidates: int = 17) -> tuple[Floats, Floats]:
    """The log ratio at each harmonic of ``order``, shape (bands, harmonics), and the slip factor within SLIP where their mean is greatest."""
    slips = np.linspace(1 - SLIP, 1 + SLIP, candidates)
    places = order * np.outer(slips, np.arange(1, harmonics + 1)) / step
    last = logs.shape[1] - 1
    low = np.minimum(places.astype(np.intp), last - 1)
    values = np.where(places < last, np.maximum(logs[:, low], logs[:, low + 1]), 0.0)
    best = values.mean(axis=2).argmax(axis=1)
    return values[np.arange(len(logs)), best], slips[best]
