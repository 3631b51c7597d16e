"""Boxes from a detector's head: what is drawn into an output comes out of it, and nothing but boxes of the picture, whatever goes in."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.detection import (
    BadOutput,
    BadPicture,
    Transform,
    classes_of,
    decode,
    intersection_over_union,
    non_maximum_suppression,
    preprocess,
)

SIZE = (352, 352)
CLASSES = 3
SIDES = st.integers(1, 700)


def picture(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(height * 1000 + width).integers(0, 255, (height, width, 3), np.uint8)


def head(row: int, column: int, label: int, *, width: float, height: float, score: float = 0.9) -> np.ndarray[Any, Any]:
    """An output with one box in the middle of a cell's corner, of that share of the tensor."""
    output = np.zeros((1, 22, 22, 5 + CLASSES), np.float32)
    output[0, row, column, 0] = score
    output[0, row, column, 3:5] = [np.log(share / (1 - share)) for share in (width, height)]
    output[0, row, column, 5 + label] = score
    return output


def test_a_box_drawn_into_the_output_comes_out_in_pixels_of_the_picture() -> None:
    _, transform = preprocess(picture(360, 640), SIZE)
    found = decode(head(11, 5, 2, width=0.25, height=0.5), CLASSES, transform, 0.5)
    x, y = 5 / 22 * 640, 180
    assert found.boxes == pytest.approx(np.array([[x - 80, y - 90, x + 80, y + 90]]), abs=0.01)
    assert found.labels.tolist() == [2]
    assert found.scores == pytest.approx([0.9])


def test_score_weighs_objectness_and_class() -> None:
    output = head(3, 3, 1, width=0.1, height=0.1)
    output[0, 3, 3, 0], output[0, 3, 3, 6] = 0.5, 0.25
    found = decode(output, CLASSES, preprocess(picture(10, 10), SIZE)[1], 0.1)
    assert found.scores == pytest.approx([0.5**0.6 * 0.25**0.4])


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.booleans(), st.integers(1, 20), st.integers(1, 20))
def test_the_way_back_is_the_way_there(height: int, width: int, letterbox: bool, row: int, column: int) -> None:
    tensor, transform = preprocess(picture(height, width), SIZE, letterbox=letterbox)
    assert tensor.shape == (1, 3, 352, 352)
    assert tensor.dtype == np.float32
    assert 0 <= tensor.min() <= tensor.max() <= 1
    whole = np.array([[transform.left, transform.top, 352 - transform.left, 352 - transform.top]], np.float32)
    slack = 1.01 / min(transform.x_scale, transform.y_scale)  # a border of an odd number of pixels
    assert transform.to_picture(whole) == pytest.approx(np.array([[0, 0, width, height]], np.float32), abs=slack)
    boxes = decode(head(row, column, 0, width=0.5, height=0.5), CLASSES, transform, 0.5).boxes
    assert (boxes >= 0).all()
    assert (boxes <= [width, height, width, height]).all()


def test_letterbox_keeps_proportions_and_borders_are_grey() -> None:
    tensor, transform = preprocess(np.zeros((180, 360, 3), np.uint8), SIZE, letterbox=True)
    assert transform.x_scale == transform.y_scale
    assert tensor[0, :, :87] == pytest.approx(114 / 255)
    assert (tensor[0, :, 89:263] == 0).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (1, 4, 5, 5 + CLASSES), elements=st.floats(-1e6, 1e6, width=32)), st.floats(0.01, 1))
def test_any_finite_output_gives_boxes_of_the_picture_that_do_not_overlap(output: Any, threshold: float) -> None:
    found = decode(output, CLASSES, Transform(1.0, 2.0, 0, 0, 100, 50, (100, 100)), threshold)
    assert np.isfinite(found.boxes).all()
    assert (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
    assert ((found.scores >= np.float32(threshold)) & (found.scores <= 1)).all()
    assert (np.diff(found.scores) <= 0).all()
    for index, box in enumerate(found.boxes):
        same = found.labels[index + 1 :] == found.labels[index]
        assert (intersection_over_union(box, found.boxes[index + 1 :][same]) <= 0.4501).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (1, 12, 4 + CLASSES), elements=st.floats(-3, 3, width=32)), st.floats(0.01, 1))
