"""Trains the PPE detector: ``python -m models.train.ppe_detector`` writes models/artifacts/ppe_detector.onnx and its card.

From FastestDet's COCO weights, on the tiles of the training mosaics that share nothing with a test or valid picture (ppe_leaks.csv), which is all
it reads. A moving average of the weights is judged on the held-out sources as it goes and the best one ships. Every batch is drawn from the seed
and the number of its step: a run that was stopped goes on from its last checkpoint as if it had not been.

A quarter quicker where glibc keeps its memory: MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456.
"""

import math
import os
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from torch import nn

from models.detection import decode, preprocess
from models.evaluate.average_precision import Seen, average_precision, judged, table_of
from models.train.datasets import data_folder
from models.train.people_vehicles import DEFAULT
from models.train.ppe_leaks import LEAKS, read
from models.train.ppe_loss import Truth, loss
from models.train.ppe_mosaics import SIDE, Array
from models.train.ppe_network import STRIDES, Detector, centres, load_pretrained
from models.train.ppe_pictures import CLASSES, GRIDS, INPUT, Piece, draw, pieces, shares

NAME = "ppe_detector"
SEED = 20251125
BATCH = 8
SIDES = (352, 384, 416)
ALONE_FROM, ALONE_SHARE = 500, 0.7
"""From this step on this share of the batches shows tiles alone: a whole picture has no seams, and boxes that end at seams teach to look for them."""
EMPTY_SHARE = 0.05
"""This share of the tiles shows nothing at all: without it a black picture is taken for a person and a machine."""
ALONE_SIDES = (192, 224, 256, 288, 320, 352)
STEPS = 8000
WARM_UP = 150
RATE, BACKBONE_RATE = 1.5e-3, 6e-4
DECAY = 0.03
AVERAGE = 0.998
JUDGE_EVERY = 400
WEIGHTS = "fastestdet_coco.pth"


