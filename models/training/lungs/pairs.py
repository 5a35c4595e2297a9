"""Films with their lung masks, from two manifests: no patient in two splits, every byte in the digest."""

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
from models.preprocess import fitted
from models.training.lungs.recipe import Outlined

UNREADABLE = (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError)


@dataclass(frozen=True, eq=False)
class Pair:
    """A film, (rows, cols) uint8, and where its lungs are, (rows, cols) bool."""

    file: str
    split: str
    patient: str
    digest: str
    pixels: NDArray[np.uint8]
    lungs: NDArray[np.bool_]

    @property
    def radiograph(self) -> NDArray[np.float32]:
        """(rows, cols) float32 in [0, 1], as `cxrnode.decoding.pixels` hands a DICOM image to a model."""
        return self.pixels.astype(np.float32) / np.float32(255)


@dataclass(frozen=True)
class Pairs:
    """All pairs that can be read; `unreadable` lists the others with the reason."""

    pairs: tuple[Pair, ...]
    unreadable: tuple[str, ...]
    digest: str

    def split(self, name: str) -> tuple[Pair, ...]:
        """The pairs of one split; raises TrainingError when there is none."""
        found = tuple(pair for pair in self.pairs if pair.split == name)
        if not found:
            raise TrainingError(f"split {name!r} holds no film with a lung mask; wanted one at the least")
        return found

    def sizes(self) -> dict[str, SplitSize]:
        """How much each split holds; every mask outlines lungs, so all are positive."""
        names = sorted({pair.split for pair in self.pairs})
        return {name: _size([pair for pair in self.pairs if pair.split == name]) for name in names}


def read_pairs(data_dir: Path, wanted: Outlined) -> Pairs:
    """Read every mask of the wanted group with its film; raises TrainingError when they are not fit to train on."""
    films = {row["file"]: row for row in _rows(data_dir / wanted.manifest, ("file", wanted.group_column))}
    masks = [
        row
        for row in _rows(data_dir / wanted.masks, ("file", "of", "group", "sha256"))
        if row["group"] == wanted.group and row["of"] in films
    ]
    pairs, unreadable = [], []
    for row in masks:
        film = films[row["of"]]
        try:
            content, outline = (data_dir / film["file"]).read_bytes(), (data_dir / row["file"]).read_bytes()
            pixels = np.asarray(Image.open(BytesIO(content)).convert("L"))
            lungs = np.asarray(Image.open(BytesIO(outline)).convert("L")) > 0
        except UNREADABLE as error:
            unreadable.append(f"{film['file']} with {row['file']}: {error}")
            continue
        if lungs.shape != pixels.shape:
            unreadable.append(f"{row['file']} is {lungs.shape}, but {film['file']} is {pixels.shape}")
            continue
        shas = [_checked(content, film, film["file"]), _checked(outline, row, row["file"])]
        digest = digest_of([film["file"], *shas])
        pairs.append(Pair(film["file"], film.get("split", ""), film[wanted.group_column], digest, pixels, lungs))
    _refuse_shared_patients(pairs)
    return Pairs(tuple(pairs), tuple(unreadable), digest_of(sorted((pair.digest, pair.split) for pair in pairs)))


def batch_of(pairs: Sequence[Pair], wanted: Input) -> tuple[Tensor, Tensor]:
    """Images, (N, 1, rows, columns) in [0, 1], squashed as in service, and the lungs on the same grid, in [0, 1]."""
    images = torch.stack([fitted(pair.radiograph, wanted) for pair in pairs])
    lungs = torch.stack([fitted(pair.lungs.astype(np.float32), wanted) for pair in pairs])
    return images, lungs


def _checked(content: bytes, row: dict[str, str], file: str) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    if row.get("sha256", sha256) != sha256:
        raise TrainingError(f"{file} has sha256 {sha256}, but the manifest says {row['sha256']}")
    return sha256


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


def _refuse_shared_patients(pairs: Sequence[Pair]) -> None:
    splits: dict[str, set[str]] = {}
    for pair in pairs:
        splits.setdefault(pair.patient, set()).add(pair.split)
    shared = sorted(patient for patient, names in splits.items() if len(names) > 1)
    if shared:
        raise TrainingError(f"{len(shared)} patients are in two splits, {shared[0]!r} the first; wanted each in one")


def _size(pairs: Sequence[Pair]) -> SplitSize:
    return SplitSize(images=len(pairs), positive=len(pairs), patients=len({pair.patient for pair in pairs}))
