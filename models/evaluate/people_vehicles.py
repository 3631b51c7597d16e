"""How well the detector finds people: average precision on pictures of building sites that it was not trained on, an interval over pictures."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.cards import ARTIFACTS, Figure, Metric, ModelError
from models.detection import decode, intersection_over_union, preprocess
from models.evaluate.resampling import RESAMPLES, figure
from models.runtime import Model, load
from models.train.datasets import data_folder
from models.train.people_vehicles import COCO, NAME, SIZE

Array = np.ndarray[Any, np.dtype[Any]]

FOLDER = "ppe_css"
PERSON = 5  # class of the data set
LOWEST = 0.05  # score from which boxes are ranked
MATCH = 0.5  # intersection over union
THRESHOLD = 0.65  # of the card: the authors' own
DATA = "Construction Site Safety v28, class Person"
RESAMPLED = f"{RESAMPLES} resamples of source groups of pictures (eval_groups.csv)"


class Judged(NamedTuple):
    """Of pictures in order: scores of the boxes found, whether each is right, the picture of each, and how many people each picture has."""

    scores: Array
    right: Array
    pictures: Array
    people: Array
    groups: Array


def metrics(artifact: Path | None = None) -> list[Metric]:
    """The table of the card, recomputed from the data."""
    folder = data_folder(FOLDER)
    model = load(artifact or ARTIFACTS / f"{NAME}.onnx")
    judged = judge(model, folder)
    # The peer: every box counts alike, as if the scores said nothing.
    blind = judged._replace(scores=np.random.default_rng(1).uniform(size=len(judged.scores)))
    table = {
        "person AP50": (lambda rows: average_precision(judged, rows), lambda rows: average_precision(blind, rows)),
        f"person recall at the threshold {THRESHOLD}": (lambda rows: _at(judged, rows)[0], lambda rows: _at(judged, rows, LOWEST)[0]),
        f"person precision at the threshold {THRESHOLD}": (lambda rows: _at(judged, rows)[1], lambda rows: _at(judged, rows, LOWEST)[1]),
    }
    found = []
    for name, (score, peer) in table.items():
        value, beside = figure(score, judged.groups), figure(peer, judged.groups)
        found.append(
            Metric(
                name=name,
                data=DATA,
                split=f"test and valid pictures together, {len(judged.people)}; none was trained on (COCO)",
                value=value.value,
                interval_95=value.interval_95,
                resampled=RESAMPLED,
                baselines={
                    "same boxes, scores shuffled" if "AP50" in name else f"same boxes from a score of {LOWEST}": Figure(**dict(beside))
                },
            )
        )
    return found


def judge(model: Model, folder: Path) -> Judged:
    """Every picture of test and valid through the model; boxes are matched best score first, each person once."""
    import cv2

    groups = _groups(folder)
    scores: list[float] = []
    right: list[bool] = []
    pictures: list[int] = []
    people: list[int] = []
    names: list[str] = []
    for split in ("test", "valid"):
        for path in sorted((folder / split / "images").iterdir()):
            image = cv2.imread(str(path))
            if image is None:
                raise ModelError(f"{path}: OpenCV cannot read it as a picture: not the data set")
            truth = people_in(folder / split / "labels" / f"{path.stem}.txt", image.shape[1], image.shape[0])
            tensor, transform = preprocess(image, (SIZE, SIZE))
            found = decode(model.run({"image": tensor})["boxes"], len(COCO), transform, LOWEST)
            chosen = found.labels == 0
            right += matches(found.boxes[chosen], truth)
            scores += found.scores[chosen].tolist()
            pictures += [len(people)] * int(chosen.sum())
            people.append(len(truth))
            names.append(groups.get((split, path.name), path.name))
    return Judged(np.array(scores), np.array(right), np.array(pictures), np.array(people), np.array(names))


def people_in(path: Path, width: int, height: int) -> Array:
    """The people of one label file (class, centre, size as fractions; a polygon becomes its box), as boxes (n, 4) in pixels."""
    boxes = []
    for line in path.read_text(encoding="ascii").splitlines():
        kind, *numbers = line.split()
        if int(kind) != PERSON:
            continue
        values = np.array(numbers, float)
        if len(values) == 4:
            x, y, w, h = values
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        else:
            corners = [values[::2].min(), values[1::2].min(), values[::2].max(), values[1::2].max()]
        boxes.append(np.array(corners) * [width, height, width, height])
    return np.array(boxes, np.float32).reshape(-1, 4)


def matches(boxes: Array, truth: Array) -> list[bool]:
    """Whether each box (n, 4), best score first, finds a person of truth (m, 4) that no better one has found."""
    free = np.ones(len(truth), bool)
    right = []
    for box in boxes:
        overlap = np.where(free, intersection_over_union(box, truth), 0.0)
        hit = bool(overlap.size) and float(overlap.max()) >= MATCH
        if hit:
            free[int(overlap.argmax())] = False
        right.append(hit)
    return right


def average_precision(judged: Judged, rows: Array) -> float:
    """Area under the precision envelope over recall (all points, as PASCAL VOC 2010), of the pictures ``rows``, which may repeat."""
    weights = np.bincount(rows, minlength=len(judged.people))
    order = np.argsort(-judged.scores, kind="stable")
    times = weights[judged.pictures[order]]
    hits = np.cumsum(judged.right[order] * times)
    total = np.cumsum(times)
    precision = np.maximum.accumulate((hits / np.maximum(total, 1))[::-1])[::-1]
    people = int((judged.people * weights).sum())
    return float(np.sum(np.diff(hits, prepend=0) * precision) / people) if people else float("nan")


def _at(judged: Judged, rows: Array, threshold: float = THRESHOLD) -> tuple[float, float]:
    """Recall and precision of the boxes from that score on."""
    weights = np.bincount(rows, minlength=len(judged.people))
    times = weights[judged.pictures] * (judged.scores >= threshold)
    hits = float((judged.right * times).sum())
    return hits / max(float((judged.people * weights).sum()), 1.0), hits / max(float(times.sum()), 1.0)


def _groups(folder: Path) -> dict[tuple[str, str], str]:
    """The source of each picture of (split, file name)."""
    import csv

    with (folder / "eval_groups.csv").open(encoding="utf-8", newline="") as stream:
        return {(row["split"], row["image"]): row["video_group"] for row in csv.DictReader(stream)}
