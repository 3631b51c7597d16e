"""A camera by RTSP: the pictures are the camera's, always over TCP; every fault ends in Retry and the next attempt reads again; nothing leaks."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import Retry
from edge.items import Frame
from edge.processing import ProcessorContext
from edge.processing.vision import CameraCheckProcessor, CameraCheckSettings
from edge.sources import SourceContext
from edge.sources.camera import CameraSettings, CameraSource
from simulators.field.camera_scene import Lens, Scene, jpeg
from simulators.field.rtp_jpeg import packets, scan_of
from simulators.field.rtsp_server import Auth, Fault, RtspCamera


def source(url: str, **settings: Any) -> CameraSource:
    given = {"name": "x", "type": "camera", "camera": "belt-cam", "url": url, "fps": 20, "timeout": 1.0} | settings
    return CameraSource(CameraSettings.model_validate(given), SourceContext("node", Path()))


async def frames(under_test: CameraSource, count: int) -> list[Frame]:
    items = under_test.items()
    assert isinstance(items, AsyncGenerator)
    taken: list[Frame] = []
    async with asyncio.timeout(20), contextlib.aclosing(items):
        async for (frame,) in items:
            assert isinstance(frame, Frame)
            taken.append(frame)
            if len(taken) == count:
                return taken
    raise AssertionError("the source ended")


@pytest.mark.parametrize("auth", list(Auth))
async def test_the_pictures_are_the_cameras_and_come_over_tcp(auth: Auth) -> None:
    async with RtspCamera(fps=15, auth=auth, password="pa55") as camera:
        taken = await frames(source(camera.url), 3)
    drawn = Scene(1).picture(1, 1 / 15)[0]
    assert taken[0].image.shape == drawn.shape
    # JPEG and a walking person differ a little; another picture, or bands in the wrong place, by far more.
    assert float(np.abs(taken[0].image.astype(int) - drawn).mean()) < 6
    assert camera.setups
    assert all("TCP" in transport for transport in camera.setups)


async def test_a_wrong_password_says_so_and_is_in_no_message() -> None:
    async with RtspCamera(auth=Auth.DIGEST, password="right") as camera:
        with pytest.raises(Retry, match="does not open; is it on, and are address, user and password right") as raised:
            await frames(source(camera.url.replace("right", "hunter2")), 1)
        assert camera.refused
    assert "hunter2" not in str(raised.value)
    assert "admin" not in str(raised.value)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
async def test_every_fault_ends_in_retry_and_the_camera_comes_back(fault: Fault) -> None:
    async with RtspCamera(fps=15) as camera:
        under_test = source(camera.url)
        if fault in (Fault.MUTE, Fault.HALF_ANSWER):
            camera.fault = fault
        else:
            asyncio.get_running_loop().call_later(0.6, setattr, camera, "fault", fault)
        begun = time.monotonic()
        with pytest.raises(Retry, match="belt-cam"):
            await frames(under_test, 10_000)
        assert time.monotonic() - begun < 12  # a timeout of 1 s
        camera.fault = Fault.NONE
        assert len(await frames(under_test, 2)) == 2


def held() -> tuple[int, int, int]:
    """Threads but for those of the loop's executor, descriptors, bytes resident."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(threads), len(list(Path("/proc/self/fd").iterdir())), resident


async def test_many_reconnects_keep_no_thread_descriptor_or_memory() -> None:
    async with RtspCamera(fps=15) as camera:
        under_test = source(camera.url)

        async def rounds(count: int) -> tuple[int, int, int]:
            for _ in range(count):
                camera.fault = Fault.NONE
                await frames(under_test, 1)
            await asyncio.sleep(0.3)
            return held()

        before = await rounds(2)
        after = await rounds(4)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 12e6  # a picture of 640 x 360 is 0.7 MB, a decoder with its buffers several


def test_ffmpeg_prints_no_password() -> None:
    code = (
        "import asyncio, sys\nfrom tests.unit.test_source_rtsp import *\n"
        "async def main():\n"
        "    async with RtspCamera(auth=Auth.DIGEST, password='other') as camera:\n"
        "        try: await frames(source(camera.url.replace('other', 'hunter2')), 1)\n"
        "        except Retry as error: print(error)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "does not open" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("lens", [Lens.COVERED, Lens.DARK, Lens.BLURRED])
async def test_a_bad_lens_is_named_from_the_stream(lens: Lens) -> None:
    check = CameraCheckProcessor(
        CameraCheckSettings.model_validate({"name": "lens", "type": "camera-check", "input": "belt-cam", "every": 0}),
        ProcessorContext("node", Path()),
    )
    async with RtspCamera(fps=15) as camera:
        camera.lens = lens
        taken = await frames(source(camera.url), 6)
    states = {reading.point: reading.value for frame in taken for reading in check.process(frame)}
    assert {name for name in ("covered", "dark", "blurred", "frozen") if states[f"belt-cam/image/{name}"]} == {lens.value}


def test_packets_carry_the_scan_whole_and_in_order() -> None:
    scan = scan_of(jpeg(Scene(1).picture(1, 0.1)[0]))
    sent = list(packets(scan, sequence=65_534, timestamp=2**32 + 5, source=7))
    assert [int.from_bytes(packet[2:4], "big") for packet in sent[:4]] == [65_534, 65_535, 0, 1]
    assert [packet[1] >> 7 for packet in sent] == [0] * (len(sent) - 1) + [1]
    assert b"".join([sent[0][24 + len(scan.tables) :], *(packet[20:] for packet in sent[1:])]) == scan.data
    assert (scan.width, scan.height, len(scan.tables)) == (640, 360, 128)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"GIF89a" * 9])
def test_what_is_no_jpeg_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no baseline JPEG"):
        scan_of(content)


DEVICES = sorted(Path("/dev").glob("video*"))


@pytest.mark.skipif(not DEVICES, reason="NOT TESTED: V4L2 pictures; this machine has no /dev/video*")
async def test_a_device_gives_pictures() -> None:
    assert len(await frames(source(str(DEVICES[0]), timeout=5), 2)) == 2
