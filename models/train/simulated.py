"""Vibration of sound and of worn bearings made from physics, beside the few recordings there are.

The public data has one healthy recording, and a class learnt from one recording is that recording; so it is kept for the test, and normal
is learnt from here: coloured noise through random resonances, shaft harmonics, gear mesh, noise modulated by the shaft, shocks that come
at no bearing's rate, quantisation. What no healthy signal here shows counts as evidence of a fault. The recorded ball faults show no line
at the ball's frequency, which textbook ones do; so each fault type also learns from simulated ones (McFadden and Smith, JSV 96, 1984).
"""

from typing import Any

import numpy as np

from models.bearing import BearingGeometry, features

Floats = np.ndarray[Any, np.dtype[np.float64]]


def healthy_windows(count: int, seed: int) -> Floats:
    """Features of ``count`` windows, float64 (count, n), each of another machine: speed, rate, geometry and signal drawn anew."""
    generator = np.random.default_rng(seed)
    return np.array([_window(generator, None) for _ in range(count)], np.float64)


def faulty_windows(label: str, count: int, seed: int) -> Floats:
    """The same with a fault: ``label`` is inner, outer or ball."""
    generator = np.random.default_rng(seed)
    return np.array([_window(generator, label) for _ in range(count)], np.float64)


def _window(generator: np.random.Generator, label: str | None) -> Floats:
    rpm = float(generator.uniform(1450, 3000))
    rate_hz = max(float(generator.choice([10_240.0, 12_000.0, 12_800.0, 20_000.0, 25_600.0])), 400 * rpm / 60)
    balls = int(generator.integers(7, 13))
    geometry = BearingGeometry(balls, 1.0, float(generator.uniform(1.25, 1.6)) * balls / np.pi)
    signal = healthy_signal(generator, rate_hz, rpm)
    if label is not None:
        signal = signal / signal.std() + 10 ** generator.uniform(0.2, 1.3) * fault_signal(generator, label, rate_hz, rpm, geometry)
    return np.asarray(features(signal, rate_hz, rpm, geometry), np.float64)


def fault_signal(generator: np.random.Generator, label: str, rate_hz: float, rpm: float, geometry: BearingGeometry) -> Floats:
    """One second of decaying oscillations at the fault's rate with slip, each of amplitude about 1.

    Steady for the outer race, which stands still, modulated by the shaft for the inner race and by the cage for a ball. Raises KeyError
    for another label.
    """
    orders, shaft = geometry.orders(), rpm / 60
    order, carrier = {"outer": (orders.bpfo, 0.0), "inner": (orders.bpfi, 1.0), "ball": (2 * orders.bsf, orders.ftf)}[label]
    depth = generator.uniform(0.3, 1.0) if carrier else 0.0
    period = 1 / (order * shaft * generator.uniform(0.985, 1.015))
    times = np.cumsum(period * (1 + generator.uniform(0.002, 0.015) * generator.standard_normal(int(1 / period) + 4)))
    size = int(rate_hz)
    times = times[times < size / rate_hz]
    heights = 1 + depth * np.cos(2 * np.pi * carrier * shaft * times + generator.uniform(0, 2 * np.pi))
    if label == "ball":
        heights[::2] *= generator.uniform(0.5, 1.0)  # the defect meets the two races in turn, at different angles
    train = np.zeros(size)
    np.add.at(train, np.minimum((times * rate_hz).astype(np.intp), size - 1), heights * generator.uniform(0.8, 1.2, len(times)))
    length = np.arange(int(0.01 * rate_hz))
    ring = np.exp(-length / (generator.uniform(0.0005, 0.003) * rate_hz)) * np.sin(2 * np.pi * generator.uniform(0.06, 0.42) * length)
    signal: Floats = np.convolve(train, ring)[:size]
    return signal


def healthy_signal(generator: np.random.Generator, rate_hz: float, rpm: float, seconds: float = 1.0) -> Floats:
    """Acceleration without unit, shape (seconds · rate_hz,); a share of the draws has each of the things that are no bearing fault."""
    size, shaft = int(seconds * rate_hz), rpm / 60
    time = np.arange(size) / rate_hz
    noise = _coloured(generator, size)
    modulation = np.ones(size)
    for harmonic in range(1, 4):
        depth = generator.uniform(0, 0.3) * generator.integers(0, 2)
        modulation += depth * np.cos(2 * np.pi * harmonic * shaft * time + generator.uniform(0, 2 * np.pi))
    drift = np.interp(time, np.linspace(0, seconds, 12), generator.normal(0, 0.15, 12))
    signal = noise * modulation * np.exp(drift)
    for harmonic in range(1, 9):
        signal += generator.exponential(0.8) / harmonic * np.sin(2 * np.pi * harmonic * shaft * time + generator.uniform(0, 2 * np.pi))
    if generator.random() < 0.5:
        signal += _mesh(generator, time, shaft)
    if generator.random() < 0.3:
        signal += _shocks(generator, size, rate_hz)
    step = float(signal.std()) * 10 ** generator.uniform(-4, -2)
    quantised: Floats = np.round(signal / step) * step
    return quantised


def _coloured(generator: np.random.Generator, size: int) -> Floats:
    frequency = np.linspace(0, 0.5, size // 2 + 1)
    shape = (frequency + 0.01) ** generator.uniform(-1.2, 0.4)
    for _ in range(int(generator.integers(1, 5))):
        centre, width = generator.uniform(0.03, 0.48), generator.uniform(0.003, 0.04)
        shape += generator.uniform(0.5, 8) * shape.mean() / (1 + ((frequency - centre) / width) ** 2)
    noise: Floats = np.fft.irfft(np.fft.rfft(generator.standard_normal(size)) * shape, size)
    unit: Floats = noise / noise.std()
    return unit


def _mesh(generator: np.random.Generator, time: Floats, shaft: float) -> Floats:
    """A gear or a vane: a tone at a whole multiple of the shaft, its harmonics modulated by the shaft."""
    teeth = int(generator.integers(5, 40))
    modulation = 1 + generator.uniform(0, 0.5) * np.cos(2 * np.pi * shaft * time + generator.uniform(0, 2 * np.pi))
    level = generator.uniform(0.1, 1.5)
    tones = [np.sin(2 * np.pi * teeth * shaft * k * time + generator.uniform(0, 2 * np.pi)) / k for k in (1, 2, 3)]
    mesh: Floats = level * modulation * np.sum(tones, axis=0)
    return mesh


def _shocks(generator: np.random.Generator, size: int, rate_hz: float) -> Floats:
    """A few blows from outside, at random times: rock, a valve, somebody with a hammer."""
    train = np.zeros(size)
    count = int(generator.integers(1, 5))
    train[generator.integers(0, size, count)] = generator.uniform(2, 12, count)
    length = np.arange(int(0.02 * rate_hz))
    ring = np.exp(-length / (generator.uniform(0.001, 0.004) * rate_hz)) * np.sin(2 * np.pi * generator.uniform(0.05, 0.4) * length)
    blows: Floats = np.convolve(train, ring)[:size]
    return blows
