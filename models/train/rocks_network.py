"""A small U-Net: four scales, depthwise separable convolutions, one map of the shares of LABELS at full size."""

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class RockNet(nn.Module):
    """Pictures (n, 3, h, w), BGR in 0 to 1, h and w multiples of 16, to logits (n, 4, h, w)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(_Block(before, after) for before, after in zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True))
        self.up = nn.ModuleList(_Block(low + high, high) for low, high in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.head = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        kept = []
        for place, block in enumerate(self.down):
            x = block(x if place == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat((nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False), skip), 1))
        logits: Tensor = nn.functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits
