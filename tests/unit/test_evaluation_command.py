"""`cxrnode evaluate` reads films as the node does, and what it keeps and notes is what it prints."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from cxrnode.cli import app
from models.card import load_card
from models.evaluation import aspect
from models.evaluation import measure as measuring
from models.evaluation.measure import figures
from models.evaluation.run import answers_of, read_run
from models.reader import load
from models.training.dataset import radiograph_of, read_films
from models.training.recipe import Films
from tests.films import films_table, write_films, write_manifest
from tests.zoo import write_folder


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "RESAMPLES", 50)


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("zoo") / "toy")


OURS = ("--manifest", "manifest.csv", "--positive-class", "ILL")


def evaluated(model: Path, data: Path, *options: str) -> dict[str, object]:
    told = CliRunner().invoke(app, ["evaluate", str(model), str(data), *OURS, *options, "--json"])
    assert told.exit_code == 0, told.output
    answer: dict[str, object] = json.loads(told.stdout)
    return answer


def test_the_answers_are_those_of_the_node_film_by_film(model: Path, tmp_path: Path) -> None:
    write_films(tmp_path)
    told = evaluated(model, tmp_path, "--out", str(tmp_path / "run"))
    run, predictions = read_run(tmp_path / "run")
    reader = load(model, "cpu")
    films = read_films(tmp_path, Films.model_validate(films_table())).split("test")

    assert (told["n"], told["n_patients"], told["films"], told["ece_bins"]) == (8, 4, "manifest.csv", 15)
    assert [one.file for one in predictions] == [film.file for film in films]
    for film, one in zip(films, predictions, strict=True):
        (finding,) = reader.read([radiograph_of(film)])
        assert one.probability == pytest.approx(finding.probability, abs=1e-9)
        assert (one.label, one.patient) == (film.label, film.patient)
    (answers,) = answers_of(predictions)
    wanted = figures(answers.probabilities, answers.labels, load_card(model).operating_point.probability)
    shown = {row["metric"]: row["value"] for row in told["figures"]}  # type: ignore[attr-defined]
    assert shown == pytest.approx(wanted)
    assert run.operating_point == load_card(model).operating_point.probability


def test_a_run_folder_holds_pictures_and_the_worst_films_with_their_maps(model: Path, tmp_path: Path) -> None:
    write_films(tmp_path)
    evaluated(model, tmp_path, "--out", str(tmp_path / "run"))
    names = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.png")}

    assert names == {"roc.png", "calibration.png", "confusion.png", *(f"worst/{n:02d}.png" for n in range(1, 9))}
    with Image.open(tmp_path / "run" / "worst" / "01.png") as picture:
        assert picture.width > 600
    again = CliRunner().invoke(app, ["evaluate", str(model), str(tmp_path), *OURS, "--out", str(tmp_path / "run")])
    assert "run.json is there already" in str(again.exception)


def test_a_table_of_films_says_what_the_options_may_say_too(model: Path, tmp_path: Path) -> None:
    write_films(tmp_path)
    table = films_table(split="val", name="named in the table")
    (tmp_path / "films.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    told = CliRunner().invoke(
        app, ["evaluate", str(model), str(tmp_path), "--films", str(tmp_path / "films.toml"), "--json"]
    )

    assert told.exit_code == 0, told.output
    assert [json.loads(told.stdout)[key] for key in ("films", "split", "n")] == ["named in the table", "val", 8]


def test_figures_are_noted_on_the_card_with_their_command(tmp_path: Path) -> None:
    write_films(tmp_path)
    model = write_folder(tmp_path / "toy")
    told = evaluated(model, tmp_path, "--note")
    rows = {row.metric: row for row in load_card(model).measured if row.data == "manifest.csv"}

    assert {row["metric"]: row["value"] for row in told["figures"]} == {  # type: ignore[attr-defined]
        metric: row.value for metric, row in rows.items()
    }
    assert rows["brier"].command.startswith("cxrnode evaluate toy DATA --manifest manifest.csv --positive-class ILL")
    assert (rows["brier"].n, rows["brier"].n_patients) == (8, 4)


def test_a_film_that_cannot_be_read_is_told_and_the_rest_measured(model: Path, tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    broken = next(row for row in rows if row["split"] == "test")
    (tmp_path / broken["file"]).write_bytes(b"nothing")
    told = evaluated(model, tmp_path)

    assert told["n"] == 7
    assert str(told["unreadable"]).count(broken["file"]) == 1


def test_people_are_told_the_paper_and_how_its_split_differs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_films(tmp_path)
    for row in rows:
        row["class"] = "PNEUMONIA" if row["class"] == "ILL" else "NORMAL"
    (tmp_path / "kermany").mkdir()
    write_manifest(tmp_path, rows)
    (tmp_path / "manifest.csv").rename(tmp_path / "kermany" / "full224_manifest.csv")
    monkeypatch.setenv("COLUMNS", "300")
    told = CliRunner().invoke(app, ["evaluate", str(model), str(tmp_path)])

    assert told.exit_code == 0, told.output
    text = " ".join(told.output.split())
    assert "8 films, 4 patient groups" in text
    assert all(figure in text for figure in ("0.980", "0.997", "0.987", "arXiv 2511.00456"))
    assert "ours keeps each patient on one side" in text
    assert "15 bins" in text


def test_the_classifier_without_pixels_agrees_with_a_second_reader(tmp_path: Path) -> None:
    """Wide films are mostly pneumonia; scikit-learn's curve through the training films calls the same ones positive."""
    generator = np.random.default_rng(2)
    rows = []
    for split, count in (("train", 400), ("val", 60), ("test", 60)):
        for number in range(count):
            label = number % 2
            height = int(generator.integers(500, 900))
            width = int(height * np.exp(generator.normal(0.2 + 0.2 * label, 0.15)))
            rows.append(
                {
                    "file": f"{split}-{number}.jpeg",
                    "class": "PNEUMONIA" if label else "NORMAL",
                    "split": split,
                    "patient_group": f"{split}-{number // 2}",
                    "orig_width": str(width) if (split, number) != ("train", 0) else "",
                    "orig_height": str(height) if (split, number) != ("train", 0) else "",
                }
            )
    (tmp_path / "kermany").mkdir()
    with (tmp_path / aspect.MANIFEST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    from datetime import UTC, datetime

    run, predictions = read_run(aspect.write_aspect_run(tmp_path, tmp_path / "run", datetime(2026, 1, 1, tzinfo=UTC)))
    known = [row for row in rows if row["orig_width"]]
    inputs = np.log([float(row["orig_width"]) / float(row["orig_height"]) for row in known])[:, None]
    labels = np.array([row["class"] == "PNEUMONIA" for row in known])
    chosen = np.array([row["split"] for row in known])
    second = LogisticRegression(C=1e6).fit(inputs[chosen == "train"], labels[chosen == "train"])
    for split in ("val", "test"):
        given = [one.probability for one in predictions if one.split == split]
        assert given == pytest.approx(second.predict_proba(inputs[chosen == split])[:, 1], abs=0.01)
    assert {one.split for one in predictions} == {"val", "test"}
    assert (run.name, run.cost, run.epochs) == ("aspect-only", None, ())
