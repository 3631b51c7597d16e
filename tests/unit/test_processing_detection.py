"""The detector on real pictures of the simulated camera and of people; zones, masks, and what is no picture or no model."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contract.values import GOOD, Reading
from edge.config import ConfiguredProcessor
from edge.errors import Misconfigured
from edge.items import Frame
from edge.model_settings import ModelPolicy
from edge.processing import ProcessorContext
from edge.processing.detection import DetectorProcessor, DetectorSettings
from edge.processing.person_watch import PersonWatchProcessor
from edge.processing.vision import CameraCheckProcessor, CameraCheckSettings
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.zones import inside
from edge.worker import Worker
from models.cards import ARTIFACTS
from models.train.datasets import DataMissing, data_folder
from tests.rig.fixed_detector import install, small_model

SECOND = 1_000_000_000


def processor(folder: Path = Path(), *, start: bool = True, **settings: Any) -> DetectorProcessor:
    given = {"name": "people", "type": "detector", "input": "belt-cam"} | settings
    made = DetectorProcessor(DetectorSettings.model_validate(given), ProcessorContext("node", folder))
    if start:
        made.start()
    return made


def values(readings: Any) -> dict[str, float | None]:
    return {reading.point.removeprefix("belt-cam/objects/"): reading.value for reading in readings}


@pytest.fixture(scope="module")
def crew() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture of the data set with several people."""
    import cv2

    try:
        folder = data_folder("ppe_css") / "test"
    except DataMissing as missing:
        pytest.skip(f"NOT TESTED on a real picture: {missing}")
    counts = {path: path.read_text().count("\n5 ") for path in sorted((folder / "labels").iterdir())}
    best = max(counts, key=lambda path: counts[path])
    image = cv2.imread(str(next((folder / "images").glob(f"{best.stem}.*"))))
    return np.asarray(image, np.uint8)


