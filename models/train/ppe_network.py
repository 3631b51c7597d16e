"""The network of the PPE detector: ShuffleNetV2 x0.5 and FastestDet's pyramid (both COCO-trained), plus finer and coarser levels with their heads.

FastestDet has one level of stride 16, on which a hat of 10 pixels is lost. Here stride 8, 16 and 32 answer for small, middle and large boxes.
Modules that FastestDet has keep its names, so that its weights load by name (BSD 3-Clause, dog-qiuqiu/FastestDet).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
WIDTH = 96
FINE = 64  # of the level of stride 8, whose maps cost most


def _conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]


def _conv_relu(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [*_conv(inputs, outputs, size, stride, groups), nn.ReLU(inplace=True)]


class Unit(nn.Module):
    """A unit of ShuffleNetV2: half of the channels pass by, or with stride 2 both halves are halved in size."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.branch_main = nn.Sequential(
            *_conv_relu(inputs, middle), *_conv(middle, middle, 3, stride, middle), *_conv_relu(middle, outputs - inputs)
        )
        self.branch_proj = nn.Sequential(*_conv(inputs, inputs, 3, stride, inputs), *_conv_relu(inputs, inputs)) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        if self.branch_proj is not None:
            return torch.cat((self.branch_proj(x), self.branch_main(x)), 1)
        return torch.cat((x[:, 0::2], self.branch_main(x[:, 1::2])), 1)


class Backbone(nn.Module):
    """ShuffleNetV2 x0.5: features of stride 8 (48 channels), 16 (96) and 32 (192)."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(*_conv_relu(3, 24, 3, 2))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stage2 = self._stage(24, 48, 4)
        self.stage3 = self._stage(48, 96, 8)
        self.stage4 = self._stage(96, 192, 4)

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        self.first_conv.eval()
        return self

    @staticmethod
    def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
        return nn.Sequential(Unit(inputs, outputs, 2), *(Unit(outputs // 2, outputs, 1) for _ in range(units - 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():  # edges and colours are as COCO taught them; a quarter of the time of a step would go here
            x = self.maxpool(self.first_conv(x))
        fine = self.stage2(x)
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class _Projection(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(*_conv_relu(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1x1(x)
        return y


class Pyramid(nn.Module):
    """Three fields of view over one projection, added to it (FastestDet's SPP)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.Conv1x1 = _Projection(inputs, width)
        self.S1 = nn.Sequential(*_conv_relu(width, width, 5, groups=width))
        self.S2 = nn.Sequential(*(layer for _ in range(2) for layer in _conv_relu(width, width, 5, groups=width)))
        self.S3 = nn.Sequential(*(layer for _ in range(3) for layer in _conv_relu(width, width, 5, groups=width)))
        self.output = nn.Sequential(*_conv(3 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv1x1(x)
        return torch.relu(x + self.output(torch.cat((self.S1(x), self.S2(x), self.S3(x)), 1)))


class _Mix(nn.Module):
    """Two feature maps of one size to one: a projection and two 5 x 5 looks around."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.project = nn.Sequential(*_conv_relu(inputs, width))
        self.look = nn.Sequential(
            *_conv_relu(width, width, 5, groups=width),
            *_conv_relu(width, width),
            *_conv_relu(width, width, 5, groups=width),
            *_conv(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        return torch.relu(x + self.look(x))


class Head(nn.Module):
    """Class logits and four distances, in strides, from each place to the sides of its box."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv1x1 = _Projection(width, width)
        self.cls = nn.Sequential(*_conv_relu(width, width, 5, groups=width), *_conv_relu(width, width), nn.Conv2d(width, classes, 1))
        self.reg = nn.Sequential(*_conv_relu(width, width, 5, groups=width), *_conv_relu(width, width), nn.Conv2d(width, 4, 1))
        nn.init.constant_(self.cls[-1].bias, -4.6)  # one in a hundred places is an object, to begin with
        nn.init.constant_(self.reg[-1].bias, 0.7)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1x1(x)
        return self.cls(x), self.reg(x)


class Detector(nn.Module):
    """Pictures (n, 3, side, side), BGR in 0 to 1, to logits (n, places, classes) and boxes (n, places, 4) in pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.SPP = Pyramid(48 + 96 + 192, WIDTH)
        self.fine = _Mix(48 + WIDTH, FINE)
        self.coarse = _Mix(192 + WIDTH, WIDTH)
        self.heads = nn.ModuleList(Head(width, classes) for width in (FINE, WIDTH, WIDTH))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c3, c4, c5 = self.backbone(x)
        upsample = nn.functional.interpolate
        p4 = self.SPP(torch.cat((nn.functional.avg_pool2d(c3, 3, 2, 1), c4, upsample(c5, scale_factor=2.0)), 1))
        p3 = self.fine(torch.cat((c3, upsample(p4, scale_factor=2.0)), 1))
        p5 = self.coarse(torch.cat((c5, nn.functional.max_pool2d(p4, 3, 2, 1)), 1))
        logits, boxes = [], []
        for level, head, stride in zip((p3, p4, p5), self.heads, STRIDES, strict=True):
            classes, distances = head(level)
            logits.append(classes.flatten(2).transpose(1, 2))
            # Softplus at 2 strides: distances stay positive, grow linearly, and have a slope where they are small.
            reach = nn.functional.softplus(distances.flatten(2).transpose(1, 2).float()) * 2 * stride
            places = centres(level.shape[-2:], stride)
            boxes.append(torch.cat((places - reach[..., :2], places + reach[..., 2:]), -1))
        return torch.cat(logits, 1).float(), torch.cat(boxes, 1)


def centres(size: Sequence[int], stride: int) -> Tensor:
    """The middles of a level's places in pixels, (height * width, 2): x, y."""
    rows, columns = (torch.arange(int(length), dtype=torch.float32) + 0.5 for length in size)
    y, x = torch.meshgrid(rows * stride, columns * stride, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)


def load_pretrained(network: Detector, path: Path) -> list[str]:
    """Weights of FastestDet by name, its head's for stride 16 and 32; returns the parameters that start from chance."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    taken = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    for level in range(1, len(STRIDES)):
        for name, value in weights.items():
            if name.startswith("detect_head.conv1x1."):
                taken[f"heads.{level}.conv1x1.{name.removeprefix('detect_head.conv1x1.')}"] = value
            for ours, theirs in (("cls", "cls_layers"), ("reg", "reg_layers")):
                for layer in ("0", "1"):
                    if name.startswith(f"detect_head.{theirs}.conv5x5.{layer}."):
                        taken[f"heads.{level}.{ours}.{layer}.{name.rsplit('.', 1)[1]}"] = value
    network.load_state_dict({**own, **taken})
    return [name for name in own if name not in taken]
