"""Model folders for tests: a whole card, and a network whose weights were never trained."""

import hashlib
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from models.networks import build

HALF_RESOLUTION = {"rows": 112, "columns": 112}


def card_table(**changes: object) -> dict[str, Any]:
    """What a card.toml holds, as nested tables; `changes` replace whole entries."""
    source = {"name": "made-up films", "licence": "CC0", "attribution": "nobody"}
    table: dict[str, Any] = {
        "name": "toy",
        "version": "1",
        "architecture": "mobilenet_v2",
        "intended_use": "tests",
        "not_for": ["patients"],
        "weights": {"file": "weights.safetensors", "sha256": "0" * 64},
        "input": {
            **HALF_RESOLUTION,
            "resize": "squash",
            "scale": 255.0,
            "mean": [127.5, 127.5, 127.5],
            "std": [127.5, 127.5, 127.5],
        },
        "finding": {
            "label": "Pneumonia",
            "code_value": "233604007",
            "coding_scheme": "SCT",
            "code_meaning": "Pneumonia",
        },
        "operating_point": {"probability": 0.5, "rule": "a half"},
        "calibration": {"temperature": 1.5, "prevalence": 0.7, "fitted_on": "nothing"},
        "explanation": {"layer": "features.18"},
        "population": {"age_years": [1, 5], "views": ["AP"], "modality": ["CR", "DX"], "sentence": "children"},
        "start": {**source, "sha256": "1" * 64},
        "data": {**source, "digest": "2" * 64, "splits": {"test": {"images": 9, "positive": 4, "patients": 7}}},
        "measured": [
            {
                "metric": "roc_auc",
                "value": 0.5,
                "ci_low": 0.4,
                "ci_high": 0.6,
                "n": 9,
                "n_patients": 7,
                "data": "made-up films",
                "split": "test",
                "command": "none",
                "date": "2026-01-01",
            }
        ],
    }
    return table | changes


def untrained(architecture: str = "mobilenet_v2", seed: int = 0) -> nn.Module:
    """A network with weights drawn by chance, whose batch norms know what images are, so that logits differ."""
    torch.manual_seed(seed)
    network = build(architecture).train()
    *_, weight, bias = network.parameters()
    nn.init.normal_(weight, std=0.2)
    nn.init.normal_(bias)
    return settle(network, film_blots(16, 112))


def calm(architecture: str) -> nn.Module:
    """A network as it is drawn by chance, in which rounding stays small, unlike in `untrained`.

    Its head speaks for the finding, loudly: the peaks of its maps are far from the library's 1e-7.
    """
    torch.manual_seed(0)
    network = build(architecture)
    *_, weight, _ = network.parameters()
    nn.init.uniform_(weight, 0, 1e8)
    return network.eval()


def settle(network: nn.Module, images: Tensor) -> nn.Module:
    """The network with batch norms that have seen these images, ready to answer."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
    if norms:
        with torch.no_grad():
            network.train()(images)
    return network.eval()


def film_blots(count: int, side: int) -> Tensor:
    """(count, 3, side, side) in [-1, 1], smooth, from torch's own generator."""
    return functional.interpolate(torch.rand(count, 3, 5, 5) * 2 - 1, (side, side), mode="bilinear")


def write_folder(folder: Path, network: nn.Module | None = None, **changes: object) -> Path:
    """A model folder that loads: `network`'s weights and a card that names their sha256."""
    weights = save((network or untrained()).state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(weights)
    named = {"file": "weights.safetensors", "sha256": hashlib.sha256(weights).hexdigest()}
    write_card(folder, **({"weights": named} | changes))
    return folder


def write_card(folder: Path, **changes: object) -> None:
    """A card alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.toml").write_text(tomli_w.dumps(card_table(**changes)), encoding="utf-8")
