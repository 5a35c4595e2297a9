"""Films from a folder and its manifest: no patient in two splits, every byte in the digest."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cxrnode.errors import TrainingError
from cxrnode.uids import digest_of
from models.card import Input, SplitSize
from models.preprocess import squash
from models.training.recipe import Films


@dataclass(frozen=True, eq=False)
class Film:
    """One decoded image, (rows, cols) uint8, and what the manifest says of it; `label` is 1 for a positive."""

    file: str
    label: int
    split: str
    patient: str
    sha256: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class DataSet:
    """All readable films of a manifest; `unreadable` lists the others with the reason."""

    films: tuple[Film, ...]
    unreadable: tuple[str, ...]
    digest: str

    def split(self, name: str) -> tuple[Film, ...]:
        """The films of one split; raises TrainingError unless both classes are in it."""
        films = tuple(film for film in self.films if film.split == name)
        if {film.label for film in films} != {0, 1}:
            raise TrainingError(
                f"split {name!r} holds {len(films)} films but not of both classes; wanted positives and negatives"
            )
        return films

    def sizes(self) -> dict[str, SplitSize]:
        """How much each split holds."""
        return {
            name: _size([film for film in self.films if film.split == name])
            for name in sorted({f.split for f in self.films})
        }


def read_films(data_dir: Path, wanted: Films) -> DataSet:
    """Read and decode everything the manifest lists; raises TrainingError when it is not fit to train on."""
    rows = _rows(data_dir / wanted.manifest, ("file", "class", "split", wanted.group_column))
    _refuse_shared_patients(rows, wanted.group_column)
    films, unreadable = [], []
    for row in rows:
        try:
            content = (data_dir / row["file"]).read_bytes()
            pixels = np.asarray(Image.open(BytesIO(content)).convert("L"))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
            unreadable.append(f"{row['file']}: {error}")
            continue
        sha256 = hashlib.sha256(content).hexdigest()
        if row.get("sha256", sha256) != sha256:
            raise TrainingError(f"{row['file']} has sha256 {sha256}, but the manifest says {row['sha256']}")
        label = int(row["class"] == wanted.positive_class)
        films.append(Film(row["file"], label, row["split"], row[wanted.group_column], sha256, pixels))
    digest = digest_of(sorted((film.file, film.sha256, film.split, film.label) for film in films))
    return DataSet(tuple(films), tuple(unreadable), digest)


def labels_of(films: Sequence[Film]) -> NDArray[np.int64]:
    """(N,) of 0 and 1."""
    return np.array([film.label for film in films], dtype=np.int64)


def radiograph_of(film: Film) -> NDArray[np.float32]:
    """(rows, cols) float32 in [0, 1], as `cxrnode.pixels` hands a DICOM image to the model."""
    return film.pixels.astype(np.float32) / np.float32(255)


def batch_of(films: Sequence[Film], wanted: Input) -> Tensor:
    """(N, 1, rows, columns) float32 in [0, 1], squashed as in service."""
    return torch.stack([squash(radiograph_of(film), wanted) for film in films])


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            rows = list(reader)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); wanted a manifest") from error
    if missing or not rows:
        raise TrainingError(f"{path} has {len(rows)} rows and lacks the columns {missing}; wanted {', '.join(columns)}")
    return rows


def _refuse_shared_patients(rows: Sequence[dict[str, str]], column: str) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row[column], set()).add(row["split"])
    shared = sorted(patient for patient, names in splits.items() if len(names) > 1)
    if shared:
        raise TrainingError(f"{len(shared)} patients are in two splits, {shared[0]!r} the first; wanted each in one")


def _size(films: Sequence[Film]) -> SplitSize:
    return SplitSize(
        images=len(films),
        positive=sum(film.label for film in films),
        patients=len({film.patient for film in films}),
    )
