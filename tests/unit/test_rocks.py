"""Rocks: from a map to single rocks and their sizes, and the processor that makes readings of them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from contract.values import Reading
from edge.errors import Misconfigured
from edge.items import Frame
from edge.processing import ProcessorContext
from edge.processing.fragmentation import FragmentationProcessor, FragmentationSettings
from models.cards import ARTIFACTS
from models.rocks import LABELS, BadPicture, Rocks, decode, passing, preprocess
from models.train.rocks_pictures import BELT, CORE, ROCK, Picture, alike, held_out

SECOND = 1_000_000_000


def circles(sizes: list[int], *, side: int = 320, touching: bool = False) -> Picture:
    """A picture with rocks of these diameters, and bare belt at its left."""
    polygons: list[Any] = []
    x, y, row = 70, 10, 0
    for size in sizes:
        if x + size > side - 5:
            x, y, row = 70, y + row + (0 if touching else 8), 0
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        polygons.append(np.stack([x + size / 2 + size / 2 * np.cos(angles), y + size / 2 + size / 2 * np.sin(angles)], axis=1))
        x, row = x + size + (0 if touching else 8), max(row, size)
    belt = np.array([[0, 0], [50, 0], [50, side], [0, side]], float)
    return Picture("made", np.zeros((side, side, 3), np.uint8), {ROCK: polygons, BELT: [belt]})


def shares(target: Any) -> Any:
    """The map of a network that is sure and right."""
    return np.stack([(target == label) * 0.97 + 0.01 for label in range(len(LABELS))])[None].astype(np.float32)


@pytest.mark.parametrize("touching", [False, True])
def test_single_rocks_are_found_and_measured_also_where_they_touch(touching: bool) -> None:
    picture = circles([80, 60, 40, 40, 30, 30, 24], touching=touching)
    found = decode(shares(picture.map()), (320, 320))
    assert len(found.diameters) == 7
    np.testing.assert_allclose(found.diameters, [80, 60, 40, 40, 30, 30, 24], rtol=0.1 if touching else 0.04)
    assert found.bare == pytest.approx(50 / 320, abs=0.01)
    assert found.covered == pytest.approx(sum(np.pi / 4 * size**2 for size in (80, 60, 40, 40, 30, 30, 24)) / 320**2, rel=0.05)


def test_a_bare_belt_and_an_empty_picture_have_no_rocks() -> None:
    empty = decode(shares(np.full((64, 64), LABELS.index("belt"))), (64, 64))
    assert (len(empty.diameters), empty.bare, empty.covered) == (0, 1.0, 0.0)
    assert np.isnan(empty.passing(0.8))
    assert np.isnan(empty.oversize(10))


def test_passing_is_by_area() -> None:
    assert passing(np.array([10.0]), 0.5) == 10
    assert passing(np.array([10.0, 10.0, 30.0]), 0.8) == 30, "the large one has nine elevenths of the area"
    assert passing(np.array([30.0, 10.0, 10.0]), 0.05) == 10
    sizes = np.linspace(1, 100, 5000)
    assert passing(sizes, 0.8) == pytest.approx(100 * 0.8 ** (1 / 3), rel=0.01), "of sizes alike often, area grows with their cube"
    assert Rocks(np.array([30.0, 10.0]), 0, 0).oversize(20) == pytest.approx(0.9)


def test_the_map_has_an_inner_part_for_each_rock_that_touches_no_other() -> None:
    target = circles([60, 50, 40], touching=True).map()
    cores, _ = cv2.connectedComponents((target == LABELS.index("core")).astype(np.uint8))
    assert cores - 1 == 3
    inner = (target == LABELS.index("core")).sum() / np.isin(target, [2, 3]).sum()
    assert inner == pytest.approx((1 - CORE) ** 2, abs=0.07)


def test_what_is_alike_to_a_held_out_picture_is_held_out() -> None:
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 255, (50, 50, 3)).astype(np.uint8) for _ in range(5)]
    found = [Picture(f"p{place}", cv2.GaussianBlur(image, (15, 15), 0), {}) for place, image in enumerate(images)]
    found.append(Picture("twin", np.clip(found[2].image.astype(int) + 3, 0, 255).astype(np.uint8), {}))
    assert held_out(found) == [False, False, True, False, False, True]
    assert alike(found[5], [found[2]])
    assert not alike(found[0], [found[2]])


@pytest.mark.parametrize("image", [np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3)), np.zeros((10, 40, 3), np.uint8), None])
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(BadPicture):
        preprocess(image)


def test_pictures_are_filled_up_to_the_networks_grid() -> None:
    assert preprocess(np.zeros((250, 33, 3), np.uint8)).shape == (1, 3, 256, 48)


def bright_model(folder: Path) -> None:
    """An ONNX file with a card that takes brightness for rock: above 0.7 core, above 0.4 edge, below 0.2 belt."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1)]
    for name, limit, sign in (("belt", 0.2, -60.0), ("rock", 0.4, 60.0), ("core", 0.7, 60.0)):
        nodes += [
            helper.make_node("Sub", ["grey", f"{name}_limit"], [f"{name}_off"]),
            helper.make_node("Mul", [f"{name}_off", f"{name}_sign"], [f"{name}_logit"]),
            helper.make_node("Sigmoid", [f"{name}_logit"], [name]),
        ]
        del limit, sign
    nodes += [
        helper.make_node("Sub", ["rock", "core"], ["edge"]),
        helper.make_node("Add", ["rock", "belt"], ["known"]),
        helper.make_node("Sub", ["one", "known"], ["other"]),
        helper.make_node("Concat", ["other", "belt", "edge", "core"], ["shares"], axis=1),
    ]
    limits = {"belt_limit": 0.2, "belt_sign": -60.0, "rock_limit": 0.4, "rock_sign": 60.0, "core_limit": 0.7, "core_sign": 60.0, "one": 1.0}
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, [1, 4, "H", "W"])],
        [numpy_helper.from_array(np.array([value], np.float32), name) for name, value in limits.items()],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (folder / "bright.onnx").write_bytes(content)
    card = json.loads((ARTIFACTS / "rocks_belt.json").read_text())
    card |= {"name": "bright", "artifact": "bright.onnx", "sha256": hashlib.sha256(content).hexdigest()}
    card["threshold"] = {"value": 0.5, "why": "of a test, diameters times 1.0; no more"}
    (folder / "bright.json").write_text(json.dumps(card))


