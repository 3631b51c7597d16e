"""The simulated camera: HTTP MJPEG that others read, and a truth that fits the picture."""

import asyncio
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from simulators.field.camera_feed import CameraFeed
from simulators.field.camera_scene import HEIGHT, WIDTH, Image, Lens, Scene, jpeg, render_clip


def _decode(jpeg: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


async def _get(port: int, path: str, method: str = "GET") -> tuple[str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: camera\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


async def _part(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)).decode()
    fields = dict(line.split(": ") for line in head.strip().split("\r\n") if ": " in line)
    return int(fields["X-Frame"]), await reader.readexactly(int(fields["Content-Length"]) + 2)


async def test_stream_snapshot_and_truth() -> None:
    async with CameraFeed(fps=20) as camera:
        reader, writer = await asyncio.open_connection("127.0.0.1", camera.port)
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
        assert b"multipart/x-mixed-replace; boundary=frame" in head
        parts = [await _part(reader) for _ in range(4)]
        assert [number for number, _ in parts] == list(range(parts[0][0], parts[0][0] + 4))
        assert _decode(parts[0][1]).shape == (HEIGHT, WIDTH, 3)
        status, body = await _get(camera.port, "/snapshot?size=full")
        assert status == "HTTP/1.1 200 OK"
        assert _decode(body).shape == (HEIGHT, WIDTH, 3)
        camera.lens = Lens.COVERED
        for _ in range(3):
            await _part(reader)
        truth = json.loads((await _get(camera.port, "/truth"))[1])
        assert truth["lens"] == "covered"
        assert {box["label"] for box in truth["boxes"]} >= {"person"}
        assert (await _get(camera.port, "/elsewhere"))[0] == "HTTP/1.1 404 Not Found"
        assert (await _get(camera.port, "/stream", "POST"))[0] == "HTTP/1.1 405 Method Not Allowed"
        writer.close()
        await writer.wait_closed()


async def test_opencv_reads_the_stream() -> None:
    def read(url: str) -> tuple[int, ...]:
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
        try:
            done, image = capture.read()
            return tuple(image.shape) if done else ()
        finally:
            capture.release()

    async with CameraFeed(fps=20) as camera:
        assert await asyncio.to_thread(read, camera.url) == (HEIGHT, WIDTH, 3)


def test_the_truth_fits_the_picture() -> None:
    """Inside the person's box there is the orange of the vest, and nowhere outside the boxes; the vehicle comes and goes."""
    scene = Scene(5)
    vehicles = 0
    for frame in range(0, 200, 10):
        image, truth = scene.picture(frame, frame / 5)
        blue, green, red = (image[:, :, channel].astype(int) for channel in range(3))
        orange = (red > 200) & (green < 160) & (blue < 60)
        inside = np.zeros_like(orange)
        for box in truth.boxes:
            assert box.x >= 0
            assert box.x + box.width <= WIDTH
            assert box.y + box.height <= HEIGHT
            inside[box.y : box.y + box.height, box.x : box.x + box.width] = True
        person = truth.boxes[0]
        assert person.label == "person"
        assert orange[person.y : person.y + person.height, person.x : person.x + person.width].mean() > 0.1
        assert not orange[~inside].any()
        vehicles += len(truth.boxes) == 2
    assert 0 < vehicles < 20


def test_each_lens_looks_as_it_is_called() -> None:
    scene = Scene(2)
    pictures: dict[Lens, Image] = {lens: scene.picture(index, 10.0, lens)[0] for index, lens in enumerate(Lens) if lens is not Lens.FROZEN}

    def sharpness(lens: Lens) -> float:
        return float(cv2.Laplacian(cv2.cvtColor(pictures[lens], cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())

    assert pictures[Lens.DARK].mean() < 20 < pictures[Lens.CLEAR].mean()
    assert pictures[Lens.COVERED].std() < 8 < pictures[Lens.CLEAR].std()
    assert sharpness(Lens.BLURRED) < sharpness(Lens.CLEAR) / 5
    for lens in pictures:  # only a frozen camera sends the same picture twice, after JPEG too
        one, two = (_decode(jpeg(scene.picture(frame, frame / 5, lens)[0])) for frame in (20, 21))
        assert not np.array_equal(one, two), lens
    first, truth = scene.picture(10, 12.0)
    frozen, frozen_truth = scene.picture(11, 14.0, Lens.FROZEN)
    assert np.array_equal(first, frozen)
    assert frozen_truth.boxes == truth.boxes
    assert not np.array_equal(first, scene.picture(12, 12.0)[0])  # a live sensor has grain


@pytest.mark.parametrize("ending", ["avi", "mp4", "mjpg"])
def test_clips_can_be_read_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    truths = render_clip(path, seconds=1.2, lens=Lens.FROZEN)
    assert [truth.frame for truth in truths] == list(range(6))
    assert [truth.lens for truth in truths[:2]] == [Lens.CLEAR, Lens.FROZEN]
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    assert count == 6


def test_a_clip_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.avi, \.mp4 or \.mjpg"):
        render_clip(tmp_path / "clip.gif", seconds=1)
