"""A training that was stopped goes on from its last whole epoch: tensors in safetensors, the rest as its metadata."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from cxrnode.errors import TrainingError


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training films cost, and what it led to on the validation films; `nll` in nats."""

    number: int
    loss: float
    roc_auc: float
    nll: float
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        """The larger the better: ROC-AUC first, then likelihood."""
        return (self.roc_auc, -self.nll)


@dataclass
class Progress:
    """All that an epoch changes; the best epoch's weights beside the latest."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    generator: Generator
    epochs: list[Epoch]
    best: dict[str, Tensor]

    @property
    def best_epoch(self) -> Epoch:
        """The one whose weights are kept."""
        return max(self.epochs, key=lambda epoch: epoch.rank)


@dataclass(frozen=True)
class Checkpoint:
    """Where a training's progress is kept; `identity` tells this training (recipe and films) from another."""

    path: Path
    identity: str

    def save(self, progress: Progress) -> None:
        """Write the file whole or not at all."""
        tensors = {f"network.{name}": value for name, value in progress.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in progress.best.items()}
        for number, state in progress.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        tensors |= {"chance.generator": progress.generator.get_state(), "chance.torch": torch.get_rng_state()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        notes = {"identity": self.identity, "epochs": json.dumps([asdict(epoch) for epoch in progress.epochs])}
        save_file({name: value.cpu().contiguous().clone() for name, value in tensors.items()}, partial, notes)
        partial.replace(self.path)

    def restore(self, progress: Progress) -> None:
        """Bring `progress` to where the file was written; raises TrainingError when it is another training's."""
        try:
            with safe_open(self.path, framework="pt") as file:
                notes = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the file is no mapping
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"{self.path} cannot be read ({error}); remove it to begin anew") from error
        if notes.get("identity") != self.identity:
            raise TrainingError(f"{self.path} belongs to another recipe or other films; remove it to begin anew")
        progress.network.load_state_dict(_under("network", tensors))
        progress.best = _under("best", tensors)
        optimiser = progress.optimiser.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser", tensors).items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        progress.optimiser.load_state_dict(optimiser | {"state": states})
        progress.generator.set_state(tensors["chance.generator"])
        torch.set_rng_state(tensors["chance.torch"])
        progress.epochs = [Epoch(**epoch) for epoch in json.loads(notes["epochs"])]


def _under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
