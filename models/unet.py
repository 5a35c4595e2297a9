"""A small U-Net (Ronneberger, Fischer and Brox, MICCAI 2015): an image in, one logit a pixel out."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

DEPTH = 4
"""How often the image is halved; its sides must be multiples of 2 ** DEPTH."""


class UNet(nn.Module):
    """(N, 3, rows, columns) -> (N, 1, rows, columns).

    Unlike the paper's it pads, so that the sides stay, has batch norms, and grows by nearest neighbours: fewer weights.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(widths))
        self.last = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """One logit a pixel."""
        kept: list[Tensor] = []
        there = images
        for level, block in enumerate(self.down):
            there = block(functional.max_pool2d(there, 2) if level else there)
            kept.append(there)
        for level in reversed(range(DEPTH)):
            larger = functional.interpolate(there, scale_factor=2.0, mode="nearest")
            there = self.up[level](torch.cat([kept[level], larger], dim=1))
        logits: Tensor = self.last(there)
        return logits


def _block(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv2d(channels, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
