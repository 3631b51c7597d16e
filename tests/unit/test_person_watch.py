"""Persons followed through pictures: zones, lines, equipment, distances; with boxes that flicker, miss and tremble as a detector's do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.items import Frame
from edge.processing import ProcessorContext
from edge.processing.crossings import Crosser, Line
from edge.processing.ground_plane import GroundPlane, Mark
from edge.processing.person_watch import PersonWatchProcessor
from edge.processing.protection import EQUIPMENT, votes
from edge.processing.tracking import Tracker
from edge.processing.watch_settings import PersonWatchSettings
from edge.processing.watching import View, Watch
from edge.processing.zones import Stay

SECOND = 1_000_000_000
RATE = 5.0
CROSSING = [[0.4, 0.5], [0.6, 0.5], [0.6, 1.0], [0.4, 1.0]]
MARKS = [Mark(0.1, 0.9, 0, 0), Mark(0.9, 0.9, 8, 0), Mark(0.7, 0.5, 8, 20), Mark(0.3, 0.5, 0, 20)]


def settings(**more: Any) -> PersonWatchSettings:
    return PersonWatchSettings.model_validate({"name": "gate", "type": "person-watch", "input": "gate-cam"} | more)


def box(x: float, y: float = 0.8, *, width: float = 0.06, height: float = 0.3) -> list[float]:
    """Of somebody who stands at that place of the picture."""
    return [x - width / 2, y - height, x + width / 2, y]


class Scene:
    """A watch, and people that are shown to it five times a second."""

    def __init__(self, *, seed: int = 1, tremble: float = 0.0, miss: float = 0.0, **more: Any) -> None:
        self.settings = settings(**more)
        self.watch = Watch(self.settings, dict.fromkeys(self.settings.classes, 0.5))
        self.generator = np.random.default_rng(seed)
        self.tremble, self.miss = tremble, miss
        self.picture = 0
        self.views: list[View] = []

    def show(self, *things: tuple[str, list[float]], false: int = 0) -> View:
        """One picture of these things; each is missed by chance, and ``false`` boxes of nobody are among them."""
        shown = [(name, where) for name, where in things if self.generator.random() >= self.miss]
        shown += [("person", box(*self.generator.uniform(0.2, 0.9, 2))) for _ in range(false)]
        boxes = np.array([where for _, where in shown], float).reshape(-1, 4)
        boxes = boxes + self.generator.normal(0, self.tremble, boxes.shape)
        time_ns = round(self.picture / RATE * SECOND)
        self.picture += 1
        view = self.watch.update(boxes, np.full(len(shown), 0.8), [name for name, _ in shown], time_ns)
        self.views.append(view)
        return view

    def walk(self, start: float, end: float, seconds: float, y: float = 0.8) -> View:
        for x in np.linspace(start, end, round(seconds * RATE)):
            view = self.show(("person", box(float(x), y)))
        return view


def test_a_person_counts_after_three_pictures_and_is_gone_after_two_seconds() -> None:
    scene = Scene()
    assert [scene.show(("person", box(0.3))).people for _ in range(4)] == [0, 0, 1, 1]
    gone = [scene.show().people for _ in range(14)]
    assert gone[:9] == [1] * 9
    assert gone[-1] == 0


def test_boxes_of_nobody_that_come_and_go_are_nobody() -> None:
    scene = Scene()
    for _ in range(100):
        scene.show(false=1 if scene.generator.random() < 0.3 else 0)
    assert max(view.people for view in scene.views) == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_walk_through_a_zone_and_over_a_line_with_a_poor_detector(seed: int) -> None:
    scene = Scene(seed=seed, tremble=0.006, miss=0.25, zones={"crossing": CROSSING}, lines={"gate": [[0.5, 0.2], [0.5, 1.0]]})
    scene.walk(0.15, 0.85, 10)
    counts = [view.zones["crossing"][0] for view in scene.views]
    assert max(counts) == 1
    assert max(view.zones["crossing"][1] for view in scene.views) == pytest.approx(10 * 0.2 / 0.7, abs=1.2)
    assert sum(scene.views[-1].lines["gate"]) == 1, "once, whatever trembles"
    scene.walk(0.85, 0.15, 10)
    assert scene.views[-1].lines["gate"] == (1, 1)


def test_somebody_who_stands_on_the_line_crosses_it_once_at_most() -> None:
    scene = Scene(tremble=0.01, lines={"gate": [[0.5, 0.2], [0.5, 1.0]]})
    scene.walk(0.3, 0.5, 3)
    for _ in range(200):
        scene.show(("person", box(0.5)))
    scene.walk(0.5, 0.7, 3)
    assert sorted(scene.views[-1].lines["gate"]) == [0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_somebody_who_stands_on_the_line_and_sways_crosses_nothing(seed: int) -> None:
    """Ten minutes on the line with boxes that tremble by a twentieth of the height, and a body that sways as much."""
    scene = Scene(seed=seed, tremble=0.015, lines={"gate": [[0.5, 0.2], [0.5, 1.0]]})
    for picture in range(round(600 * RATE)):
        scene.show(("person", box(0.5 + 0.015 * float(np.sin(picture / 9)))))
    assert scene.views[-1].lines["gate"] == (0, 0)


def test_who_walks_around_the_end_of_a_line_does_not_cross_it() -> None:
    line = Line((0.5, 0.6), (0.5, 1.0))
    crosser = Crosser(line)
    around = ((0.3, 0.8), (0.4, 0.3), (0.6, 0.3), (0.62, 0.3), (0.7, 0.8), (0.7, 0.8))
    assert [crosser.update(at) for at in around] == [0] * 6
    straight = Crosser(line)
    there_and_back = ((0.4, 0.8), (0.5, 0.8), (0.6, 0.8), (0.6, 0.8), (0.4, 0.8), (0.4, 0.8))
    assert [straight.update(at) for at in there_and_back] in ([0, 0, 0, 1, 0, -1], [0, 0, 0, -1, 0, 1])
    strayed = Crosser(line)
    assert [strayed.update(at) for at in ((0.4, 0.8), (0.6, 0.8), (0.5, 0.8), (0.6, 0.8), (0.4, 0.8))] == [0] * 5, "one picture is none"
    tall = Crosser(line)
    assert [tall.update((x, 0.8), 0.6) for x in (0.3, 0.55, 0.56, 0.44, 0.45)] == [0] * 5, "a step aside of somebody near the camera"


def test_a_stay_is_counted_from_its_first_picture_and_ends() -> None:
    stay = Stay(3, 5)
    seconds = []
    for picture, is_in in enumerate([True] * 6 + [False] * 5):
        stay.update(is_in, picture * SECOND)
        seconds.append(stay.seconds(picture * SECOND))
    assert seconds[:4] == [None, None, 2.0, 3.0]
    assert seconds[-1] is None


def head(x: float, y: float = 0.8, height: float = 0.3) -> list[float]:
    return [x - 0.015, y - height, x + 0.015, y - height + 0.05]


def test_a_person_without_a_helmet_is_confirmed_over_pictures_and_one_with_is_not() -> None:
    scene = Scene(model="ppe_detector", equipment=["helmet"], miss=0.1)
    for _ in range(30):
        view = scene.show(
            ("person", box(0.3)), ("no_hardhat", head(0.3)), ("person", box(0.7)), ("hardhat", head(0.7)), ("person", box(0.5))
        )
    assert view.lacking == {"helmet": 1}
    assert [seen.because for seen in view.seen if seen.because] == [("no_helmet",)]


def test_a_head_seen_with_and_without_says_nothing() -> None:
    people = np.array([box(0.3), box(0.7)])
    one, other = np.array([head(0.3)]), np.array([head(0.7)])
    region = EQUIPMENT["helmet"].region
    assert votes(people, one, other, region) == [False, True]
    assert votes(people, one, one, region) == [None, None]
    assert votes(people, np.zeros((0, 4)), np.zeros((0, 4)), region) == [None, None]


def test_metres_of_marked_places_are_theirs_and_between_them_of_the_plane() -> None:
    plane = GroundPlane(MARKS)
    found = plane.metres(np.array([[mark.x, mark.y] for mark in MARKS]))
    assert found is not None
    np.testing.assert_allclose(found, [[mark.east, mark.north] for mark in MARKS], atol=1e-6)
    near = plane.distance(np.array([0.08, 0.6, 0.12, 0.9]), np.array([0.85, 0.5, 0.95, 0.9]))
    assert near is not None
    assert near.metres == pytest.approx(7.5, abs=0.7)
    assert near.error > 0
    assert plane.metres(np.array([[0.5, 0.01]])) is None, "above the horizon nothing stands on the ground"


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (MARKS[:3], "four are needed"),
        ([Mark(0.1, 0.1, 0, 0), Mark(0.2, 0.2, 1, 0), Mark(0.3, 0.3, 2, 5), Mark(0.9, 0.1, 5, 5)], "lie on one line"),
        ([MARKS[0], MARKS[2], MARKS[1], MARKS[3]], ""),
        ([Mark(0.1, 0.9, 0, 0), Mark(0.9, 0.9, 0, 20), Mark(0.7, 0.5, 8, 0), Mark(0.3, 0.5, 8, 20)], "contradict each other"),
    ],
)
def test_marks_that_fix_no_plane_are_refused(marks: list[Mark], said: str) -> None:
    if not said:
        assert GroundPlane([*MARKS]).fit == pytest.approx(0, abs=1e-6)
        return
    with pytest.raises(ValueError, match=said):
        GroundPlane(marks)


def test_a_person_near_a_vehicle() -> None:
    ground = {"near": 5.0, "marks": [list(mark) for mark in MARKS]}
    scene = Scene(vehicles=["truck"], ground=ground)
    for _ in range(8):
        apart = scene.show(("person", box(0.15, 0.88)), ("truck", [0.6, 0.3, 0.72, 0.52]))
    assert (apart.near, apart.distance is not None) == (0, True)
    for _ in range(20):
        close = scene.show(("person", box(0.15, 0.88)), ("truck", [0.2, 0.5, 0.4, 0.88]))
    assert close.near == 1


def test_a_clock_set_back_and_a_gap_begin_anew() -> None:
    tracker = Tracker(0.5, 2.0, (3, 5))

    def see(time_s: float) -> list[tuple[int, bool]]:
        tracks = tracker.update(np.array([box(0.3)]), np.array([0.8]), round(time_s * SECOND))
        return [(track.number, track.confirmed) for track in tracks]

    assert [see(at)[0] for at in (0, 0.2, 0.4)] == [(1, False), (1, False), (1, True)]
    assert see(0.1) == [(2, False)], "set back"
    assert see(9.0) == [(3, False)], "after a gap nobody knows who is who"


def test_boxes_that_are_none_harm_nobody() -> None:
    tracker = Tracker(0.5, 2.0, (3, 5))
    nonsense = np.array([[np.nan, 0, 1, 1], [0.5, 0.5, 0.4, 0.6], [0.2, 0.2, 0.2, 0.2], [0, 0, np.inf, 1], box(0.3)])
    for picture in range(5):
        tracks = tracker.update(nonsense, np.array([0.9, 0.9, 0.9, 0.9, np.nan if picture == 0 else 0.9]), picture * SECOND // 5)
    assert [track.number for track in tracks] == [1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"vehicles": ["truck"]}, "belong together"),
        ({"zones": {"a": [[0, 0], [0.5, 0.5], [1, 1]]}}, "lie on one line"),
        ({"lines": {"a": [[0.5, 0.5], [0.51, 0.5]]}}, "shorter"),
        ({"confirm": [1, 5]}, "more than half"),
        ({"forget": 0.3, "every": 0.2}, "at least 0.4"),
        ({"thresholds": {"truck": 0.4}}, "not looked for here"),
    ],
)
def test_wrong_settings_are_told(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(**wrong)


def test_a_camera_that_sees_nobody_and_one_that_sees_nothing(tmp_path: Path) -> None:
    made = PersonWatchProcessor(settings(report=0, every=0, zones={"crossing": CROSSING}), ProcessorContext("n", tmp_path))
    made.start()
    wall = np.full((360, 640, 3), 90, np.uint8)
    for picture in range(4):
        readings = made.process(Frame("gate-cam", round(picture / RATE * SECOND), wall))
    found = {reading.point.removeprefix("gate-cam/watch/"): (reading.value, str(reading.quality)) for reading in readings}
    assert found["people"] == found["zone/crossing/people"] == (0.0, "good")
    assert set(found) == {point.removeprefix("gate-cam/watch/") for point in made.points()}
    dead = made.process(Frame("gate-cam", SECOND, np.zeros((0, 0, 3), np.uint8)))
    assert {str(reading.quality) for reading in dead} == {"bad:no_picture"}
    slow = made.process(Frame("gate-cam", 4 * SECOND, wall))
    assert {str(reading.quality) for reading in slow if not reading.point.endswith("latency")} == {"uncertain:slow_pictures"}


def test_crossings_outlive_a_restart(tmp_path: Path) -> None:
    made = PersonWatchProcessor(settings(lines={"gate": [[0.5, 0.2], [0.5, 1.0]]}), ProcessorContext("n", tmp_path))
    made.restore('{"gate": [3, 4], "other": [1, 1]}')
    assert made.state() == '{"gate": [3, 4]}'
