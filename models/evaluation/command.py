"""What `cxrnode evaluate` and `cxrnode table` print and write."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from cxrnode.errors import TrainingError
from models.evaluation.evaluate import (
    FIGURES_NOTE,
    KERMANY,
    PAPER_NOTE,
    Evaluated,
    evaluate,
    find_model,
    grid,
    keep,
    paper_of,
    refuse_existing,
)
from models.evaluation.measure import BINS, Figure
from models.evaluation.record import record
from models.evaluation.run import RUN_FILE, as_rows
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
    manifest: str
    positive_class: str
    group_column: str
    split: str
    out: Path | None
    device: str
    threads: int
    note: bool
    as_json: bool


def evaluate_and_show(request: Request, zoo: Path | None, now: datetime, dicom: DicomFiles | None) -> None:
    """Evaluate, print a grid or JSON, and write what is asked for. Raises ModelMismatch, TrainingError."""
    folder, wanted = find_model(request.model, zoo), films_of(request)
    if request.out is not None:
        refuse_existing(request.out)
    done = evaluate(folder, request.data, wanted, now=now, device=request.device, threads=request.threads, dicom=dicom)
    figures = done.answers.figures(done.run.operating_point)
    if request.out is not None:
        keep(request.out, done)
    if request.note:
        command = f"cxrnode evaluate {done.run.name} DATA{_as_asked(request)} --note"
        record(folder, as_rows(done.answers, figures, command, now))
    if request.as_json:
        print(json.dumps(_as_json(done, figures), indent=1))  # noqa: T201  # the command's answer
        return
    console = Console()
    console.print(grid(done.run, done.answers, figures))
    for line in done.run.unreadable:
        console.print(f"unreadable: {line}", markup=False)
    console.print(FIGURES_NOTE)
    if paper_of(done.answers):
        console.print(PAPER_NOTE)


def films_of(request: Request) -> External:
    """Kermany's films, or those of a TOML table, or of another manifest; raises TrainingError."""
    changes: dict[str, object] = {}
    for key in ("manifest", "positive_class", "group_column", "split"):
        if getattr(request, key):
            changes[key] = getattr(request, key)
    if request.films is not None:
        return read_table(request.films, External, TrainingError).model_copy(update=changes)
    if request.manifest not in {"", KERMANY.manifest}:
        changes |= {"name": request.manifest, "licence": "not told", "attribution": "not told"}
    return KERMANY.model_copy(update=changes)


def _as_asked(request: Request) -> str:
    """The options that say what was read, as they were given."""
    options = {
        "films": "" if request.films is None else request.films.name,
        "manifest": request.manifest,
        "positive-class": request.positive_class,
        "group-column": request.group_column,
        "split": request.split,
    }
    return "".join(f" --{option} {value}" for option, value in options.items() if value)


def show_table(folders: Sequence[Path], recipes: Path | None, readme: Path | None, *, check: bool) -> bool:
    """Print the table, or write it into a page, or (`check`) say whether the page agrees. Raises TrainingError.

    A run folder may be named by its run.json.
    """
    made = results_table([path.parent if path.name == RUN_FILE else path for path in folders], recipes)
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


def _as_json(done: Evaluated, figures: Sequence[Figure]) -> dict[str, object]:
    answers = done.answers
    return {
        "model": done.run.name,
        "films": answers.films,
        "split": answers.split,
        "n": len(answers.labels),
        "n_patients": len(set(answers.patients)),
        "operating_point": done.run.operating_point,
        "ece_bins": BINS,
        "figures": [asdict(figure) | {"paper": paper_of(answers).get(figure.metric)} for figure in figures],
        "unreadable": list(done.run.unreadable),
        "notes": [FIGURES_NOTE, *([PAPER_NOTE] if paper_of(answers) else [])],
    }
