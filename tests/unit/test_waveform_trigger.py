"""Snapshots on trigger: where they begin, what came before is in them, and how often they come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.items import Waveform
from edge.sources import SourceContext
from edge.sources.waveform import WaveformSettings, WaveformSource
from edge.sources.waveform_snapshots import Stream
from edge.sources.waveform_trigger import Triggered, TriggerSettings, moving_rms
from simulators.field.vibration_stream import VibrationStream

STREAM = Stream(1000.0, ["de", "nde"], "int16", [0.01, 0.01], ["g", "g"])
POINTS = {"de": "p/de", "nde": "p/nde"}


def signal(size: int, *, knocks: tuple[int, ...] = (), height: int = 1000, offset: int = 0) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Quiet noise with a knock of one sample in channel de; nde counts the samples."""
    de = np.random.default_rng(1).integers(-50, 50, size) + offset
    de[list(knocks)] = offset + height
    return np.stack([de, np.arange(size)], axis=1).astype(np.int16)


def caught(data: Any, blocks: list[int], *, snapshot: float = 0.4, **settings: Any) -> list[Waveform]:
    triggered = Triggered(
        STREAM, POINTS, snapshot, TriggerSettings.model_validate({"level": 5.0, "channels": ["de"], "before": 0.1} | settings)
    )
    found, at = [], 0
    for size in blocks:
        part = data[at : at + size]
        if len(part):
            found += triggered.feed(at, at * 1_000_000, part)
        at += size
    return [waveform for waveform in found if waveform.point == "p/nde"]


@examples(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=20, max_size=60), st.integers(120, 1500))
def test_what_came_before_the_knock_is_kept_however_the_blocks_fall(blocks: list[int], knock: int) -> None:
    data = signal(3000, knocks=(knock,))
    (found,) = caught(data, [*blocks, 3000])
    assert found.start_ns == (knock - 100) * 1_000_000
    assert np.allclose(found.samples, np.arange(knock - 100, knock + 300) * 0.01, atol=1e-4)


def test_a_knock_soon_after_the_beginning_has_less_before_it() -> None:
    (found,) = caught(signal(2000, knocks=(30,)), [100] * 20)
    assert (found.start_ns, len(found.samples)) == (0, 400)


def test_within_the_hold_off_nothing_counts_and_snapshots_never_overlap() -> None:
    knocks = (500, 700, 850, 1200, 1600, 2700)
    assert [w.start_ns // 1_000_000 for w in caught(signal(4000, knocks=knocks), [100] * 40, hold_off=1.0)] == [400, 1500, 2600]
    assert [w.start_ns // 1_000_000 for w in caught(signal(4000, knocks=knocks), [4000], hold_off=0.0)] == [400, 1100, 1500, 2600]


def test_gravity_and_a_channel_that_is_not_watched_trigger_nothing() -> None:
    assert caught(signal(3000, offset=2000), [100] * 30) == []


def test_rms_is_not_moved_by_one_knock_but_by_a_burst() -> None:
    data = signal(3000, knocks=(700,))
    assert caught(data, [100] * 30, measure="rms", window=0.1) == []
    data[1500:1700, 0] = 1000 * (-1) ** np.arange(200)
    (found,) = caught(data, [100] * 30, measure="rms", window=0.1)
    assert found.start_ns // 1_000_000 == pytest.approx(1425, abs=4)  # a quarter of the window has 10 g: 5 g RMS


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(1, 20))
def test_moving_rms_is_that_of_each_window(values: list[float], window: int) -> None:
    samples = np.array(values)
    expected = [np.sqrt(np.mean(samples[k - window + 1 : k + 1] ** 2)) if k + 1 >= window else 0.0 for k in range(len(samples))]
    assert np.allclose(moving_rms(samples, window), expected, atol=1e-4)


def test_what_is_lost_inside_is_said_and_what_is_lost_before_is_left_out() -> None:
    triggered = Triggered(STREAM, POINTS, 0.4, TriggerSettings(level=5.0, channels=["de"], before=0.1))
    data = signal(3000, knocks=(1000, 2050))
    assert triggered.feed(0, 0, data[:1100]) == []
    inside = triggered.feed(1150, 1_150_000_000, data[1150:1500])
    assert [(w.dropped, w.start_ns) for w in inside] == [(50, 900_000_000)] * 2
    assert triggered.feed(1500, 1_500_000_000, data[1500:1900]) == []
    assert [(w.dropped, w.start_ns) for w in triggered.feed(2000, 2_000_000_000, data[2000:])] == []
    triggered = Triggered(STREAM, POINTS, 0.4, TriggerSettings(level=5.0, channels=["de"], before=0.1))
    triggered.feed(0, 0, data[:900])
    before = triggered.feed(950, 950_000_000, data[950:1500])
    assert [(w.dropped, w.start_ns, len(w.samples)) for w in before] == [(0, 950_000_000, 400)] * 2


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: Any) -> Any:
    entry = {"name": "x", "type": "waveform", "points": {"de": "p/de"}, "snapshot": 0.2, "every": 60.0} | settings
    under_test = WaveformSource(WaveformSettings.model_validate(entry), SourceContext("node", folder))
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(20), contextlib.aclosing(items):
        yield under_test, items