def test_people_are_counted_and_points_are_as_declared(crew: Any) -> None:
    everywhere = [[0, 0], [1, 0], [1, 1], [0, 1]]
    made = processor(zones={"all": everywhere, "left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "right": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]})
    readings = made.process(Frame("belt-cam", SECOND, crew))
    assert {reading.point for reading in readings} == set(made.points())
    assert all(reading.quality.good and reading.time_ns == SECOND for reading in readings)
    found = values(readings)
    assert (found["person"] or 0) >= 2
    assert found["all/person"] == found["person"] == (found["left/person"] or 0) + (found["right/person"] or 0)
    assert 0.65 <= (found["person_score"] or 0) <= 1
    assert (found["latency"] or 0) > 0
    masked = values(processor(masks=[everywhere]).process(Frame("belt-cam", SECOND, crew)))
    assert (masked["person"], masked["person_score"]) == (0, 0)


def test_a_cameras_own_threshold_goes_before_the_cards(crew: Any) -> None:
    made = [processor(threshold=threshold) for threshold in (0.3, None, 0.99)]
    low, card, high = (values(one.process(Frame("belt-cam", 0, crew)))["person"] or 0 for one in made)
    assert low > card > 0
    assert high == 0


def test_an_empty_wall_has_nobody() -> None:
    found = values(processor().process(Frame("belt-cam", 0, np.full((360, 640, 3), 90, np.uint8))))
    assert (found["person"], found["person_score"]) == (0, 0)


@pytest.mark.parametrize("image", [np.zeros((0, 0, 3), np.uint8), np.zeros((9, 9), np.uint8)])
def test_no_picture_and_no_model_are_told_as_bad_quality(image: Any) -> None:
    assert {str(reading.quality) for reading in processor().process(Frame("belt-cam", 0, image))} == {"bad:no_picture"}
    readings = processor(start=False).process(Frame("belt-cam", 0, np.zeros((9, 9, 3), np.uint8)))
    assert {str(reading.quality) for reading in readings} == {"bad:no_model"}
    assert {reading.value for reading in readings} == {None}


def test_every_leaves_pictures_out_and_a_clock_set_back_does_not_silence_it() -> None:
    made, image = processor(every=1.0, report=1), np.zeros((9, 9, 3), np.uint8)
    looked = [bool(made.process(Frame("belt-cam", round(at * SECOND), image))) for at in (10, 10.2, 10.95, 11.0, 12, 3, 3.5)]
    assert looked == [True, False, True, False, True, True, False]
    assert made.process(Frame("other-cam", 90 * SECOND, image)) == []
    assert made.process(Reading("belt-cam/x", 0, 1.0)) == []


def test_a_report_of_0_tells_of_each_picture() -> None:
    made, image = processor(report=0), np.zeros((9, 9, 3), np.uint8)
    assert all(made.process(Frame("belt-cam", at, image)) for at in (1, 2, 3))
    made = processor(report=1)
    assert [bool(made.process(Frame("belt-cam", round(at * SECOND), image))) for at in (1, 1.2, 1.8, 2)] == [True, False, False, True]


@pytest.mark.parametrize("kind", ["detector", "person-watch"])
async def test_an_output_that_is_not_finite_is_a_malfunction_and_the_others_go_on(tmp_path: Path, kind: str) -> None:
    """In the agent's own worker, beside a camera check. The first good result after it is told at once, though it says what was said before."""
    small_model(tmp_path, weight=0.9, labels=["o", "x", "y", "w", "h", "person"])
    given = {"name": "people", "type": kind, "input": "belt-cam", "model": "small.onnx", "threshold": 0.5, "report": 60, "every": 0}
    context = ProcessorContext("node", tmp_path)
    watch = kind == "person-watch"
    settings = (PersonWatchSettings if watch else DetectorSettings).model_validate(given)
    made = (PersonWatchProcessor if watch else DetectorProcessor)(settings, context)
    lens_settings = CameraCheckSettings(name="lens", type="camera-check", input="belt-cam", every=0)
    worker = Worker(
        [ConfiguredProcessor(settings, made), ConfiguredProcessor(lens_settings, CameraCheckProcessor(lens_settings, context))], "node"
    )
    delivered: list[Reading] = []
    worker.deliver = delivered.extend
    task = asyncio.create_task(worker.run())
    light, black = np.full((9, 9, 3), 128, np.uint8), np.zeros((9, 9, 3), np.uint8)

    async def tell(at: int, image: Any) -> dict[str, Reading]:
        """The last reading of each point, once the camera check has told of this picture: it is the second to look at it."""
        worker.offer(Frame("belt-cam", at * SECOND // 5, image))
        seen = len(delivered)
        async with asyncio.timeout(60):
            while not any(one.point == "belt-cam/image/brightness" and one.time_ns == at * SECOND // 5 for one in delivered[seen:]):  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)
        return {one.point: one for one in delivered}

    people = f"belt-cam/{'watch/people' if watch else 'objects/person'}"
    for at in range(4):
        first = await tell(at, light)
    assert first[people].quality == GOOD
    for at in range(4, 7):
        broken = await tell(at, black)
        assert (broken[people].value, str(broken[people].quality)) == (None, "bad:processor_fault")
        assert (broken["node/processor/people"].value, broken["node/processor/lens"].value) == (0.0, 1.0)
        assert broken["belt-cam/image/brightness"].value == 0
    again = await tell(7, light)
    assert (again[people].value, again[people].quality) == (first[people].value, GOOD)
    assert again["node/processor/people"].value == 1.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_model_of_an_accelerator_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    settings = DetectorSettings(name="people", type="detector", input="belt-cam")
    made = DetectorProcessor(settings, ProcessorContext("node", tmp_path, ModelPolicy(None, "CUDAExecutionProvider")))
    with pytest.raises(Misconfigured, match="CUDAExecutionProvider"):
        made.start()


@pytest.mark.parametrize(
    ("labels", "says"),
    [(["a", "b"], r"is no detector: it needs one output"), (["o", "x", "y", "w", "h", "truck"], "has no class person; it has truck")],
)
def test_a_model_of_another_kind_is_misconfigured(labels: list[str], says: str, tmp_path: Path) -> None:
    small_model(tmp_path, weight=1, labels=labels)
    with pytest.raises(Misconfigured, match=says):
        processor(tmp_path, model="small.onnx")


def test_missing_changed_and_foreign_models_are_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"people: model: .*there is no such model file; known by name: .*people_vehicles"):
        processor(tmp_path, model="peple")
    with pytest.raises(Misconfigured, match="is no detector: its input has shape"):
        processor(model="bearing_condition")
    for ending in ("onnx", "json"):
        shutil.copy(ARTIFACTS / f"people_vehicles.{ending}", tmp_path)
    with (tmp_path / "people_vehicles.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(Misconfigured, match="SHA-256"):
        processor(tmp_path, model="people_vehicles.onnx")


def test_inside_a_polygon_that_is_not_convex() -> None:
    corner = np.array([[0, 0], [1, 0], [1, 0.4], [0.4, 0.4], [0.4, 1], [0, 1]])
    points = np.array([[0.2, 0.2], [0.9, 0.2], [0.2, 0.9], [0.7, 0.7], [1.1, 0.2], [0.2, 1.0]])
    assert inside(points, corner).tolist() == [True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zones": {"belt": [[0, 0], [1, 1]]}}, "at least 3"),
        ({"zones": {"belt": [[0, 0], [640, 0], [640, 360]]}}, "less than or equal to 1"),
        ({"zones": {"latency": [[0, 0], [1, 0], [1, 1]]}}, "taken by a class or by latency"),
        ({"classes": ["person", "person"]}, "each is named once"),
        ({"treshold": 0.4}, "Extra inputs"),
    ],
)
def test_settings_say_what_would_be_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        processor(start=False, **change)


def test_a_candidate_says_how_much_oftener_it_would_call_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    low, high = (install(tmp_path, [[0.2, 0.2, 0.4, 0.8, score]], ["person"], name=name) for name, score in (("low", 0.1), ("high", 0.9)))
    image = np.full((9, 9, 3), 128, np.uint8)

    def told(count: int = 20, **settings: Any) -> list[tuple[float | None, str, float | None]]:
        made, found = processor(tmp_path, report=0, **settings), []
        for at in range(count):
            readings = {one.point: one for one in made.process(Frame("belt-cam", at * SECOND, image))}
            assert set(readings) == set(made.points())
            one = readings["belt-cam/objects/candidate/alarm_difference"]
            found.append((one.value, str(one.quality), readings["belt-cam/objects/person"].value))
        return found

    assert told(model=low, candidate=high)[-2:] == [(None, "bad:gathering", 0.0), (1.0, "good", 0.0)]
    assert told(model=high, candidate=low)[-1] == (-1.0, "good", 1.0)
    assert told(model=high, candidate=high)[-1] == (0.0, "good", 1.0)
    masked = told(model=low, candidate=high, masks=[[[0, 0], [1, 0], [1, 1], [0, 1]]])
    assert masked[-1] == (0.0, "good", 0.0), "what is masked calls nobody"
    assert told(3, model=high, candidate="nobody.onnx")[-1] == (None, "bad:no_model", 1.0)
    small_model(tmp_path, weight=0.9, labels=["o", "x", "y", "w", "h", "person"])
    image = np.zeros((9, 9, 3), np.uint8)
    assert told(3, model=high, candidate="small.onnx")[-1] == (None, "bad:candidate_failed", 1.0)
    assert sum("candidate small.onnx: failed" in record.getMessage() for record in caplog.records) == 1
