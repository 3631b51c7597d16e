"""Acceleration at a pump's bearing: shaft harmonics, noise, and the impulses of a damaged rolling bearing that ring a resonance."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

G = 9.80665  # m/s2
_NOISE_LOOP = 1 << 16  # samples
_SHIFTS = 16  # positions of an impulse between two samples
# Velocity RMS in mm/s (10-1000 Hz) that severity 0 and 1 give: from zone A to zone D of ISO 10816-7 category II, <= 200 kW (3.2/5.1/8.5).
HEALTHY_VELOCITY, WORST_VELOCITY = 1.8, 9.8
_HARMONICS = ((1, 0.90), (2, 0.40), (3, 0.17))  # order of the shaft's turning, part of the velocity RMS (squares add up to about 1)
WORST_IMPULSE = 4.0  # g, at severity 1
NOISE = 0.035  # g RMS


class BearingGeometry(NamedTuple):
    """Number of balls, ball and pitch diameter in mm, contact angle in degrees."""

    balls: int
    ball_mm: float
    pitch_mm: float
    contact_deg: float = 0.0

    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    def bpfo(self, shaft_hz: float) -> float:
        """Ball pass frequency, outer race: n/2 (1 - d/D cos b), times the shaft's, in Hz."""
        return shaft_hz * self.balls / 2 * (1 - self._ratio())

    def bpfi(self, shaft_hz: float) -> float:
        """Ball pass frequency, inner race: n/2 (1 + d/D cos b)."""
        return shaft_hz * self.balls / 2 * (1 + self._ratio())

    def ftf(self, shaft_hz: float) -> float:
        """Cage (fundamental train) frequency: 1/2 (1 - d/D cos b)."""
        return shaft_hz / 2 * (1 - self._ratio())

    def bsf(self, shaft_hz: float) -> float:
        """Ball spin frequency: D/(2d) (1 - (d/D cos b)^2). A ball's spot strikes both races: impulses come at twice this."""
        return shaft_hz * self.pitch_mm / (2 * self.ball_mm) * (1 - self._ratio() ** 2)


BEARING_6205 = BearingGeometry(balls=9, ball_mm=7.94, pitch_mm=39.04)


def velocity_rms(severity: float) -> float:
    """The velocity RMS that the shaft harmonics are given, mm/s; the impulses add a little."""
    return HEALTHY_VELOCITY + (WORST_VELOCITY - HEALTHY_VELOCITY) * min(max(severity, 0.0), 1.0)


class Vibration:
    """Yields blocks of acceleration in g, float32, shape (n,); phases go on from block to block. The same seed and calls give the same samples."""

    def __init__(
        self,
        seed: int,
        *,
        rate_hz: float = 12_800.0,
        bearing: BearingGeometry = BEARING_6205,
        resonance_hz: float = 3000.0,
        ring_s: float = 0.0011,
        slip: float = 0.015,
    ) -> None:
        """``slip``: standard deviation of the time between two impulses, as a part of it; rolling elements slip 1 to 2 %."""
        self._generator = np.random.default_rng(seed)
        self._rate = rate_hz
        self._bearing = bearing
        self._slip = slip
        self._noise = self._generator.normal(0, NOISE, _NOISE_LOOP).astype(np.float32)
        time = (np.arange(round(6 * ring_s * rate_hz))[None, :] + np.arange(_SHIFTS)[:, None] / _SHIFTS) / rate_hz
        self._rings = (np.exp(-time / ring_s) * np.sin(2 * np.pi * resonance_hz * time)).astype(np.float32)
        self._tail = np.zeros(self._rings.shape[1], np.float32)
        self._shaft_phase = 0.0  # turns
        self._cage_phase = 0.0
        self._next_impulse = 0.0  # samples from the beginning of the next block

    def block(self, samples: int, *, shaft_hz: float, severity: float = 0.0, part: str = "outer") -> NDArray[np.float32]:
        """The next ``samples`` samples while the shaft turns at ``shaft_hz`` and the bearing's ``part`` is damaged by ``severity`` (0..1)."""
        start = int(self._generator.integers(_NOISE_LOOP))
        signal = self._noise.take(np.arange(start, start + samples), mode="wrap")
        if shaft_hz > 0.1:
            turns = self._shaft_phase + np.arange(samples) * (shaft_hz / self._rate)
            for order, share in _HARMONICS:
                frequency = order * shaft_hz
                amplitude = math.sqrt(2) * share * velocity_rms(severity) / 1000 * 2 * math.pi * frequency / G
                signal += (amplitude * np.sin(2 * np.pi * order * turns + 0.7 * order)).astype(np.float32)
            if severity > 0:
                signal = self._with_impulses(signal, shaft_hz, severity, part)
            self._shaft_phase = (self._shaft_phase + samples * shaft_hz / self._rate) % 1.0
            self._cage_phase = (self._cage_phase + samples * self._bearing.ftf(shaft_hz) / self._rate) % 1.0
        return signal

    def _with_impulses(self, signal: NDArray[np.float32], shaft_hz: float, severity: float, part: str) -> NDArray[np.float32]:
        length = self._rings.shape[1]
        samples = len(signal)
        room = np.zeros(samples + length, np.float32)
        room[:length] += self._tail
        period = self._rate / self.impulse_hz(shaft_hz, part)
        at = self._next_impulse
        while at < samples:
            first = math.ceil(at)
            ring = self._rings[min(int((first - at) * _SHIFTS), _SHIFTS - 1)]
            strength = (
                WORST_IMPULSE * min(severity, 1.0) ** 0.8 * self._load(at, shaft_hz, part) * (1 + 0.1 * float(self._generator.normal()))
            )
            room[first : first + length] += strength * ring
            at += period * max(0.5, 1 + self._slip * float(self._generator.normal()))
        self._next_impulse = at - samples
        self._tail = room[samples:]
        return signal + room[:samples]

    def impulse_hz(self, shaft_hz: float, part: str) -> float:
        """How often a spot on the outer race, the inner race or a ball strikes, in Hz."""
        match part:
            case "outer":
                return self._bearing.bpfo(shaft_hz)
            case "inner":
                return self._bearing.bpfi(shaft_hz)
            case "ball":
                return 2 * self._bearing.bsf(shaft_hz)
        raise ValueError(f"bearing part {part!r}: write outer, inner or ball")

    def _load(self, at: float, shaft_hz: float, part: str) -> float:
        """Amplitude modulation: the outer race stays in the load zone (unbalance moves it a little), the inner race turns through it with the
        shaft, a ball with the cage."""
        seconds = at / self._rate
        match part:
            case "outer":
                return 1 + 0.15 * math.sin(2 * math.pi * (self._shaft_phase + shaft_hz * seconds))
            case "inner":
                return 0.5 + 0.5 * math.cos(2 * math.pi * (self._shaft_phase + shaft_hz * seconds))
            case _:
                return 0.5 + 0.5 * math.cos(2 * math.pi * (self._cage_phase + self._bearing.ftf(shaft_hz) * seconds))
