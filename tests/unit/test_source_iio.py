"""A Linux IIO device, simulated as a sysfs tree and a FIFO: layouts of scans, what is missing in them, and what is said where nothing comes."""

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

from edge.errors import Misconfigured, Retry
from edge.sources import SourceContext
from edge.sources.waveform import WaveformSettings, WaveformSource
from edge.sources.waveform_gaps import GapFinder
from edge.sources.waveform_iio import Untimed
from edge.sources.waveform_iio_layout import Layout, parse_element
from simulators.field.iio_device import Channel, IioDevice, pack

STEP = 0.001
CYCLE = 30_000


def counting(channels: int = 1) -> Any:
    """Every sample says where it was: a ramp of CYCLE steps; each further channel is the negative of the one before."""
    state = {"at": 0}

    def samples(size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        first, state["at"] = state["at"], state["at"] + size
        ramp = (np.arange(first, first + size) % CYCLE) * STEP
        return np.stack([ramp * (-1) ** channel for channel in range(channels)], axis=1)

    return samples


def source(
    device: IioDevice, *, points: dict[str, str] | None = None, iio: dict[str, Any] | None = None, **settings: Any
) -> WaveformSource:
    entry: dict[str, Any] = {"name": "x", "type": "waveform", "snapshot": 0.2, "every": 0.2, "timeout": 1.0}
    entry |= {"points": points or {"accel_x": "pump-1/vibration/de"}}
    entry |= {"iio": {"device": "adxl372", "sysfs": str(device.sysfs), "dev": str(device.dev)} | (iio or {})}
    return WaveformSource(WaveformSettings.model_validate(entry | settings), SourceContext("node", device.sysfs))


@contextlib.asynccontextmanager
async def running(under_test: WaveformSource) -> Any:
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(20), contextlib.aclosing(items):
        yield items


async def drain(under_test: WaveformSource) -> None:
    async with running(under_test) as items:
        async for _ in items:
            pass


# --- layouts ---

KINDS = [
    "le:s16/16>>0",
    "be:s16/16>>0",
    "le:s12/16>>4",
    "be:u12/16>>0",
    "le:s24/32>>8",
    "be:s20/32>>12",
    "le:u8/8>>0",
    "le:s32/32>>0",
    "be:s48/64>>3",
]


@examples(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), st.booleans(), st.data())
def test_every_layout_gives_back_the_numbers_that_were_packed(kinds: list[str], stamped: bool, data: st.DataObject) -> None:
    channels = [Channel(f"voltage{index}", kind, 1.0) for index, kind in enumerate(kinds)]
    elements = [parse_element(channel.name, str(index), channel.kind) for index, channel in enumerate(channels)]
    values = []
    for element in elements:
        low, high = (-(1 << element.bits - 1), (1 << element.bits - 1) - 1) if element.signed else (0, (1 << element.bits) - 1)
        values.append(data.draw(st.lists(st.integers(low, high), min_size=3, max_size=3)))
    times = np.array([1, 2, 1_800_000_000_000_000_000])
    scans = pack(np.array(values, np.float64).T, channels, times if stamped else None)
    if stamped:
        elements.append(parse_element("timestamp", str(len(elements)), "le:s64/64>>0"))
    layout = Layout(elements[::-1])
    assert len(scans) == 3 * layout.size
    numbers = layout.numbers(scans)
    assert {name: found.tolist() for name, found in numbers.items() if name != "timestamp"} == {
        channel.name: column for channel, column in zip(channels, values, strict=True)
    }
    if stamped:
        assert numbers["timestamp"].tolist() == times.tolist()


