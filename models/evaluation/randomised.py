"""A network that has forgotten: maps that stay as they were show the film only (Adebayo et al., NeurIPS 2018)."""

import copy
import math
from enum import StrEnum

import torch
from torch import Generator, Tensor, nn

from cxrnode.errors import ModelMismatch


class Forgotten(StrEnum):
    """How much, from the answer down towards the image: the cascade of the paper in three steps."""

    HEAD = "head"
    HALF = "half"
    ALL = "all"


def forgetful(network: nn.Module, head: str, how_much: Forgotten, seed: int) -> nn.Module:
    """A copy of `network` with the values of each forgotten tensor shuffled; `head` is the name of its last layer.

    Shuffling takes what was learned and leaves each tensor's scale, so that the logits stay logits; fresh weights
    would not: an untrained ViT of torchvision has noughts for a head, and explains nothing. Batch norms' statistics
    are shuffled too. "half" is the latter half of all tensors. Raises ModelMismatch when there is no such head.
    """
    other = copy.deepcopy(network)
    named = {name: value for name, value in other.state_dict().items() if value.is_floating_point()}
    chosen = {
        Forgotten.HEAD: [name for name in named if name.startswith(f"{head}.")],
        Forgotten.HALF: list(named)[math.ceil(len(named) / 2) :],
        Forgotten.ALL: list(named),
    }[how_much]
    if not chosen:
        raise ModelMismatch(f"the network has no layer {head!r}; wanted its last")
    generator = Generator().manual_seed(seed)
    for name in chosen:
        _shuffle(named[name], generator)
    return other


def _shuffle(values: Tensor, generator: Generator) -> None:
    order = torch.randperm(values.numel(), generator=generator).to(values.device)
    values.copy_(values.flatten()[order].view_as(values))
