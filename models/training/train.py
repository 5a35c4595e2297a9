"""`cxrnode train`: a recipe and a folder of films become a folder of the zoo."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import torch

from cxrnode.errors import TrainingError
from cxrnode.uids import digest_of
from models.devices import choose
from models.evaluation.cost import machine
from models.evaluation.run import measured_of
from models.training.checkpoint import Checkpoint, Epoch
from models.training.dataset import DataSet, read_films
from models.training.gate.recipe import is_of_gate
from models.training.gate.train import train_gate
from models.training.loop import Lesson, be_repeatable, fit
from models.training.lungs.recipe import is_of_lungs
from models.training.lungs.train import train_lungs
from models.training.norms import settle_norms
from models.training.recipe import Made, Recipe, read_recipe
from models.training.report import predict, sets_to_measure, versions, write_report
from models.training.sources.listed import DicomFiles
from models.training.start import STARTS, begin
from models.training.trained import calibrated
from models.training.write import refuse_existing, write_model

Tell = Callable[[str], None]


def train(  # noqa: PLR0913  # the options of its command, one for one
    recipe_path: Path,
    data_dir: Path,
    out_dir: Path,
    *,
    now: datetime,
    device: str = "auto",
    threads: int = 0,
    resume: bool = False,
    dicom: DicomFiles | None = None,
    tell: Tell = print,
) -> Path:
    """Train, measure and write `out_dir`/<name>, which must not be there; returns it. Raises TrainingError.

    `resume` goes on with a training of that name that was stopped; `dicom` reads films of that kind. A recipe may say
    `kind = "lungs"` or `kind = "gate"`: those trainings take minutes, and begin anew.
    """
    if is_of_gate(recipe_path):
        return train_gate(recipe_path, data_dir, out_dir, now=now, threads=threads, dicom=dicom, tell=tell)
    if is_of_lungs(recipe_path):
        return train_lungs(recipe_path, data_dir, out_dir, now=now, device=device, threads=threads, tell=tell)
    recipe = read_recipe(recipe_path)
    folder, checkpoint = out_dir / recipe.name, out_dir / f"{recipe.name}.checkpoint.safetensors"
    refuse_existing(folder)
    if checkpoint.exists() and not resume:
        raise TrainingError(f"{checkpoint} is of a training that was stopped; wanted --resume, or that file removed")
    films = read_films(data_dir, recipe.data, dicom=dicom, keep=STARTS[recipe.start].input)
    _check(films, recipe, tell)

    if threads:
        torch.set_num_threads(threads)
    place, start = choose(device), STARTS[recipe.start]
    be_repeatable(recipe.seed)
    network, begun_with = begin(start, recipe.architecture, data_dir, recipe.schedule.dropout)
    kept = Checkpoint(checkpoint, digest_of([recipe.identity, films.digest]))
    progress = fit(network.to(place), films, Lesson(recipe, start, place), kept, tell)
    settle_norms(network, films.split("train"), start, batch=recipe.schedule.batch, seed=recipe.seed, device=place)

    trained = calibrated(network, films.split("val"), start.input, recipe.calibration, place)
    sets = sets_to_measure(films, recipe, data_dir, dicom)
    predictions = predict(trained, sets)
    command = f"cxrnode train {recipe.name}.toml --data DATA"
    measured = measured_of(predictions, trained.operating_point.probability, command, now)
    for one in measured:
        tell(f"{one.data}: {one.metric} {one.value:.4f} [{one.ci_low:.4f}, {one.ci_high:.4f}]")
    completed = _completed(recipe, films, progress.best_epoch, place, now)
    write_model(folder, trained, completed, begun_with, films, measured)
    write_report(folder, completed, progress.epochs, films.unreadable, predictions, sets, device=device)
    checkpoint.unlink()
    tell(f"written: {folder}")
    return folder


def _check(films: DataSet, recipe: Recipe, tell: Tell) -> None:
    for line in films.unreadable:
        tell(f"skipped, unreadable: {line}")
    for line in films.remarks:
        tell(line)
    if recipe.data.digest not in {"", films.digest}:
        raise TrainingError(
            f"{recipe.data.place} and its films have digest {films.digest}, wanted {recipe.data.digest}"
        )
    for split in ("train", "val", "test"):
        films.split(split)


def _completed(recipe: Recipe, films: DataSet, best: Epoch, device: torch.device, now: datetime) -> Recipe:
    """The recipe with the data's digest and how the model was made."""
    made = Made(
        date=now.isoformat(timespec="seconds"),
        device=machine(device),
        versions=versions(),
        best_epoch=best.number,
        validation_roc_auc=best.roc_auc,
    )
    data = recipe.data.model_copy(update={"digest": films.digest})
    return recipe.model_copy(update={"data": data, "made": made})
