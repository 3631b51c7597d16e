"""What the PPE detector is taught by: task-aligned assignment (Feng et al., ICCV 2021) with quality targets and complete IoU (Zheng et al., 2020)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

NEAREST = 9  # places a box may choose
ALPHA, BETA = 0.5, 4.0  # of score and of overlap in the choice
BOX_WEIGHT, CLASS_WEIGHT = 2.5, 1.0


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Pairwise overlap of (…, n, 4) and (…, m, 4), as (…, n, m)."""
    a, b = first.unsqueeze(-2), second.unsqueeze(-3)
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = sides.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / union.clamp(min=1e-6)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """CIoU of matching rows (n, 4): overlap less the distance of the middles and the difference of the shapes."""
    sides = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    shared = sides.prod(-1)
    size1, size2 = (first[:, 2:] - first[:, :2]).clamp(min=1e-3), (second[:, 2:] - second[:, :2]).clamp(min=1e-3)
    overlap = shared / (size1.prod(-1) + size2.prod(-1) - shared).clamp(min=1e-6)
    around = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    apart = ((first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]) / 2).square().sum(-1)
    shape = (4 / math.pi**2) * (torch.atan(size2[:, 0] / size2[:, 1]) - torch.atan(size1[:, 0] / size1[:, 1])).square()
    with torch.no_grad():
        weight = shape / (1 - overlap + shape + 1e-6)
    result: Tensor = overlap - apart / around.square().sum(-1).clamp(min=1e-6) - weight * shape
    return result


class Truth(NamedTuple):
    """The true boxes of some pictures: sides (n, most, 4) in pixels, classes (n, most), and which rows are real (n, most)."""

    boxes: Tensor
    kinds: Tensor
    real: Tensor


@torch.no_grad()
def assign(scores: Tensor, boxes: Tensor, places: Tensor, true: Truth) -> tuple[Tensor, Tensor]:
    """Which true box each place answers for (n, places; -1 for none) and the quality asked of it (n, places).

    ``scores`` (n, places, classes) and ``boxes`` (n, places, 4) are the network's, ``places`` (places, 2) their middles.
    """
    truth, kinds, real = true
    overlap = iou(truth, boxes)  # n, most, places
    of_kind = torch.gather(scores.transpose(1, 2), 1, kinds.unsqueeze(-1).expand(-1, -1, scores.shape[1]))
    middle, size = (truth[..., :2] + truth[..., 2:]) / 2, (truth[..., 2:] - truth[..., :2])
    # A small box may hold no place of the grid: one within 8 pixels of its middle will do.
    reach = (size / 2).clamp(min=6.0).unsqueeze(2)
    inside = ((places - middle.unsqueeze(2)).abs() < reach).all(-1) & real.unsqueeze(-1)
    value = of_kind.pow(ALPHA) * overlap.clamp(min=1e-3).pow(BETA) * inside
    threshold = value.topk(NEAREST, dim=-1).values[..., -1:].clamp(min=1e-20)
    chosen = torch.where(value >= threshold, overlap.clamp(min=1e-4), torch.zeros_like(overlap)) * inside
    best, owner = chosen.max(1)  # a place with several boxes takes the one it overlaps most
    owner = torch.where(best > 0, owner, torch.full_like(owner, -1))
    mine = torch.nn.functional.one_hot(owner.clamp(min=0), truth.shape[1]).transpose(1, 2).bool() & (owner >= 0).unsqueeze(1)
    value = value * mine
    ceiling = (overlap * mine).amax(-1, keepdim=True)
    quality = (value / value.amax(-1, keepdim=True).clamp(min=1e-20) * ceiling).amax(1)
    return owner, quality


def loss(logits: Tensor, boxes: Tensor, places: Tensor, true: Truth) -> tuple[Tensor, float, float]:
    """The sum to minimise and its two parts, per unit of quality."""
    scores = logits.detach().sigmoid()
    owner, quality = assign(scores, boxes.detach(), places, true)
    truth, kinds, _real = true
    positive = owner >= 0
    picture, place = positive.nonzero(as_tuple=True)
    answered = owner[picture, place]
    target = torch.zeros_like(logits)
    target[picture, place, kinds[picture, answered]] = quality[picture, place].clamp(min=0.05)
    total = quality.sum().clamp(min=1.0)
    # Quality focal loss: the distance to the target weighs, so that the many empty places do not drown the few others.
    distance = (target - scores).abs().square()
    weight = torch.where(target > 0, distance.clamp(min=0.15), 0.75 * distance)
    classes = (torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum() / total * 4
    weights = quality[picture, place].clamp(min=0.05)
    shapes = ((1 - complete_iou(boxes[picture, place], truth[picture, answered])) * weights).sum() / total
    return CLASS_WEIGHT * classes + BOX_WEIGHT * shapes, classes.item(), shapes.item()
