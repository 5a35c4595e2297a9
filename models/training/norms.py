"""Batch norms are settled last: their statistics are taken anew from the training films, as service will see them.

While learning, a batch norm's running statistics trail behind weights that still move, over films that chance has
changed; after few epochs they fit neither. One pass without augmentation mends it (as in stochastic weight averaging,
Izmailov et al., UAI 2018, section 3.2).
"""

from collections.abc import Sequence

import torch
from torch import Generator, nn

from models.preprocess import normalise
from models.training.dataset import Film, batch_of
from models.training.start import Start


def settle_norms(
    network: nn.Module, films: Sequence[Film], start: Start, *, batch: int, seed: int, device: torch.device
) -> None:
    """Replace every batch norm's running mean and variance by their averages over whole batches of `films`.

    Networks whose norms were frozen while learning are left as they are.
    """
    if start.frozen_norms:
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average over all batches
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    order = torch.randperm(len(films), generator=Generator().manual_seed(seed)).tolist()
    size = min(batch, len(films))
    with torch.no_grad():
        for first in range(0, len(order) - size + 1, size):
            chosen = [films[index] for index in order[first : first + size]]
            network(normalise(batch_of(chosen, start.input).to(device), start.input))
    network.eval()
