"""What a training reads: where the files of a test are not there at all, or say something else, it reads the same."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.train import datasets
from models.train.engine_life import read as read_engines
from models.train.ppe_leaks import read as read_leaks
from models.train.ppe_pictures import pieces
from models.train.rocks_pictures import held_out, pictures

DATA = Path(os.environ.get("MUKI_DATA", datasets.DEFAULT))


def folder(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"THE TRAINING OF {name} IS NOT CHECKED: no such folder in {DATA} (set MUKI_DATA)")
    return DATA / name


def test_the_rocks_are_trained_without_a_validation_file(tmp_path: Path) -> None:
    data = folder("rocks_belt")
    for part in ("labels", "images"):
        (tmp_path / part).mkdir()
    shutil.copy(data / "labels" / "train.json", tmp_path / "labels")
    everything = list(pictures(data, "train"))
    names = {picture.name for picture in everything}
    assert not names & {picture.name for picture in pictures(data, "val")}
    for name in names:
        (tmp_path / "images" / name).symlink_to(data / "images" / name)
    found = list(pictures(tmp_path, "train"))
    assert [picture.name for picture in found] == [picture.name for picture in everything]
    assert 20 < sum(held_out(found)) < 60


def test_the_detector_of_protective_equipment_is_trained_on_its_training_folder_alone(tmp_path: Path) -> None:
    data, leaks = folder("ppe_css"), read_leaks()
    some = sorted((data / "train" / "images").iterdir())[:20]
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for path in some:
        (tmp_path / "images" / path.name).symlink_to(path)
        label = (data / "train" / "labels" / path.name).with_suffix(".txt")
        (tmp_path / "labels" / label.name).symlink_to(label)
    found = {piece.tile for piece in pieces(tmp_path, leaks)}
    assert found
    assert not found & {leak.tile for leak in leaks}, "no tile that shares something with a test, valid or held-out picture"


def test_the_life_of_engines_is_trained_on_its_training_file_alone(tmp_path: Path) -> None:
    data = folder("cmapss_fd001")
    train, test = read_engines(data)
    for name in ("train_FD001.txt", "test_FD001.txt", "RUL_FD001.txt"):
        shutil.copy(data / name, tmp_path / name)
        (tmp_path / name).chmod(0o644)
    table = np.loadtxt(data / "test_FD001.txt")
    table[:, 5:] += 100.0
    np.savetxt(tmp_path / "test_FD001.txt", table)
    again, changed = read_engines(tmp_path)
    _same(train, again)
    with pytest.raises(AssertionError):
        _same(test, changed)


def _same(one: object, other: object) -> None:
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            _same(mine, theirs)
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
