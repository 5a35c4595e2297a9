"""The training loop of a lung segmenter: cross-entropy and Dice loss, the best epoch kept; a seed gives one network."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.card import Input
from models.preprocess import normalise
from models.training.augment import exposed, moved, moves
from models.training.lungs.pairs import Pair, Pairs, batch_of
from models.training.lungs.recipe import LungRecipe, Schedule
from models.training.recipe import Augmentation

EVALUATION_BATCH = 16


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training films cost, and the mean Dice that it led to on the validation films."""

    number: int
    loss: float
    dice: float


def fit(
    network: nn.Module, pairs: Pairs, recipe: LungRecipe, *, device: torch.device, tell: Callable[[str], None]
) -> Epoch:
    """Train `network` in place, leave it with the weights of its best epoch, and return that epoch."""
    network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    schedule, generator = recipe.schedule, Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    train, validation = pairs.split("train"), pairs.split("val")
    best, kept = Epoch(0, math.inf, -1.0), copy.deepcopy(network.state_dict())
    for number in range(1, schedule.epochs + 1):
        loss = _pass(network, optimiser, train, recipe, number, generator)
        epoch = Epoch(number, loss, _dice_on_the_grid(network, validation, recipe, device))
        tell(f"epoch {number}: loss {loss:.4f}; validation Dice {epoch.dice:.4f}")
        if epoch.dice > best.dice:
            best, kept = epoch, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    network.eval()
    return best


def probabilities(
    network: nn.Module, pairs: Sequence[Pair], wanted: Input, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of (N, 1, rows, columns): how likely each pixel is lung, and how much of it is, both in [0, 1]."""
    network.eval()
    for first in range(0, len(pairs), EVALUATION_BATCH):
        images, lungs = batch_of(pairs[first : first + EVALUATION_BATCH], wanted)
        with torch.inference_mode():
            yield network(_inputs(images, wanted, device)).sigmoid().cpu(), lungs


def loss_of(logits: Tensor, lungs: Tensor) -> Tensor:
    """Cross-entropy and, added, 1 - Dice of each image (Milletari et al., 3DV 2016, without the squares)."""
    given = logits.sigmoid()
    both = (given * lungs).sum(dim=(1, 2, 3))
    dice = (2 * both + 1) / (given.sum(dim=(1, 2, 3)) + lungs.sum(dim=(1, 2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(logits, lungs) + (1 - dice).mean()


def altered(images: Tensor, lungs: Tensor, wanted: Augmentation, generator: Generator) -> tuple[Tensor, Tensor]:
    """What chance makes of films and lungs, both (N, 1, rows, columns): moved alike, the films exposed anew."""
    theta = moves(len(images), wanted, generator)
    return exposed(moved(images, theta), wanted, generator), moved(lungs, theta)


def _pass(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    pairs: Sequence[Pair],
    recipe: LungRecipe,
    number: int,
    generator: Generator,
) -> float:
    """Learn from every film once, in the order of chance; the mean loss."""
    network.train()
    schedule, device = recipe.schedule, next(network.parameters()).device
    steps = math.ceil(len(pairs) / schedule.batch)
    order = torch.randperm(len(pairs), generator=generator).tolist()
    losses = []
    for step in range(steps):
        chosen = [pairs[index] for index in order[step * schedule.batch : (step + 1) * schedule.batch]]
        images, lungs = altered(*batch_of(chosen, recipe.input), recipe.augmentation, generator)
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * _share(schedule, steps, (number - 1) * steps + step)
        optimiser.zero_grad(set_to_none=True)
        value = loss_of(network(_inputs(images, recipe.input, device)), lungs.to(device))
        torch.autograd.backward(value)
        optimiser.step()
        losses.append(value.item())
    return float(np.mean(losses))


def _inputs(images: Tensor, wanted: Input, device: torch.device) -> Tensor:
    return normalise(images.to(device), wanted).contiguous(memory_format=torch.channels_last)


def _dice_on_the_grid(network: nn.Module, pairs: Sequence[Pair], recipe: LungRecipe, device: torch.device) -> float:
    found = []
    for given, lungs in probabilities(network, pairs, recipe.input, device):
        mine, theirs = given >= recipe.mask.probability, lungs >= 0.5
        both = (mine & theirs).sum(dim=(1, 2, 3))
        found.append(2 * both / (mine.sum(dim=(1, 2, 3)) + theirs.sum(dim=(1, 2, 3))).clamp(min=1))
    return float(torch.cat(found).mean())


def _share(schedule: Schedule, steps: int, step: int) -> float:
    """The share of the learning rate at a step of all epochs: up a line, then down half a cosine to nought."""
    warm, total = schedule.warmup_epochs * steps, schedule.epochs * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))
