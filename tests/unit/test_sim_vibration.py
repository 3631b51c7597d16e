"""The vibration of the simulated pump: a fault must show where the formulas put it, and the stream must keep its protocol and its pace."""

import asyncio
import json
import struct
import time
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from simulators.field.vibration_stream import VibrationStream
from simulators.plant.vibration import BEARING_6205, HEALTHY_VELOCITY, G, Vibration, velocity_rms

RATE = 12_800.0
SHAFT = 1480 / 60


def _record(severity: float, part: str = "outer", seconds: float = 8.0, seed: int = 3) -> NDArray[np.float64]:
    vibration = Vibration(seed)
    blocks = [vibration.block(1280, shaft_hz=SHAFT, severity=severity, part=part) for _ in range(round(seconds * 10))]
    return np.concatenate(blocks).astype(np.float64)


def _envelope_spectrum(signal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Band-pass 2-4.5 kHz and Hilbert transform in one: the analytic signal of the band; then the amplitude spectrum of its magnitude."""
    spectrum: NDArray[np.complex128] = np.fft.fft(signal)
    frequency = np.fft.fftfreq(len(signal), 1 / RATE)
    spectrum[(frequency < 2000) | (frequency > 4500)] = 0
    envelope = np.abs(np.fft.ifft(2 * spectrum))
    window = np.hanning(len(envelope))
    amplitude = np.abs(np.fft.rfft((envelope - envelope.mean()) * window)) * 2 / window.sum()
    return np.fft.rfftfreq(len(envelope), 1 / RATE).astype(np.float64), amplitude.astype(np.float64)


def _line(signal: NDArray[np.float64], at: float) -> tuple[float, float]:
    """Where the strongest line within 4 % of ``at`` is (Hz), and how far it stands above the median around it."""
    frequency, amplitude = _envelope_spectrum(signal)
    near = (frequency > 0.96 * at) & (frequency < 1.04 * at)
    around = (frequency > 0.7 * at) & (frequency < 1.3 * at)
    peak = amplitude[near].argmax()
    return float(frequency[near][peak]), float(amplitude[near][peak] / np.median(amplitude[around]))


def test_bearing_6205_frequencies() -> None:
    """The figures that are published for this bearing, as multiples of the shaft's frequency."""
    assert BEARING_6205.bpfo(1) == pytest.approx(3.5848, abs=2e-4)
    assert BEARING_6205.bpfi(1) == pytest.approx(5.4152, abs=2e-4)
    assert BEARING_6205.ftf(1) == pytest.approx(0.3983, abs=2e-4)
    assert 2 * BEARING_6205.bsf(1) == pytest.approx(4.7135, abs=5e-4)


@pytest.mark.parametrize(("part", "factor"), [("outer", 3.5848), ("inner", 5.4152), ("ball", 4.7135)])
def test_a_fault_shows_at_its_frequency_and_grows(part: str, factor: float) -> None:
    heights = []
    for severity in (0.0, 0.1, 0.5):
        at, height = _line(_record(severity, part), factor * SHAFT)
        heights.append(height)
        if severity:
            assert at == pytest.approx(factor * SHAFT, rel=0.02)
    assert heights[0] < 6  # noise alone
    assert heights[1] > 8
    record = {severity: np.abs(_envelope_spectrum(_record(severity, part))[1]).max() for severity in (0.1, 0.4, 1.0)}
    assert record[0.1] < record[0.4] < record[1.0]


def test_velocity_goes_through_the_iso_zones() -> None:
    """10-1000 Hz velocity RMS by integration in the frequency domain; boundaries of ISO 10816-7 category II, <= 200 kW."""
    found = {}
    for severity in (0.0, 0.3, 0.6, 1.0):
        signal = _record(severity)
        frequency = np.fft.rfftfreq(len(signal), 1 / RATE)
        band = (frequency >= 10) & (frequency <= 1000)
        spectrum = np.fft.rfft(signal)[band] * G / (2 * np.pi * frequency[band]) / len(signal)
        found[severity] = 1000 * float(np.sqrt(2 * np.sum(np.abs(spectrum) ** 2)))
        assert found[severity] == pytest.approx(velocity_rms(severity), rel=0.08)
    assert found[0.0] < 3.2 < found[0.3] < 5.1 < found[0.6] < 8.5 < found[1.0]
    assert found[0.0] == pytest.approx(HEALTHY_VELOCITY, rel=0.08)


def test_a_damaged_bearing_is_impulsive_and_a_healthy_one_is_not() -> None:
    def kurtosis(signal: NDArray[np.float64]) -> float:
        high = np.diff(signal)  # the shaft's slow swing aside
        return float(np.mean((high - high.mean()) ** 4) / high.var() ** 2)

    assert kurtosis(_record(0.0)) == pytest.approx(3.0, abs=0.3)
    assert kurtosis(_record(0.4)) > 6


def test_the_same_seed_gives_the_same_samples() -> None:
    assert np.array_equal(_record(0.3, seconds=0.5), _record(0.3, seconds=0.5))
    assert not np.array_equal(_record(0.3, seconds=0.5), _record(0.3, seconds=0.5, seed=4))


def test_a_standing_pump_is_quiet() -> None:
    assert float(np.sqrt(np.mean(Vibration(1).block(12800, shaft_hz=0.0, severity=1.0) ** 2))) < 0.05


async def _block(reader: asyncio.StreamReader) -> tuple[int, int, NDArray[np.int16]]:
    magic, index, time_ns, count = struct.unpack("<IQQI", await asyncio.wait_for(reader.readexactly(24), 2))
    assert magic == 0x4B554D57
    return index, time_ns, np.frombuffer(await reader.readexactly(2 * count), "<i2")


async def test_stream_keeps_protocol_pace_and_tells_what_was_dropped() -> None:
    vibration = Vibration(1)
    async with VibrationStream(lambda count: vibration.block(count, shaft_hz=SHAFT)[:, None]) as stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", stream.port)
        greeting = json.loads(await asyncio.wait_for(reader.readline(), 2))
        assert greeting == {"rate_hz": 12800, "channels": ["de"], "dtype": "int16", "scale": [0.0005], "unit": ["g"]}
        start = time.monotonic()
        blocks = [await _block(reader) for _ in range(5)]
        assert 0.35 < time.monotonic() - start < 1.0  # five blocks of 0.1 s; the first may be due at once
        for (index, time_ns, samples), (after, after_ns, _) in pairwise(blocks):
            assert len(samples) == 1280
            assert after == index + 1280
            assert after_ns - time_ns == pytest.approx(100_000_000, abs=2)
        assert abs(time.time_ns() - blocks[-1][1]) < 1_000_000_000
        rms = float(np.sqrt(np.mean((np.concatenate([samples for _, _, samples in blocks]) * 0.0005) ** 2)))
        assert 0.04 < rms < 0.2  # g

        stream.drop(2000)  # one whole block and 720 samples of the next
        index, time_ns, samples = await _block(reader)
        assert index == blocks[-1][0] + 1280 + 2000
        assert len(samples) == 2 * 1280 - 2000
        assert time_ns - blocks[0][1] == pytest.approx((index - blocks[0][0]) * 1e9 / RATE, abs=2)

        stream.stalled = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(24), 0.3)
        writer.close()
        await writer.wait_closed()


async def test_two_clients_get_the_same_and_one_that_goes_does_no_harm() -> None:
    values = iter(range(1_000_000))
    async with VibrationStream(lambda count: np.full((count, 1), next(values) * 0.0005, np.float32)) as stream:
        first, first_writer = await asyncio.open_connection("127.0.0.1", stream.port)
        second, second_writer = await asyncio.open_connection("127.0.0.1", stream.port)
        await first.readline()
        await second.readline()
        one, two = await _block(first), await _block(second)
        assert (one[0], one[2][0]) == (two[0], two[2][0])
        first_writer.close()
        await first_writer.wait_closed()
        assert (await _block(second))[2][0] == two[2][0] + 1
        second_writer.close()
        await second_writer.wait_closed()