def test_rows_give_boxes_of_the_picture_and_each_that_is_dropped_has_a_reason(output: Any, threshold: float) -> None:
    """Too low a score, or a better box of its class upon it."""
    transform = Transform(1.0, 2.0, 0, 0, 100, 50, (100, 100))
    found = decode(output, CLASSES, transform, threshold)
    assert (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [100, 50, 100, 50]).all()
    assert (np.diff(found.scores) <= 0).all()
    for index, box in enumerate(found.boxes):
        same = found.labels[index + 1 :] == found.labels[index]
        assert (intersection_over_union(box, found.boxes[index + 1 :][same]) <= 0.4501).all()
    for row in output[0]:
        sides = (row[:4].reshape(2, 2) * 100).astype(np.float32)
        (box,) = transform.to_picture(np.concatenate([sides.min(axis=0), sides.max(axis=0)])[None])
        for label in np.flatnonzero(row[4:] >= threshold):
            better = found.boxes[(found.labels == label) & (found.scores >= min(1.0, row[4 + label]) - 1e-6)]
            assert len(better)
            assert (np.abs(better - box).max(axis=1) < 1e-3).any() or intersection_over_union(box, better).max() > 0.4499


def test_one_row_may_speak_for_a_person_and_a_vest() -> None:
    output = np.array([[[0.25, 0.5, 0.5, 1.0, 0.8, 0.1, 0.6]]], np.float32)
    found = decode(output, CLASSES, preprocess(picture(200, 400), SIZE)[1], 0.5)
    assert found.labels.tolist() == [0, 2]
    assert found.scores == pytest.approx([0.8, 0.6])
    assert found.boxes == pytest.approx(np.array([[100, 100, 200, 200]] * 2), abs=0.01)


def test_the_classes_of_a_card_come_after_the_box() -> None:
    assert classes_of((1, 22, 22, 7), ("objectness", "x", "y", "width", "height", "person", "car")) == ("person", "car")
    assert classes_of((1, "N", 5), ("left", "top", "right", "bottom", "person")) == ("person",)
    assert classes_of((1, 5), ("left", "top", "right", "bottom", "person")) == ()
    assert classes_of((1, 22, 22, 5), ("objectness", "x", "y", "width", "height")) == ()


def test_suppression_keeps_the_best_of_each_object_and_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    kept = non_maximum_suppression(boxes, np.array([0.6, 0.9, 0.5, 0.7], np.float32), np.array([0, 0, 1, 0]))
    assert kept.tolist() == [1, 3, 2]
    assert intersection_over_union(boxes[0], boxes) == pytest.approx([1, 9 / 11, 1, 0])


@pytest.mark.parametrize("shape", [(1, 22, 22, 7), (22, 22, 8), (2, 22, 22, 8), (1, 0, 22, 8), (1, 9, 8), (2, 9, 7), (1, 0, 7)])
def test_an_output_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadOutput, match=r"\(1, rows, columns, 8\) is needed"):
        decode(np.zeros(shape, np.float32), CLASSES, Transform(1, 1, 0, 0, 9, 9, (9, 9)), 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_refused(value: float) -> None:
    output = head(3, 3, 0, width=0.1, height=0.1)
    output[0, 21, 21, 7] = value
    with pytest.raises(BadOutput, match="not finite"):
        decode(output, CLASSES, Transform(1, 1, 0, 0, 9, 9, (9, 9)), 0.5)


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), None])
def test_what_is_no_picture_is_refused(image: Any) -> None:
    with pytest.raises(BadPicture, match="height, width, 3"):
        preprocess(image, SIZE)
