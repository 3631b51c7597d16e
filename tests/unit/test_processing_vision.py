"""The lens check against pictures whose state is known: the simulated gallery, clear, covered, dark, blurred and frozen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.values import Reading
from edge.items import Frame
from edge.processing import Processor, ProcessorContext
from edge.processing.hold import Hold
from edge.processing.vision import CameraCheckProcessor, CameraCheckSettings, grey_copy, measure, motion
from simulators.field.camera_scene import Lens, Scene, jpeg

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def processor(**settings: Any) -> CameraCheckProcessor:
    given = {"name": "lens", "type": "camera-check", "input": "gallery"} | settings
    made = CameraCheckProcessor(CameraCheckSettings.model_validate(given), ProcessorContext("node", Path()))
    assert isinstance(made, Processor)
    made.start()
    return made


def as_seen(image: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture after JPEG, as it comes from the camera."""
    import cv2

    decoded = cv2.imdecode(np.frombuffer(jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)


class Gallery:
    """Pictures at 5 a second, one after the other, through one processor."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.processor = processor(**settings)
        self.scene = Scene(seed)
        self.frame = 0

    def show(self, lens: Lens, seconds: float) -> list[Reading]:
        readings: list[Reading] = []
        for _ in range(round(seconds * 5)):
            image, _truth = self.scene.picture(self.frame, self.frame / 5, lens)
            readings += self.processor.process(Frame("gallery", START + self.frame * SECOND // 5, as_seen(image)))
            self.frame += 1
        return readings


def latest(readings: list[Reading]) -> dict[str, float | None]:
    return {reading.point.removeprefix("gallery/image/"): reading.value for reading in readings}


def states(readings: list[Reading]) -> set[str]:
    found = latest(readings)
    return {name for name in ("covered", "dark", "blurred", "frozen") if found[name] == 1}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("lens", "expected"),
    [(Lens.CLEAR, set()), (Lens.COVERED, {"covered"}), (Lens.DARK, {"dark"}), (Lens.BLURRED, {"blurred"}), (Lens.FROZEN, {"frozen"})],
)
def test_each_lens_state_is_found_and_left_again(lens: Lens, expected: set[str], seed: int) -> None:
    gallery = Gallery(seed)
    assert states(gallery.show(Lens.CLEAR, 4)) == set()
    assert states(gallery.show(lens, 8)) == expected
    assert states(gallery.show(Lens.CLEAR, 4)) == set()


def test_a_state_begins_after_four_of_five_pictures_and_is_reported_at_once() -> None:
    gallery = Gallery(every=60)
    gallery.show(Lens.CLEAR, 2)
    begun = START + gallery.frame * SECOND // 5
    covered = [r for r in gallery.show(Lens.COVERED, 4) if r.point.endswith("/covered") and r.value == 1]
    assert covered[0].time_ns - begun == 3 * SECOND // 5  # the fourth picture


def test_one_bad_picture_is_no_state() -> None:
    gallery = Gallery()
    gallery.show(Lens.CLEAR, 2)
    gallery.show(Lens.DARK, 0.4)
    assert states(gallery.show(Lens.CLEAR, 2)) == set()


def test_readings_come_once_a_second_with_rate_and_motion() -> None:
    readings = Gallery().show(Lens.CLEAR, 6)
    brightness = [r for r in readings if r.point.endswith("/brightness")]
    assert [r.time_ns - START for r in brightness] == [k * SECOND for k in range(6)]
    found = latest(readings)
    assert found["fps"] == pytest.approx(5, abs=0.01)
    assert 0.02 < (found["motion"] or 0) < 0.3
    assert 80 < (found["brightness"] or 0) < 100
    assert all(reading.quality.good and reading.value is not None for reading in readings)


def test_every_reading_is_declared_in_both_languages() -> None:
    gallery = Gallery()
    declared = gallery.processor.points()
    readings = gallery.show(Lens.CLEAR, 2)
    assert {reading.point for reading in readings} == set(declared)
    for point, declaration in declared.items():
        assert set(declaration.description) == {"es", "en"}
        assert declaration.asset == "gallery"
        low, high = declaration.range or (0, 1)
        assert all(low <= (r.value or 0) <= high for r in readings if r.point == point)


def test_other_cameras_and_other_items_are_left_alone() -> None:
    made = processor()
    assert made.wants() == {"gallery"}
    assert made.process(Frame("other", START, np.zeros((9, 9, 3), np.uint8))) == []
    assert made.process(Reading("gallery/x", START, 1.0)) == []


def test_an_empty_picture_is_bad_quality_and_the_next_one_counts() -> None:
    made = processor()
    readings = made.process(Frame("gallery", START, np.zeros((0, 0, 3), np.uint8)))
    assert {str(reading.quality) for reading in readings} == {"bad:no_picture"}
    assert len(made.process(Frame("gallery", START + SECOND, np.full((48, 64, 3), 99, np.uint8)))) == 7


def test_a_clock_set_back_and_a_change_of_size_do_no_harm() -> None:
    made = processor()
    for time_ns, height in ((START, 48), (START - 3600 * SECOND, 48), (START - 3599 * SECOND, 100)):
        readings = made.process(Frame("gallery", time_ns, np.full((height, 64, 3), 99, np.uint8)))
        assert latest(list(readings))["brightness"] == pytest.approx(99, abs=1)
        assert latest(list(readings))["frozen"] == 0


def test_measures_of_pictures_that_can_be_computed_by_hand() -> None:
    flat = np.full((360, 640, 3), 77, np.uint8)
    assert measure(grey_copy(flat)) == (77, 0, 0)
    half = np.zeros((360, 640, 3), np.uint8)
    half[:, 320:] = 200
    measures = measure(grey_copy(half))
    assert measures.brightness == pytest.approx(100, abs=0.1)
    assert measures.contrast == pytest.approx(100, abs=0.1)
    assert motion(grey_copy(flat), grey_copy(flat)) == 0
    assert motion(grey_copy(np.zeros_like(half)), grey_copy(half)) == pytest.approx(0.5, abs=0.001)
    # The second derivative is 0 but beside the edge: 2 of 320 columns are ±200.
    assert measures.sharpness == pytest.approx(200**2 * 2 / 320, rel=0.01)


@examples(deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 9), st.data())
def test_hold_is_k_of_n_both_ways(observed: list[bool], n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(n // 2 + 1, n))
    hold, before = Hold(k, n), False
    for i, value in enumerate(observed):
        active = hold.update(value)
        window = observed[max(0, i + 1 - n) : i + 1]
        if sum(window) >= k:
            assert active
        elif len(window) - sum(window) >= k:
            assert not active
        else:
            assert active == before
        before = active


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hold": [2, 5]}, "more than half of n"),
        ({"hold": [6, 5]}, r"write \[k, n\]"),
        ({"dark": 3}, "Extra inputs"),
        ({"input": "A/b"}, "match pattern"),
    ],
)
def test_settings_say_what_would_be_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        processor(**change)
