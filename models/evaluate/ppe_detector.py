"""How good the PPE detector is: the test and valid pictures that are in no clip of the training set, whose pieces were cut out of training too."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import Figure, Metric
from models.detection import classes_of, decode, preprocess
from models.evaluate.average_precision import Judged, Seen, average_precision, judged
from models.evaluate.average_precision import table_of as found_rows
from models.evaluate.resampling import figure
from models.runtime import Model, load
from models.train.datasets import data_folder
from models.train.ppe_mosaics import read_boxes, read_image
from models.train.ppe_pictures import CLASSES, INPUT, seven

Array = np.ndarray[Any, np.dtype[Any]]
Score = Callable[[list[list[Judged]]], float]

NAME = "ppe_detector"
DATA_SET = "ppe_css"
RESAMPLES = 400  # each counts seven classes anew
LOWEST = 0.01
DATA = "Construction Site Safety v28 (ppe_css), 640 x 640 px, seven classes, a hit overlaps by half"
RESAMPLED = f"{RESAMPLES} resamples of whole pictures"
CLEAN = "91 test and valid pictures of no training clip; the tiles in which a piece of one was found were cut out of training"
OFFICIAL = "the official test, 82 pictures, 42 of them of clips that are in training too: leaky, for comparison with published figures only"
SIZES = ((0.0, 16.0), (16.0, 48.0), (48.0, 1000.0))
"""Of boxes, as the root of their area in pixels of a 640-pixel picture: small, middle, large."""
COCO = "people_vehicles, FastestDet on COCO (knows neither hats, vests nor machinery)"

AS_OURS = {"person": CLASSES.index("person")} | dict.fromkeys(("car", "bus", "truck"), CLASSES.index("vehicle"))


class Picture(NamedTuple):
    """A picture to judge on, BGR, and its boxes (class of CLASSES, x0, y0, x1, y1 in pixels)."""

    split: str
    clean: bool
    path: Path
    boxes: Array

    def read(self) -> Array:
        return read_image(self.path)


class Judge(NamedTuple):
    """One picture's detections by the model and by people_vehicles."""

    picture: Picture
    ours: Array
    coco: Array


def pictures(folder: Path) -> Iterator[Picture]:
    """Test and valid in the order of eval_groups.csv."""
    with (folder / "eval_groups.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            path = folder / row["split"] / "images" / row["image"]
            text = (folder / row["split"] / "labels" / path.name).with_suffix(".txt").read_text("ascii")
            yield Picture(row["split"], row["group_also_in_train"] == "0", path, seven(read_boxes(text)))


def detections(model: Model, image: Array, threshold: float = LOWEST) -> Array:
    """What the model finds, (m, 6), in pixels."""
    tensor, transform = preprocess(image, (INPUT, INPUT))
    return found_rows(decode(model.run({"image": tensor})["rows"], len(CLASSES), transform, threshold))


def coco_detections(model: Model, image: Array) -> Array:
    """The same of people_vehicles: its people, and its cars, buses and trucks as vehicles (dump trucks too, which are machinery here)."""
    height, width = (int(side) for side in model.card.inputs[0].shape[2:])
    tensor, transform = preprocess(image, (width, height))
    names = classes_of(model.card.outputs[0].shape, model.card.outputs[0].labels)
    found = found_rows(decode(model.run({"image": tensor})["boxes"], len(names), transform, LOWEST))
    ours = np.array([AS_OURS.get(name, -1) for name in names])[found[:, 0].astype(int)]
    result: Array = np.column_stack([ours, found[:, 1:]])[ours >= 0]
    return result


def judges(folder: Path, model: Model) -> list[Judge]:
    """Every picture seen by both."""
    coco = load("people_vehicles")
    return [Judge(picture, detections(model, image := picture.read()), coco_detections(coco, image)) for picture in pictures(folder)]


def mean_ap(table: list[list[Judged]]) -> float:
    """Over the classes that occur. ``table``: pictures, each with one entry a class."""
    values = [average_precision([row[kind] for row in table]) for kind in range(len(table[0]))]
    return float(np.nanmean(values))


def recall(table: list[list[Judged]]) -> float:
    """Share of true boxes that are hit."""
    boxes = sum(entry.boxes for row in table for entry in row)
    return sum(float(entry.hits.sum()) for row in table for entry in row) / boxes if boxes else float("nan")


def precision(table: list[list[Judged]]) -> float:
    """Share of detections that are hits; 0 where nothing is found."""
    found = sum(len(entry.hits) for row in table for entry in row)
    return sum(float(entry.hits.sum()) for row in table for entry in row) / found if found else 0.0


def table_of(seen: list[Judge], threshold: float) -> list[Metric]:
    """The table of the card."""
    clean, official = [one for one in seen if one.picture.clean], [one for one in seen if one.picture.split == "test"]
    every = tuple(range(len(CLASSES)))
    table = [_metric("mAP50 of seven classes", CLEAN, clean, every)]
    table += [_metric(f"AP50 of {name}", CLEAN, clean, (kind,)) for kind, name in enumerate(CLASSES)]
    for name in CLASSES:
        kind = (CLASSES.index(name),)
        table.append(_metric(f"recall of {name} at the threshold", CLEAN, clean, kind, score=recall, threshold=threshold))
        table.append(_metric(f"precision of {name} at the threshold", CLEAN, clean, kind, score=precision, threshold=threshold))
    for low, high in SIZES:
        name = f"recall at the threshold of boxes of {low:g} to {high:g} px (root of the area)"
        some = [one._replace(picture=one.picture._replace(boxes=_of_size(one.picture.boxes, low, high))) for one in clean]
        table.append(_metric(name, CLEAN, some, every, score=recall, threshold=threshold))
    published = {"YOLOv8 from COCO (published; trained on the leaky split; interval unknown)": Figure(value=0.759, interval_95=(0.0, 1.0))}
    leaky = _metric("mAP50 of seven classes", OFFICIAL, official, every)
    table.append(leaky.model_copy(update={"baselines": {**leaky.baselines, **published}}))
    return table


def _of_size(boxes: Array, low: float, high: float) -> Array:
    size = np.sqrt((boxes[:, 3:] - boxes[:, 1:3]).prod(axis=1))
    result: Array = boxes[(size >= low) & (size < high)]
    return result


def metrics() -> list[Metric]:
    """The table of the card, recomputed from the data."""
    model = load(NAME)
    return table_of(judges(data_folder(DATA_SET), model), model.card.threshold.value)


def _metric(name: str, where: str, seen: list[Judge], kinds: tuple[int, ...], *, score: Score = mean_ap, threshold: float = 0.0) -> Metric:
    ours, coco = (
        [[judged(Seen(one.picture.boxes, found[found[:, 5] >= threshold]), kind) for kind in kinds] for one, found in of]
        for of in ([(one, one.ours) for one in seen], [(one, one.coco) for one in seen])
    )

    def of(table: list[list[Judged]]) -> Figure:
        return figure(lambda chosen: score([table[i] for i in chosen]), np.arange(len(table)), resamples=RESAMPLES)

    found = of(ours)
    return Metric(
        name=name,
        data=DATA,
        split=where,
        value=found.value,
        interval_95=found.interval_95,
        resampled=RESAMPLED,
        baselines={COCO: of(coco)},
    )
