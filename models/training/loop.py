"""The training loop: AdamW, warm-up and cosine, the best epoch kept; the same seed gives the same weights."""

import copy
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import binary_auroc
from torchvision.ops import sigmoid_focal_loss

from models.calibrate import negative_log_likelihood
from models.card import Input
from models.preprocess import normalise
from models.training.augment import augment
from models.training.dataset import DataSet, Film, batch_of, labels_of
from models.training.recipe import Loss, Recipe, Schedule
from models.training.start import Start

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training films led to, on the validation films."""

    number: int
    roc_auc: float
    nll: float

    @property
    def rank(self) -> tuple[float, float]:
        """The larger the better: ROC-AUC first, then likelihood."""
        return (self.roc_auc, -self.nll)


def be_repeatable(seed: int) -> None:
    """Seed torch and ask for repeatable kernels; call before the network is built."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it first starts
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Filling fresh memory costs a pass over it each time, and no result here is read from it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch makes it at import
    torch.manual_seed(seed)


def fit(
    network: nn.Module,
    data: DataSet,
    recipe: Recipe,
    start: Start,
    device: torch.device,
    tell: Callable[[str], None],
) -> Epoch:
    """Train `network` in place and leave it with the weights of its best epoch, which is returned."""
    train, validation, schedule, wanted = data.split("train"), data.split("val"), recipe.schedule, start.input
    steps = math.ceil(len(train) / schedule.batch)
    optimiser = _optimiser(network, schedule)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate_of(schedule, steps))
    generator = Generator().manual_seed(recipe.seed)
    best, weights = Epoch(0, 0.0, math.inf), network.state_dict()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=steps * schedule.epochs)
        for number in range(1, schedule.epochs + 1):
            _learn(network, start)
            order = torch.randperm(len(train), generator=generator).tolist()
            for first in range(0, len(order), schedule.batch):
                films = [train[index] for index in order[first : first + schedule.batch]]
                images = augment(batch_of(films, wanted).to(device), recipe.augmentation, generator)
                _step(network, normalise(images, wanted), labels_of(films), recipe.loss, optimiser)
                rate.step()
                progress.advance(task)
            epoch = _validate(number, network, validation, wanted, device)
            tell(f"epoch {number}: validation ROC-AUC {epoch.roc_auc:.4f}, NLL {epoch.nll:.4f}")
            if epoch.rank > best.rank:
                best, weights = epoch, copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return best


def logits_of(network: nn.Module, films: Sequence[Film], wanted: Input, device: torch.device) -> NDArray[np.float64]:
    """(N,) logits in full single precision, as in service."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for first in range(0, len(films), EVALUATION_BATCH):
            images = batch_of(films[first : first + EVALUATION_BATCH], wanted).to(device)
            parts.append(network(normalise(images, wanted)).squeeze(1).double().cpu().numpy())
    return np.concatenate(parts)


def _step(
    network: nn.Module, inputs: Tensor, labels: NDArray[np.int64], loss: Loss, optimiser: torch.optim.Optimizer
) -> None:
    wanted = torch.from_numpy(labels).to(inputs.device, torch.float32)
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.device.type == "cuda"):
        logits = network(inputs).squeeze(1).float()
    torch.autograd.backward(_loss_of(logits, wanted, loss))
    optimiser.step()


def _loss_of(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    if loss.kind == "cross-entropy":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    focal: Tensor = sigmoid_focal_loss(logits, labels, alpha=loss.alpha, gamma=loss.gamma, reduction="mean")
    return focal


def _validate(number: int, network: nn.Module, films: Sequence[Film], wanted: Input, device: torch.device) -> Epoch:
    logits, labels = logits_of(network, films, wanted, device), labels_of(films)
    auc = float(binary_auroc(torch.from_numpy(logits), torch.from_numpy(labels)))
    return Epoch(number, auc, negative_log_likelihood(logits, labels, 1.0))


def _learn(network: nn.Module, start: Start) -> None:
    network.train()
    if start.frozen_norms:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def _optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Weight decay pulls at kernels only, never at biases and batch norms."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)


def _rate_of(schedule: Schedule, steps: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: up a line, then down half a cosine to nought."""
    warm, total = schedule.warmup_epochs * steps, schedule.epochs * steps

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))

    return share
