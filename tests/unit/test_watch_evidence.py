"""The pictures of a person watch: whom the alarm is about is seen, everybody else is not, nor is what the site keeps black."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import Misconfigured
from edge.evidence import Witness
from edge.items import Frame
from edge.processing import ProcessorContext
from edge.processing.person_watch import PersonWatchProcessor
from edge.processing.watch_evidence import WatchEvidence
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.watching import Seen, View
from tests.rig.fixed_detector import install

SECOND = 1_000_000_000
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, FAR = (0.1, 0.2, 0.3, 0.9), (0.6, 0.2, 0.8, 0.9), (0.42, 0.3, 0.52, 0.6)
LABELS = ["person", "no_hardhat", "hardhat", "vest", "no_vest"]
ROWS = [
    [*LEFT, 0.9, 0, 0, 0, 0],
    [0.15, 0.2, 0.25, 0.35, 0, 0.9, 0, 0, 0],  # the head of LEFT
    [*RIGHT, 0.9, 0, 0, 0, 0],
    [0.65, 0.2, 0.75, 0.35, 0, 0, 0.9, 0, 0],
    [*FAR, 0.3, 0, 0, 0, 0],  # half sure: counts nowhere
]
BELT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def scene() -> np.ndarray[Any, Any]:
    few = np.random.default_rng(7).integers(0, 255, (HEIGHT // 6, WIDTH // 6, 3), np.uint8)
    return cv2.resize(few, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def watch(folder: Path, **more: Any) -> PersonWatchProcessor:
    model = install(folder, ROWS, LABELS)
    given = {"name": "gate", "type": "person-watch", "input": "gate-cam", "model": model, "evidence": True, "threshold": 0.5, "every": 0}
    made = PersonWatchProcessor(PersonWatchSettings.model_validate(given | more), ProcessorContext("n", folder))
    made.start()
    for picture in range(12):
        made.process(Frame("gate-cam", picture * SECOND // 5, scene()))
    return made


def shown(made: PersonWatchProcessor, name: str) -> np.ndarray[Any, Any]:
    data = made.evidence(f"gate-cam/watch/{name}", 2 * SECOND)
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def recognised(image: np.ndarray[Any, Any], box: tuple[float, ...]) -> float:
    """The best correlation of the inside of the box, as it was, with any place of the picture."""
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True))
    return float(cv2.matchTemplate(image, scene()[top + 8 : bottom - 8, left + 8 : right - 8], cv2.TM_CCOEFF_NORMED).max())


@pytest.mark.parametrize(
    ("name", "seen", "hidden"),
    [
        ("no_helmet", [LEFT], [RIGHT, FAR]),
        ("zone/belt/people", [LEFT], [RIGHT, FAR]),
        ("zone/belt/dwell", [LEFT], [RIGHT, FAR]),
        ("people", [LEFT, RIGHT], [FAR]),
        ("no_vest", [], [LEFT, RIGHT, FAR]),
    ],
)
def test_an_alarm_shows_whom_it_is_about_and_nobody_else(
    tmp_path: Path, name: str, seen: list[tuple[float, ...]], hidden: list[tuple[float, ...]]
) -> None:
    made = watch(tmp_path, equipment=["helmet", "vest"], zones={"belt": BELT})
    assert isinstance(made, Witness)
    image = shown(made, name)
    assert [recognised(image, box) > 0.9 for box in seen] == [True] * len(seen)
    assert [recognised(image, box) < 0.45 for box in hidden] == [True] * len(hidden)


def test_what_is_masked_counts_nowhere_and_is_hidden_and_what_is_private_is_black(tmp_path: Path) -> None:
    made = watch(tmp_path, masks=[[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]], privacy=[[[0, 0], [0.2, 0], [0.2, 1], [0, 1]]])
    image = shown(made, "people")
    assert recognised(image, RIGHT) < 0.45
    assert image[:, : round(0.08 * WIDTH)].max() < 30, "black up to the frame that is drawn around the event"
    assert recognised(image, (0.82, 0.2, 1.0, 0.9)) > 0.9, "what nobody hides stays as it was"


def test_somebody_who_stands_before_the_one_of_the_event_is_hidden(tmp_path: Path) -> None:
    before = (0.22, 0.4, 0.3, 0.75)
    model = install(tmp_path, [*ROWS, [*before, 0.9, 0, 0, 0, 0]], LABELS, name="before")
    image = shown(watch(tmp_path, equipment=["helmet"], model=model), "no_helmet")
    assert recognised(image, before) < 0.45
    assert recognised(image, (0.1, 0.2, 0.3, 0.37)) > 0.9, "whoever lacks the helmet is seen"


def test_half_sure_boxes_are_hidden_but_do_not_cover_the_event(tmp_path: Path) -> None:
    """A weak model has many of them, everywhere."""
    model = install(tmp_path, [*ROWS, [0.05, 0.1, 0.55, 1.0, 0.4, 0, 0, 0, 0]], LABELS, name="weak")
    image = shown(watch(tmp_path, equipment=["helmet"], model=model), "no_helmet")
    assert recognised(image, LEFT) > 0.9
    assert recognised(image, (0.32, 0.65, 0.52, 0.95)) < 0.5


def test_where_somebody_was_a_second_ago_somebody_else_may_stand_now(tmp_path: Path) -> None:
    """The one of the alarm is not in this picture: who stands at that place is somebody else, and is hidden."""
    given = {"name": "g", "type": "person-watch", "input": "gate-cam", "evidence": True}
    kept = WatchEvidence(PersonWatchSettings.model_validate(given))
    box = np.array(RIGHT)
    gone = Seen("person", 1, box, SECOND)
    kept.remember(scene(), np.array([box]), ["person"], np.array([True]), View(2 * SECOND, 1, {}, {}, {}, 0, None, (gone,)))
    data = kept.picture("people", 2 * SECOND)
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert recognised(image, RIGHT) < 0.45


def test_heads_of_the_event_are_hidden_where_the_site_says_so(tmp_path: Path) -> None:
    image = shown(watch(tmp_path, blur_heads=True), "people")
    assert recognised(image, (0.1, 0.2, 0.3, 0.37)) < 0.6
    assert recognised(image, (0.1, 0.45, 0.3, 0.9)) > 0.9


def test_a_head_under_which_no_person_was_found_is_hidden(tmp_path: Path) -> None:
    """Its neighbour's alarm must not show it."""
    rows = [[*RIGHT, 0.9, 0, 0, 0, 0], [0.15, 0.2, 0.3, 0.45, 0, 0, 0.9, 0, 0]]
    model = install(tmp_path, rows, LABELS, name="one")
    given = {
        "name": "g",
        "type": "person-watch",
        "input": "gate-cam",
        "model": model,
        "evidence": True,
        "equipment": ["helmet"],
        "every": 0,
    }
    made = PersonWatchProcessor(PersonWatchSettings.model_validate(given), ProcessorContext("n", tmp_path))
    made.start()
    for picture in range(6):
        made.process(Frame("gate-cam", picture * SECOND // 5, scene()))
    image = shown(made, "people")
    assert recognised(image, RIGHT) > 0.9
    assert recognised(image, (0.15, 0.2, 0.3, 0.45)) < 0.45


def test_no_picture_where_none_is_wanted_or_the_point_is_anothers(tmp_path: Path) -> None:
    made = watch(tmp_path)
    assert made.evidence("gate-cam/watch/latency", 0) is None
    assert made.evidence("gate-cam/objects/person", 0) is None
    assert watch(tmp_path, evidence=False).evidence("gate-cam/watch/people", 0) is None
    with pytest.raises(Misconfigured, match="cannot blur face; it has person"):
        watch(tmp_path, blur=["face"])
