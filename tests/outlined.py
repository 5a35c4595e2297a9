"""A folder of made-up films with masks of what is bright in them, a recipe that learns that, and a segmenter of it."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from models.lungcard import Localised, Mask
from models.lungs import Lungs
from models.training.lungs.recipe import LungRecipe
from models.unet import UNet
from tests.zoo import card_table

SPLITS = {"train": 24, "val": 6, "test": 6}
GRID = {"rows": 32, "columns": 32, "resize": "squash", "scale": 1.0, "mean": [0.5] * 3, "std": [0.25] * 3}
TERMS = {
    "input": GRID,
    "mask": Mask(probability=0.5, dilation=0.0).model_dump(),
    "localised": Localised(times=1.0, rule="chance").model_dump(),
}


class Bright(nn.Module):
    """Says that lungs are where the film is brighter than the middle grey."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(50.0))

    def forward(self, images: Tensor) -> Tensor:
        """One logit a pixel."""
        logits: Tensor = images[:, :1] * self.sharpness
        return logits


def bright_lungs(**terms: object) -> Lungs:
    """A segmenter of what is bright; `terms` replace entries of TERMS."""
    recipe = LungRecipe.model_validate(lung_recipe_table(**terms))
    return Lungs(recipe, Bright().eval(), torch.device("cpu"), "a digest")


def write_outlined(folder: Path) -> None:
    """Dark films with a bright box each, two films a patient, and the box as a mask."""
    generator = np.random.default_rng(4)
    films, masks = [], []
    for split, count in SPLITS.items():
        for number in range(count):
            values = generator.integers(0, 60, size=(40, 48))
            top, left = (int(corner) for corner in generator.integers(4, 16, size=2))
            values[top : top + 18, left : left + 24] += 160
            lungs = np.zeros(values.shape, dtype=bool)
            lungs[top : top + 18, left : left + 24] = True
            film, mask = f"{split}-{number}.png", f"{split}-{number}-mask.png"
            Image.fromarray(values.astype(np.uint8)).save(folder / film)
            Image.fromarray(lungs).save(folder / mask)
            row = {"file": film, "split": split, "patient_group": f"{split}-{number // 2}"}
            films.append(row | {"sha256": _sha256(folder / film)})
            masks.append({"file": mask, "of": film, "group": "boxes", "sha256": _sha256(folder / mask)})
    write_table(folder / "films.csv", films)
    write_table(folder / "masks.csv", masks)


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """A CSV of `rows`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def lung_recipe_table(**changes: object) -> dict[str, Any]:
    """What such a recipe holds, as nested tables; `changes` replace whole entries."""
    table: dict[str, Any] = {
        "kind": "lungs",
        "name": "toy-lungs",
        "seed": 5,
        "width": 2,
        **TERMS,
        "data": {
            "name": "made-up films",
            "licence": "CC0",
            "attribution": "nobody",
            "manifest": "films.csv",
            "masks": "masks.csv",
            "group": "boxes",
        },
        "schedule": {"epochs": 6, "batch": 4, "learning_rate": 0.02, "weight_decay": 0.01, "warmup_epochs": 0.5},
        "augmentation": {"stretch": 1.2, "shift": 0.05, "rotation_deg": 7.0, "brightness": 0.05, "contrast": 0.1},
        "card": {
            "version": "1",
            "intended_use": "tests",
            "not_for": ["patients"],
            "population": {"age_years": [1, 5], "views": ["AP"], "modality": ["CR", "DX"], "sentence": "children"},
        },
    }
    return table | changes


def write_lung_recipe(path: Path, **changes: object) -> Path:
    """A recipe file."""
    path.write_text(tomli_w.dumps(lung_recipe_table(**changes)), encoding="utf-8")
    return path


def write_lung_folder(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A segmenter's folder that loads: weights drawn by chance, and a card that names their sha256."""
    torch.manual_seed(seed)
    weights = save(UNet(2).state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(weights)
    whole = card_table()
    shared = {key: whole[key] for key in ("version", "intended_use", "not_for", "population", "data", "measured")}
    named = {"file": "weights.safetensors", "sha256": hashlib.sha256(weights).hexdigest()}
    table = {"kind": "lungs", "name": folder.name, "architecture": "unet", "width": 2, "weights": named}
    (folder / "card.toml").write_text(tomli_w.dumps(shared | table | TERMS | changes), encoding="utf-8")
    return folder


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
