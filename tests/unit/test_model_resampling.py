"""Intervals are over groups, and as wide as groups differ."""

import numpy as np
import pytest

from models.evaluate.resampling import blocks, figure


def test_the_value_is_of_all_rows_and_the_interval_holds_it() -> None:
    values = np.arange(100.0)
    found = figure(lambda rows: float(values[rows].mean()), blocks(100, 10))
    assert found.value == 49.5
    assert found.interval_95[0] < 49.5 < found.interval_95[1]


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        level = np.repeat(generator.standard_normal(40), 5)  # rows of a group are the same: 200 rows, 40 draws
        found = figure(lambda rows, level=level: float(level[rows].mean()), blocks(200, 5), resamples=200)  # type: ignore[misc]
        held += found.interval_95[0] <= 0 <= found.interval_95[1]
    assert 50 <= held <= 60  # over rows instead of groups it would be about 36


def test_strata_keep_their_share() -> None:
    strata = np.repeat(["a", "b"], [90, 10])
    found = figure(lambda rows: float(np.mean(strata[rows] == "b")), np.arange(100), strata, resamples=50)
    assert found.interval_95 == (0.1, 0.1)


@pytest.mark.parametrize("size", [1, 7])
def test_blocks_are_consecutive(size: int) -> None:
    assert (np.diff(blocks(50, size)) >= 0).all()
    assert np.bincount(blocks(50, size)).max() == size
