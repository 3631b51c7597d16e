"""Waveforms: the logger's stream cut into snapshots, lost samples noticed, files read by channel and paced."""

import asyncio
import contextlib
import struct
import time
import wave
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.errors import Misconfigured, Retry
from edge.items import Waveform
from edge.sources import SourceContext
from edge.sources.waveform import WaveformSettings, WaveformSource
from edge.sources.waveform_file import open_recording
from edge.sources.waveform_gaps import clock_shift
from edge.sources.waveform_snapshots import Snapshots, Stream
from edge.sources.waveform_stream import HEADER, MAGIC, parse_greeting, parse_header
from simulators.field.listener import Listener
from simulators.field.vibration_stream import VibrationStream

GREETING = Stream(1000.0, ["de", "nde"], "int16", [0.5, 2.0], ["g", "m/s2"])
POINTS = {"de": "pump-1/vibration/de", "nde": "pump-1/vibration/nde"}


def ramp(first: int, size: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Channel de counts the samples, nde is its negative: every sample says where it was."""
    count = np.arange(first, first + size)
    return np.stack([count, -count], axis=1).astype(np.int16)


def feed(snapshots: Snapshots, first: int, size: int) -> list[Waveform]:
    return snapshots.feed(first, first * 1_000_000, ramp(first, size))


def source(folder: Path, **settings: Any) -> WaveformSource:
    points = {"points": {"de": "pump-1/vibration/de"}}
    return WaveformSource(
        WaveformSettings.model_validate({"name": "x", "type": "waveform"} | points | settings), SourceContext("node", folder)
    )


@contextlib.asynccontextmanager
async def running(under_test: WaveformSource) -> Any:
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(15), contextlib.aclosing(items):
        yield items


# --- the stream ---


@examples(deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40), st.integers(10, 300), st.integers(300, 900))
def test_snapshots_lie_on_a_grid_however_the_blocks_fall(sizes: list[int], size: int, period: int) -> None:
    snapshots = Snapshots(GREETING, {"de": "p/de"}, size / 1000, period / 1000)
    at, found = 5, []
    for block in sizes:
        found += feed(snapshots, at, block)
        at += block
    assert len(found) == sum(1 for k in range(200) if 5 + k * period + size <= at)
    for k, waveform in enumerate(found):
        assert waveform.start_ns == (5 + k * period) * 1_000_000
        assert (waveform.samples == np.arange(5 + k * period, 5 + k * period + size).astype(np.int16) * 0.5).all()
        assert (waveform.dropped, waveform.unit, waveform.rate_hz) == (0, "g", 1000.0)
    assert snapshots.lost_samples == 0


def test_each_channel_has_its_scale_unit_and_point() -> None:
    first, second = feed(Snapshots(GREETING, POINTS, 0.1, 0.1), 100, 100)
    assert (first.point, first.unit, float(first.samples[0])) == ("pump-1/vibration/de", "g", 50.0)
    assert (second.point, second.unit, float(second.samples[0])) == ("pump-1/vibration/nde", "m/s2", -200.0)
    assert first.samples.dtype == np.float32


def test_lost_samples_between_snapshots_are_reported_with_the_next_one() -> None:
    snapshots = Snapshots(GREETING, {"de": "p/de"}, 0.1, 0.5)
    assert [w.dropped for w in feed(snapshots, 0, 200)] == [0]
    assert feed(snapshots, 230, 100) == []
    (late,) = feed(snapshots, 330, 300)
    assert (late.dropped, late.start_ns) == (30, 500_000_000)
    assert snapshots.lost_samples == 30


def test_a_snapshot_with_a_gap_is_begun_again_and_is_then_whole() -> None:
    snapshots = Snapshots(GREETING, {"de": "p/de"}, 0.1, 0.5)
    assert feed(snapshots, 0, 60) == []
    (whole,) = feed(snapshots, 70, 200)
    assert (whole.dropped, whole.start_ns) == (10, 70_000_000)
    assert (np.diff(whole.samples) == 0.5).all()
    (following,) = feed(snapshots, 270, 400)
    assert (following.start_ns, following.dropped) == (500_000_000, 0)  # the grid stays


def test_frequent_losses_do_not_silence_the_source() -> None:
    snapshots = Snapshots(GREETING, {"de": "p/de"}, 0.1, 0.2)
    found = []
    for k in range(100):
        found += feed(snapshots, k * 60, 50)  # 10 of 60 lost, always
    assert len(found) >= 20
    assert all(waveform.dropped > 0 for waveform in found[1:])
    assert snapshots.lost_samples == 990


def test_a_logger_that_starts_again_is_followed() -> None:
    snapshots = Snapshots(GREETING, {"de": "p/de"}, 0.1, 0.1)
    feed(snapshots, 5000, 150)
    (again,) = feed(snapshots, 0, 120)
    assert (again.start_ns, again.dropped) == (0, 0)


def test_after_a_day_of_silence_the_next_snapshot_is_whole_and_says_what_is_missing() -> None:
    day = 86_400_000
    snapshots = Snapshots(GREETING, {"de": "p/de"}, 0.1, 0.5)
    feed(snapshots, 0, 150)
    found = feed(snapshots, day, 700)
    assert [waveform.dropped for waveform in found] == [day - 150, 0]
    assert [waveform.start_ns for waveform in found] == [day * 1_000_000, (day + 500) * 1_000_000]
    assert snapshots.lost_samples == day - 150


async def test_half_a_block_and_then_nothing_is_a_logger_that_is_gone(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        greeting = {"rate_hz": 4000, "channels": ["de"], "dtype": "int16", "scale": [0.001], "unit": ["g"]}
        writer.write(msgspec.json.encode(greeting) + b"\n" + HEADER.pack(MAGIC, 0, time.time_ns(), 400) + b"\x01" * 401)
        await writer.drain()

    async with Listener(half) as device:
        with pytest.raises(Retry, match="the logger closed the connection"):
            async with running(source(tmp_path, tcp=device.address)) as items:
                await anext(items)


def test_only_one_snapshot_is_held_in_memory() -> None:
    with pytest.raises(ValueError, match="shorten it"):
        Snapshots(msgspec.structs.replace(GREETING, rate_hz=1e6), {"de": "p/de"}, 60.0, 60.0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not the greeting of a logger"),
        (b'{"rate_hz": 1000}\n', "missing required field"),
        (b'{"rate_hz": 0, "channels": ["a"], "dtype": "int16", "scale": [1], "unit": ["g"]}\n', "1 Hz to 1 MHz"),
        (b'{"rate_hz": 1000, "channels": ["a"], "dtype": "float32", "scale": [1], "unit": ["g"]}\n', "only int16"),
        (b'{"rate_hz": 1000, "channels": ["a", "b"], "dtype": "int16", "scale": [1], "unit": ["g"]}\n', "one of each"),
        (b'{"rate_hz": 1000, "channels": ["a"], "dtype": "int16", "scale": [0], "unit": ["g"]}\n', "other than 0"),
    ],
)
def test_a_greeting_that_is_none(line: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_greeting(line)


def test_a_header_out_of_step_is_noticed() -> None:
    assert parse_header(struct.pack("<IQQI", MAGIC, 3, 4, 5), 2) == (3, 4, 5)
    with pytest.raises(ValueError, match="out of step"):
        parse_header(struct.pack("<IQQI", 1, 3, 4, 5), 2)
    with pytest.raises(ValueError, match="out of step"):
        parse_header(struct.pack("<IQQI", MAGIC, 3, 4, 1 << 30), 2)


def test_a_logger_clock_that_is_off_is_replaced() -> None:
    assert clock_shift(10_000_000_000, 11_000_000_000) == 0
    assert clock_shift(0, 1_700_000_000_000_000_000) == 1_700_000_000_000_000_000


# --- against a simulated logger ---


def counting() -> Any:
    state = {"at": 0}

    def samples(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        first, state["at"] = state["at"], state["at"] + size
        return (np.arange(first, first + size) % 1000).astype(np.float32)[:, None] * np.float32(0.001)

    return samples


async def test_samples_arrive_whole_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    async with VibrationStream(counting(), rate_hz=4000) as logger:
        under_test = source(tmp_path, tcp=logger.address, snapshot=0.2, every=0.2)
        async with running(under_test) as items:
            (first,) = await anext(items)
            logger.drop(150)
            rest = [(await anext(items))[0] for _ in range(3)]
    assert len(first.samples) == 800
    steps = np.diff(first.samples)
    assert np.allclose(steps[steps > 0], 0.001, atol=1e-6)
    assert abs(first.start_ns + 200_000_000 - time.time_ns()) < 3e9
    assert sum(waveform.dropped for waveform in rest) == 150 == under_test.lost_samples
    assert under_test.counters() == {"lost_samples": 150, "missed_snapshots": 0}


async def test_a_logger_that_falls_silent_raises_retry(tmp_path: Path) -> None:
    async with VibrationStream(counting(), rate_hz=4000) as logger:
        logger.stalled = True
        with pytest.raises(Retry, match=r"nothing came for 0\.3 s"):
            async with running(source(tmp_path, tcp=logger.address, timeout=0.3)) as items:
                await anext(items)


async def test_a_channel_that_is_not_there_is_misconfigured(tmp_path: Path) -> None:
    async with VibrationStream(counting(), rate_hz=4000) as logger:
        with pytest.raises(Misconfigured, match="channel 'axial' is not in the stream; it has de"):
            async with running(source(tmp_path, tcp=logger.address, points={"axial": "pump-1/vibration/axial"})) as items:
                await anext(items)


async def test_four_channels_at_the_highest_rate_come_whole(tmp_path: Path) -> None:
    """4 x 51.2 kHz: 410 kB/s, every sample where it belongs."""
    state = {"at": 0}

    def samples(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        first, state["at"] = state["at"], state["at"] + size
        ramp = (np.arange(first, first + size) % 30_000).astype(np.float32) * np.float32(0.001)
        return np.stack([ramp, -ramp, ramp, -ramp], axis=1)

    names = ("a", "b", "c", "d")
    async with VibrationStream(samples, channels=names, rate_hz=51_200, scale=0.001) as logger:
        under_test = source(tmp_path, tcp=logger.address, points={name: f"p/{name}" for name in names}, snapshot=0.5, every=0.5)
        async with running(under_test) as items:
            batches = [await anext(items) for _ in range(6)]
    assert (under_test.lost_samples, {waveform.dropped for batch in batches for waveform in batch}) == (0, {0})
    first = np.concatenate([batch[0].samples for batch in batches])
    steps = np.diff(first)
    assert (len(first), len(steps[steps < 0])) == (6 * 25_600, len(first) // 30_000)
    assert np.allclose(steps[steps > 0], 0.001, atol=1e-5)
    assert all((batch[0].samples == -batch[3].samples).all() for batch in batches)


# --- files ---


def write_wav(path: Path, data: bytes, width: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, 4000, 0, "NONE", ""))
        file.writeframes(data)


@pytest.mark.parametrize(
    ("width", "data", "values"),
    [
        (1, b"\x80\xc0\x00", [0.0, 0.5, -1.0]),
        (2, struct.pack("<3h", 0, 16384, -32768), [0.0, 0.5, -1.0]),
        (3, b"\x00\x00\x00\x00\x00\x40\x00\x00\x80", [0.0, 0.5, -1.0]),
        (4, struct.pack("<3i", 0, 1 << 30, -(1 << 31)), [0.0, 0.5, -1.0]),
    ],
)
def test_wav_of_each_width(width: int, data: bytes, values: list[float], tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", data, width)
    recording = open_recording(tmp_path / "a.wav")
    assert (recording.rate_hz, recording.length, recording.channels) == (4000, 3, ("0",))
    assert recording.read("0", 0, 3).tolist() == values
    assert recording.read("0", 1, 1).tolist() == values[1:2]


def test_channels_of_each_format(tmp_path: Path) -> None:
    table = np.arange(20, dtype=np.float32).reshape(10, 2)
    write_wav(tmp_path / "a.wav", table.astype("<i2").tobytes(), 2, channels=2)
    np.save(tmp_path / "a.npy", table)
    np.savez(tmp_path / "a.npz", de=table[:, 1].astype(np.int16), de_scale=0.5, note="text")
    (tmp_path / "a.csv").write_text("time;de\n" + "\n".join(f"{a};{b}" for a, b in table))
    (tmp_path / "b.csv").write_text("\n".join(f"{a},{b}" for a, b in table))
    found = {name: open_recording(tmp_path / name) for name in ("a.wav", "a.npy", "a.npz", "a.csv", "b.csv")}
    assert {name: recording.channels for name, recording in found.items()} == {
        "a.wav": ("0", "1"), "a.npy": ("0", "1"), "a.npz": ("de",), "a.csv": ("time", "de"), "b.csv": ("0", "1")
    }  # fmt: skip
    assert found["a.npy"].read("1", 2, 2).tolist() == [5, 7]
    assert found["a.npz"].read("de", 2, 2).tolist() == [2.5, 3.5]
    assert found["a.csv"].read("de", 2, 2).tolist() == [5, 7]
    assert found["b.csv"].read("1", 0, 2).tolist() == [1, 3]
    assert np.allclose(found["a.wav"].read("1", 2, 2) * 32768, [5, 7])


async def test_a_file_is_paced_and_then_silent_or_begins_again(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(1000, dtype=np.float32))
    settings = {"file": "a.npy", "rate_hz": 2000, "points": {"0": "p/de"}, "snapshot": 0.1, "every": 0.2, "scale": 2.0, "unit": "m/s2"}
    begun = time.monotonic()
    async with running(source(tmp_path, **settings)) as items:
        found = [(await anext(items))[0] for _ in range(3)]
        took = time.monotonic() - begun
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await anext(items)
    assert [float(waveform.samples[0]) for waveform in found] == [0, 800, 1600]
    assert (found[0].unit, found[0].rate_hz, len(found[0].samples)) == ("m/s2", 2000, 200)
    assert found[1].start_ns - found[0].start_ns == 200_000_000
    assert 0.45 < took < 1.5
    async with running(source(tmp_path, **settings, loop=True)) as items:
        again = [(await anext(items))[0] for _ in range(4)]
    assert float(again[3].samples[0]) == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rate_hz": None}, "does not tell its sampling rate; write rate_hz"),
        ({"points": {"3": "p/de"}}, "has no channel 3; it has 0"),
        ({"snapshot": 5.0, "every": 5.0}, "less than one snapshot of 5 s"),
    ],
)
async def test_a_file_that_does_not_fit_is_misconfigured(more: dict[str, Any], says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(1000, dtype=np.float32))
    under_test = source(tmp_path, **({"file": "a.npy", "rate_hz": 1000, "points": {"0": "p/de"}} | more))
    with pytest.raises(Misconfigured, match=says):
        async with running(under_test) as items:
            await anext(items)


async def test_a_recorder_that_lost_its_power_is_noticed(tmp_path: Path) -> None:
    """The head promises a second, a quarter of it is missing."""
    write_wav(tmp_path / "a.wav", np.arange(8000, dtype="<i2").tobytes(), 2, channels=2)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[:-3999])
    under_test = source(tmp_path, file="a.wav", points={"1": "p/de"}, snapshot=0.2, every=0.2)
    async with running(under_test) as items:
        found = [(await anext(items))[0] for _ in range(3)]
    assert under_test.lost_samples == 1000
    assert [len(waveform.samples) for waveform in found] == [800] * 3


async def test_a_file_at_the_highest_rate_keeps_its_pace(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(1).normal(0, 1, (51_200 * 2, 4)).astype(np.float32))
    points = {str(channel): f"p/{channel}" for channel in range(4)}
    under_test = source(tmp_path, file="a.npy", rate_hz=51_200, points=points, snapshot=0.5, every=0.5, loop=True)
    async with running(under_test) as items:
        batches = [await anext(items) for _ in range(5)]
    assert all(len(waveform.samples) == 25_600 for batch in batches for waveform in batch)
    elapsed = (batches[-1][0].start_ns - batches[0][0].start_ns) / 0.5e9
    assert elapsed == 4 + under_test.missed_snapshots


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"file": "a.wav"}, "one of the three"),
        ({"tcp": None}, "either tcp: host:port or file: PATH"),
        ({"tcp": "127.0.0.1"}, "the port is missing"),
        ({"loop": True}, "loop: only for a file"),
        ({"tcp": None, "file": "a.mp3"}, r"ending in \.wav, \.npy"),
        ({"snapshot": 3.0}, "snapshot must not be the longer one"),
        ({"points": {}}, "at least 1 item"),
        ({"points": {"de": "de"}}, "write asset/signal"),
        ({"points": {"de": "p/de", "nde": "p/de"}}, "each channel needs its own"),
        ({"snapshots": 1}, "Extra inputs are not permitted"),
    ],
)
def test_settings_say_what_would_be_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WaveformSettings.model_validate({"name": "x", "type": "waveform", "tcp": "127.0.0.1:5300", "points": {"de": "p/de"}} | change)