def test_a_scan_as_the_kernel_documents_it() -> None:
    """Three s16 and a timestamp: 6 bytes, 2 of padding, 8 bytes."""
    elements = [parse_element(f"accel_{axis}", str(index), "le:s16/16>>0") for index, axis in enumerate("xyz")]
    layout = Layout([*elements, parse_element("timestamp", "3", "le:s64/64>>0")])
    numbers = layout.numbers(bytes.fromhex("0100feff0300a5a50807060504030201"))
    assert layout.size == 16
    assert {name: int(value[0]) for name, value in numbers.items()} == {
        "accel_x": 1, "accel_y": -2, "accel_z": 3, "timestamp": 0x0102030405060708
    }  # fmt: skip


@pytest.mark.parametrize(
    ("index", "kind", "says"),
    [
        ("0", "le:s16/17>>0", "8, 16, 32 or 64 bits"),
        ("0", "le:s16/16>>4", "8, 16, 32 or 64 bits"),
        ("0", "le:s16/16X3>>0", "without repetition"),
        ("0", "\x00\xff\x00", "something like le:s16/16>>0"),
        ("x", "le:s16/16>>0", "a number was expected"),
    ],
)
def test_a_type_that_is_none(index: str, kind: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_element("accel_x", index, kind)


# --- what is missing ---


def found(rate: float, times: np.ndarray[Any, Any], block: int | None = None) -> tuple[int, list[int]]:
    """How many in all, and the indexes of the samples before which they are missing."""
    finder = GapFinder(rate)
    block = block or round(rate / 10)
    total, at = 0, []
    for start in range(0, len(times) - block - finder.ahead, block):
        part = times[start : start + block + finder.ahead]
        counts, _ = finder.missing(part, block, (int(part[block - 1]) - int(times[0])) / 1e9)
        total += int(counts[-1])
        at += [start + int(k) for k in np.flatnonzero(np.diff(counts, prepend=0))]
    return total, at


def stamps(rate: float, count: int, *, jitter: float = 0.0, batch: int = 1, seed: int = 1) -> np.ndarray[Any, np.dtype[np.int64]]:
    index = np.arange(count)
    index = (index // batch + 1) * batch - 1
    late = np.random.default_rng(seed).exponential(jitter, count) if jitter else 0.0
    return np.asarray(1_800_000_000_000_000_000 + np.round((index / rate + late) * 1e9), np.int64)


@pytest.mark.parametrize("rate", [1000.0, 3200.0, 12_800.0, 51_200.0])
@pytest.mark.parametrize("off", [0.92, 0.97, 1.0, 1.03, 1.08])
def test_neither_jitter_nor_an_oscillator_that_is_off_is_a_loss(rate: float, off: float) -> None:
    assert found(rate, stamps(rate * off, round(rate * 5), jitter=30e-6)) == (0, [])


def test_batches_that_are_stamped_together_are_no_loss() -> None:
    assert found(1000.0, stamps(1000.0, 5000, batch=32)) == (0, [])


@pytest.mark.parametrize("rate", [1000.0, 3200.0, 51_200.0])
@pytest.mark.parametrize("lost", [7, 100, 3000])
def test_a_gap_is_counted_where_it_is(rate: float, lost: int) -> None:
    times = stamps(rate * 1.01, round(rate * 4) + lost, jitter=10e-6)
    at = round(rate * 2) + 17
    total, places = found(rate, np.delete(times, np.arange(at, at + lost)))
    assert total == pytest.approx(lost, abs=max(1, 0.001 * lost))
    assert at in places
    assert all(abs(place - at) <= 2 for place in places)


def test_single_samples_are_noticed_at_moderate_rates() -> None:
    times = stamps(3200.0, 12_000, jitter=10e-6)
    gone = [4000, 4500, 5600, 8001, 9999]
    total, places = found(3200.0, np.delete(times, gone))
    assert (total, places) == (5, [place - number for number, place in enumerate(gone)])


@pytest.mark.parametrize("step", [86_400.0, -86_400.0, -3.0])
def test_a_clock_that_is_set_is_no_loss(step: float) -> None:
    times = stamps(1000.0, 4000)
    times[2050:] += round(step * 1e9)
    finder, total, noticed = GapFinder(1000.0), 0, 0
    for start in range(0, 3900, 100):
        counts, was_set = finder.missing(times[start : start + 150], 100, start / 1000)
        total += int(counts[-1])
        noticed += was_set
    assert total == 0
    assert noticed


# --- against a simulated device ---


async def test_three_axes_in_the_unit_of_the_kernel_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    axes = [
        Channel("accel_x", "le:s16/16>>0", STEP),
        Channel("accel_y", "be:s24/32>>8", STEP, 5.0),
        Channel("accel_z", "le:s16/16>>0", STEP),
    ]
    points = {"accel_y": "p/y", "accel_x": "p/x"}
    async with IioDevice(tmp_path, counting(3), channels=axes, rate_hz=3200, trigger="hrtimer-1") as device:
        device.jitter = 20e-6
        under_test = source(device, points=points, iio={"trigger": "hrtimer-1"})
        async with running(under_test) as items:
            y, x = await anext(items)
            assert (device.home / "scan_elements/in_accel_z_en").read_text().strip() == "0"
            device.lose(170)
            rest = [await anext(items) for _ in range(4)]
        assert (device.home / "buffer/enable").read_text().strip() == "0"
    assert (x.point, x.unit, x.rate_hz, len(x.samples), x.samples.dtype) == ("p/x", "m/s2", 3200.0, 640, np.float32)
    assert np.allclose(np.diff(x.samples), STEP, atol=1e-5)
    assert np.allclose(x.samples, -y.samples, atol=1e-5)
    assert abs(x.start_ns / 1e9 + 0.2 - time.time()) < 5
    assert under_test.lost_samples == 170 == sum(batch[0].dropped for batch in rest)
    # The gap is where it is: the snapshot that it fell into has been begun again, and none is closed over it.
    assert all(np.allclose(np.diff(batch[1].samples), STEP, atol=1e-5) for batch in rest)


async def test_a_buffer_that_overruns_is_noticed(tmp_path: Path) -> None:
    """The agent is held up for longer than the kernel's buffer lasts."""
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        under_test = source(device, iio={"buffer": 0.2})
        async with running(under_test) as items:
            await anext(items)
            await asyncio.sleep(1.5)  # nobody takes anything
            while not under_test.lost_samples:
                await anext(items)
            for _ in range(3):
                await anext(items)
        assert device.overrun > 200
        assert under_test.lost_samples == pytest.approx(device.overrun, abs=max(2, 0.02 * device.overrun))


async def test_the_rate_that_is_asked_for_is_set(tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=1600, rates=(800, 1600)) as device, running(source(device, rate_hz=800)) as items:
        (found,) = await anext(items)
    assert (found.rate_hz, len(found.samples)) == (800, 160)


async def test_a_rate_that_the_device_does_not_have_is_said(tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=1600, rates=(800, 1600)) as device:
        with pytest.raises(Misconfigured, match="cannot run at rate_hz: 1000; it has 800 1600"):
            async with running(source(device, rate_hz=1000)) as items:
                await anext(items)


def test_without_timestamps_only_a_rate_that_is_too_low_is_a_loss() -> None:
    """Blocks of 0.1 s that arrive up to 50 ms late; from 40 s on, every fifth is missing."""
    scans, block, nowhere = Untimed(2000.0, "iio x"), np.zeros((200, 1), np.float32), np.empty(0, np.int64)
    late = np.random.default_rng(1).uniform(0, 0.05, 800)
    found = []
    for k in range(800):
        if k < 400 or k % 5:
            at = k / 10 + late[k]
            found += [(k, *part) for part in scans.parts(block, nowhere, 1_800_000_000_000_000_000 + round(at * 1e9), at)]
    assert [first for k, first, *_ in found if k < 400] == [k * 200 for k in range(400)]
    assert found[-1][1] / 200 == pytest.approx(799, abs=25)
    times = [time_ns for _, _, time_ns, _ in found]
    assert times == sorted(times)


async def test_a_device_without_timestamps_is_read(tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=2000, timestamps=False) as device:
        under_test = source(device)
        async with running(under_test) as items:
            found = [(await anext(items))[0] for _ in range(4)]
    assert np.allclose(np.diff(np.concatenate([waveform.samples for waveform in found])), STEP, atol=1e-5)
    assert under_test.lost_samples == 0
    assert abs(found[-1].start_ns / 1e9 + 0.2 - time.time()) < 5


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"points": {"accel_q": "p/q"}}, Misconfigured, "has no channel accel_q in its buffer; it has accel_x, timestamp"),
        ({"iio": {"device": "adxl355"}}, Retry, r"no such device; there are: iio:device0 \(adxl372\)"),
        ({"iio": {"trigger": "none"}}, Retry, r"none cannot be written to .*current_trigger: No such file"),
        ({"iio": {"dev": "/dev/shm/none"}}, Retry, "does not open: No such file"),
    ],
)
async def test_what_does_not_fit_is_said(change: dict[str, Any], kind: type[Exception], says: str, tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        with pytest.raises(kind, match=says):
            async with running(source(device, **change)) as items:
                await anext(items)


@pytest.mark.parametrize(
    "name", ["sampling_frequency", "in_accel_x_scale", "scan_elements/in_accel_x_type", "scan_elements/in_accel_x_index"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe garbage", b"nan", b"-1"])
async def test_garbage_in_sysfs_is_said(name: str, content: bytes, tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        (device.home / name).write_bytes(content)
        under_test = source(device)
        if (name, content) == ("in_accel_x_scale", b"-1"):  # a sensor that is mounted upside down
            async with running(under_test) as items:
                assert (await anext(items))[0].samples.mean() < 0
            return
        with pytest.raises(Retry, match=name.removeprefix("scan_elements/").split("_scale")[0].removeprefix("in_")):
            async with running(under_test) as items:
                await anext(items)


async def test_scans_that_are_out_of_step_are_noticed(tmp_path: Path) -> None:
    """Half a scan comes first, as no driver would do it: every timestamp after it is nonsense."""
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        device.write(b"\x01\x02\x03\x04\x05")
        with pytest.raises(Retry, match="timestamps make no sense"):
            await drain(source(device))


async def test_half_a_scan_and_then_nothing_is_a_device_that_is_gone(tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        device.stalled = True
        reading = asyncio.create_task(drain(source(device)))
        await asyncio.sleep(0.2)
        device.write(b"\x01\x02\x03")
        await asyncio.sleep(0.05)
        device.unplug()
        with pytest.raises(Retry, match="the device is gone"):
            await reading


async def test_a_trigger_that_stops_is_silence(tmp_path: Path) -> None:
    async with IioDevice(tmp_path, counting(), rate_hz=2000) as device:
        under_test = source(device, timeout=0.3)
        async with running(under_test) as items:
            await anext(items)
        device.stalled = True
        with pytest.raises(Retry, match=r"nothing came for 0\.[34]\d* s; does its trigger run"):
            await drain(under_test)


async def test_four_channels_at_the_highest_rate_come_whole(tmp_path: Path) -> None:
    axes = [Channel(f"voltage{index}", "le:s24/32>>8", STEP) for index in range(4)]
    points = {f"voltage{index}": f"p/{index}" for index in range(4)}
    async with IioDevice(tmp_path, counting(4), channels=axes, rate_hz=51_200) as device:
        under_test = source(device, points=points, unit="g", scale=0.5)
        async with running(under_test) as items:
            batches = [await anext(items) for _ in range(10)]
    assert under_test.lost_samples == 0
    for batch in batches:
        steps = np.diff(batch[0].samples)
        assert (batch[0].unit, len(batch)) == ("g", 4)
        assert np.allclose(steps[steps > 0], STEP / 2, atol=1e-5)
        assert np.allclose(batch[1].samples, -batch[2].samples, atol=1e-5)
