"""A trained model becomes a folder of the zoo: card.toml, weights.safetensors, recipe.toml, all or none."""

import hashlib
import os
import tempfile
from pathlib import Path

import tomli_w
from safetensors.torch import save
from torch import nn

from cxrnode.errors import TrainingError
from models.card import Calibration, Data, GradCam, Measured, ModelCard, OperatingPoint, Weights, load_card
from models.strict import Table
from models.training.dataset import DataSet
from models.training.recipe import Recipe
from models.training.start import Start

WEIGHTS_FILE = "weights.safetensors"


def refuse_existing(folder: Path) -> None:
    """Raises TrainingError when `folder` is there: no model is overwritten."""
    if folder.exists():
        raise TrainingError(f"{folder} is there already; wanted a name that is free, for no model is overwritten")


def write_model(
    folder: Path,
    network: nn.Module,
    recipe: Recipe,
    start: Start,
    films: DataSet,
    calibration: Calibration,
    operating_point: OperatingPoint,
    measured: tuple[Measured, ...],
) -> ModelCard:
    """Write `folder` and read it back; raises TrainingError when it is there already."""
    refuse_existing(folder)
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    card = ModelCard(
        name=recipe.name,
        version=recipe.card.version,
        architecture=start.architecture,
        intended_use=recipe.card.intended_use,
        not_for=recipe.card.not_for,
        weights=Weights(file=WEIGHTS_FILE, sha256=hashlib.sha256(weights).hexdigest()),
        input=start.input,
        finding=recipe.card.finding,
        operating_point=operating_point,
        calibration=calibration,
        gradcam=GradCam(layer=start.gradcam_layer),
        population=recipe.card.population,
        start=start.card,
        data=Data(
            name=recipe.data.name,
            licence=recipe.data.licence,
            attribution=recipe.data.attribution,
            digest=films.digest,
            splits=films.sizes(),
        ),
        measured=measured,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        (whole / WEIGHTS_FILE).write_bytes(weights)
        (whole / "card.toml").write_text(toml_of(card), encoding="utf-8")
        (whole / "recipe.toml").write_text(toml_of(recipe), encoding="utf-8")
        os.rename(whole, folder)
    return load_card(folder)


def toml_of(table: Table) -> str:
    """The text of a card.toml or recipe.toml, which reads back as the same value."""
    return tomli_w.dumps(table.model_dump(mode="json", exclude_none=True), multiline_strings=False)
