"""Writes the seismic hazard artifact and the card that says how little is known."""

from datetime import UTC, datetime
from pathlib import Path

from models.cards import ARTIFACTS, Card, Cost, Data, Tensor, Threshold
from models.evaluate.seismic_hazard import table_of
from models.train.datasets import data_folder
from models.train.feeds import seismic_hazard_feed
from models.train.publishing import publish, training
from models.train.seismic_hazard import FOLDER, NAME, SEED, Shifts, fit, read, to_onnx

VERSION = "1.0.0"

FAILURE_MODES = (
    "It is weak: of the shifts before a bump of more than 10 kJ it warns of somewhat over half, and of the others it calls four in ten hazardous. It "
    "orders attention; nobody may be sent in or kept out by it. A mine's own rock mechanics decide.",
    "The energy rule ships because nothing learned beats it: what extra trees and logistic regression add on a rolling origin has an interval that "
    "holds 0 (see the table). On the header's random folds the learned models look better; there neighbouring shifts lie on both sides.",
    "Balanced accuracy does not reach the 70 % that was asked for.",
    "The 170 hazardous shifts lie mostly in the first two thirds of the series: in its last 30 % there are 26, and the interval there is wide.",
    "Energies are those of the most active geophone of two longwalls of one Polish coal mine. Another network, rock or method of mining moves the "
    "curve: learn weight and bias anew, and expect nothing before some hundred shifts.",
    "A geophone that fails records little energy and looks like quiet rock: watch its pulses and its silence beside it.",
)


def publish_model(artifacts: Path = ARTIFACTS) -> None:
    """Fits, measures, and writes the artifact and its card."""
    shifts = read(data_folder(FOLDER))
    publish(NAME, to_onnx(fit(shifts)), lambda sha256, cost: card_for(sha256, cost, shifts), artifacts)


def card_for(sha256: str, cost: Cost, shifts: Shifts) -> Card:
    """The card of this artifact, its figures recomputed from the data."""
    rule = fit(shifts)
    return Card(
        name=NAME,
        version=VERSION,
        date=datetime.now(UTC).date(),
        purpose=(
            "Says how probable a seismic bump of more than 10 kJ is in the shift that begins, from the energy that the most active geophone of the "
            f"longwall recorded in the shift before: logistic, {rule.weight:.3f} for each decade of J. A rule of one number; advisory."
        ),
        artifact=f"{NAME}.onnx",
        sha256=sha256,
        inputs=(
            Tensor(
                name="energy",
                shape=("N", 1),
                dtype="float32",
                units="J",
                valid_range=(0.0, 3e6),
                labels=("energy of the most active geophone",),
            ),
        ),
        outputs=(Tensor(name="hazard", shape=("N", 1), dtype="float32", units="probability", valid_range=(0.0, 1.0), labels=("hazard",)),),
        threshold=Threshold(value=round(rule.threshold, 4), why="the highest balanced accuracy on all shifts; hazards are 6.6 % of them"),
        data=(
            Data(
                name="UCI seismic-bumps (Sikora and Wrobel, Archives of Mining Sciences 55(1), 2010)",
                licence="CC BY 4.0",
                source="recorded in a Polish coal mine, two longwalls",
                split="all shifts for what ships; rolling origin, the last 30 % and the header's ten folds for the figures",
            ),
        ),
        leakage_check=(
            "The figures to believe are of a rolling origin: curve, threshold and rivals are fitted on earlier shifts only, and histories look back "
            "only. The header's random folds are given for comparison with published figures, and flatter. That energy is the variable was known "
            "from the literature and from a look at the whole series."
        ),
        metrics=tuple(table_of(shifts)),
        failure_modes=FAILURE_MODES,
        cost=cost,
        training=training(NAME, SEED),
        feed=seismic_hazard_feed(shifts),
    )
