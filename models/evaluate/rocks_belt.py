"""How good the rocks are: the official validation pictures less those that have a near-duplicate in training."""

from typing import Any, NamedTuple

import numpy as np

from models.cards import Figure, Metric
from models.evaluate.resampling import figure
from models.rocks import LABELS, decode, passing, preprocess
from models.runtime import Model, load
from models.train.datasets import data_folder
from models.train.rocks_pictures import BELT, FEW, FOLDER, LUMP, ROCK, Picture, alike, pictures

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "rocks_belt"
RESAMPLES = 1000
DATA = "rocks on an industrial belt, 250 x 250 px"
SPLIT = "the official validation pictures without near-duplicates in training; looked at once, with the artifact that ships"
RESAMPLED = f"{RESAMPLES} resamples of whole pictures"
WATERSHED, CONSTANT = "grey watershed (Otsu, distance transform)", "always the P50 and P80 of the training rocks"
SHARES = {"P50": 0.5, "P80": 0.8}


class Seen(NamedTuple):
    """One picture with what each way of looking found: diameters in pixels, and how its pixels are told."""

    picture: Picture
    model: Array
    watershed: Array
    overlaps: dict[str, tuple[int, int]]  # by label: pixels in both, pixels in either
    bare: float
    truly_bare: float


def metrics() -> list[Metric]:
    """The table of the card, recomputed with the artifact."""
    folder = data_folder(FOLDER)
    return table_of(load(NAME), list(pictures(folder, "train")), list(pictures(folder, "val")))


def table_of(model: Model, train: list[Picture], val: list[Picture]) -> list[Metric]:
    """The same of pictures that are already read."""
    seen = [_look(model, picture) for picture in val if not alike(picture, train)]
    usual = np.concatenate([picture.diameters() for picture in train])
    enough = [one for one in seen if len(one.picture.diameters()) >= FEW]
    constant = {name: passing(usual, share) for name, share in SHARES.items()}
    table = []
    for name, share in SHARES.items():
        table += [_pooled(name, share, enough, constant[name]), _each(name, share, enough, constant[name])]
    table += [_overlap(label, category, seen) for label, category in (("rock", ROCK), ("bare belt", BELT))]
    off = np.array([abs(one.bare - one.truly_bare) for one in seen])
    mean = np.mean([picture.mask(BELT).mean() for picture in train])
    usual_share = np.array([abs(mean - one.truly_bare) for one in seen])
    table.append(
        _metric(
            "mean absolute error of the share of bare belt",
            off,
            {"always the mean of training": usual_share},
        )
    )
    return table


def found(model: Model, image: Array) -> Any:
    """What the model sees in a picture, with the choice that its card carries."""
    shares = model.run({"image": preprocess(image)})["shares"]
    core, grow = choice_of(model.card.threshold.value, model.card.threshold.why)
    return decode(shares, (image.shape[0], image.shape[1]), core=core, grow=grow), shares


def choice_of(core: float, why: str) -> tuple[float, float]:
    """The card's threshold is the probability of an inner part; what diameters are multiplied by stands in its reason."""
    return core, float(why.partition("diameters times ")[2].split(";")[0])


def watershed(image: Array) -> Array:
    """The usual way without learning: diameters of what Otsu's threshold and a watershed on the distance transform leave, in pixels."""
    import cv2

    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (5, 5), 0)
    _, bright = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), iterations=2)
    distance = cv2.distanceTransform(bright, cv2.DIST_L2, 5)
    seeds = (distance > 0.4 * float(distance.max() or 1)).astype(np.uint8)
    _, markers = cv2.connectedComponents(seeds)
    markers = markers + 1
    markers[(bright > 0) & (seeds == 0)] = 0
    markers = cv2.watershed(image, markers.astype(np.int32))
    areas = np.bincount(markers[markers > 1].ravel())
    return np.sqrt(areas[areas >= 60] * 4 / np.pi)


