"""Trains the rocks on a belt: ``python -m models.train.rocks_belt`` writes models/artifacts/rocks_belt.onnx and its card.

A small U-Net from chance, on the official training pictures less those held out; the checkpoint and what makes single rocks of its map are chosen on
the held-out ones. Every batch is drawn from the seed and the number of its step: a run that was stopped goes on from its checkpoint.
"""

import io
import math
import sys
import time
import warnings
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import click
import cv2
import numpy as np
import torch
from torch import Tensor, nn

from models.rocks import LABELS, decode, passing, preprocess
from models.train.datasets import data_folder
from models.train.rocks_network import RockNet
from models.train.rocks_pictures import FEW, FOLDER, IGNORED, Picture, held_out, pictures

Array = np.ndarray[Any, np.dtype[Any]]

NAME = "rocks_belt"
SEED = 20251125
STEPS, BATCH, SIDE = 2400, 6, 224
RATE, DECAY, AVERAGE, WARM_UP = 2e-3, 0.02, 0.995, 50
WEIGHTS = (1.0, 0.7, 2.0, 1.5)  # of LABELS: edges are thin, and what tells two rocks apart
JUDGE_EVERY = 200
CORES, GROWS = (0.35, 0.45, 0.55, 0.65), (0.94, 0.97, 1.0, 1.03, 1.06)


class Choice(NamedTuple):
    """What makes single rocks of a map; see `models.rocks.decode`."""

    core: float
    grow: float


