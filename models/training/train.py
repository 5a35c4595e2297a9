"""`cxrnode train`: a recipe and a folder of films become a folder of the zoo."""

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxrnode.errors import TrainingError
from models.calibrate import fit_temperature, probabilities
from models.card import Calibration, Measured, OperatingPoint
from models.devices import choose
from models.training.dataset import DataSet, Film, labels_of, read_films
from models.training.loop import be_repeatable, fit, logits_of
from models.training.measure import measure, youden_point
from models.training.recipe import Made, Recipe, read_recipe
from models.training.start import STARTS, Start, begin
from models.training.write import refuse_existing, write_model

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow", "safetensors")
RULE = "largest Youden index (sensitivity + specificity - 1) on the validation split"

Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that has learned, and what makes its logits probabilities and its probabilities answers."""

    network: nn.Module
    start: Start
    device: torch.device
    calibration: Calibration
    operating_point: OperatingPoint

    def probabilities(self, films: Sequence[Film]) -> NDArray[np.float64]:
        """(N,) calibrated."""
        logits = logits_of(self.network, films, self.start.input, self.device)
        return probabilities(logits, self.calibration.temperature)


def train(
    recipe_path: Path,
    data_dir: Path,
    out_dir: Path,
    now: datetime,
    device: str = "auto",
    threads: int = 0,
    tell: Tell = print,
) -> Path:
    """Train, measure and write `out_dir`/<name>, which must not be there; returns it. Raises TrainingError."""
    recipe = read_recipe(recipe_path)
    folder = out_dir / recipe.name
    refuse_existing(folder)
    films = read_films(data_dir, recipe.data)
    _check(films, recipe, tell)

    if threads:
        torch.set_num_threads(threads)
    place = choose(device)
    be_repeatable(recipe.seed)
    start = STARTS[recipe.start]
    network = begin(start, data_dir, recipe.schedule.dropout).to(place)
    best = fit(network, films.split("train"), films.split("val"), recipe, start.input, start.frozen_norms, place, tell)

    trained = _judge(network, films.split("val"), start, place)
    measured = tuple(_measure_all(trained, films, recipe, data_dir, now, tell))
    made = Made(
        date=now.isoformat(timespec="seconds"),
        device=torch.cuda.get_device_name(place) if place.type == "cuda" else f"CPU, {platform.machine()}",
        versions={"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
        best_epoch=best.number,
        validation_roc_auc=best.roc_auc,
    )
    final = recipe.model_copy(update={"data": recipe.data.model_copy(update={"digest": films.digest}), "made": made})
    write_model(folder, network.cpu(), final, start, films, trained.calibration, trained.operating_point, measured)
    tell(f"written: {folder}")
    return folder


def _check(films: DataSet, recipe: Recipe, tell: Tell) -> None:
    for line in films.unreadable:
        tell(f"skipped, unreadable: {line}")
    if recipe.data.digest not in ("", films.digest):
        raise TrainingError(
            f"{recipe.data.manifest} has digest {films.digest}, but the recipe wants {recipe.data.digest}"
        )
    for split in ("train", "val", "test"):
        films.split(split)


def _judge(network: nn.Module, validation: Sequence[Film], start: Start, device: torch.device) -> Trained:
    """Fit the temperature, then choose the operating point, both on the validation films."""
    labels = labels_of(validation)
    logits = logits_of(network, validation, start.input, device)
    temperature = fit_temperature(logits, labels)
    point = youden_point(probabilities(logits, temperature), labels)
    calibration = Calibration(temperature=temperature, prevalence=float(labels.mean()), fitted_on="validation split")
    return Trained(network, start, device, calibration, OperatingPoint(probability=point, rule=RULE))


def _measure_all(
    trained: Trained, films: DataSet, recipe: Recipe, data_dir: Path, now: datetime, tell: Tell
) -> Iterator[Measured]:
    """The test split, opened here once and for all, then whatever external films are at hand."""
    yield from _measured(trained, films.split("test"), recipe.data.name, "test", recipe, now, tell)
    for external in recipe.external:
        if not (data_dir / external.manifest).is_file():
            tell(f"not measured on {external.name}: {external.manifest} is not there")
            continue
        others = read_films(data_dir, external).split(external.split)
        shown = [_centre_square(film) for film in others] if external.centre_square else others
        yield from _measured(trained, shown, external.name, external.split, recipe, now, tell)


def _measured(
    trained: Trained, films: Sequence[Film], data: str, split: str, recipe: Recipe, now: datetime, tell: Tell
) -> Iterator[Measured]:
    patients = [film.patient for film in films]
    given = trained.probabilities(films)
    for figure in measure(given, labels_of(films), patients, trained.operating_point.probability, recipe.seed):
        tell(f"{data}, {split}: {figure.metric} {figure.value:.4f} [{figure.ci_low:.4f}, {figure.ci_high:.4f}]")
        yield Measured(
            metric=figure.metric,
            value=figure.value,
            ci_low=figure.ci_low,
            ci_high=figure.ci_high,
            n=len(films),
            n_patients=len(set(patients)),
            data=data,
            split=split,
            command=f"cxrnode train {recipe.name}.toml --data DATA",
            date=now.date(),
        )


def _centre_square(film: Film) -> Film:
    rows, columns = film.pixels.shape
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    return replace(film, pixels=film.pixels[top : top + side, left : left + side])
