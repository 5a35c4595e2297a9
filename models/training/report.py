"""What a trained model answers, film by film, and the run folder that keeps it."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from models.card import ModelCard, load_card
from models.ensemblecard import Cast
from models.evaluation.cost import cost_of
from models.evaluation.plots import draw_run
from models.evaluation.run import EpochLine, Prediction, Run, answers_of, as_written, write_run
from models.evaluation.worst import draw_worst
from models.reader import load, network_of
from models.training.checkpoint import Epoch
from models.training.dataset import DataSet, Film, read_films
from models.training.recipe import Recipe
from models.training.sources.listed import DicomFiles
from models.training.trained import Trained

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "safetensors")

Set = tuple[str, str, tuple[Film, ...]]
"""films by the name of their set and split"""


def sets_to_measure(films: DataSet, recipe: Recipe, data_dir: Path, dicom: DicomFiles | None) -> list[Set]:
    """Validation and test films, then the test's alone of whatever external sets are at hand."""
    sets: list[Set] = [(recipe.data.name, split, films.split(split)) for split in ("val", "test")]
    for external in recipe.external:
        if (data_dir / external.place).exists():
            others = read_films(data_dir, external, dicom=dicom).split(external.split)
            shown = tuple(_centre_square(film) for film in others) if external.centre_square else others
            sets.append((external.name, external.split, shown))
    return sets


def predict(trained: Trained, sets: Sequence[Set]) -> list[Prediction]:
    """The model's answer to every film, as it will read back from the run folder."""
    return [
        as_written(Prediction(name, split, film.file, film.label, film.patient, float(logit), float(probability)))
        for name, split, films in sets
        for film, logit, probability in zip(films, *trained.answers(films), strict=True)
    ]


def write_report(
    folder: Path,
    recipe: Recipe,
    epochs: Sequence[Epoch],
    unreadable: Sequence[str],
    predictions: Sequence[Prediction],
    sets: Sequence[Set],
    *,
    device: str,
) -> Run:
    """run.json, predictions.csv, the plots and worst/ beside the model in `folder`."""
    card = load_card(folder)
    network, place = network_of(folder, device)
    run = Run(
        name=card.name,
        architecture=card.architecture,
        start=started_from(card),
        date=recipe.made.date if recipe.made else "",
        films=recipe.data.name,
        films_digest=card.data.digest,
        seed=recipe.seed,
        versions=versions(),
        epochs=tuple(
            EpochLine(number=one.number, loss=one.loss, roc_auc=one.roc_auc, nll=one.nll, seconds=one.seconds)
            for one in epochs
        ),
        best_epoch=recipe.made.best_epoch if recipe.made else 0,
        unreadable=tuple(unreadable),
        operating_point=card.operating_point.probability,
        cost=cost_of(network, card.input, card.explanation, place),
    )
    silent = {external.name for external in recipe.external if not external.keep_predictions}
    write_run(folder, run, [one for one in predictions if one.films not in silent])
    answers = next(one for one in answers_of(predictions) if (one.films, one.split) == (recipe.data.name, "test"))
    draw_run(folder, run, answers)
    draw_worst(folder, load(folder, device).read, answers, sets[1][2])
    return run


def started_from(card: ModelCard | Cast) -> str:
    """What the results table says of a card's start."""
    if isinstance(card, Cast):
        return "its members"
    if card.start is None:
        return "scratch"
    return f"ImageNet ({card.start.name}: {card.start.share})"


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a training depends on."""
    return {"python": platform.python_version()} | {library: version(library) for library in LIBRARIES}


def _centre_square(film: Film) -> Film:
    rows, columns = film.pixels.shape
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    return film.changed(lambda pixels: pixels[top : top + side, left : left + side])
