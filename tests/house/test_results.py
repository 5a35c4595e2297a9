"""The README's results, the cards and the run folders say the same, film by film."""

from pathlib import Path

import pytest

from models.card import ZOO_DIR, load_card
from models.evaluation.run import PREDICTIONS_FILE, RUN_FILE, answers_of, read_run
from models.evaluation.table import results_table, written
from tests.house.rooms import ROOT

RUNS = sorted(path.parent for place in (ZOO_DIR, ROOT / "models" / "runs") for path in place.glob(f"*/{RUN_FILE}"))
MODELS = [folder for folder in RUNS if folder.parent == ZOO_DIR]
SPLITS = {
    "Kermany chest films, 224 x 224": {"val": (526, 390, 265), "test": (525, 389, 262)},
    "NIH ChestX-ray14, 500 adult films": {"val": (50, 25, 33), "test": (50, 25, 33)},
}
"""films, positives and patient groups of the 224 x 224 copies"""


def named(folders: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("folder", folders, ids=lambda folder: folder.name)


def test_the_readme_holds_the_table_that_the_run_folders_give() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert written(readme, results_table(RUNS, ROOT / "config" / "recipes")) == readme, "see README, Measured"


@named(MODELS)
def test_a_card_says_what_its_predictions_give(folder: Path) -> None:
    run, predictions = read_run(folder)
    card = load_card(folder)
    on_card = {(row.data, row.split, row.metric): row for row in card.measured}
    compared = 0
    for answers in answers_of(predictions):
        if answers.split == "val":
            continue
        for figure in answers.figures(run.operating_point):
            row = on_card[answers.films, answers.split, figure.metric]
            found = (row.value, row.ci_low, row.ci_high)
            assert found == pytest.approx((figure.value, figure.ci_low, figure.ci_high), abs=1e-5), row.metric
            assert (row.n, row.n_patients) == (len(answers.labels), len(set(answers.patients)))
            compared += 1
    assert compared >= 9


@named(MODELS)
def test_a_run_tells_of_the_model_beside_it(folder: Path) -> None:
    run, _ = read_run(folder)
    card = load_card(folder)

    assert (run.name, run.architecture, run.films) == (card.name, card.architecture, card.data.name)
    assert run.films_digest == card.data.digest
    assert run.operating_point == card.operating_point.probability
    assert run.best_epoch == max(run.epochs, key=lambda epoch: (epoch.roc_auc, -epoch.nll)).number
    assert run.cost is not None


@named(RUNS)
def test_a_run_that_is_kept_has_answered_every_film_of_its_splits_and_holds_no_film(folder: Path) -> None:
    run, predictions = read_run(folder)
    for answers in answers_of(predictions):
        if answers.films == run.films:
            counts = (len(answers.labels), int(answers.labels.sum()), len(set(answers.patients)))
            assert counts == SPLITS[run.films][answers.split]
    names = {path.name for path in folder.iterdir()}
    assert {RUN_FILE, PREDICTIONS_FILE, "roc.png", "calibration.png", "confusion.png"} <= names
    assert not names & {"worst"} or (ROOT / ".gitignore").read_text(encoding="utf-8").count("\nworst/\n") == 1


def test_there_is_a_classifier_without_pixels_to_compare_with() -> None:
    assert "aspect-only" in {folder.name for folder in RUNS}
