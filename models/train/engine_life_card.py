"""Writes the engine life artifact and the card that says what is known about it, and what it cannot see."""

from datetime import UTC, datetime
from pathlib import Path

from models.cards import ARTIFACTS, Card, Cost, Data, Tensor, Threshold
from models.engine_life import BASELINE, ROWS, SENSORS
from models.evaluate.engine_life import table_of
from models.train.datasets import data_folder
from models.train.engine_life import CAP, FOLDER, NAME, SEED, Fleet, fit, read, rows, to_onnx
from models.train.feeds import engine_life_feed
from models.train.publishing import publish, training

VERSION = "1.0.0"

FAILURE_MODES = (
    "It was made of simulated engines and has seen no real one, and no machine of a mine: it shows the method, it predicts nothing there.",
    "One operating condition and one kind of fault: under changing load or height the sensors move for other reasons, and it is wrong.",
    f"An answer near {CAP:g} means no wear that can be seen, not {CAP:g} cycles.",
    f"It needs the engine's own first {BASELINE} cycles, healthy and after the last overhaul; without them every difference is wrong.",
    "Errors are largest between 60 and 125 cycles before the end, where wear begins; a late error costs more than an early one.",
    "Figures of variants on the official test engines were seen while this was built. The folds of training engines chose, not the test; still the "
    "test figures are not those of a test that was opened once.",
    "The interval is wide: a hundred test engines cannot tell models apart whose RMSE differs by less than one cycle.",
)


def publish_model(artifacts: Path = ARTIFACTS) -> None:
    """Fits, measures, and writes the artifact and its card."""
    train, test = read(data_folder(FOLDER))
    publish(NAME, to_onnx(fit(rows(train))), lambda sha256, cost: card_for(sha256, cost, train, test), artifacts)


def card_for(sha256: str, cost: Cost, train: Fleet, test: Fleet) -> Card:
    """The card of this artifact, its figures recomputed from the data."""
    names = tuple(f"s{sensor}" for sensor in SENSORS)
    return Card(
        name=NAME,
        version=VERSION,
        date=datetime.now(UTC).date(),
        purpose=(
            "Says how many cycles a (simulated) turbofan has left, at most 125, from means and slopes of 14 sensors since its first cycles, "
            "which models.engine_life.summaries computes. A demonstration of remaining useful life on a public benchmark; advisory."
        ),
        artifact=f"{NAME}.onnx",
        sha256=sha256,
        inputs=(
            Tensor(
                name="summary",
                shape=("N", len(ROWS), len(SENSORS)),
                dtype="float32",
                units="the sensors' own in C-MAPSS; rows: " + ", ".join(ROWS),
                valid_range=(-1000.0, 10000.0),
                labels=names,
            ),
            Tensor(name="age", shape=("N", 1), dtype="float32", units="cycles since new or overhauled", valid_range=(20.0, 400.0)),
        ),
        outputs=(Tensor(name="life", shape=("N", 1), dtype="float32", units="cycles", valid_range=(0.0, CAP)),),
        threshold=Threshold(
            value=30.0, why="a month of one cycle a day to plan the exchange in, three times the RMSE; no optimum is claimed"
        ),
        data=(
            Data(
                name="C-MAPSS FD001 (Saxena and Goebel, PHM 2008), NASA",
                licence="public domain (US Government work)",
                source="simulated by NASA",
                split="official: 100 training engines run to failure, 100 test engines cut before it; folds of whole training engines",
            ),
        ),
        leakage_check=(
            "Whole engines are held out, never cycles. A summary looks back only. Scales, directions and trees are fitted anew in each fold "
            "without the held-out engines. The official test engines are in no fit."
        ),
        metrics=tuple(table_of(train, test)),
        failure_modes=FAILURE_MODES,
        cost=cost,
        training=training(NAME, SEED),
        feed=engine_life_feed(train),
    )
