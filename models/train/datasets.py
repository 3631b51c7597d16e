"""Where the data sets lie. None of them is part of the project: they are found through the environment's MUKI_DATA."""

import os
from pathlib import Path

from models.cards import ModelError

DEFAULT = Path(__file__).parents[2].parent / "shared" / "data"


class DataMissing(ModelError):
    """The data set is not where it was looked for."""


def data_folder(name: str, marker: str = "README.txt") -> Path:
    """The folder of one data set: under MUKI_DATA, else beside the project in shared/data. Raises DataMissing where ``marker`` is not in it."""
    folder = Path(os.environ.get("MUKI_DATA", DEFAULT)) / name
    if not (folder / marker).is_file():
        raise DataMissing(f"{folder}: no {marker} there; set MUKI_DATA to the folder that holds {name}/")
    return folder
