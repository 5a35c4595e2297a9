"""`cxrnode maps` from a folder of films and masks to a table and a card, on made-up films."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.errors import TrainingError
from models.card import Input, load_card
from models.evaluation import deletion, map_command, map_quality
from models.evaluation.masked import with_lungs, with_opacities
from models.training.recipe import TrainingFilms
from tests.films import films_table, write_films
from tests.zoo import card_table, write_folder

LUNGS = np.s_[10:30, 20:45]
WANTED = Input.model_validate(card_table()["input"])


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_mask(path: Path) -> None:
    values = np.zeros((48, 64), dtype=bool)
    values[LUNGS] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Made-up films; all of the test split but the last have a lung mask, and one adult an opacity."""
    folder = tmp_path / "films"
    rows = []
    for row in write_films(folder)[:-1]:
        mask = f"masks/lungs/{Path(row['file']).name}"
        write_mask(folder / mask)
        rows.append({"file": mask, "of": row["file"], "kind": "lung"})
    write_table(folder / "masks" / "masks_manifest.csv", rows)
    return folder


def add_adults(films: Path) -> None:
    drawn = {"ground_glass_opacities": "", "consolidation": "0.2", "pleural_effusion": "0.1"}
    write_table(
        films / "masks" / "gb_manifest.csv",
        [
            {"file": "masks/gb/a/image.jpg", "patient_group": "", **drawn},
            {"file": "masks/gb/b/image.jpg", "patient_group": "p1", **drawn, "consolidation": ""},
        ],
    )
    write_mask(films / "masks" / "gb" / "a" / "consolidation.png")
    Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)).save(films / "masks" / "gb" / "a" / "image.jpg")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained network that calls everything positive, measured on few films."""
    monkeypatch.setattr(map_command, "CURVE_FILMS", 1)
    monkeypatch.setattr(map_command, "FORGET_FILMS", 2)
    monkeypatch.setattr(map_command, "FORGETS", 1)
    monkeypatch.setattr(map_quality, "FORGETS", 1)
    monkeypatch.setattr(deletion, "STEPS", 2)
    monkeypatch.setenv("COLUMNS", "200")
    folder = write_folder(tmp_path / "toy", operating_point={"probability": 0.0, "rule": "all"})
    (folder / "recipe.toml").write_text(tomli_w.dumps({"data": films_table()}), encoding="utf-8")
    return folder


def test_the_command_measures_and_notes_on_the_card(model: Path, films: Path) -> None:
    add_adults(films)
    before = load_card(model)
    result = CliRunner().invoke(app, ["maps", str(model), str(films), "--films", "5", "--json", "--note"])
    assert result.exit_code == 0, result.output
    lines = json.loads(result.stdout)
    by_name = {(line["metric"], line["of"]): line for line in lines}
    share = by_name["map_lung_share", "uniform"]
    assert share["value"] == pytest.approx(20 * 25 / (48 * 64), abs=0.01)
    assert (share["n"], share["split"], share["data"]) == (5, "test", "made-up films")
    assert by_name["map_deletion_auc", "model"]["n"] == 1
    assert by_name["map_ssim_all_randomised", "other_film"]["n"] == 2
    adults = by_name["map_energy_pointing", "model"]
    assert (adults["n"], adults["split"]) == (1, "all")
    assert "outside the population" in adults["data"]

    after = load_card(model)
    assert after.digest == before.digest
    noted = {row.metric: row for row in after.measured[len(before.measured) :]}
    assert len(noted) == len(lines)
    assert noted["map_lung_share_of_uniform"].value == pytest.approx(share["value"])
    assert noted["map_lung_share"].command == "cxrnode maps toy DATA --films 5 --seed 0 --note"


def test_the_same_seed_gives_the_same_figures_and_a_table_is_printed(model: Path, films: Path) -> None:
    runs = [CliRunner().invoke(app, ["maps", str(model), str(films), "--films", "2"]).stdout for _ in range(2)]
    assert runs[0] == runs[1]
    assert "map_insertion_auc" in runs[0]
    assert len(load_card(model).measured) == 1, "nothing is noted unasked"


def test_a_forgetful_reader_has_the_card_but_not_the_weights(model: Path) -> None:
    reader = map_command.load(model)
    image = np.random.default_rng(0).random((112, 112), dtype=np.float32)
    logits = {
        map_command._forgetful(model, reader, map_command.Forgotten.ALL, seed).read([image])[0].logit
        for seed in range(3)
    }
    assert len(logits | {reader.read([image])[0].logit}) == 4


def test_films_are_chosen_by_chance_from_those_of_the_split_with_a_mask(films: Path) -> None:
    listed = TrainingFilms.model_validate(films_table())
    chosen = [with_lungs(films, listed, WANTED, "test", 4, seed) for seed in (0, 0, 1)]
    assert all(len(one) == 4 for one in chosen)
    assert [one.film.tolist() for one in chosen[0]] == [one.film.tolist() for one in chosen[1]]
    assert [one.film.tolist() for one in chosen[0]] != [one.film.tolist() for one in chosen[2]]
    every = with_lungs(films, listed, WANTED, "test", 99, seed=0)
    assert [one.film.tolist() for one in every[:4]] == [one.film.tolist() for one in chosen[0]]
    assert [one.patient for one in every] != sorted(one.patient for one in every), "by chance, not by name"
    assert len(every) == 7
    assert {one.patient for one in every} == {f"test-{number}" for number in range(4)}
    assert all(one.mask.shape == one.film.shape == (112, 112) for one in every)


def test_adults_without_an_opacity_are_left_out(films: Path) -> None:
    assert with_opacities(films, WANTED) == ()
    add_adults(films)
    (adult,) = with_opacities(films, WANTED)
    assert adult.patient == "masks/gb/a/image.jpg", "of no group: a patient of its own"
    assert adult.mask.mean() == pytest.approx(20 * 25 / (48 * 64), abs=0.01)


def test_a_split_without_masks_is_named(films: Path) -> None:
    with pytest.raises(TrainingError, match="no film of split 'spring' has a lung mask"):
        with_lungs(films, TrainingFilms.model_validate(films_table()), WANTED, "spring", 4, 0)
