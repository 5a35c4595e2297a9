"""The classifier that a model must beat: width divided by height of the original film, and nothing else.

`python -m models.evaluation.aspect --data DIR --out FOLDER` fits it on the training films and writes a run folder.
"""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from cxrnode.errors import TrainingError
from models.calibrate import fit_platt, probabilities
from models.evaluation.measure import youden_point
from models.evaluation.plots import draw_run
from models.evaluation.run import Prediction, Run, answers_of, as_written, write_run

FILMS = "Kermany chest films, 224 x 224"
MANIFEST = "kermany/full224_manifest.csv"
POSITIVE = "PNEUMONIA"


def main(
    data: Annotated[Path, typer.Option(help="folder of the films and manifests")],
    out: Annotated[Path, typer.Option(help="the run folder to write")],
) -> None:
    """Fit on train, choose the operating point on val, answer val and test."""
    typer.echo(write_aspect_run(data, out, datetime.now(UTC)))


def write_aspect_run(data_dir: Path, folder: Path, now: datetime) -> Path:
    """A logistic curve over log(width / height), fitted as Platt's calibration is; raises TrainingError.

    Films whose original size is unknown are left out: five of Kermany's, all of the training split.
    """
    rows = [row for row in _rows(data_dir / MANIFEST) if row["orig_width"] and row["orig_height"]]
    slope, bias = fit_platt(_aspect(rows, "train"), _labels(rows, "train"))
    predictions = []
    for split in ("val", "test"):
        logits = _aspect(rows, split) / slope + bias
        some = [row for row in rows if row["split"] == split]
        for row, logit, given in zip(some, logits, probabilities(logits, 1.0), strict=True):
            label = int(row["class"] == POSITIVE)
            one = Prediction(FILMS, split, row["file"], label, row["patient_group"], float(logit), float(given))
            predictions.append(as_written(one))
    validation, test = answers_of(predictions)
    run = Run(
        name="aspect-only",
        architecture="width / height alone",
        start="no pixels at all",
        date=now.isoformat(timespec="seconds"),
        films=FILMS,
        operating_point=youden_point(validation.probabilities, validation.labels),
    )
    write_run(folder, run, predictions)
    draw_run(folder, run, test)
    return folder


def _aspect(rows: Sequence[dict[str, str]], split: str) -> NDArray[np.float64]:
    """(N,) natural logarithms of width / height of the original films."""
    sizes = [(float(row["orig_width"]), float(row["orig_height"])) for row in rows if row["split"] == split]
    return np.array([np.log(width / height) for width, height in sizes])


def _labels(rows: Sequence[dict[str, str]], split: str) -> NDArray[np.int64]:
    return np.array([int(row["class"] == POSITIVE) for row in rows if row["split"] == split], dtype=np.int64)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); wanted a manifest") from error


if __name__ == "__main__":
    typer.run(main)