class Run:
    """One training run; ``folder`` keeps its checkpoint."""

    def __init__(self, found: list[Picture], judge: list[Picture], steps: int, folder: Path) -> None:
        torch.manual_seed(SEED)
        self.images = [picture.image for picture in found]
        self.maps = [picture.map() for picture in found]
        rocks = np.array([1.0 if (one == LABELS.index("core")).any() else 0.35 for one in self.maps])
        self.share, self.judge, self.steps = rocks / rocks.sum(), judge, steps
        self.network = RockNet(len(LABELS)).to(memory_format=torch.channels_last)
        self.average = deepcopy(self.network).eval()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=DECAY)
        self.step, self.best, self.choice = 0, math.inf, Choice(0.5, 1.0)
        self.best_weights = deepcopy(self.average.state_dict())
        self.checkpoint = folder / f"{NAME}.pt"
        if self.checkpoint.exists():
            self._resume()

    def train(self) -> None:
        start, first = time.monotonic(), self.step
        while self.step < self.steps:
            value = self._one()
            self.step += 1
            if self.step % JUDGE_EVERY == 0 or self.step == self.steps:
                error, choice = best_choice([(picture, shares_of(self.average, picture.image)) for picture in self.judge])
                if error < self.best:
                    self.best, self.choice, self.best_weights = error, choice, deepcopy(self.average.state_dict())
                self._save()
                done = (time.monotonic() - start) / (self.step - first)
                sys.stdout.write(f"{self.step}/{self.steps} {done:.2f} s/step loss {value:.3f} held out: error {error:.4f} by {choice}\n")
                sys.stdout.flush()

    def _one(self) -> float:
        generator = np.random.default_rng((SEED, self.step))
        drawn = [self._drawn(int(place), generator) for place in generator.choice(len(self.images), BATCH, p=self.share)]
        images, maps = (np.stack(part) for part in zip(*drawn, strict=True))
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        rate = min(1.0, (self.step + 1) / WARM_UP) * (0.02 + 0.98 * (1 + math.cos(math.pi * self.step / self.steps)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * rate
        self.network.train()
        weight = torch.tensor(WEIGHTS)
        loss: Tensor = nn.functional.cross_entropy(self.network(batch), torch.from_numpy(maps).long(), weight, ignore_index=IGNORED)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - decay)
        return float(loss.item())

    def _drawn(self, place: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """A part of a picture, turned, mirrored, scaled and coloured by chance, and its map."""
        image, target = self.images[place], self.maps[place]
        angle, scale = generator.uniform(-180, 180), generator.uniform(0.8, 1.3)
        if generator.random() < 0.5:
            image, target = image[:, ::-1], target[:, ::-1]
        middle = (image.shape[1] / 2, image.shape[0] / 2)
        matrix = cv2.getRotationMatrix2D(middle, angle, scale)
        matrix = matrix + np.array([[0, 0, SIDE / 2 - middle[0]], [0, 0, SIDE / 2 - middle[1]]]) + _moved(generator)
        image = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        target = cv2.warpAffine(
            np.ascontiguousarray(target), matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORED
        )
        gain = generator.uniform(0.6, 1.5) * generator.uniform(0.85, 1.15, 3)
        table = (np.arange(256)[:, None] * gain + generator.uniform(-15, 15)).clip(0, 255).astype(np.uint8)
        return cv2.LUT(image, table.reshape(1, 256, 3)), target

    def _save(self) -> None:
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best_weights": self.best_weights,
            "step": self.step,
            "best": self.best,
            "choice": tuple(self.choice),
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
        self.choice = Choice(*content["choice"])


def _moved(generator: np.random.Generator) -> Array:
    """A shift by some pixels, for an affine matrix (2, 3)."""
    found = np.zeros((2, 3))
    found[:, 2] = generator.uniform(-30, 30, 2)
    return found


@torch.no_grad()
def shares_of(network: RockNet, image: Array) -> Array:
    """The map of a picture, (1, 4, h, w)."""
    found: Array = network(torch.from_numpy(preprocess(image))).softmax(1).numpy()
    return found


def best_choice(seen: list[tuple[Picture, Array]]) -> tuple[float, Choice]:
    """The choice with the least error of P50 and P80 over pictures with rocks enough, and of all their rocks together."""
    truths = [(picture.diameters(), picture.image.shape, shares) for picture, shares in seen]
    truths = [one for one in truths if len(one[0]) >= FEW]
    values: dict[Choice, float] = {}
    for core, grow in product(CORES, GROWS):
        told = [decode(shares, (shape[0], shape[1]), core=core, grow=grow).diameters for _, shape, shares in truths]
        errors = [_off(own, truth) for own, (truth, _, _) in zip(told, truths, strict=True)]
        together = _off(np.concatenate(told), np.concatenate([truth for truth, _, _ in truths]))
        values[Choice(core, grow)] = float(np.mean(errors)) + together
    choice = min(values, key=lambda one: values[one])
    return values[choice], choice


def _off(told: Array, truth: Array) -> float:
    if not len(told):
        return 2.0
    return float(np.mean([abs(passing(told, share) / passing(truth, share) - 1) for share in (0.5, 0.8)]))


class Exported(nn.Module):
    """The network as the agent runs it: shares instead of logits."""

    def __init__(self, network: RockNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        return self.network(picture).softmax(1)


def to_onnx(network: RockNet) -> bytes:
    """The graph: ``image`` float32 (1, 3, H, W) to ``shares`` (1, 4, H, W). Opset 17, IR 8."""
    import onnx

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            Exported(network).eval(),
            (torch.zeros(1, 3, 256, 256),),
            stream,
            input_names=["image"],
            output_names=["shares"],
            dynamic_axes={"image": {2: "H", 3: "W"}, "shares": {2: "H", 3: "W"}},
            opset_version=17,
            dynamo=False,  # the other exporter needs a package more
        )
    model = onnx.load_from_string(stream.getvalue())
    model.ir_version, model.producer_name, model.producer_version, model.doc_string = 8, "muki", "", ""
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@click.command()
@click.option("--steps", default=STEPS, show_default=True, help="Batches in all; the rate falls along a cosine over them.")
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), default=Path("build/rocks"), show_default=True, help="For the checkpoint."
)
@click.option("--threads", default=1, show_default=True)
def main(steps: int, work: Path, threads: int) -> None:
    """Trains, or goes on where the checkpoint in --work stands, and writes the artifact and its card."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    work.mkdir(parents=True, exist_ok=True)
    found = list(pictures(data_folder(FOLDER), "train"))
    kept_back = held_out(found)
    train = [picture for picture, back in zip(found, kept_back, strict=True) if not back]
    judge = [picture for picture, back in zip(found, kept_back, strict=True) if back]
    sys.stdout.write(f"{len(train)} pictures to train on, {len(judge)} held out\n")
    run = Run(train, judge, steps, work)
    run.train()
    from models.train.rocks_belt_card import publish_model

    run.average.load_state_dict(run.best_weights)
    publish_model(to_onnx(run.average.eval()), run.choice, f"python -m models.train.{NAME} --steps {steps}", SEED)


if __name__ == "__main__":
    main()
