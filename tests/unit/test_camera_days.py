"""The campaign of false alarms a camera-day: its arithmetic, its labels, and a short run of it that can go wrong in both ways."""

import math
from pathlib import Path

import numpy as np
import pytest

from models.train.datasets import DataMissing, data_folder
from tests.campaigns.camera_days import CUT_FROM, Camera, rows
from tests.campaigns.camera_pictures import Figure, clips, figures, gallery, walks
from tests.campaigns.camera_verdict import Span, Verdict, a_day, share, verdict
from tests.rig.fixed_detector import install

GEAR = ["person", "car", "hardhat", "no_hardhat", "vest", "no_vest"]


def test_found_missed_false_and_late() -> None:
    events = [Span(10, 20), Span(30, 40), Span(50, 60)]
    alarms = [Span(12, 22), Span(25, 26), Span(40.5, 41), Span(70, 80)]
    found = verdict(alarms, events, [Span(69, 90)], 100)
    assert (found.events, found.found, found.missed, found.false) == (3, 2, 1, 1)
    assert found.delays == (2, 10.5)
    assert verdict([Span(9.6, 15)], events, (), 100).false == 0, "labels are good to a few pictures"
    assert verdict([Span(0, 55)], events, (), 100)[:3] == (3, 3, 1), "one that stands from before the first"
    assert verdict([Span(0, 5)], events, (), 100).false == 1
    assert found + found == Verdict(6, 4, 2, 200, (2, 10.5, 2, 10.5))


def test_intervals_are_those_of_the_books() -> None:
    """Garwood's table: 0 -> 0 to 3.689, 3 -> 0.619 to 8.767; Clopper and Pearson: 0 of 10 -> 0 to 0.3085, 9 of 10 -> 0.555 to 0.9975."""
    assert a_day(0, 86_400) == pytest.approx((0, 0, 3.689), abs=1e-3)
    assert a_day(3, 43_200) == pytest.approx((6, 1.237, 17.535), abs=1e-2)
    assert share(0, 10) == pytest.approx((0, 0, 0.3085), abs=1e-4)
    assert share(9, 10) == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    assert math.isnan(share(0, 0)[0])


def test_copies_do_not_narrow_the_interval() -> None:
    once = rows([("clips", "person, watch", Verdict(6, 6, 1, 100.0))], 0)[0]
    often = rows([("copies", "person, watch", Verdict(6, 6, 1, 100.0))] * 50, 50)[0]
    assert (often["recall"], often["false per camera-day"]) == (once["recall"], once["false per camera-day"])
    assert often["events"] == 300


def test_a_detector_that_always_sees_somebody_and_one_that_never_does(tmp_path: Path) -> None:
    """The gallery with a person of one colour: a count that depends on nothing in the picture is found out by one side or the other."""
    people = [Figure(np.full((40, 15, 3), 200, np.uint8), np.ones((40, 15, 1)))]
    through = walks(60, 1, 1)
    assert through
    assert len(list(gallery(1, people, through, 1))) == 5
    moments = [(second / 5, image) for second, (_, image) in enumerate(gallery(8, people, through, 1))]
    there = [Span(3, 5)]
    for score, found, false in ((0.9, 1, 1), (0.0, 0, 0)):
        name = install(tmp_path, [[0.4, 0.2, 0.6, 0.8, *([score] + [0.0] * 5)]], GEAR, name=f"fixed{round(10 * score)}")
        alarms, seconds = Camera(name, name, tmp_path).watch(moments)
        one = verdict(alarms["person, watch"], there, (), seconds)
        assert (one.found, one.false) == (found, false)
        assert alarms["car, detector"] == []


def test_labels_lie_in_their_clips_and_a_worker_is_found_and_wears_what_he_should() -> None:
    try:
        data_folder("video_clips")
    except DataMissing as missing:
        pytest.skip(f"NOT CHECKED on clips: {missing}")
    by_name = {clip.name: clip for clip in clips([CUT_FROM, "worker-zone-detection.gif"])}
    for clip in by_name.values():
        spans = [span for of in (clip.events, clip.unclear) for many in of.values() for span in many]
        assert all(0 <= span.first < span.last <= clip.seconds + 1e-6 for span in spans), clip.name
    worker = by_name["worker-zone-detection.gif"]
    alarms, _ = Camera("people_vehicles", "ppe_detector", Path()).watch(worker.moments())
    assert alarms["person, watch"]
    assert alarms["person, watch with ppe"]
    assert (alarms["no_helmet"], alarms["no_vest"], alarms["car, detector"]) == ([], [], [])
    cut = figures(by_name[CUT_FROM])
    assert len(cut) == 6
    assert all(1.5 < one.image.shape[0] / one.image.shape[1] < 4 and 0.3 < float(one.alpha.mean()) < 0.9 for one in cut), (
        "upright and whole"
    )
