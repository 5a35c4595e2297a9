"""A recipe of kind "lungs" and a folder of outlined films become a segmenter's folder in the zoo."""

import hashlib
import platform
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from cxrnode.errors import TrainingError
from models.card import Data, Measured, Weights
from models.devices import choose
from models.lungcard import LungCard
from models.lungs import Lungs, load
from models.training.loop import be_repeatable
from models.training.lungs.loop import Epoch, fit
from models.training.lungs.measure import measure
from models.training.lungs.pairs import Pairs, read_pairs
from models.training.lungs.recipe import LungRecipe, Made, read_lung_recipe
from models.training.write import WEIGHTS_FILE, refuse_existing, write_whole
from models.unet import UNet

LIBRARIES = ("torch", "numpy", "pillow", "safetensors")

Tell = Callable[[str], None]


def train_lungs(
    recipe_path: Path,
    data_dir: Path,
    out_dir: Path,
    *,
    now: datetime,
    device: str = "auto",
    threads: int = 0,
    tell: Tell = print,
) -> Path:
    """Train, measure and write `out_dir`/<name>, which must not be there; returns it. Raises TrainingError."""
    recipe = read_lung_recipe(recipe_path)
    folder = out_dir / recipe.name
    refuse_existing(folder)
    pairs = read_outlined(recipe, data_dir, tell)
    if threads:
        torch.set_num_threads(threads)
    place = choose(device)
    be_repeatable(recipe.seed)
    network = UNet(recipe.width).to(place)
    best = fit(network, pairs, recipe, device=place, tell=tell)
    completed = _completed(recipe, pairs, best, place, now)
    return write_lungs(folder, network, completed, pairs, data_dir, now=now, tell=tell)


def read_outlined(recipe: LungRecipe, data_dir: Path, tell: Tell) -> Pairs:
    """The recipe's films and masks, those it wants and no others; raises TrainingError."""
    pairs = read_pairs(data_dir, recipe.data)
    for line in pairs.unreadable:
        tell(f"skipped, unreadable: {line}")
    if recipe.data.digest not in {"", pairs.digest}:
        raise TrainingError(
            f"{recipe.data.masks} and its films have digest {pairs.digest}, wanted {recipe.data.digest}"
        )
    for split in ("train", "val", "test"):
        pairs.split(split)
    return pairs


def write_lungs(
    folder: Path,
    network: nn.Module,
    recipe: LungRecipe,
    pairs: Pairs,
    data_dir: Path,
    *,
    now: datetime,
    tell: Tell,
) -> Path:
    """Measure what was trained and write `folder` whole or not at all."""
    device = next(network.parameters()).device
    weights = save({name: value.cpu().contiguous() for name, value in network.state_dict().items()})
    measured = tuple(measure_all(Lungs(recipe, network.eval(), device), recipe, pairs, data_dir, now))
    card = _card(recipe, pairs, hashlib.sha256(weights).hexdigest(), measured)
    for figure in measured:
        tell(f"{figure.data}: {figure.metric} {figure.value:.4f} [{figure.ci_low:.4f}, {figure.ci_high:.4f}]")
    write_whole(folder, weights, card, recipe)
    load(folder, "cpu")
    tell(f"written: {folder}")
    return folder


def measure_all(lungs: Lungs, recipe: LungRecipe, pairs: Pairs, data_dir: Path, now: datetime) -> Iterator[Measured]:
    """The test split, then whatever external films are at hand."""
    command = f"python -m models.training.lungs {recipe.name} --data DATA"
    at_hand = [external for external in recipe.external if (data_dir / external.manifest).is_file()]
    sets = [(recipe.data.name, "test", pairs.split("test"))]
    sets += [(external.name, "all", read_pairs(data_dir, external).pairs) for external in at_hand]
    for name, split, shown in sets:
        n_patients = len({pair.patient for pair in shown})
        for figure in measure(lungs, shown, recipe.seed):
            yield Measured(
                **vars(figure),
                n=len(shown),
                n_patients=n_patients,
                data=name,
                split=split,
                command=command,
                date=now.date(),
            )


def _card(recipe: LungRecipe, pairs: Pairs, weights_sha256: str, measured: tuple[Measured, ...]) -> LungCard:
    return LungCard(
        kind="lungs",
        name=recipe.name,
        version=recipe.card.version,
        architecture="unet",
        intended_use=recipe.card.intended_use,
        not_for=recipe.card.not_for,
        weights=Weights(file=WEIGHTS_FILE, sha256=weights_sha256),
        width=recipe.width,
        input=recipe.input,
        mask=recipe.mask,
        localised=recipe.localised,
        population=recipe.card.population,
        data=Data(
            name=recipe.data.name,
            licence=recipe.data.licence,
            attribution=recipe.data.attribution,
            digest=pairs.digest,
            splits=pairs.sizes(),
        ),
        measured=measured,
    )


def _completed(recipe: LungRecipe, pairs: Pairs, best: Epoch, device: torch.device, now: datetime) -> LungRecipe:
    """The recipe with the data's digest and how the segmenter was made."""
    made = Made(
        date=now.isoformat(timespec="seconds"),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}",
        versions={"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
        best_epoch=best.number,
        validation_dice=best.dice,
    )
    data = recipe.data.model_copy(update={"digest": pairs.digest})
    return recipe.model_copy(update={"data": data, "made": made})
