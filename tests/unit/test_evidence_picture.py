"""Who is no part of an alarm cannot be recognised in its picture, and no byte of it says more than the picture."""

import asyncio
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from contract.alarms import AlarmEvent, Transition
from edge.evidence import EvidenceDesk, Spool
from edge.evidence_picture import LARGEST, black_out, picture, smaller

Array = np.ndarray[Any, Any]
EVENT, OTHER = np.array([[40, 60, 160, 300]], np.float32), np.array([[300, 80, 420, 320]], np.float32)


def scene(height: int = 360, width: int = 640) -> Array:
    """Coarse noise: each place looks like no other, and JPEG keeps it."""
    few = np.random.default_rng(7).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)


def seen(data: bytes) -> Array:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def recognised(image: Array, original: Array, box: Array) -> float:
    """The best correlation of the inside of the original's box with any place of the picture."""
    left, top, right, bottom = np.add(box, [10, 10, -10, -10]).astype(int)
    return float(cv2.matchTemplate(image, original[top:bottom, left:right], cv2.TM_CCOEFF_NORMED).max())


def detail(image: Array) -> float:
    return float(cv2.Laplacian(image[80:320, 300:420], cv2.CV_64F).var())


def test_others_are_not_recognised_and_the_event_is() -> None:
    original = scene()
    shown = seen(picture(original, EVENT, OTHER, heads=False))
    assert recognised(shown, original, EVENT[0]) > 0.95
    assert recognised(shown, original, OTHER[0]) < 0.35
    assert detail(shown) < 0.03 * detail(original)
    assert np.abs(shown[80:320, 300:420].astype(int) - original[80:320, 300:420]).mean() > 20
    outside = np.abs(shown[:, 500:].astype(int) - original[:, 500:]).mean()
    assert outside < 12  # JPEG of noise
    assert recognised(shown, original, np.array([480, 40, 630, 320])) > 0.95, "what is no box stays as it was"


def test_heads_are_hidden_where_the_site_says_so() -> None:
    original = scene()
    head, body = np.array([40, 60, 160, 120]), np.array([40, 140, 160, 300])
    shown = seen(picture(original, EVENT, np.empty((0, 4), np.float32), heads=True))
    assert recognised(shown, original, head) < 0.6
    assert recognised(shown, original, body) > 0.95


def test_a_polygon_is_black() -> None:
    hidden = black_out(scene(), [np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]])])
    assert not hidden[:, :319].any()
    assert hidden[:, 325:].any()


@pytest.mark.parametrize("box", [[-50, -50, -1, -1], [600, 300, 900, 900], [10, 10, 10, 10], [5, 5, 6, 6]])
def test_odd_boxes_break_nothing(box: list[float]) -> None:
    assert seen(picture(scene(), np.array([box], np.float32), np.array([box], np.float32), heads=True)).shape == (360, 640, 3)


def test_noise_of_a_large_camera_fits_and_carries_no_metadata() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (2160, 3840, 3), np.uint8)
    small, scale = smaller(noise)
    assert small.shape == (720, 1280, 3)
    assert scale == pytest.approx(1 / 3)
    data = picture(np.random.default_rng(2).integers(0, 255, small.shape, np.uint8), EVENT, OTHER, heads=False)
    assert len(data) <= LARGEST
    assert b"Exif" not in data


def test_pictures_outlive_the_node_until_the_gateway_has_them(tmp_path: Path) -> None:
    Spool(tmp_path / "evidence", min_free=0).put("a-1", b"one")
    (tmp_path / "evidence" / "b-2.part").write_bytes(b"half")  # killed while it wrote
    again = Spool(tmp_path / "evidence", min_free=0)
    assert again.waiting() == ["a-1"]
    assert again.read("a-1") == b"one"
    (tmp_path / "kept.jpg").write_bytes(b"")
    again.done(["../kept", "a-1", "never"])
    assert again.waiting() == []
    assert (tmp_path / "kept.jpg").exists()
    with pytest.raises(ValueError, match="1 to 64"):
        again.put("../../etc/x", b"")


def test_the_folder_is_bounded_and_the_oldest_give_way(tmp_path: Path) -> None:
    spool = Spool(tmp_path, min_free=0, max_bytes=1000)
    assert all(spool.put(f"e-{number}", bytes(300)) for number in range(5))
    assert spool.waiting() == ["e-2", "e-3", "e-4"]
    assert not Spool(tmp_path, min_free=1 << 60).put("e-9", b"x")


class Camera:
    def evidence(self, point: str, time_ns: int) -> bytes | None:
        if point == "broken/x":
            raise cv2.error("no")
        return f"{point} {time_ns}".encode() if point.startswith("cam/") else None


CASES = [("cam/p", "active", 1), ("cam/p", "normal", 0), ("gas/co", "active", 0), ("broken/x", "active", 0)]


@pytest.mark.parametrize(("point", "transition", "kept"), CASES)
async def test_only_the_beginning_of_an_alarm_on_a_camera_has_a_picture(tmp_path: Path, point: str, transition: str, kept: int) -> None:
    spool = Spool(tmp_path, min_free=0)
    desk = EvidenceDesk([Camera()], spool)
    desk.take([AlarmEvent("e-1", "person", "node", point, 5, Transition(transition))])
    desk.take([AlarmEvent("e-2", "person", "node", "cam/end", 6, Transition.ACTIVE)])
    task = asyncio.create_task(desk.run())
    async with asyncio.timeout(20):
        while "e-2" not in spool.waiting():  # noqa: ASYNC110 - a folder has no event
            await asyncio.sleep(0.01)
    task.cancel()
    assert len(spool.waiting()) == 1 + kept
