"""Where the data sets lie."""

import os
from pathlib import Path

from models.train.recordings import DataMissing


def data_root(name: str) -> Path:
    """The folder of one data set: under the environment's MUKI_DATA, else ../shared/data. Raises DataMissing."""
    root = Path(os.environ.get("MUKI_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not (root / name).is_dir():
        raise DataMissing(f"{root / name}: no such folder; set MUKI_DATA to the folder that holds {name}/")
    return root / name
