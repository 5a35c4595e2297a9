"""The results table, in Markdown, from run folders alone: every figure is computed again from the predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxrnode.errors import TrainingError
from models.evaluation.measure import BINS, RESAMPLES, Figure
from models.evaluation.run import Answers, Run, answers_of, read_run
from models.training.recipe import Recipe, read_recipe

BEGIN, END = "<!-- results -->\n", "<!-- /results -->"
COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC-AUC",
    "f1": "F1",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity",
    "brier": "Brier",
    "ece": "ECE",
}


@dataclass(frozen=True)
class Row:
    """One run and its figures on one set, by metric."""

    run: Run
    figures: dict[str, Figure]
    films: int
    patients: int


def results_table(folders: Sequence[Path], recipes_dir: Path | None = None) -> str:
    """A table for each set of films that runs were trained and tested on, the largest first; then the other sets.

    Recipes that nobody has run stand in the first. Raises TrainingError when a folder is no run folder.
    """
    runs = [(run, answers_of(predictions)) for run, predictions in map(read_run, folders)]
    own = sorted({run.films for run, _ in runs}, key=lambda films: (-sum(run.films == films for run, _ in runs), films))
    waiting = _not_run([run for run, _ in runs], recipes_dir)
    parts = [
        _main_table([pair for pair in runs if pair[0].films == films], waiting if films == own[0] else [])
        for films in own
    ]
    others = {(one.films, one.split) for run, sets in runs for one in sets if one.films != run.films}
    parts += [_short_table(runs, *other) for other in sorted(others)]
    return "\n".join(parts)


def written(readme: str, table: str) -> str:
    """README's text with the table between its marks; raises TrainingError where there are none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TrainingError(f"the page has no {BEGIN.strip()} and {END}; wanted both, for the table to go between")
    return f"{before}{begin}{table}{end}{after}"


def _main_table(runs: Sequence[tuple[Run, list[Answers]]], waiting: Sequence[Recipe]) -> str:
    rows = [row for run, sets in runs if (row := _row(run, sets, run.films, "test"))]
    first = rows[0]
    header = ["architecture", "began with", "epochs", *COLUMNS.values(), "parameters", "ms", "ms with map"]
    said = (
        f"**{first.run.films}, test split**: {first.films} films of {first.patients} patient groups; in brackets the "
        f"95 % interval of {RESAMPLES} bootstraps over patients. ECE has {BINS} bins of equal width; the sensitivity "
        "at 95 % specificity is the best that these very films allow. Milliseconds are of one image at a time "
        f"({'; '.join(sorted({row.run.cost.machine for row in rows if row.run.cost})) or 'not measured'})."
    )
    lines = [
        said,
        "",
        *_head(header),
        *(_line(row) for row in sorted(rows, key=lambda row: -row.figures["roc_auc"].value)),
        *(_waiting_line(recipe) for recipe in waiting),
        "",
    ]
    return "\n".join(lines)


def _short_table(runs: Sequence[tuple[Run, list[Answers]]], films: str, split: str) -> str:
    rows = [row for run, sets in runs if (row := _row(run, sets, films, split))]
    keys = ("roc_auc", "balanced_accuracy", "sensitivity", "specificity", "brier", "ece")
    lines = [
        f"**{films}, {split} split**: {rows[0].films} films of {rows[0].patients} patient groups.",
        "",
        *_head(["architecture", "ROC-AUC", "balanced accuracy", "sensitivity", "specificity", "Brier", "ECE"]),
        *(
            _cells([row.run.architecture, *(_figure(row.figures[key]) for key in keys)])
            for row in sorted(rows, key=lambda row: -row.figures["roc_auc"].value)
        ),
        "",
    ]
    return "\n".join(lines)


def _row(run: Run, sets: Sequence[Answers], films: str, split: str) -> Row | None:
    for answers in sets:
        if (answers.films, answers.split) == (films, split):
            figures = {figure.metric: figure for figure in answers.figures(run.operating_point)}
            return Row(run, figures, len(answers.labels), len(set(answers.patients)))
    return None


def _line(row: Row) -> str:
    run, cost = row.run, row.run.cost
    costs = (
        (f"{cost.parameters / 1e6:.1f} M", f"{cost.plain_ms:.0f}", f"{cost.explained_ms:.0f}") if cost else ("",) * 3
    )
    epochs = str(len(run.epochs)) if run.epochs else ""
    return _cells([run.architecture, run.start, epochs, *(_figure(row.figures[key]) for key in COLUMNS), *costs])


def _waiting_line(recipe: Recipe) -> str:
    return _cells([recipe.architecture, recipe.start, "recipe ready, not run", *[""] * (len(COLUMNS) + 3)])


def _not_run(runs: Sequence[Run], recipes_dir: Path | None) -> list[Recipe]:
    if recipes_dir is None:
        return []
    known = {run.name for run in runs}
    recipes = [read_recipe(path) for path in sorted(recipes_dir.glob("pneumonia-*.toml"))]
    return [recipe for recipe in recipes if recipe.name not in known]


def _figure(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.ci_low:.3f}, {figure.ci_high:.3f}]"


def _head(columns: Sequence[str]) -> list[str]:
    return [_cells(columns), _cells(["---"] * len(columns))]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
