"""Writes the rocks artifact and the card that says what a picture of a belt cannot tell."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.cards import ARTIFACTS, Card, Cost, Data, Figure, Metric, Tensor, Threshold, Training, card_path, write_card
from models.evaluate.rocks_belt import NAME, table_of
from models.rocks import LABELS
from models.runtime import load
from models.train.datasets import data_folder
from models.train.publishing import commit, publish
from models.train.rocks_pictures import FOLDER, pictures

if TYPE_CHECKING:
    from models.train.rocks_belt import Choice

VERSION = "0.1.0"

FAILURE_MODES = (
    "It sees the top layer. Fines fall between the stones and to the bottom: against a sieve P50 and P80 of a picture are too large, "
    "by an amount that "
    "belongs to the belt and must be measured there.",
    "Sizes are in pixels. Millimetres need a calibration on the belt's surface; a higher load lies nearer to the lens and looks larger.",
    "Rocks at the picture's edge are cut, and a rock that lies under another is taken for what shows of it; truth and figures do the same.",
    "205 small pictures of one belt, one camera and one kind of ore, by artificial light: another belt is to be measured before its "
    "figures are used.",
    "Soft lumps and clods of fines were drawn as people liked: they were left out of training and of the overlap, and may be told as rocks.",
    "A picture with fewer than five rocks has no P80 worth the name: take many pictures together.",
    "Rocks of 15 pixels and less are mostly missed; in the data set they are mostly not drawn.",
)
_NOTHING = Figure(value=0.0, interval_95=(0.0, 1.0))
_PENDING = Metric(**_NOTHING.model_dump(), name="pending", data="none", split="none", resampled="none", baselines={"none": _NOTHING})


def publish_model(content: bytes, choice: "Choice", command: str, seed: int, artifacts: Path = ARTIFACTS) -> Card:
    """Writes the artifact, judges it as the agent would run it, and writes its card."""
    training = Training(command=command, commit=commit(), seed=seed)
    card = publish(NAME, content, lambda sha256, cost: _card(sha256, cost, choice, training), artifacts)
    path, folder = artifacts / f"{NAME}.onnx", data_folder(FOLDER)
    table = table_of(load(path), list(pictures(folder, "train")), list(pictures(folder, "val")))
    card = card.model_copy(update={"metrics": tuple(table)})
    write_card(card, card_path(path))
    return card


def _card(sha256: str, cost: Cost, choice: "Choice", training: Training) -> Card:
    return Card(
        name=NAME,
        version=VERSION,
        date=datetime.now(UTC).date(),
        purpose=(
            "Tells rocks, their edges, bare belt and the rest in a picture of a loaded belt; models/rocks.py makes of it single "
            "rocks, P50, P80, oversize "
            "and the share of bare belt. Advisory: a trend of fragmentation and an eye on large stones, no sieve."
        ),
        artifact=f"{NAME}.onnx",
        sha256=sha256,
        inputs=(
            Tensor(
                name="image",
                shape=(1, 3, "16H", "16W"),
                dtype="float32",
                units="1, BGR; height and width multiples of 16",
                valid_range=(0.0, 1.0),
            ),
        ),
        outputs=(
            Tensor(
                name="shares",
                shape=(1, len(LABELS), "16H", "16W"),
                dtype="float32",
                units="probability of other, belt, edge, core",
                valid_range=(0.0, 1.0),
            ),
        ),
        threshold=Threshold(
            value=choice.core,
            why=f"the inner part of a rock begins there, diameters times {choice.grow}; least error of P50 and P80 on held-out pictures",
        ),
        data=(
            Data(
                name="rocks-test2-250imgs of guillermoecn/Mask_RCNN_TF2.4 (on Roboflow Universe as object-detection/cdm-b4yrh)",
                licence="CC BY 4.0",
                source="recorded over an industrial belt, 205 pictures of 250 x 250 px",
                split="official; of the training pictures each fifth, and what is alike to it, chose checkpoint and thresholds",
            ),
        ),
        leakage_check=(
            "Validation pictures with a near-duplicate in training (difference hash, 6 of 64 bits or fewer) are left out of every "
            "figure. The trainer opens "
            "no validation picture; they were judged once, with the artifact that ships. Pictures of one belt on one day are alike "
            "in light and ore, "
            "which no split of this data can undo."
        ),
        metrics=(_PENDING,),
        failure_modes=FAILURE_MODES,
        cost=cost,
        training=training,
    )
