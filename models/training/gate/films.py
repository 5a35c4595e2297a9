"""The films that a gate learns from and is measured on: several sources, each some rows of a manifest."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrnode.errors import TrainingError
from cxrnode.uids import digest_of
from models.training.gate.recipe import GateRecipe, GateSource


@dataclass(frozen=True, eq=False)
class Frontal:
    """One frontal chest film, upright: (rows, cols) uint8."""

    file: str
    patient: str
    sha256: str
    pixels: NDArray[np.uint8]

    @property
    def radiograph(self) -> NDArray[np.float32]:
        """(rows, cols) float32 in [0, 1], as `cxrnode.decoding.pixels` hands a DICOM image to the model."""
        return self.pixels.astype(np.float32) / np.float32(255)


Films = tuple[Frontal, ...]


@dataclass(frozen=True)
class GateFilms:
    """The films of every source in the recipe's order; those to learn from by kind of patient."""

    learn: Mapping[str, Films]
    validate_on: tuple[Films, ...]
    test: tuple[Films, ...]

    @property
    def digest(self) -> str:
        """sha256 of every film's name and bytes, and of the part it had."""
        parts = {
            "learn": [film for films in self.learn.values() for film in films],
            "validate": [film for films in self.validate_on for film in films],
            "test": [film for films in self.test for film in films],
        }
        return digest_of({part: sorted((one.file, one.sha256) for one in films) for part, films in parts.items()})


def read_gate_films(data_dir: Path, recipe: GateRecipe) -> GateFilms:
    """Every film of the recipe; who was learned or tuned on is left out of the tests. Raises TrainingError."""
    learn: dict[str, Films] = {}
    for source in recipe.learn:
        learn[source.patient] = learn.get(source.patient, ()) + read_source(data_dir, source)
    learned = patients_of(*learn.values())
    tune = tuple(read_source(data_dir, source, apart_from=learned) for source in recipe.validate_on)
    tuned = learned | patients_of(*tune)
    test = tuple(read_source(data_dir, source, apart_from=tuned) for source in recipe.test)
    return GateFilms(learn, tune, test)


def read_source(data_dir: Path, source: GateSource, apart_from: Iterable[str] = ()) -> Films:
    """The films of a source, each file once and no patient of `apart_from`; raises TrainingError when there is none."""
    rows = {row["file"]: row for row in rows_where(data_dir / source.manifest, source.where)}
    taken = set(apart_from)
    films = tuple(film for film in (_film(data_dir, row, source) for row in rows.values()) if film.patient not in taken)
    if not films:
        raise TrainingError(f"{source.manifest} has no film where {source.where}; wanted some")
    return films


def rows_where(path: Path, where: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of a manifest that say `where`; raises TrainingError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if all(row.get(key) == value for key, value in where.items())]
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); wanted a manifest") from error


def patients_of(*sources: Sequence[Frontal]) -> set[str]:
    """Everybody in these sources."""
    return {film.patient for films in sources for film in films}


def _film(data_dir: Path, row: dict[str, str], source: GateSource) -> Frontal:
    path = data_dir / row["file"]
    try:
        content = path.read_bytes()
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
    except (OSError, SyntaxError) as error:
        raise TrainingError(f"{path}: {error}; wanted an image") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if row["sha256"] != sha256:
        raise TrainingError(f"{path} has sha256 {sha256}, but the manifest says {row['sha256']}")
    collection = source.manifest.partition("/")[0]  # the same patient may be in two manifests of one collection
    return Frontal(row["file"], f"{collection}:{row[source.group_column]}", sha256, pixels)
