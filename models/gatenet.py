"""The gate's network: the first stages of EfficientNet-Lite0, a head over kinds, and a distance to known films.

The trunk keeps what ImageNet taught it, so that a picture of a kind that nobody foresaw still lies far from every
chest film; the distance is Mahalanobis' in its features, to the nearest group of films (Lee et al., NeurIPS 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.lite0 import Lite0

KINDS = ("upright", "clockwise", "upside_down", "anticlockwise", "inverted", "other")
"""What the head tells apart: a frontal chest film upright, turned a quarter, turned over, its greys inverted, no such
film. Left and right are not told apart, for a heart may lie on the right."""

SIDE = 128
STAGES = 5
CHANNELS = 112
GRID = 4
"""the head sees the features averaged over GRID x GRID fields of the picture, the distance over 2 x 2"""
FIELDS = CHANNELS * GRID**2
DISTANCE_FEATURES = CHANNELS * 4
HIDDEN = 32


class GateNetwork(nn.Module):
    """(N, 1, SIDE, SIDE) in [0, 1] -> logits (N, kinds) and distance (N,), about 1 for a film like the known ones."""

    centres: Tensor
    whitening: Tensor

    def __init__(self, groups: int = 2) -> None:
        super().__init__()
        self.trunk = trunk_of(Lite0())
        self.norm = nn.BatchNorm1d(FIELDS, eps=1e-3, affine=False)
        self.hidden = nn.Linear(FIELDS, HIDDEN)
        self.last = nn.Linear(HIDDEN, len(KINDS))
        self.dropout = nn.Dropout(0.3)
        self.register_buffer("centres", torch.zeros(groups, DISTANCE_FEATURES))
        self.register_buffer("whitening", torch.eye(DISTANCE_FEATURES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and distance; the pictures' greys are stretched first."""
        fields = self.fields(pictures)
        return self.logits(fields), self.distance(fields)

    def fields(self, pictures: Tensor) -> Tensor:
        """(N, CHANNELS, GRID, GRID): what the trunk sees in each field."""
        scaled = (stretched(pictures) * 255 - 127) / 128  # as the trunk was trained by its publisher
        seen: Tensor = self.trunk(scaled.expand(-1, 3, -1, -1))
        return functional.adaptive_avg_pool2d(seen, GRID)

    def logits(self, fields: Tensor) -> Tensor:
        """(N, kinds) of fields."""
        return self.head(self.norm(fields.flatten(1)))

    def head(self, normed: Tensor) -> Tensor:
        """(N, kinds) of (N, FIELDS) that the norm has been over."""
        answer: Tensor = self.last(self.dropout(self.hidden(self.dropout(normed)).relu()))
        return answer

    def distance(self, fields: Tensor) -> Tensor:
        """(N,): Mahalanobis' distance to the nearest group's centre, divided by the root of the number of features."""
        apart = (coarse(fields)[:, None] - self.centres) @ self.whitening  # (N, groups, DISTANCE_FEATURES)
        return apart.square().mean(dim=2).sqrt().amin(dim=1)


def trunk_of(lite0: nn.Module) -> nn.Sequential:
    """EfficientNet-Lite0's stem and first stages."""
    stages = list(lite0.get_submodule("blocks").children())[:STAGES]
    return nn.Sequential(lite0.get_submodule("conv_stem"), lite0.get_submodule("bn1"), *stages)


def coarse(fields: Tensor) -> Tensor:
    """(N, CHANNELS, GRID, GRID) -> (N, DISTANCE_FEATURES)."""
    return functional.adaptive_avg_pool2d(fields, 2).flatten(1)


def stretched(pictures: Tensor) -> Tensor:
    """(N, 1, rows, columns) -> the same with its percentiles 1 and 99 at 0 and 1, so that exposure tells nothing."""
    low, high = pictures.flatten(1).quantile(pictures.new_tensor([0.01, 0.99]), dim=1)[..., None, None, None]
    spread: Tensor = (pictures - low) / (high - low).clamp(min=1e-3)
    return spread.clamp(0, 1)