def _look(model: Model, picture: Picture) -> Seen:
    rocks, shares = found(model, picture.image)
    height, width = picture.image.shape[:2]
    told = shares[0, :, :height, :width]
    rock = told[LABELS.index("edge")] + told[LABELS.index("core")]
    belt, other = told[LABELS.index("belt")], told[LABELS.index("other")]
    counted = ~picture.mask(LUMP)
    overlaps = {}
    for label, said, truth in (
        ("rock", rock > np.maximum(belt, other), picture.mask(ROCK)),
        ("bare belt", belt > np.maximum(rock, other), picture.mask(BELT) & ~picture.mask(ROCK)),
    ):
        overlaps[label] = (int((said & truth & counted).sum()), int(((said | truth) & counted).sum()))
    bare = float((picture.mask(BELT) & ~picture.mask(ROCK)).mean())
    return Seen(picture, rocks.diameters, watershed(picture.image), overlaps, rocks.bare, bare)


def _pooled(name: str, share: float, seen: list[Seen], constant: float) -> Metric:
    def error(told: list[Array], rows: Array) -> float:
        truth = np.concatenate([seen[row].picture.diameters() for row in rows])
        own = np.concatenate([told[row] for row in rows])
        return abs(passing(own, share) / passing(truth, share) - 1)

    def of(told: list[Array]) -> Figure:
        return figure(lambda rows: error(told, rows), np.arange(len(seen)), resamples=RESAMPLES)

    value = of([one.model for one in seen])
    beside = {
        WATERSHED: of([one.watershed for one in seen]),
        CONSTANT: figure(
            lambda rows: abs(constant / passing(np.concatenate([seen[row].picture.diameters() for row in rows]), share) - 1),
            np.arange(len(seen)),
            resamples=RESAMPLES,
        ),
    }
    split = f"{SPLIT}; all rocks of the {len(seen)} pictures with {FEW} rocks or more together"
    return Metric(
        name=f"error of {name}, share of the truth",
        data=DATA,
        split=split,
        value=value.value,
        interval_95=value.interval_95,
        resampled=RESAMPLED,
        baselines=beside,
    )


def _each(name: str, share: float, seen: list[Seen], constant: float) -> Metric:
    truth = np.array([passing(one.picture.diameters(), share) for one in seen])

    def errors(told: list[Array]) -> Array:
        return np.array([abs((passing(own, share) if len(own) else 0.0) / true - 1) for own, true in zip(told, truth, strict=True)])

    return _metric(
        f"mean error of {name} of a single picture, share of the truth",
        errors([one.model for one in seen]),
        {WATERSHED: errors([one.watershed for one in seen]), CONSTANT: np.abs(constant / truth - 1)},
        f"{SPLIT}; {len(seen)} pictures with {FEW} rocks or more",
    )


def _overlap(label: str, category: int, seen: list[Seen]) -> Metric:
    both = np.array([one.overlaps[label] for one in seen], float)
    value = figure(lambda rows: float(both[rows, 0].sum() / max(1.0, both[rows, 1].sum())), np.arange(len(seen)), resamples=RESAMPLES)
    everything = np.array(
        [[one.picture.mask(category).sum(), one.picture.image.shape[0] * one.picture.image.shape[1]] for one in seen], float
    )
    whole = figure(lambda rows: float(everything[rows, 0].sum() / everything[rows, 1].sum()), np.arange(len(seen)), resamples=RESAMPLES)
    return Metric(
        name=f"intersection over union of {label}, all pixels together",
        data=DATA,
        split=f"{SPLIT}; soft lumps are not counted",
        value=value.value,
        interval_95=value.interval_95,
        resampled=RESAMPLED,
        baselines={"everything is it": whole},
    )


def _metric(name: str, values: Array, beside: dict[str, Array], split: str = SPLIT) -> Metric:
    def of(own: Array) -> Figure:
        return figure(lambda rows: float(own[rows].mean()), np.arange(len(own)), resamples=RESAMPLES)

    value = of(values)
    return Metric(
        name=name,
        data=DATA,
        split=split,
        value=value.value,
        interval_95=value.interval_95,
        resampled=RESAMPLED,
        baselines={rival: of(own) for rival, own in beside.items()},
    )
