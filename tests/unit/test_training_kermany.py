"""Kermany's folders as published: the class by folder, the patient by name, no child in two splits."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrnode.errors import TrainingError
from models.training.dataset import DataSet, Film, read_films
from models.training.recipe import Films
from models.training.sources.kermany import list_kermany, patient_of
from models.training.sources.table import read_table
from tests.folders import kermany_table, write_kermany

NAMES = {
    "train/NORMAL": [f"{two}IM-{number:04d}-000{film}.jpeg" for number in range(115, 145)
                     for two, film in (("", 1), ("NORMAL2-", 1), ("", 2))],
    "train/PNEUMONIA": [f"person{number}_{kind}_{number + film}.jpeg" for number in range(1, 41)
                        for film, kind in ((1, "bacteria"), (2, "virus"))],
    "val/NORMAL": ["NORMAL2-IM-0115-0003.jpeg", "IM-0900-0001.jpeg"],
    "val/PNEUMONIA": ["person1_bacteria_99.jpeg"],
    "test/NORMAL": ["IM-0001-0001.jpeg", "IM-0116-0009.jpeg", "NORMAL2-IM-0002-0001.jpeg"],
    "test/PNEUMONIA": ["person7_virus_1.jpeg", "person900_bacteria_1.jpeg"],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_kermany(tmp_path / "chest_xray", NAMES)
    (tmp_path / "chest_xray" / "train" / "NORMAL" / ".DS_Store").write_text("of a publisher's desk")
    (tmp_path / "chest_xray" / "train" / "NORMAL" / "._IM-0115-0001.jpeg").write_text("likewise")
    return tmp_path


def read(folder: Path, **changes: object) -> DataSet:
    return read_films(folder, Films.model_validate(kermany_table(**changes)))


def splits_of(films: tuple[Film, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for film in films:
        found.setdefault(film.patient, set()).add(film.split)
    return found


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1_bacteria_1.jpeg", "person1"),
        ("person1_virus_6.jpeg", "person1"),
        ("person447_virus_921_1.jpeg", "person447"),
        ("IM-0001-0001.jpeg", "im0001"),
        ("IM-0439-0001-0002.jpeg", "im0439"),
        ("NORMAL2-IM-0001-0001.jpeg", "im0001"),
        ("BACTERIA-1008087-0001.jpeg", "patient1008087"),
        ("NORMAL-1049278-0001.jpeg", "patient1049278"),
    ],
)
def test_a_name_tells_the_patient(name: str, patient: str) -> None:
    assert patient_of(Path(name)) == patient


def test_a_name_that_tells_none_is_refused(tmp_path: Path) -> None:
    write_kermany(tmp_path / "chest_xray", {"train/NORMAL": ["film.jpeg"]})
    with pytest.raises(TrainingError, match=r"film\.jpeg is no name that tells a patient; wanted person1_bacteria_1"):
        read(tmp_path)


def test_all_three_folders_are_split_afresh_and_their_own_split_is_ignored(folder: Path) -> None:
    data = read(folder)
    assert len(data.films) == sum(map(len, NAMES.values()))
    assert Counter(film.label for film in data.films) == {0: 95, 1: 83}
    assert all(len(splits) == 1 for splits in splits_of(data.films).values())
    assert {film.split for film in data.films} == {"train", "val", "test"}
    person = [film for film in data.films if film.patient == "person1"]
    assert sorted(film.subtype for film in person) == ["bacteria", "bacteria", "virus"]
    assert data.films[0].file == "chest_xray/train/NORMAL/IM-0115-0001.jpeg"


def test_the_published_test_films_stay_the_test_when_asked_and_their_patients_are_nowhere_else(folder: Path) -> None:
    data = read(
        folder, published_test=True, fresh_split={"seed": 4, "fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}
    )
    published = [name for part in ("test/NORMAL", "test/PNEUMONIA") for name in NAMES[part]]
    assert [Path(film.file).name for film in data.split("test")] == published
    assert all(len(splits) == 1 for splits in splits_of(data.films).values())
    assert data.remarks == ("5 films are left out: the split test is kept as it is and has their patients",), (
        "three of IM-0116, two of person7"
    )
    sizes = data.sizes()
    assert sizes["train"].images / (sizes["train"].images + sizes["val"].images) == pytest.approx(0.75, abs=0.03)


def test_identical_pixels_join_two_patients(folder: Path) -> None:
    same = folder / "chest_xray" / "train" / "NORMAL"
    (same / "IM-0140-0001.jpeg").write_bytes((same / "IM-0120-0001.jpeg").read_bytes())
    films = {Path(film.file).name: film for film in read(folder).films}
    assert films["IM-0140-0002.jpeg"].patient == films["IM-0120-0002.jpeg"].patient == "im0120"


def test_a_damaged_and_a_blank_film_are_listed_and_the_rest_is_read(folder: Path) -> None:
    place = folder / "chest_xray" / "train" / "PNEUMONIA"
    whole = (place / "person1_bacteria_2.jpeg").read_bytes()
    (place / "person1_bacteria_2.jpeg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((9, 9), 7, dtype=np.uint8)).save(place / "person2_bacteria_3.jpeg")
    data = read(folder)
    assert len(data.films) == sum(map(len, NAMES.values())) - 2
    cut, blank = data.unreadable
    assert cut.startswith("chest_xray/train/PNEUMONIA/person1_bacteria_2.jpeg: the image cannot be decoded")
    assert blank == "chest_xray/train/PNEUMONIA/person2_bacteria_3.jpeg: the image is blank; wanted a radiograph"


@pytest.mark.parametrize(
    ("names", "changes", "wanted"),
    [
        ({}, {}, r"chest_xray holds no NORMAL film; wanted \{train,val,test\}/NORMAL"),
        ({"train/NORMAL": ["IM-0001-0001.jpeg"]}, {}, "holds no PNEUMONIA film"),
        ({"train/NORMAL": ["IM-0001-0001.jpeg"], "train/PNEUMONIA": ["person1_virus_1.jpeg"]}, {"published_test": True},
         "test holds no film; wanted the published test films"),
    ],
)  # fmt: skip
def test_another_layout_is_refused(
    tmp_path: Path, names: dict[str, list[str]], changes: dict[str, object], wanted: str
) -> None:
    write_kermany(tmp_path / "chest_xray", names)
    with pytest.raises(TrainingError, match=wanted):
        read(tmp_path, **changes)


def test_real_names_give_the_groups_of_the_real_manifest(shared_data: Path) -> None:
    rows = read_table(shared_data / "kermany" / "full224_manifest.csv").rows
    wanted = Films.model_validate(kermany_table(folder="kermany/full224"))
    listed = list_kermany(shared_data, wanted).films
    assert {film.file: film.patient for film in listed} == {row["file"]: row["patient_group"] for row in rows}
    subtypes = {row["file"]: row["subtype"].replace("none", "") for row in rows}
    assert {film.file: film.subtype for film in listed} == subtypes
    assert {film.file: film.label for film in listed} == {row["file"]: row["class"] == "PNEUMONIA" for row in rows}
