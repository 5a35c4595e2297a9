"""The training loop: AdamW, warm-up and cosine, the best epoch kept; the same seed gives the same weights."""

import copy
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Generator, Tensor, nn
from torch.nn import functional
from torchmetrics.functional.classification import binary_auroc
from torchvision.ops import sigmoid_focal_loss

from models.calibrate import negative_log_likelihood
from models.card import Input
from models.preprocess import normalise
from models.training.augment import augment
from models.training.checkpoint import Checkpoint, Epoch, Progress
from models.training.dataset import DataSet, Film, batch_of, labels_of
from models.training.recipe import Loss, Recipe, Schedule
from models.training.start import Start

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Lesson:
    """How a network is taught."""

    recipe: Recipe
    start: Start
    device: torch.device


def be_repeatable(seed: int) -> None:
    """Seed torch and ask for repeatable kernels; call before the network is built."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it first starts
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Filling fresh memory costs a pass over it each time, and no result here is read from it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch makes it at import
    torch.manual_seed(seed)


def fit(
    network: nn.Module, films: DataSet, lesson: Lesson, checkpoint: Checkpoint, tell: Callable[[str], None]
) -> Progress:
    """Train `network` in place and leave it with the weights of its best epoch.

    After each epoch `checkpoint` is written; if it is there to begin with, the training goes on from it.
    """
    recipe = lesson.recipe
    network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    progress = Progress(
        network,
        _optimiser(network, recipe.schedule),
        generator=Generator().manual_seed(recipe.seed),
        epochs=[],
        best=copy.deepcopy(network.state_dict()),
    )
    if checkpoint.path.exists():
        checkpoint.restore(progress)
        tell(f"going on after epoch {len(progress.epochs)}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    train, validation = films.split("train"), films.split("val")
    steps, done = math.ceil(len(train) / recipe.schedule.batch), len(progress.epochs)
    with Bar(*columns) as bar:
        task = bar.add_task(recipe.name, total=steps * recipe.schedule.epochs, completed=steps * done)
        for number in range(done + 1, recipe.schedule.epochs + 1):
            began = perf_counter()
            loss = _pass(progress, train, lesson, number, lambda: bar.advance(task))
            epoch = _validate(number, loss, began, network, validation, lesson)
            tell(f"epoch {number}: loss {loss:.4f}; validation ROC-AUC {epoch.roc_auc:.4f}, NLL {epoch.nll:.4f}")
            progress.epochs.append(epoch)
            if epoch is progress.best_epoch:
                progress.best = copy.deepcopy(network.state_dict())
            checkpoint.save(progress)
    network.load_state_dict(progress.best)
    return progress


def logits_of(network: nn.Module, films: Sequence[Film], wanted: Input, device: torch.device) -> NDArray[np.float64]:
    """(N,) logits in full single precision, as in service."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for first in range(0, len(films), EVALUATION_BATCH):
            images = batch_of(films[first : first + EVALUATION_BATCH], wanted).to(device)
            parts.append(network(normalise(images, wanted)).squeeze(1).double().cpu().numpy())
    return np.concatenate(parts)


def _pass(progress: Progress, films: Sequence[Film], lesson: Lesson, number: int, advance: Callable[[], None]) -> float:
    """Learn from every film once, in the order of chance; the mean loss."""
    _learn(progress.network, lesson.start)
    recipe, wanted, schedule = lesson.recipe, lesson.start.input, lesson.recipe.schedule
    steps = math.ceil(len(films) / schedule.batch)
    order = torch.randperm(len(films), generator=progress.generator).tolist()
    losses = []
    for step in range(steps):
        chosen = [films[index] for index in order[step * schedule.batch : (step + 1) * schedule.batch]]
        images = augment(batch_of(chosen, wanted).to(lesson.device), recipe.augmentation, progress.generator)
        for group in progress.optimiser.param_groups:
            group["lr"] = schedule.learning_rate * _share(schedule, steps, (number - 1) * steps + step)
        inputs = normalise(images, wanted).contiguous(memory_format=torch.channels_last)
        losses.append(_step(progress, inputs, labels_of(chosen), recipe.loss))
        advance()
    return float(np.mean(losses))


def _step(progress: Progress, inputs: Tensor, labels: NDArray[np.int64], loss: Loss) -> float:
    wanted = torch.from_numpy(labels).to(inputs.device, torch.float32)
    progress.optimiser.zero_grad(set_to_none=True)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=inputs.device.type == "cuda"):
        logits = progress.network(inputs).squeeze(1).float()
    value = loss_of(logits, wanted, loss)
    torch.autograd.backward(value)
    progress.optimiser.step()
    return value.item()


def loss_of(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """The mean over (N,) logits of labels 0 and 1: focal loss (Lin et al., ICCV 2017, eq. 5) or cross-entropy."""
    if loss.kind == "cross-entropy":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    focal: Tensor = sigmoid_focal_loss(logits, labels, alpha=loss.alpha, gamma=loss.gamma, reduction="mean")
    return focal


def _validate(
    number: int, loss: float, began: float, network: nn.Module, films: Sequence[Film], lesson: Lesson
) -> Epoch:
    logits, labels = logits_of(network, films, lesson.start.input, lesson.device), labels_of(films)
    auc = float(binary_auroc(torch.from_numpy(logits), torch.from_numpy(labels)))
    return Epoch(number, loss, auc, negative_log_likelihood(logits, labels, 1.0), perf_counter() - began)


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


def _share(schedule: Schedule, steps: int, step: int) -> float:
    """The share of the learning rate at a step of all epochs: up a line, then down half a cosine to nought."""
    warm, total = schedule.warmup_epochs * steps, schedule.epochs * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))