class Run:
    """One training run: network, average, optimiser and step; ``folder`` keeps its checkpoint."""

    def __init__(self, found: list[Piece], judge: list[tuple[Array, Array]], weights: Path, steps: int, folder: Path) -> None:
        torch.manual_seed(SEED)
        self.found, self.share, self.judge, self.steps = found, shares(found), judge, steps
        self.network = Detector(len(CLASSES)).to(memory_format=torch.channels_last)
        load_pretrained(self.network, weights)
        self.average = deepcopy(self.network).eval()
        own = [(name, value) for name, value in self.network.named_parameters() if not name.startswith("backbone.first_conv")]
        groups: list[dict[str, Any]] = [
            {
                "params": [value for name, value in own if name.startswith("backbone") == old and (value.ndim > 1) == weighed],
                "weight_decay": DECAY if weighed else 0.0,
                "top": rate,
            }
            for old, rate in ((True, BACKBONE_RATE), (False, RATE))
            for weighed in (True, False)
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, fused=True)
        self.step, self.best = 0, 0.0
        self.best_weights = deepcopy(self.average.state_dict())
        self.checkpoint = folder / f"{NAME}.pt"
        if self.checkpoint.exists():
            self._resume()

    def train(self, until: int) -> None:
        """Goes on to step ``until``; the rate is that of a run of ``steps``."""
        start, first = time.monotonic(), self.step
        totals = np.zeros(3)
        while self.step < min(self.steps, until):
            totals += self._one()
            self.step += 1
            if self.step % JUDGE_EVERY == 0 or self.step == min(self.steps, until):
                values = average_precisions(self.average, self.judge)
                mean = float(np.nanmean(values))
                if mean > self.best:
                    self.best, self.best_weights = mean, deepcopy(self.average.state_dict())
                self._save()
                done = (time.monotonic() - start) / (self.step - first)
                told = " ".join(f"{name} {value:.2f}" for name, value in zip(CLASSES, values, strict=True))
                sys.stdout.write(
                    f"{self.step}/{self.steps} {done:.2f} s/step loss {totals.round(1) / JUDGE_EVERY} held out {mean:.4f}: {told}\n"
                )
                sys.stdout.flush()
                totals = np.zeros(3)

    def _one(self) -> Array:
        generator = np.random.default_rng((SEED, self.step))
        alone = self.step >= ALONE_FROM and generator.random() < ALONE_SHARE
        side = int(generator.choice(ALONE_SIDES if alone else SIDES))
        size = round(BATCH * SIDES[1] ** 2 / side**2) if alone else BATCH  # as many pixels as a batch of mosaics
        grids = {1: 1.0} if alone else GRIDS
        images, truth = zip(*(draw(self.found, self.share, side, generator, grids, empty=EMPTY_SHARE) for _ in range(size)), strict=True)
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        most = max(1, *(len(boxes) for boxes in truth))
        table, real = np.zeros((size, most, 5), np.float32), np.zeros((size, most), bool)
        for index, boxes in enumerate(truth):
            table[index, : len(boxes)], real[index, : len(boxes)] = boxes, True
        rate = min(1.0, (self.step + 1) / WARM_UP) * (0.02 + 0.98 * (1 + math.cos(math.pi * self.step / self.steps)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * rate
        self.network.train()
        places = torch.cat([centres((side // stride, side // stride), stride) for stride in STRIDES])
        logits, boxes_ = self.network(batch)
        target = torch.from_numpy(table)
        true = Truth(target[..., 1:], target[..., 0].long(), torch.from_numpy(real))
        total, classes, shapes = loss(logits, boxes_, places, true)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - decay)
        return np.array([total.item(), classes, shapes])

    def _save(self) -> None:
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best_weights": self.best_weights,
            "step": self.step,
            "steps": self.steps,
            "best": self.best,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(content, part)
        part.replace(self.checkpoint)

    def _resume(self) -> None:
        content = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.best_weights, self.step, self.best = content["best_weights"], content["step"], content["best"]
        if self.step >= self.steps:  # nothing is left to do: what was done is published as it stands
            self.steps = content["steps"]


@torch.no_grad()
def found_by(network: Detector, image: Array, threshold: float = 0.01) -> Array:
    """Detections (m, 6) in pixels of a tile, which is shown at the scale that a whole picture has at the graph's input."""
    side = max(128, round(max(image.shape) * INPUT / SIDE / 32) * 32)
    tensor, transform = preprocess(image, (side, side))
    logits, boxes = network(torch.from_numpy(tensor))
    output = torch.cat((boxes / side, logits.sigmoid()), 2).numpy()
    return table_of(decode(output, len(CLASSES), transform, threshold))


def average_precisions(network: Detector, pictures: list[tuple[Array, Array]]) -> list[float]:
    """AP50 of each class."""
    seen = [Seen(boxes, found_by(network, image)) for image, boxes in pictures]
    return [average_precision([judged(one, kind) for one in seen]) for kind in range(len(CLASSES))]


@click.command()
@click.option("--steps", default=STEPS, show_default=True, help="Batches in all; the rate falls along a cosine over them.")
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), default=Path("build/ppe"), show_default=True, help="For the checkpoint."
)
@click.option("--threads", default=1, show_default=True)
def main(steps: int, work: Path, threads: int) -> None:
    """Trains, or goes on where the checkpoint in --work stands, and writes the artifact and its card.

    With --steps below what the checkpoint has done, its best weights so far are published as they are.
    """
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    work.mkdir(parents=True, exist_ok=True)
    train = data_folder("ppe_css") / "train"
    leaks = read(LEAKS)
    found, held_out = list(pieces(train, leaks)), list(pieces(train, leaks, held_out=True))
    judge = [(piece.image, piece.boxes) for piece in held_out if len(piece.boxes)]
    sys.stdout.write(f"{len(found)} tiles of {SIDE} px mosaics to train on, {len(judge)} held-out ones\n")
    run = Run(found, judge, Path(os.environ.get("MUKI_WEIGHTS", DEFAULT)) / WEIGHTS, steps, work)
    run.train(steps)
    from models.train.ppe_card import publish_model

    run.average.load_state_dict(run.best_weights)
    network = run.average.eval().to(memory_format=torch.contiguous_format)
    stopped = "" if run.step == run.steps else f", stopped at step {run.step}"
    publish_model(
        network,
        [(boxes, found_by(network, image)) for image, boxes in judge],
        f"python -m models.train.{NAME} --steps {run.steps}{stopped}",
        SEED,
    )


if __name__ == "__main__":
    main()
