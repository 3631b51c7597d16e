"""Cameras: which device a url names, pictures limited and fresh, a stream that stalls, a file at its own pace."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge.errors import Retry
from edge.items import Frame
from edge.sources import SourceContext
from edge.sources.camera import CameraSettings, CameraSource, locate, shown
from simulators.field.camera_feed import CameraFeed
from simulators.field.camera_scene import render_clip
from simulators.field.listener import Listener


def source(folder: Path, url: str, **settings: Any) -> CameraSource:
    given = {"name": "x", "type": "camera", "camera": "belt-cam", "url": url} | settings
    return CameraSource(CameraSettings.model_validate(given), SourceContext("node", folder))


@contextlib.asynccontextmanager
async def running(under_test: CameraSource) -> Any:
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    async with asyncio.timeout(20), contextlib.aclosing(items):
        yield items


async def frames(items: Any, count: int) -> list[Frame]:
    return [(await anext(items))[0] for _ in range(count)]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("0", ("device", 0)),
        ("/dev/video2", ("device", 2)),
        ("rtsp://10.0.0.5/ch1", ("network", "rtsp://10.0.0.5/ch1")),
        ("clips/a.mp4", ("file", "/etc/muki/clips/a.mp4")),
        ("/srv/a.mp4", ("file", "/srv/a.mp4")),
    ],
)
def test_what_a_url_names(url: str, found: tuple[str, str | int]) -> None:
    assert locate(url, Path("/etc/muki")) == found


def test_passwords_are_not_shown() -> None:
    assert shown("rtsp://admin:pa55@10.0.0.5:554/ch1?x=a@b") == "rtsp://10.0.0.5:554/ch1?x=a@b"
    assert shown("rtsp://admin:p@ss@10.0.0.5:554/ch1") == "rtsp://10.0.0.5:554/ch1"
    assert shown("rtsp://admin:pa/ss@10.0.0.5:554/ch1") == "rtsp://10.0.0.5:554/ch1"
    assert shown("rtsp://10.0.0.5:554/user=admin&password=pa55&channel=1") == "rtsp://10.0.0.5:554/user=admin&password=…&channel=1"
    assert shown("http://10.0.0.5:80/x@y") == "http://10.0.0.5:80/x@y"
    assert shown("http://10.0.0.5/stream") == "http://10.0.0.5/stream"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"camera": "Belt Cam"}, "match pattern"),
        ({"fps": 0}, "greater than 0"),
        ({"ulr": "0"}, "Extra inputs"),
        ({"url": None}, "valid string"),
    ],
)
def test_settings_say_what_is_wrong(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CameraSettings.model_validate({"name": "x", "type": "camera", "camera": "belt-cam", "url": "0"} | change)


async def test_pictures_are_limited_in_rate_and_have_the_shape_of_the_camera(tmp_path: Path) -> None:
    async with CameraFeed(fps=20) as feed, running(source(tmp_path, feed.url, fps=5)) as items:
        taken = await frames(items, 6)
    assert {frame.image.shape for frame in taken} == {(360, 640, 3)}
    assert {frame.camera for frame in taken} == {"belt-cam"}
    took = (taken[-1].time_ns - taken[0].time_ns) / 1e9
    assert 0.8 < took < 3  # five intervals of 0.2 s
    assert all(frame.time_ns % 1_000_000 == 0 for frame in taken)


async def test_a_slow_reader_gets_the_newest_picture_and_the_rest_is_counted(tmp_path: Path) -> None:
    async with CameraFeed(fps=20) as feed:
        under_test = source(tmp_path, feed.url, fps=20)
        async with running(under_test) as items:
            await frames(items, 1)
            await asyncio.sleep(1.0)
            await frames(items, 1)  # was waiting since it came first
            (fresh,) = await frames(items, 1)
            assert time.time_ns() - fresh.time_ns < 0.5e9
    assert 5 <= under_test.dropped <= 30


async def _watch(under_test: CameraSource, seen: list[Frame]) -> None:
    async with running(under_test) as items:
        async for batch in items:
            seen += batch


async def test_a_stream_that_stalls_raises_retry(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with CameraFeed(fps=20) as feed:
            away_reader, away = await asyncio.open_connection(feed.host, feed.port)
            away.write(b"GET /stream HTTP/1.1\r\n\r\n")
            for _ in range(40):
                writer.write(await away_reader.read(1 << 16))
            away.transport.abort()
        await release.wait()

    async with Listener(half) as camera:
        begun = time.monotonic()
        seen: list[Frame] = []
        with pytest.raises(Retry, match=r"belt-cam: .*(no picture for 0\.5 s|ended)"):
            await _watch(source(tmp_path, f"http://{camera.address}/stream", timeout=0.5), seen)
        assert seen
        assert time.monotonic() - begun < 10
        release.set()


async def test_a_file_is_read_at_its_own_pace_and_then_silent(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.avi", seconds=1.0, fps=10)
    begun = time.monotonic()
    async with running(source(tmp_path, "clip.avi", fps=100)) as items:
        taken = await frames(items, 10)
        took = time.monotonic() - begun
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(items)
    assert 0.7 < took < 5
    apart = [(b.time_ns - a.time_ns) / 1e6 for a, b in itertools.pairwise(taken)]
    assert 80 < sorted(apart)[len(apart) // 2] < 150