def painted(picture: Picture) -> Any:
    """The picture as the bright model sees it."""
    grey = np.array([0.3, 0.05, 0.55, 0.95])[picture.map()]
    return np.repeat((grey * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def processor(folder: Path, **more: Any) -> FragmentationProcessor:
    bright_model(folder)
    plain = {
        "name": "rocks",
        "type": "fragmentation",
        "input": "belt-cam",
        "model": "bright.onnx",
        "oversize": 50,
        "least_rocks": 5,
        "every": 0,
    }
    settings = FragmentationSettings.model_validate(plain | more)
    made = FragmentationProcessor(settings, ProcessorContext("n", folder))
    made.start()
    return made


def told(readings: Any) -> dict[str, tuple[Any, str]]:
    return {reading.point.rsplit("/", 1)[1]: (reading.value, str(reading.quality)) for reading in readings}


def test_sizes_in_millimetres_through_a_calibration(tmp_path: Path) -> None:
    image = painted(circles([80, 60, 40, 40, 30, 30, 24]))
    calibrated = {"points": [[0.25, 0.5], [0.75, 0.5]], "mm": 320}  # 160 pixels are 320 mm
    found = told(processor(tmp_path, calibration=calibrated, oversize=100).process(Frame("belt-cam", 0, image)))
    plain = told(processor(tmp_path).process(Frame("belt-cam", 0, image)))
    assert found["p80"][1] == "good"
    assert plain["p80"][1] == "uncertain:uncalibrated"
    assert found["p80"][0] == pytest.approx(2 * (plain["p80"][0] or 0))
    assert found["oversize"][0] == pytest.approx(100 * (80**2 + 60**2) / sum(size**2 for size in (80, 60, 40, 40, 30, 30, 24)), abs=4)
    assert found["bare"] == (pytest.approx(100 * 50 / 320, abs=1), "good")
    assert found["rocks"] == (7.0, "good")


def test_enlarged_pictures_give_the_same_sizes(tmp_path: Path) -> None:
    image = painted(circles([80, 60, 40, 40, 30, 30, 24]))
    plain = told(processor(tmp_path).process(Frame("belt-cam", 0, image)))
    large = told(processor(tmp_path, scale=1.6).process(Frame("belt-cam", 0, image)))
    assert large["p50"][0] == pytest.approx(plain["p50"][0], rel=0.05)


def test_few_rocks_have_no_size_and_pictures_count_together(tmp_path: Path) -> None:
    made = processor(tmp_path, least_rocks=6, pictures=2)
    image = painted(circles([60, 50, 40]))
    first = told(made.process(Frame("belt-cam", 0, image)))
    assert (first["p80"], first["rocks"]) == ((None, "bad:too_few_rocks"), (3.0, "good"))
    assert told(made.process(Frame("belt-cam", SECOND, image)))["p80"][0] is not None
    assert told(made.process(Frame("belt-cam", 2 * SECOND, image)))["rocks"] == (6.0, "good"), "only the newest two"


def test_the_region_alone_is_judged(tmp_path: Path) -> None:
    image = painted(circles([60, 50, 40, 30, 30]))
    assert told(processor(tmp_path, region=[0.0, 0.0, 0.15, 1.0]).process(Frame("belt-cam", 0, image)))["bare"][0] == pytest.approx(
        100, abs=1
    )


def test_what_is_no_picture_is_bad_and_other_items_are_nothing(tmp_path: Path) -> None:
    made = processor(tmp_path)
    assert {quality for _, quality in told(made.process(Frame("belt-cam", 0, np.zeros((0, 0, 3), np.uint8)))).values()} == {
        "bad:no_picture"
    }
    assert made.process(Frame("other", 0, np.zeros((64, 64, 3), np.uint8))) == []
    assert made.process(Reading("belt-cam/x", 0, 1.0)) == []
    waits = processor(tmp_path, every=5)
    image = painted(circles([60]))
    assert [bool(waits.process(Frame("belt-cam", round(at * SECOND), image))) for at in (1, 3, 6)] == [True, False, True]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"calibration": {"points": [[0.5, 0.5], [0.52, 0.5]], "mm": 100}}, "lie together"),
        ({"region": [0.5, 0, 0.5, 1]}, "write left, top, right, bottom"),
        ({"oversize": 0}, "oversize"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    plain = {"name": "rocks", "type": "fragmentation", "input": "belt-cam", "oversize": 50}
    with pytest.raises(ValueError, match=said):
        FragmentationSettings.model_validate(plain | wrong)


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    settings = FragmentationSettings.model_validate(
        {"name": "rocks", "type": "fragmentation", "input": "belt-cam", "oversize": 50, "model": "people_vehicles"}
    )
    with pytest.raises(Misconfigured, match="is needed"):
        FragmentationProcessor(settings, ProcessorContext("n", tmp_path)).start()
