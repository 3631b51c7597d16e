"""A candidate beside the model of a person watch: its difference in alarms is told, and whatever happens to it harms nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.items import Frame
from edge.processing import ProcessorContext
from edge.processing.person_watch import PersonWatchProcessor
from edge.processing.watch_settings import PersonWatchSettings
from tests.rig.fixed_detector import install, small_model

SECOND = 1_000_000_000
LABELS = ["person", "hardhat", "no_hardhat"]
BODY, HEAD = (0.1, 0.2, 0.3, 0.9), (0.15, 0.2, 0.25, 0.35)
BARE = [[*BODY, 0.9, 0, 0], [*HEAD, 0, 0, 0.9]]
COVERED = [[*BODY, 0.9, 0, 0], [*HEAD, 0, 0.9, 0]]
NOBODY = [[*BODY, 0.01, 0, 0]]
LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


def told(folder: Path, *, pictures: int = 60, grey: int = 128, **more: Any) -> dict[str, tuple[float | None, str]]:
    """The last readings, by their names under the watch."""
    given = {"name": "gate", "type": "person-watch", "input": "gate-cam", "equipment": ["helmet"], "every": 0, "report": 0}
    made = PersonWatchProcessor(PersonWatchSettings.model_validate(given | more), ProcessorContext("n", folder))
    made.start()
    image = np.full((90, 160, 3), grey, np.uint8)
    for at in range(pictures):
        readings = made.process(Frame("gate-cam", at * SECOND // 5, image))
        assert {one.point for one in readings} == set(made.points())
    return {one.point.removeprefix("gate-cam/watch/"): (one.value, str(one.quality)) for one in readings}


def test_the_difference_is_told_of_each_count_and_nothing_else(tmp_path: Path) -> None:
    bare, covered, nobody = (
        install(tmp_path, rows, LABELS, name=name) for name, rows in (("bare", BARE), ("covered", COVERED), ("nobody", NOBODY))
    )
    asked: dict[str, Any] = {"zones": {"belt": LEFT}, "candidate_pictures": 20}
    found = told(tmp_path, model=covered, candidate=bare, **asked)
    assert {name: value for name, value in found.items() if name.startswith("candidate/")} == {
        "candidate/people": (0.0, "good"),
        "candidate/zone/belt/people": (0.0, "good"),
        "candidate/no_helmet": (1.0, "good"),
    }
    assert found["no_helmet"] == (0.0, "good"), "what the candidate sees counts nowhere"
    fewer = told(tmp_path, model=bare, candidate=nobody, **asked)
    assert [fewer[f"candidate/{name}"][0] for name in ("people", "zone/belt/people", "no_helmet")] == [-1.0, -1.0, -1.0]
    masked = told(tmp_path, model=covered, candidate=bare, masks=[LEFT], **asked)
    assert masked["candidate/no_helmet"] == (0.0, "good"), "what is masked calls nobody"
    assert told(tmp_path, pictures=19, model=covered, candidate=bare, **asked)["candidate/people"] == (None, "bad:gathering")


def test_the_first_pictures_until_a_person_is_confirmed_count_as_well(tmp_path: Path) -> None:
    covered, bare = (install(tmp_path, rows, LABELS, name=name) for name, rows in (("covered", COVERED), ("bare", BARE)))
    found = told(tmp_path, pictures=20, model=covered, candidate=bare)
    assert found["candidate/no_helmet"] == (0.75, "good"), "the sixth picture without a helmet confirms it: fifteen of twenty"


def test_a_candidate_that_is_missing_or_fails_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bare = install(tmp_path, BARE, LABELS, name="bare")
    small_model(tmp_path, weight=0.9, labels=["o", "x", "y", "w", "h", *LABELS])  # fails on black pictures
    for candidate, quality, said in (
        ("nobody.onnx", "bad:no_model", "candidate nobody.onnx: is left out"),
        (install(tmp_path, BARE, ["person", "hat", "bareheaded"], name="other"), "bad:no_model", "has no class hardhat, no_hardhat"),
        ("small.onnx", "bad:candidate_failed", "candidate small.onnx: failed"),
    ):
        found = told(tmp_path, grey=0, model=bare, candidate=candidate)
        assert found["candidate/people"] == (None, quality)
        assert found["no_helmet"] == (1.0, "good")
        assert sum(said in record.getMessage() for record in caplog.records) == 1