TRIGGER = {"level": 3.0, "before": 0.05, "hold_off": 0.5}


async def test_a_knock_on_the_stream_of_a_logger_brings_a_snapshot_besides_the_schedule(tmp_path: Path) -> None:
    state = {"knock": False}

    def samples(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        block = np.random.default_rng(2).normal(0, 0.1, (size, 1)).astype(np.float32)
        if state["knock"]:
            block[size // 2], state["knock"] = 8.0, False
        return block

    async with (
        VibrationStream(samples, rate_hz=4000) as logger,
        running(tmp_path, tcp=logger.address, trigger=TRIGGER) as (under_test, items),
    ):
        (scheduled,) = await anext(items)
        assert (under_test.triggered_snapshots, abs(scheduled.samples).max() < 3) == (0, True)
        state["knock"] = True
        (found,) = await anext(items)
        assert under_test.triggered_snapshots == 1
    assert int(abs(found.samples).argmax()) == 200
    assert len(found.samples) == 800
    assert found.start_ns > scheduled.start_ns


async def test_a_recording_is_watched_at_the_pace_of_the_clock(tmp_path: Path) -> None:
    data = np.random.default_rng(3).normal(0, 0.1, 4000).astype(np.float32)
    data[3000] = 9.0
    np.save(tmp_path / "a.npy", data)
    begun = time.monotonic()
    more = {"file": "a.npy", "rate_hz": 4000, "points": {"0": "p/de"}, "scale": 2.0, "loop": True}
    async with running(tmp_path, **more, trigger=TRIGGER | {"level": 15.0}) as (under_test, items):
        await anext(items)
        (first,) = await anext(items)
        took = time.monotonic() - begun
        (again,) = await anext(items)
    assert under_test.triggered_snapshots == 2
    assert float(first.samples[200]) == 18.0
    assert again.start_ns - first.start_ns == 1_000_000_000  # the recording lasts a second
    assert took > 0.85


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ({"level": 0.0}, "greater than 0"),
        ({"level": 1.0, "before": 1.5}, "before must be the shorter one"),
        ({"level": 1.0, "channels": ["nde"]}, "nde has no point; there are de"),
        ({"level": 1.0, "measure": "mean"}, "'peak' or 'rms'"),
        ({"levels": 1.0}, "Extra inputs are not permitted"),
    ],
)
def test_settings_say_what_would_be_right(trigger: dict[str, Any], says: str) -> None:
    entry = {"name": "x", "type": "waveform", "tcp": "127.0.0.1:5300", "points": {"de": "p/de"}, "trigger": trigger}
    with pytest.raises(ValidationError, match=says):
        WaveformSettings.model_validate(entry)
