"""What `cxrnode evaluate` and `cxrnode table` print and write."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from cxrnode.errors import TrainingError
from models.evaluation.evaluate import (
    KERMANY,
    PAPER,
    PAPER_NOTE,
    as_rows,
    evaluate,
    find_model,
    grid,
    keep,
)
from models.evaluation.measure import Figure
from models.evaluation.record import record
from models.evaluation.run import Answers, Run, answers_of
from models.evaluation.table import results_table, written
from models.strict import read_table
from models.training.recipe import External
from models.training.sources.listed import DicomFiles


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    data: Path
    films: Path | None
    split: str
    out: Path | None
    device: str
    threads: int
    note: bool
    as_json: bool


def evaluate_and_show(request: Request, zoo: Path | None, now: datetime, dicom: DicomFiles | None) -> None:
    """Evaluate, print a grid or JSON, and write what is asked for. Raises ModelMismatch, TrainingError."""
    folder = find_model(request.model, zoo)
    wanted = read_table(request.films, External, TrainingError) if request.films else KERMANY
    wanted = wanted.model_copy(update={"split": request.split})
    run, predictions = evaluate(
        folder, request.data, wanted, device=request.device, threads=request.threads, dicom=dicom
    )
    run = run.model_copy(update={"date": now.isoformat(timespec="seconds")})
    (answers,) = answers_of(predictions)
    figures = answers.figures(run.operating_point)
    if request.out is not None:
        keep(request.out, run, predictions)
    if request.note:
        record(folder, as_rows(answers, figures, f"cxrnode evaluate {run.name} DATA --split {request.split}", now))
    if request.as_json:
        print(json.dumps(_as_json(run, answers, figures), indent=1))  # noqa: T201  # the command's answer
        return
    console = Console()
    console.print(grid(run, answers, figures))
    for line in run.unreadable:
        console.print(f"unreadable: {line}", markup=False)
    if wanted.manifest == KERMANY.manifest:
        console.print(PAPER_NOTE)


def show_table(folders: Sequence[Path], recipes: Path | None, readme: Path | None, *, check: bool) -> bool:
    """Print the table, or write it into a page, or (`check`) say whether the page agrees. Raises TrainingError."""
    made = results_table(folders, recipes)
    if readme is None:
        print(made)  # noqa: T201  # the command's answer
        return True
    page = readme.read_text(encoding="utf-8")
    wanted = written(page, made)
    if check:
        print(f"{readme}: {'agrees' if page == wanted else 'says something else'}")  # noqa: T201  # its answer
        return page == wanted
    readme.write_text(wanted, encoding="utf-8")
    return True


def _as_json(run: Run, answers: Answers, figures: Sequence[Figure]) -> dict[str, object]:
    return {
        "model": run.name,
        "films": answers.films,
        "split": answers.split,
        "n": len(answers.labels),
        "n_patients": len(set(answers.patients)),
        "operating_point": run.operating_point,
        "figures": [asdict(figure) | {"paper": PAPER.get(figure.metric)} for figure in figures],
        "unreadable": list(run.unreadable),
        "note": "paper: arXiv 2511.00456; its normal films are not grouped by patient, ours are",
    }
