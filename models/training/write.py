"""A trained model becomes a folder of the zoo: card.toml, weights.safetensors, recipe.toml, all or none."""

import hashlib
import tempfile
from pathlib import Path

import tomli_w
from safetensors.torch import save

from cxrnode.errors import TrainingError
from models.card import Data, Explanation, Measured, ModelCard, StartWeights, Weights, load_card
from models.networks import NETWORKS
from models.strict import Table
from models.training.dataset import DataSet
from models.training.recipe import Recipe
from models.training.trained import Trained

WEIGHTS_FILE = "weights.safetensors"


def write_model(
    folder: Path,
    trained: Trained,
    recipe: Recipe,
    start: StartWeights | None,
    films: DataSet,
    measured: tuple[Measured, ...],
) -> ModelCard:
    """Write `folder`, which must not be there, and read it back."""
    weights = save({name: value.cpu().contiguous() for name, value in trained.network.state_dict().items()})
    card = _card(trained, recipe, start, films, measured, hashlib.sha256(weights).hexdigest())
    write_whole(folder, weights, card, recipe)
    return load_card(folder)


def write_whole(folder: Path, weights: bytes, card: Table, recipe: Table) -> None:
    """Write `folder`, which must not be there, with its three files or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        (whole / WEIGHTS_FILE).write_bytes(weights)
        (whole / "card.toml").write_text(toml_of(card), encoding="utf-8")
        (whole / "recipe.toml").write_text(toml_of(recipe), encoding="utf-8")
        whole.rename(folder)


def refuse_existing(folder: Path) -> None:
    """Raises TrainingError when `folder` is there."""
    if folder.exists():
        raise TrainingError(f"{folder} is there already; wanted a name that is free, for no model is overwritten")


def toml_of(table: Table) -> str:
    """The text of a card.toml or recipe.toml, which reads back as the same value."""
    return tomli_w.dumps(table.model_dump(mode="json", exclude_none=True))


def _card(
    trained: Trained,
    recipe: Recipe,
    start: StartWeights | None,
    films: DataSet,
    measured: tuple[Measured, ...],
    weights_sha256: str,
) -> ModelCard:
    data = recipe.data
    return ModelCard(
        name=recipe.name,
        version=recipe.card.version,
        architecture=recipe.architecture,
        intended_use=recipe.card.intended_use,
        not_for=recipe.card.not_for,
        weights=Weights(file=WEIGHTS_FILE, sha256=weights_sha256),
        input=trained.input,
        finding=recipe.card.finding,
        operating_point=trained.operating_point,
        calibration=trained.calibration,
        explanation=Explanation(layer=NETWORKS[recipe.architecture].gradcam_layer),
        population=recipe.card.population,
        start=start,
        data=Data(
            name=data.name,
            licence=data.licence,
            attribution=data.attribution,
            digest=films.digest,
            splits=films.sizes(),
        ),
        measured=measured,
    )
