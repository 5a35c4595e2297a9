"""A run folder reads back as it was written, its table is made from it alone, and its pictures are drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.errors import TrainingError
from models.evaluation import measure as measuring
from models.evaluation.plots import draw_run, worst
from models.evaluation.run import Cost, EpochLine, Prediction, Run, answers_of, as_written, read_run, write_run
from models.evaluation.table import BEGIN, END, results_table, written
from tests.films import write_recipe

RUN = Run(
    name="pneumonia-toy",
    architecture="resnet18",
    start="scratch",
    date="2026-01-01T00:00:00+00:00",
    films="made-up films",
    seed=5,
    versions={"python": "3"},
    epochs=(EpochLine(number=1, loss=0.5, roc_auc=0.75, nll=0.4, seconds=2.0),),
    best_epoch=1,
    operating_point=0.5,
    cost=Cost(parameters=11_170_000, plain_ms=12.3, explained_ms=15.6, machine="an abacus"),
)
GIVEN = ((0, 0.1), (0, 0.3), (0, 0.6), (0, 0.2), (1, 0.9), (1, 0.8), (1, 0.4), (1, 0.7))
"""label and probability: at a half three of four in each class are right, and 15 of 16 pairs in order"""
PREDICTIONS = tuple(
    as_written(Prediction("made-up films", "test", f"{number}.png", label, f"p{number}", number / 3, given))
    for number, (label, given) in enumerate(GIVEN)
)


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "RESAMPLES", 50)


def test_a_run_folder_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_run(tmp_path / "run", RUN, PREDICTIONS)

    assert read_run(tmp_path / "run") == (RUN, list(PREDICTIONS))


def test_a_prediction_keeps_nine_digits_before_and_after_the_file() -> None:
    one = replace(PREDICTIONS[0], logit=1 / 3, probability=2 / 3)

    assert as_written(one) != one
    assert as_written(as_written(one)) == as_written(one)
    assert as_written(one).probability == pytest.approx(2 / 3, abs=1e-9)


def test_predictions_come_apart_by_set_and_split() -> None:
    others = [replace(one, split="val") for one in PREDICTIONS[:3]]
    first, second = answers_of([*PREDICTIONS, *others])

    assert (first.split, len(first.labels), second.split, len(second.labels)) == ("test", 8, "val", 3)
    assert second.probabilities.tolist() == [0.1, 0.3, 0.6]
    assert first.patients[7] == "p7"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", "{}", "operating_point"),
        ("run.json", '{"name": 1', "run.json"),
        ("predictions.csv", "file,label\na,1\n", "wanted columns films, split"),
        ("predictions.csv", "films,split,file,label,patient,logit,probability\na,b,c,maybe,e,1,1\n", "maybe"),
    ],
)
def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    write_run(tmp_path, RUN, PREDICTIONS)
    (tmp_path / name).write_text(text, encoding="utf-8")

    with pytest.raises(TrainingError, match=said) as error:
        read_run(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="wanted a run folder"):
        read_run(tmp_path / "nothing")


def test_the_table_says_what_the_predictions_give(tmp_path: Path) -> None:
    write_run(tmp_path, RUN, PREDICTIONS)
    (row,) = [line for line in results_table([tmp_path]).splitlines() if line.startswith("| resnet18")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]

    assert cells[:3] == ["resnet18", "scratch", "1"]
    # accuracy 6/8, balanced 3/4, ROC-AUC 15/16, F1 2 * 3 / (4 + 4), half of the positives above every negative
    assert [cell.split()[0] for cell in cells[3:8]] == ["0.750", "0.750", "0.938", "0.750", "0.750"]
    brier = np.mean([(label - given) ** 2 for label, given in GIVEN])
    assert cells[8].startswith(f"{brier:.3f} [")
    assert cells[10:] == ["11.2 M", "12", "16"]
    assert "an abacus" in results_table([tmp_path])


def test_the_table_lists_the_best_first_then_what_nobody_has_run(tmp_path: Path) -> None:
    write_run(tmp_path / "one", RUN, PREDICTIONS)
    perfect = [replace(one, probability=float(one.label)) for one in PREDICTIONS]
    write_run(tmp_path / "two", RUN.model_copy(update={"name": "x", "architecture": "vgg16"}), perfect)
    write_recipe(tmp_path / "pneumonia-b.toml", name="pneumonia-b", architecture="mobilenet_v2", start="scratch")
    write_recipe(tmp_path / "pneumonia-toy.toml", name="pneumonia-toy", architecture="resnet18", start="scratch")
    table = results_table([tmp_path / "one", tmp_path / "two"], tmp_path)
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]

    assert [row.split(" | ")[0].strip("| ") for row in rows[1:]] == ["vgg16", "resnet18", "mobilenet_v2"]
    assert "1.000 [1.000, 1.000]" in rows[1]
    assert rows[3].split(" | ")[2] == "recipe ready, not run"
    assert len({row.count("|") for row in rows}) == 1
    assert table == results_table([tmp_path / "two", tmp_path / "one"], tmp_path)


def test_other_sets_get_tables_of_their_own(tmp_path: Path) -> None:
    adults = [replace(one, films="adults", probability=1 - one.probability) for one in PREDICTIONS]
    write_run(tmp_path, RUN, [*PREDICTIONS, *adults])
    table = results_table([tmp_path])

    assert "**adults, test split**: 8 films of 8 patient groups." in table
    assert "| resnet18 | 0.062 [" in table


def test_runs_on_different_films_do_not_share_a_table(tmp_path: Path) -> None:
    write_run(tmp_path / "one", RUN, PREDICTIONS)
    other = [replace(one, films="others") for one in PREDICTIONS]
    write_run(tmp_path / "two", RUN.model_copy(update={"films": "others"}), other)

    table = results_table([tmp_path / "one", tmp_path / "two"])
    assert table.index("**made-up films, test split**") < table.index("**others, test split**")
    assert table.count("| architecture |") == 2


def test_a_page_gets_the_table_between_its_marks_and_is_checked(tmp_path: Path) -> None:
    write_run(tmp_path / "run", RUN, PREDICTIONS)
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}old\n{END}\nafter\n", encoding="utf-8")

    def command(*options: str) -> int:
        return CliRunner().invoke(app, ["table", str(tmp_path / "run"), "--readme", str(page), *options]).exit_code

    assert command("--check") == 1
    assert "old" in page.read_text(encoding="utf-8")
    assert command() == 0
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{BEGIN}{results_table([tmp_path / 'run'])}{END}\nafter\n"
    assert command("--check") == 0
    assert CliRunner().invoke(app, ["table", str(tmp_path / "run" / "run.json")]).output.strip() in text
    page.write_text(text.replace("0.750", "0.760", 1), encoding="utf-8")
    assert command("--check") == 1


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(TrainingError, match="wanted both"):
        written("no marks", "table")


def test_pictures_are_drawn_and_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    (answers,) = answers_of(PREDICTIONS)
    for name in ("one", "two"):
        draw_run(tmp_path / name, RUN, answers)
    pictures = sorted(path.name for path in (tmp_path / "one").iterdir())

    assert pictures == ["calibration.png", "confusion.png", "curves.png", "roc.png"]
    for name in pictures:
        assert np.asarray(Image.open(tmp_path / "one" / name)).std() > 1
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_run_without_epochs_has_no_curves(tmp_path: Path) -> None:
    draw_run(tmp_path, RUN.model_copy(update={"epochs": ()}), answers_of(PREDICTIONS)[0])

    assert not (tmp_path / "curves.png").exists()


def test_the_worst_film_is_the_one_farthest_from_what_is_true() -> None:
    given = {"b.png": (0, 0.25), "a.png": (1, 0.75), "c.png": (0, 0.75), "d.png": (1, 0.5)}
    some = [replace(PREDICTIONS[0], file=file, label=label, probability=one) for file, (label, one) in given.items()]
    (answers,) = answers_of(some)

    assert worst(answers, list(given), 4) == [2, 3, 1, 0]  # off by 0.75, 0.5, and twice 0.25: ties by file
    assert worst(answers, list(given), 1) == [2]
