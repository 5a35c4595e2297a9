"""How often the gate is right: on films upright, turned and inverted, on what is no film, on blanks and noise.

Specificity is the part of frontal upright films that pass, sensitivity the part of all else that is stopped. The
intervals are Wilson's (1927), counted in patients and not in images: patients, not films, are independent.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import from_numpy

from cxrnode.errors import Refused, Unreadable
from models.card import Measured
from models.gate import Gate
from models.preprocess import squashed
from models.training.gate.deal import made, shown
from models.training.gate.films import Films, rows_where
from models.training.gate.pictures import MAKERS
from models.training.gate.recipe import DicomSource
from models.training.kept import radiograph
from models.training.sources.listed import DicomFiles

Radiograph = NDArray[np.float32]

TURNED = ("clockwise", "upside_down", "anticlockwise", "inverted")
SAME = 0.98
"""correlation at 32 x 32 above which two DICOM files are taken for one picture, packed twice"""
Z = 1.959964


@dataclass(frozen=True, eq=False)
class Trial:
    """Radiographs of one sort and who is on them; `frontal`: they should pass."""

    data: str
    split: str
    radiographs: Sequence[Radiograph]
    patients: Sequence[str]
    frontal: bool = False


def trials_of_films(name: str, films: Films) -> Iterator[Trial]:
    """One source of test films upright, turned three ways, and inverted."""
    patients = [film.patient for film in films]
    upright = [film.radiograph for film in films]
    yield Trial(f"{name}: upright", "test", upright, patients, frontal=True)
    for kind in TURNED:
        yield Trial(f"{name}: {kind.replace('_', ' ')}", "test", [_as(one, kind) for one in upright], patients)


def trials_of_nothing(films: Films, count: int, seed: int) -> Iterator[Trial]:
    """Made pictures of every kind, their films being test films; blanks; noise."""
    for name in MAKERS:
        pictures = made(films, name, count, seed)
        yield Trial(f"made: {name}", "test", pictures, [str(number) for number in range(count)])
    generator = np.random.default_rng(seed)
    numbers = [str(number) for number in range(count)]
    sides = generator.choice([64, 128, 256, 512, 1024], size=count)
    levels = generator.uniform(0, 1, size=count)
    blank = [np.full((side, side), level, np.float32) for side, level in zip(sides, levels, strict=True)]
    yield Trial("made: blank", "test", blank, numbers)
    noise = [generator.random((side, side), dtype=np.float32) for side in sides]
    yield Trial("made: white noise", "test", noise, numbers)


def trial_of_dicom(data_dir: Path, source: DicomSource, dicom: DicomFiles) -> Trial:
    """The DICOM files of a source that decode as a single-frame greyscale image; the same picture is one patient."""
    radiographs: list[Radiograph] = []
    patients: list[str] = []
    thumbs: list[Radiograph] = []
    files = [row["file"] for row in rows_where(data_dir / source.manifest, {})]
    for file in (file for file in files if file.startswith(f"{source.below}/")):
        try:
            picture = radiograph(dicom.open(data_dir / file).pixels())
        except (Refused, Unreadable):
            continue
        thumb = squashed(picture, 32, 32).flatten().numpy()
        alike = [number for number, one in enumerate(thumbs) if _correlation(one, thumb) > SAME]
        radiographs.append(picture)
        patients.append(patients[alike[0]] if alike else str(len(thumbs)))
        thumbs.append(thumb)
    return Trial(source.name, "all", radiographs, patients, frontal=source.frontal)


def measured(gate: Gate, trial: Trial, command: str, today: date) -> Measured:
    """How many of a trial the gate got right, as a row of its card."""
    right = [(gate.objection(one) == "") == trial.frontal for one in trial.radiographs]
    share, n_patients = sum(right) / len(right), len(set(trial.patients))
    low, high = wilson(share, n_patients)
    return Measured(
        metric="specificity" if trial.frontal else "sensitivity",
        value=share,
        ci_low=low,
        ci_high=high,
        n=len(right),
        n_patients=n_patients,
        data=trial.data,
        split=trial.split,
        command=command,
        date=today,
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of n."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def _as(radiograph: Radiograph, kind: str) -> Radiograph:
    return shown(from_numpy(radiograph)[None], kind)[0].contiguous().numpy()


def _correlation(one: Radiograph, other: Radiograph) -> float:
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
