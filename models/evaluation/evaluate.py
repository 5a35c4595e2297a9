"""`cxrnode evaluate`: a model on films that it has not seen, read as in service, beside what a paper claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table as Grid

from cxrnode.errors import TrainingError
from models.card import find
from models.ensemble import Ensemble, load_model
from models.evaluation.measure import BINS, FEW_FALSE_ALARMS, Figure
from models.evaluation.plots import draw_run
from models.evaluation.run import RUN_FILE, Answers, Prediction, Run, answers_of, as_written, write_run
from models.evaluation.worst import draw_worst
from models.reader import Reader
from models.training.dataset import Film, radiograph_of, read_films
from models.training.recipe import External
from models.training.report import started_from, versions
from models.training.sources.listed import DicomFiles

PAPER = {"accuracy": 0.98, "roc_auc": 0.997, "f1": 0.987}
"""the best of Shahi and Bagale, arXiv 2511.00456, on another split of the same films"""
PAPER_NOTE = (
    "paper: Shahi and Bagale, arXiv 2511.00456, the best of seven architectures. Its split makes every normal film "
    "its own patient, so films of one child may lie on both sides; ours keeps each patient on one side."
)

FIGURES_NOTE = (
    f"sensitivity at {FEW_FALSE_ALARMS:.0%} specificity: the best that these very films allow, no promise for others; "
    f"ECE: {BINS} bins of equal width; intervals: percentiles 2.5 and 97.5 of a bootstrap over patients."
)

KERMANY = External(
    name="Kermany chest films, 224 x 224",
    licence="CC BY 4.0",
    attribution="Kermany, Zhang, Goldbaum, Mendeley Data, rscbjbr9sj",
    manifest="kermany/full224_manifest.csv",
    positive_class="PNEUMONIA",
    split="test",
)
"""what is evaluated on unless something else is named"""


def paper_of(answers: Answers) -> dict[str, float]:
    """What the paper claims on films like these, by metric; nothing where it speaks of others."""
    return PAPER if answers.films == KERMANY.name else {}


def find_model(model: str, zoo: Path | None) -> Path:
    """The folder of a model: a folder that holds a card, else a name in the zoo. Raises ModelMismatch."""
    folder = Path(model)
    return folder if (folder / "card.toml").is_file() else find(model, zoo)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A model that has answered; `predictions` are of `films`, in their order."""

    reader: Reader | Ensemble
    run: Run
    films: tuple[Film, ...]
    predictions: list[Prediction]

    @property
    def answers(self) -> Answers:
        """The predictions as arrays."""
        (answers,) = answers_of(self.predictions)
        return answers


def evaluate(
    folder: Path,
    data_dir: Path,
    wanted: External,
    *,
    now: datetime,
    device: str,
    threads: int,
    dicom: DicomFiles | None,
) -> Evaluated:
    """Every film of the wanted split, one at a time, as the node reads it. Raises ModelMismatch, TrainingError."""
    reader = load_model(folder, device, threads)
    data = read_films(data_dir, wanted, dicom=dicom)
    films, card = data.split(wanted.split), reader.card
    run = Run(
        name=card.name,
        architecture=card.architecture,
        start=started_from(card),
        date=now.isoformat(timespec="seconds"),
        films=wanted.name,
        films_digest=data.digest,
        versions=versions(),
        unreadable=data.unreadable,
        operating_point=reader.algorithm.operating_point,
    )
    return Evaluated(reader, run, films, predictions_of(reader, films, wanted))


def predictions_of(reader: Reader | Ensemble, films: Sequence[Film], wanted: External) -> list[Prediction]:
    """The model's answer to each film, with a progress bar on a terminal."""
    console, given = Console(stderr=True), []
    for film in track(films, f"reading {wanted.name}", console=console, disable=not console.is_terminal):
        (finding,) = reader.read([radiograph_of(film)])
        one = Prediction(
            wanted.name, film.split, film.file, film.label, film.patient, finding.logit, finding.probability
        )
        given.append(as_written(one))
    return given


def refuse_existing(folder: Path) -> None:
    """Raises TrainingError where a run lies already: what a training wrote is not written over."""
    if (folder / RUN_FILE).exists():
        raise TrainingError(f"{folder / RUN_FILE} is there already; wanted a folder that holds no run")


def keep(folder: Path, done: Evaluated) -> None:
    """run.json, predictions.csv, the plots and worst/, in `folder`."""
    write_run(folder, done.run, done.predictions)
    draw_run(folder, done.run, done.answers)
    draw_worst(folder, done.reader.read, done.answers, done.films)


def grid(run: Run, answers: Answers, figures: Sequence[Figure]) -> Grid:
    """The figures beside the paper's, for a person."""
    patients = len(set(answers.patients))
    table = Grid(
        title=f"{run.name} on {answers.films}, {answers.split}: {len(answers.labels)} films, {patients} patient groups"
    )
    for column in ("figure", "value", "95 % interval", "paper"):
        table.add_column(column)
    for figure in figures:
        interval = f"[{figure.ci_low:.3f}, {figure.ci_high:.3f}]"
        claimed = paper_of(answers).get(figure.metric)
        paper = "" if claimed is None else f"{claimed:.3f}"
        table.add_row(figure.metric.replace("_", " "), f"{figure.value:.3f}", interval.replace("[", r"\["), paper)
    return table
