"""A data set is read whole, its patients stay apart, and its digest tells one from another."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrnode.errors import TrainingError
from models.card import Input
from models.training.dataset import batch_of, read_films
from models.training.recipe import Films
from tests.films import SPLITS, films_table, write_films, write_manifest

WANTED = Films.model_validate(films_table())
INPUT = Input(rows=32, columns=32, resize="squash", scale=255.0, mean=(127.0,) * 3, std=(128.0,) * 3)


def test_every_film_is_there_with_its_label_and_patient(tmp_path: Path) -> None:
    write_films(tmp_path)
    data = read_films(tmp_path, WANTED)
    assert {name: size.images for name, size in data.sizes().items()} == SPLITS
    assert data.sizes()["train"].positive == 8
    assert data.sizes()["train"].patients == 8
    film = data.split("val")[2]
    assert (film.file, film.label, film.patient) == ("films/val-2.png", 0, "val-1")
    assert film.pixels.shape == (48, 64)
    assert batch_of(data.split("val"), INPUT).shape == (8, 1, 32, 32)


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    rows[0]["patient_group"] = rows[-1]["patient_group"]
    write_manifest(tmp_path, rows)
    with pytest.raises(TrainingError, match="1 patients are in two splits"):
        read_films(tmp_path, WANTED)


def test_films_that_cannot_be_read_are_listed_and_skipped(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    (tmp_path / rows[0]["file"]).unlink()
    (tmp_path / rows[1]["file"]).write_bytes(b"not an image")
    whole = (tmp_path / rows[2]["file"]).read_bytes()
    (tmp_path / rows[2]["file"]).write_bytes(whole[: len(whole) // 2])
    data = read_films(tmp_path, WANTED)
    assert [line.split(":")[0] for line in data.unreadable] == [row["file"] for row in rows[:3]]
    assert len(data.films) == sum(SPLITS.values()) - 3


def test_a_film_with_other_bytes_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / rows[0]["file"])
    with pytest.raises(TrainingError, match=r"films/train-0\.png has sha256"):
        read_films(tmp_path, WANTED)


def test_the_digest_holds_to_the_films_and_not_to_their_order(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    first = read_films(tmp_path, WANTED).digest
    write_manifest(tmp_path, rows[::-1])
    assert read_films(tmp_path, WANTED).digest == first
    rows[0]["class"], rows[2]["class"] = rows[2]["class"], rows[0]["class"]
    write_manifest(tmp_path, rows)
    assert read_films(tmp_path, WANTED).digest != first


def test_a_manifest_without_the_columns_names_them(tmp_path: Path) -> None:
    write_films(tmp_path, column="person")
    with pytest.raises(TrainingError, match=r"lacks the columns \['patient_group'\]"):
        read_films(tmp_path, WANTED)
    assert read_films(tmp_path, Films.model_validate(films_table(group_column="person"))).films


def test_a_split_of_one_class_is_refused(tmp_path: Path) -> None:
    rows = write_films(tmp_path)
    write_manifest(tmp_path, [row for row in rows if row["split"] != "val" or row["class"] == "ILL"])
    with pytest.raises(TrainingError, match=r"split 'val' holds 4 films but not of both classes"):
        read_films(tmp_path, WANTED).split("val")


def test_a_list_of_somebody_elses_is_read_by_its_own_columns(tmp_path: Path) -> None:
    """Many names for the positive, one class that nobody can judge, a film in two rows, and no split."""
    rows = write_films(tmp_path)
    kinds = {0: "COVID-19", 1: "SARS", 2: "No Finding", 3: "todo"}
    listed = [
        {"file": row["file"], "finding": kinds[n % 4], "patient_group": row["patient_group"], "note": str(n)}
        for n, row in enumerate(rows)
    ]
    write_manifest(tmp_path, [*listed, listed[0] | {"note": "again"}])
    table = films_table(
        positive_class="COVID-19",
        also_positive=["SARS"],
        negative_classes=["No Finding"],
        left_out=["todo"],
        class_column="finding",
        split_column="",
    )
    data = read_films(tmp_path, Films.model_validate(table))
    films = data.split("all")
    assert len(films) == 24, "32 films, a quarter of them nobody can judge, none twice"
    assert sum(film.label for film in films) == 16
    assert {film.split for film in films} == {"all"}
