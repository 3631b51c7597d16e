"""Writes the pump anomaly artifact and the card that says what is known about it, and what it cannot see."""

from datetime import UTC, datetime
from pathlib import Path

from models.cards import ARTIFACTS, Card, Cost, Data, Tensor, Threshold
from models.evaluate.pump_anomaly import table_of
from models.pump import QUANTILE
from models.train.datasets import data_folder
from models.train.feeds import pump_anomaly_feed
from models.train.publishing import publish, training
from models.train.pump_anomaly import (
    CHANNELS,
    FALSE_ALARMS,
    FOLDER,
    NAME,
    REFERENCE,
    SEED,
    SETTINGS,
    SUBSETS,
    Array,
    Recording,
    fit,
    read,
    table,
    to_onnx,
)

VERSION = "1.0.0"

FAILURE_MODES = (
    "Any lasting change counts: a new speed, valve position or medium that is wanted looks like a fault. Learn the reference anew after each.",
    "A reference that holds a fault teaches the fault as normal; one recording of the data set has 296 of its first 400 rows marked so.",
    "About one normal row in nine is called anomalous, and nearly one anomalous row in four is missed; in some recordings far more.",
    "The family of settings was narrowed by people who had seen figures on all recordings: 2400 settings (more channels, shrinkages, widths and "
    "limits), nested alike by F1 alone, gave F1 0.81 at a false-alarm rate of 0.19. The figures of this card are therefore slightly flattering.",
    "It learnt from one small water rig with valves closed and similar faults; on a mine's pump the threshold is a first guess.",
    "It looks back 24 s and its mean needs some seconds to move: no protection against what breaks at once.",
)


def publish_model(artifacts: Path = ARTIFACTS) -> None:
    """Chooses, measures, and writes the artifact and its card."""
    recordings = read(data_folder(FOLDER))
    found = table(recordings)
    publish(NAME, to_onnx(fit(found)), lambda sha256, cost: card_for(sha256, cost, recordings, found), artifacts)


def card_for(sha256: str, cost: Cost, recordings: list[Recording], found: Array) -> Card:
    """The card of this artifact, its figures recomputed from the data."""
    setting = fit(found)
    names = tuple(CHANNELS[channel] for channel in SUBSETS[setting.subset])
    width, smoothing = len(names), setting.smoothing
    return Card(
        name=NAME,
        version=VERSION,
        date=datetime.now(UTC).date(),
        purpose=(
            f"Says how far the last {smoothing.rows} s of a pump ({', '.join(names)}) are from that pump's own normal, which models.pump.learn "
            f"takes from its first {REFERENCE} s: smoothed Hotelling T², in units of its {QUANTILE} quantile in normal operation. Advisory."
        ),
        artifact=f"{NAME}.onnx",
        sha256=sha256,
        inputs=(
            Tensor(
                name="window",
                shape=("N", smoothing.rows, width),
                dtype="float32",
                units="1 Hz, the channels' own (rig: g RMS, g RMS, A, L/min)",
                valid_range=(-1000.0, 10000.0),
                labels=names,
            ),
            Tensor(name="centre", shape=(1, width), dtype="float32", units="as the window", valid_range=(-1000.0, 10000.0), labels=names),
            Tensor(name="whitening", shape=(width, width), dtype="float32", units="1 per unit of the channel", valid_range=(-1e9, 1e9)),
            Tensor(name="limit", shape=(1, 1), dtype="float32", units="log(1 + T²/k)", valid_range=(1e-6, 100.0)),
        ),
        outputs=(Tensor(name="score", shape=("N", 1), dtype="float32", units="limits", valid_range=(0.0, 1000.0)),),
        threshold=Threshold(
            value=setting.threshold,
            why=f"best F1 on all 34 recordings less what the false-alarm rate exceeds {FALSE_ALARMS:.0%} of normal rows",
        ),
        data=(
            Data(
                name="SKAB, Skoltech Anomaly Benchmark (Katser and Kozitsin, 2020)",
                licence="GPL-3.0; none of the data is in the artifact, only three choices and a threshold",
                source="recorded on a water circulation test rig, faults made by hand, 1 Hz",
                split="all 34 labelled recordings chose what ships; halves of them, never the judged ones, chose for the figures",
            ),
        ),
        leakage_check=(
            "A score looks back only. Centre, whitening and limit are of the first 400 rows of the same recording, before what is judged. "
            f"Channels, smoothing and threshold ({len(SETTINGS)} settings) are chosen without any row of the judged recordings. No label is used "
            "but in that choice. The list of settings itself was drawn up after a look at all recordings: see the failure modes."
        ),
        metrics=tuple(table_of(recordings, found)),
        failure_modes=FAILURE_MODES,
        cost=cost,
        training=training(NAME, SEED),
        feed=pump_anomaly_feed(recordings, setting),
    )
