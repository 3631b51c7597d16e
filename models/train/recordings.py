"""The CWRU drive-end recordings (see the data set's README) and the one split that is honest for them: by fault size."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.bearing import FEATURE_NAMES, BearingGeometry, features
from models.train.datasets import DataMissing

FOLDER = "bearing_cwru"
SIZES = (7, 14, 21)
"""Fault sizes in mil that exist for all three fault classes. 28 mil has no outer race and another maker's bearings: it is never trained on."""
EXTERNAL_SIZE = 28
BEARING = BearingGeometry(balls=9, ball_mm=7.94, pitch_mm=39.04)  # 6205, the rig's drive end
FAN_END = BearingGeometry(balls=8, ball_mm=6.746, pitch_mm=28.5)  # 6203; only the normal recording has this channel here
WINDOW_S = 1.0


class Recording(NamedTuple):
    """One channel of one file. ``label``: normal, inner, outer or ball; ``fault_mil`` is 0 for a healthy bearing."""

    file: str
    channel: str
    rpm: float
    label: str
    fault_mil: int
    rate_hz: float


class Windows(NamedTuple):
    """Features of windows: ``rows`` float64 (n, len(FEATURE_NAMES)), ``labels`` (n,) and ``recordings`` (n,) as texts."""

    rows: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    recordings: np.ndarray[Any, Any]


def recordings(folder: Path) -> list[Recording]:
    """Everything index.csv lists, in its order. Raises DataMissing for a listed file that is not there."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = [
        Recording(row["file"], row["channel"], float(row["rpm"]), row["class"], int(row["fault_mil"]), float(row["fs_hz"])) for row in rows
    ]
    for recording in found:
        if not (folder / f"{recording.file}.npz").is_file():
            raise DataMissing(f"{folder / recording.file}.npz: listed in index.csv, but there is no such file")
    return found


def split(found: Sequence[Recording], held_out: int, sizes: Sequence[int] = SIZES) -> tuple[list[Recording], list[Recording]]:
    """Fault recordings of the other ``sizes`` to train on, and those of ``held_out`` mil to test on; whole files, never windows.

    Healthy recordings and sizes that are not named are in neither part. Raises ValueError for a size that is not among ``sizes``.
    """
    if held_out not in sizes:
        raise ValueError(f"fault size {held_out} mil cannot be held out of {tuple(sizes)}")
    faults = [recording for recording in found if recording.label != "normal" and recording.fault_mil in sizes]
    return [r for r in faults if r.fault_mil != held_out], [r for r in faults if r.fault_mil == held_out]


def read(folder: Path, recording: Recording) -> np.ndarray[Any, Any]:
    """The acceleration in g, float64, shape (n,)."""
    with np.load(folder / f"{recording.file}.npz") as stored:
        samples: np.ndarray[Any, Any] = stored[recording.channel] * float(stored[f"{recording.channel}_scale"])
    return samples


class Features:
    """Features of recordings, each file read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Recording, np.ndarray[Any, Any]] = {}

    def of(self, chosen: Sequence[Recording]) -> Windows:
        """All full windows of ``WINDOW_S`` of these recordings."""
        tables = [self._rows(recording) for recording in chosen]
        counts = [len(table) for table in tables]
        return Windows(
            rows=np.concatenate([*tables, np.empty((0, len(FEATURE_NAMES)))]),
            labels=np.repeat([recording.label for recording in chosen], counts),
            recordings=np.repeat([f"{recording.file}:{recording.channel}" for recording in chosen], counts),
        )

    def _rows(self, recording: Recording) -> np.ndarray[Any, Any]:
        if recording not in self._known:
            samples = read(self._folder, recording)
            size = int(WINDOW_S * recording.rate_hz)
            bearing = FAN_END if recording.channel == "FE" else BEARING
            starts = range(0, len(samples) - size + 1, size)
            rows = [features(samples[start : start + size], recording.rate_hz, recording.rpm, bearing) for start in starts]
            self._known[recording] = np.array(rows, np.float64)
        return self._known[recording]
