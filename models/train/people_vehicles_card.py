"""Writes the people and vehicles artifact and the card that says where it is from, what is known about it, and what it cannot see."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from models.cards import ARTIFACTS, Card, Cost, Data, Figure, Metric, Tensor, Threshold
from models.evaluate.people_vehicles import THRESHOLD, metrics
from models.train.people_vehicles import COCO, GRID, LABELS, NAME, SEED, SIZE, to_onnx, weight
from models.train.publishing import publish, training

VERSION = "1.0.0"

FAILURE_MODES = (
    "It is no safety function: it misses people (see recall). It may never release a machine, and an empty zone in its readings proves nothing.",
    "Small and far people, below about 16 pixels of the 352 that it sees, are mostly missed: place the camera so that a person fills a fifth "
    "of the height.",
    "COCO has no mine in it: dark headings, dust, cap lamps, people lying or half hidden, and mining machines are not measured. "
    "Haul trucks and loaders are no class of its own: they come out as truck, as car, or not at all.",
    "People on posters, screens and in mirrors are people to it. Mask those parts of the picture.",
    "Several people that stand close may be one box: a count is a lower bound.",
)


def publish_model(artifacts: Path = ARTIFACTS) -> None:
    """Makes, measures, and writes the artifact and its card."""
    content = to_onnx(weight())
    # The figures come from the artifact as it ships, and no model is loaded without its card: first one without figures.
    publish(NAME, content, lambda sha256, cost: card_for(sha256, cost, (_UNMEASURED,)), artifacts)
    table = metrics(artifacts / f"{NAME}.onnx")
    publish(NAME, content, lambda sha256, cost: card_for(sha256, cost, table), artifacts)


_UNMEASURED = Metric(
    name="not yet measured",
    data="none",
    split="none",
    value=0.0,
    interval_95=(0.0, 0.0),
    resampled="no",
    baselines={"none": Figure(value=0.0, interval_95=(0.0, 0.0))},
)


def card_for(sha256: str, cost: Cost, table: Sequence[Metric]) -> Card:
    """The card of this artifact."""
    return Card(
        name=NAME,
        version=VERSION,
        date=datetime.now(UTC).date(),
        purpose=(
            f"Finds {', '.join(COCO)} in one picture of a camera. Advisory, in shadow mode until a site has judged it on its own cameras: it "
            "counts, it stops no machine and clears none. FastestDet as its authors trained it on COCO (dog-qiuqiu/FastestDet, commit "
            "50473cd155cb, BSD 3-Clause: LICENSE-FastestDet.md), cut to these classes."
        ),
        artifact=f"{NAME}.onnx",
        sha256=sha256,
        inputs=(
            Tensor(name="image", shape=(1, 3, SIZE, SIZE), dtype="float32", units="1, BGR, the picture stretched", valid_range=(0.0, 1.0)),
        ),
        outputs=(
            Tensor(
                name="boxes",
                shape=(1, GRID, GRID, len(LABELS)),
                dtype="float32",
                units="see decode in models/detection.py",
                valid_range=(-20.0, 20.0),
                labels=LABELS,
            ),
        ),
        threshold=Threshold(value=THRESHOLD, why="the authors' own for this weight; not chosen on the pictures that it is judged on"),
        data=(
            Data(
                name="COCO 2017 (trained by the authors of FastestDet)",
                licence="annotations CC BY 4.0; pictures under the terms of Flickr; the weight BSD 3-Clause",
                source="cocodataset.org",
                split="as published by the authors; nothing was trained here",
            ),
            Data(
                name="Construction Site Safety v28 (Roboflow Universe)",
                licence="CC BY 4.0",
                source="web pictures and video frames of building sites, annotated by contributors",
                split="test and valid pictures, for the figures only",
            ),
        ),
        leakage_check=(
            "The weight was trained on COCO only, and nothing was fitted or chosen on Construction Site Safety: that set's own leak between "
            "training and test pictures does not touch these figures. Whether single web pictures of it are also in COCO was not checked. "
            "Pictures of one clip or source are resampled together."
        ),
        metrics=tuple(table),
        failure_modes=FAILURE_MODES,
        cost=cost,
        training=training(NAME, SEED),
    )
