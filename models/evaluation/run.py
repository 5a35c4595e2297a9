"""A run folder: what a training went through and what its model answered, film by film.

`run.json` says how the model came about, `predictions.csv` holds a line a film; every figure and plot is made from
them alone, so that a table can be checked by whoever has neither films nor weights.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from cxrnode.errors import TrainingError
from cxrnode.faults import faults_in
from models.card import Fraction, Measured, Sentence
from models.evaluation.measure import Figure, measure
from models.strict import Table

RUN_FILE, PREDICTIONS_FILE = "run.json", "predictions.csv"
COLUMNS = ("films", "split", "file", "label", "patient", "logit", "probability")


class EpochLine(Table):
    """One epoch; `nll` is of the uncalibrated logits, in nats."""

    number: int
    loss: float
    roc_auc: Fraction
    nll: float
    seconds: float


class Cost(Table):
    """What one image costs: median milliseconds at batch 1, with the map and without."""

    parameters: int
    plain_ms: float
    explained_ms: float
    machine: Sentence


class Run(Table):
    """How a model came about, and the operating point that its predictions are judged by."""

    name: Sentence
    architecture: Sentence
    start: Sentence
    date: Sentence
    films: Sentence
    """the name of the films that it was trained on, and whose test split the results table shows"""
    films_digest: str = ""
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    epochs: tuple[EpochLine, ...] = ()
    best_epoch: int = 0
    unreadable: tuple[str, ...] = ()
    operating_point: Annotated[float, Field(ge=0, le=1)]
    cost: Cost | None = None


@dataclass(frozen=True)
class Prediction:
    """One film of a set (`films`, `split`) and the answer to it."""

    films: str
    split: str
    file: str
    label: int
    patient: str
    logit: float
    probability: float


@dataclass(frozen=True, eq=False)
class Answers:
    """The predictions on one split of one set, as arrays of (N,)."""

    films: str
    split: str
    labels: NDArray[np.int64]
    patients: tuple[str, ...]
    probabilities: NDArray[np.float64]

    def figures(self, operating_point: float) -> tuple[Figure, ...]:
        """Every figure with its interval."""
        return measure(self.probabilities, self.labels, self.patients, operating_point)


def write_run(folder: Path, run: Run, predictions: Iterable[Prediction]) -> None:
    """Write run.json and predictions.csv into `folder`, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(run.model_dump(mode="json"), indent=1)
    (folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")
    with (folder / PREDICTIONS_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in predictions:
            written = (f"{one.logit:.9g}", f"{one.probability:.9g}")
            writer.writerow((one.films, one.split, one.file, one.label, one.patient, *written))


def read_run(folder: Path) -> tuple[Run, list[Prediction]]:
    """What `write_run` wrote; raises TrainingError."""
    try:
        run = Run.model_validate_json((folder / RUN_FILE).read_text(encoding="utf-8"))
        with (folder / PREDICTIONS_FILE).open(newline="", encoding="utf-8") as file:
            predictions = [_prediction(row) for row in csv.DictReader(file)]
    except ValidationError as error:
        raise TrainingError(faults_in(str(folder / RUN_FILE), error)) from error
    except OSError as error:
        raise TrainingError(f"{error.filename}: cannot be read ({error.strerror}); wanted a run folder") from error
    except (KeyError, ValueError) as error:
        raise TrainingError(f"{folder / PREDICTIONS_FILE}: {error!r}; wanted columns {', '.join(COLUMNS)}") from error
    return run, predictions


def answers_of(predictions: Sequence[Prediction]) -> list[Answers]:
    """The predictions by set and split, in the order in which the sets first occur."""
    sets: dict[tuple[str, str], list[Prediction]] = {}
    for one in predictions:
        sets.setdefault((one.films, one.split), []).append(one)
    return [
        Answers(
            films,
            split,
            np.array([one.label for one in some], dtype=np.int64),
            tuple(one.patient for one in some),
            np.array([one.probability for one in some], dtype=np.float64),
        )
        for (films, split), some in sets.items()
    ]


def as_rows(answers: Answers, figures: Sequence[Figure], command: str, now: datetime) -> list[Measured]:
    """The figures as a card holds them."""
    counts = {"n": len(answers.labels), "n_patients": len(set(answers.patients))}
    where = {"data": answers.films, "split": answers.split, "command": command, "date": now.date()}
    return [Measured.model_validate(asdict(figure) | counts | where) for figure in figures]


def measured_of(
    predictions: Sequence[Prediction], operating_point: float, command: str, now: datetime
) -> tuple[Measured, ...]:
    """A card's figures, of every set but those of the validation split."""
    return tuple(
        row
        for answers in answers_of(predictions)
        if answers.split != "val"
        for row in as_rows(answers, answers.figures(operating_point), command, now)
    )


def as_written(prediction: Prediction) -> Prediction:
    """The prediction as it reads back: figures made before and after the file are then the same."""
    return _prediction(
        {
            **{column: str(getattr(prediction, column)) for column in COLUMNS},
            "logit": f"{prediction.logit:.9g}",
            "probability": f"{prediction.probability:.9g}",
        }
    )


def _prediction(row: dict[str, str]) -> Prediction:
    return Prediction(
        films=row["films"],
        split=row["split"],
        file=row["file"],
        label=int(row["label"]),
        patient=row["patient"],
        logit=float(row["logit"]),
        probability=float(row["probability"]),
    )
