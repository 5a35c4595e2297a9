"""A recipe names one of three kinds of films, whole or refused, and films without a split get one drawn."""

import tomllib
from pathlib import Path

import pytest

from cxrnode.errors import TrainingError
from models.training.dataset import read_films
from models.training.recipe import Films, TrainingFilms, read_recipe
from models.training.write import toml_of
from tests.films import films_table, write_films, write_manifest, write_recipe
from tests.folders import dicom_table, kermany_table


@pytest.mark.parametrize(
    "table",
    [
        films_table(fresh_split={"seed": 3, "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}),
        dicom_table(negative_classes=["well", "unsure"]),
        dicom_table(manifest="lists/labels.csv", folder="films/of-2026"),
        kermany_table(published_test=True, digest="0" * 64),
    ],
)
def test_each_kind_reads_back_as_it_was_written(tmp_path: Path, table: dict[str, object]) -> None:
    recipe = read_recipe(write_recipe(tmp_path / "r.toml", data=table))
    (tmp_path / "again.toml").write_text(toml_of(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "again.toml") == recipe


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (films_table(kind="folder"), "data.kind = 'folder'"),
        (films_table(manifest=""), "films of kind 'manifest' have no manifest; wanted the name of a CSV"),
        (dicom_table(manifest=""), "films of kind 'dicom' have no manifest"),
        (dicom_table(folder="/somewhere"), "data.folder = '/somewhere'"),
        (kermany_table(positive_class="ILL"), "positive_class is 'ILL'; wanted NORMAL or PNEUMONIA"),
        (films_table(published_test=True), "published_test is set; wanted films of kind 'kermany' with it"),
        (films_table(fresh_split={"fractions": {"train": 0.5, "val": 0.6}}), "wanted numbers that add up to 1"),
        (films_table(fresh_split={"fractions": {"train": 1, "val": 0}}), "data.fresh_split.fractions.val = 0"),
        (kermany_table(published_test=True, fresh_split={"fractions": {"test": 1}}), "published_test fills that"),
    ],
)
def test_what_does_not_fit_its_kind_is_named(tmp_path: Path, table: dict[str, object], wanted: str) -> None:
    path = write_recipe(tmp_path / "r.toml", data=table)
    with pytest.raises(TrainingError) as raised:
        read_recipe(path)
    assert wanted in str(raised.value)


def test_a_manifest_without_splits_gets_one_drawn_only_when_the_recipe_says_so(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "split"} for row in write_films(tmp_path)]
    write_manifest(tmp_path, rows)
    with pytest.raises(TrainingError, match=r"has no column split; wanted one, or a table fresh_split in the recipe"):
        read_films(tmp_path, Films.model_validate(films_table()))
    wanted = Films.model_validate(films_table(fresh_split={"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}))
    data = read_films(tmp_path, wanted)
    assert {name: size.images for name, size in data.sizes().items()} == {"train": 16, "val": 8, "test": 8}
    assert all(size.positive * 2 == size.images for size in data.sizes().values())
    write_manifest(tmp_path, rows[::-1])
    again = read_films(tmp_path, wanted)
    assert {film.file: film.split for film in again.films} == {film.file: film.split for film in data.films}
    assert again.digest == data.digest


def test_a_spreadsheets_manifest_in_a_folder_of_its_own_is_read(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    write_manifest(tmp_path, [row | {"file": row["file"].replace("/", "\\")} for row in rows])
    (tmp_path / "lists").mkdir()
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8").replace(",", ";")
    (tmp_path / "lists" / "our-films.csv").write_text(text, encoding="utf-8-sig")
    data = read_films(tmp_path, Films.model_validate(films_table(manifest="lists/our-films.csv")))
    assert len(data.films) == len(rows)
    assert not data.unreadable


@pytest.mark.parametrize(("index", "column"), [(3, "split"), (5, "class"), (7, "patient_group")])
def test_a_row_that_lacks_something_is_named_by_its_line(tmp_path: Path, index: int, column: str) -> None:
    rows = write_films(tmp_path)
    rows[index][column] = ""
    write_manifest(tmp_path, rows)
    with pytest.raises(TrainingError, match=rf"manifest\.csv line {index + 2} has no {column}"):
        read_films(tmp_path, Films.model_validate(films_table()))


def test_identical_pixels_in_two_splits_are_refused(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key != "sha256"} for row in write_films(tmp_path)]
    write_manifest(tmp_path, rows)
    (tmp_path / rows[-1]["file"]).write_bytes((tmp_path / rows[0]["file"]).read_bytes())
    with pytest.raises(TrainingError, match=r"1 patients are in two splits.*identical pixels count as one"):
        read_films(tmp_path, Films.model_validate(films_table()))


def test_the_readme_shows_a_table_of_each_kind_that_a_recipe_may_hold() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Train your own")[2].partition("\n## ")[0]
    tables = [tomllib.loads(block.partition("```")[0])["data"] for block in section.split("```toml")[1:]]
    assert [TrainingFilms.model_validate(table).kind for table in tables] == ["manifest", "dicom", "kermany"]
