"""Folders of made-up films as a hospital keeps them (DICOM and a CSV of labels) and as Kermany's were published."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset

from tests.builders import chest_like, make_cxr
from tests.films import films_table

Row = dict[str, str]
SECRETS = ("ZZ-PID", "Zzsynthetic", "ACC-77001")
"""what nothing that a training writes or prints may hold"""


def film_of(patient: int, number: int, *, positive: bool, **attributes: object) -> FileDataset:
    """A small film of a made-up patient, a bright blot in it where it is a positive."""
    pixels = chest_like(96, 80, seed=100 * patient + number)
    if positive:
        pixels[50:75, 10:40] = 4000
    return make_cxr(pixels, **({"PatientID": f"ZZ-PID-{patient:04d}"} | attributes))


def write_dicom(folder: Path, patients: int = 20, films_each: int = 2, **attributes: object) -> list[Row]:
    """`folder`/images with every second patient a positive, and `folder`/labels.csv; returns its rows."""
    rows = []
    for patient in range(patients):
        for number in range(films_each):
            film = film_of(patient, number, positive=patient % 2 == 0, **attributes)
            path = folder / "images" / f"room {patient % 3}" / f"{patient:03d}-{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            film.save_as(path, enforce_file_format=True)
            label = "ill" if patient % 2 == 0 else "well"
            rows.append({"file": path.relative_to(folder / "images").as_posix(), "label": label})
    write_labels(folder, rows)
    return rows


def write_labels(folder: Path, rows: list[Row], encoding: str = "utf-8", delimiter: str = ",") -> None:
    """labels.csv of `rows`."""
    with (folder / "labels.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def dicom_table(**changes: object) -> dict[str, object]:
    """How a recipe names such a folder."""
    wanted: dict[str, object] = {"kind": "dicom", "manifest": "labels.csv", "folder": "images", "positive_class": "ill"}
    return films_table(**(wanted | {"fresh_split": {}} | changes))


def write_kermany(folder: Path, names: dict[str, list[str]]) -> None:
    """Noise under published names: `names` has, for each folder such as "train/NORMAL", those of its files."""
    generator = np.random.default_rng(7)
    for place, files in names.items():
        (folder / place).mkdir(parents=True)
        for name in files:
            Image.fromarray(generator.integers(0, 255, (20, 30), dtype=np.uint8)).save(folder / place / name)


def kermany_table(**changes: object) -> dict[str, object]:
    """How a recipe names such a folder."""
    table = films_table(kind="kermany", folder="chest_xray", positive_class="PNEUMONIA") | changes
    return {key: value for key, value in table.items() if key != "manifest"}
