"""What the gate learns: a head over kinds, the centre and spread of known films, and the limits of what passes."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.gatecard import Limits
from models.gatenet import KINDS, GateNetwork, coarse
from models.training.gate.deal import Lessons
from models.training.gate.recipe import Head

TEMPERATURES = (0.25, 8.0)


def fit_head(network: GateNetwork, lessons: Lessons, wanted: Head, seed: int) -> None:
    """Set the norm to the lessons' own mean and spread, then learn the head by cross-entropy."""
    inputs = lessons.fields.flatten(1)
    network.norm.running_mean, network.norm.running_var = inputs.mean(0), inputs.var(0)
    normed = network.norm.eval()(inputs)
    torch.manual_seed(seed)
    network.hidden.reset_parameters()
    network.last.reset_parameters()
    learning = [*network.hidden.parameters(), *network.last.parameters()]
    optimiser = torch.optim.AdamW(learning, weight_decay=wanted.weight_decay)
    steps = wanted.epochs * -(-len(normed) // wanted.batch)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, wanted.learning_rate, total_steps=steps)
    order = Generator().manual_seed(seed)
    network.dropout.train()
    for _ in range(wanted.epochs):
        for chosen in torch.randperm(len(normed), generator=order).split(wanted.batch):
            optimiser.zero_grad()
            functional.cross_entropy(network.head(normed[chosen]), lessons.kinds[chosen]).backward()
            optimiser.step()
            pace.step()
    network.eval().requires_grad_(requires_grad=False)


def fit_distance(network: GateNetwork, lessons: Lessons, shrinkage: float) -> None:
    """The centre of each group's upright films, and what makes their common spread a ball (tied, as in Lee et al.)."""
    upright = lessons.kinds == KINDS.index("upright")
    features, groups = coarse(lessons.fields[upright]).double(), lessons.groups[upright]
    centres = torch.stack([features[groups == group].mean(0) for group in range(len(network.centres))])
    apart = features - centres[groups]
    spread = apart.T @ apart / len(apart)
    ball = torch.eye(len(spread), dtype=spread.dtype) * spread.diag().mean()
    shrunk = (1 - shrinkage) * spread + shrinkage * ball
    network.centres.copy_(centres.float())
    network.whitening.copy_(torch.linalg.cholesky(torch.linalg.inv(shrunk)).float())


def fit_temperature(network: GateNetwork, fields: Tensor, kinds: Tensor) -> float:
    """Scale the last layer so that the kinds of validation pictures become likeliest; the temperature, in [0.25, 8]."""
    logits = network.logits(fields).double()
    candidates = np.geomspace(*TEMPERATURES, 301).tolist()
    temperature: float = min(candidates, key=lambda one: float(functional.cross_entropy(logits / one, kinds)))
    network.last.weight.div_(temperature)
    network.last.bias.div_(temperature)
    return temperature


def choose_limits(network: GateNetwork, sources: Sequence[Tensor], names: Sequence[str], passing: float) -> Limits:
    """The tightest limits that let `passing` of each source's upright films (fields) pass both.

    Each limit alone stops no more than half of the rest of any one source.
    """
    stopped = (1 - passing) / 2
    frontal = [network.logits(fields).softmax(1)[:, KINDS.index("upright")] for fields in sources]
    apart = [network.distance(fields) for fields in sources]
    least = min(float(one.sort().values[int(len(one) * stopped)]) for one in frontal)
    most = max(float(one.sort(descending=True).values[int(len(one) * stopped)]) for one in apart)
    rule = f"each limit is the tightest that alone stops at most {stopped:.1%} of the validation films of every source"
    # rounded outwards, so that the film which set a limit passes by what the card says
    return Limits(
        frontal=math.floor(least * 1e4) / 1e4,
        distance=math.ceil(most * 1e4) / 1e4,
        rule=f"{rule}: {', '.join(names)}",
    )
