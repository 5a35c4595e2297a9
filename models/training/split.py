"""Splits by patient: seeded, stratified, the same whatever the order of the films; no patient in two parts.

scikit-learn's StratifiedGroupKFold was weighed: it makes equal folds only (80/10/10 means ten folds glued together),
and would bring SciPy into training for forty lines. The tests hold this against it.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from cxrnode.errors import TrainingError


class Grouped(Protocol):
    """What a split must know of a film; `patient` names the group that stays together."""

    @property
    def patient(self) -> str:
        """Who, as far as one can tell."""

    @property
    def label(self) -> int:
        """1 for a positive."""

    @property
    def subtype(self) -> str:
        """What else is to be spread evenly; empty for nothing."""


G = TypeVar("G", bound=Grouped)


def divide(films: Sequence[Grouped], fractions: Mapping[str, float], seed: int) -> list[str]:
    """The part of each film, in order; each part gets about its fraction of every class and subtype.

    Patients with many films go first, then chance (a hash of seed and patient) decides who is next; each goes where
    its kind of film is scarcest, as seats go to parties (Webster's method, which favours neither large nor small).
    Raises TrainingError when the fractions are none.
    """
    if any(not share > 0 for share in fractions.values()) or not math.isclose(sum(fractions.values()), 1):
        raise TrainingError(f"fractions are {dict(fractions)}; wanted numbers above 0 that add up to 1")
    held: dict[str, Counter[str]] = {}
    for film in films:
        held.setdefault(film.patient, Counter())[_stratum(film)] += 1
    totals = sum(held.values(), Counter())
    filled: dict[str, Counter[str]] = {part: Counter() for part in fractions}

    def fullness(part: str, of_patient: Counter[str]) -> tuple[float, float, str]:
        share = math.fsum(
            count / totals[stratum] * (filled[part][stratum] + count / 2) / (totals[stratum] * fractions[part])
            for stratum, count in of_patient.items()
        )
        return share, -fractions[part], part

    place: dict[str, str] = {}
    for patient in sorted(held, key=lambda patient: (-held[patient].total(), _lot(seed, patient))):
        of_patient = held[patient]
        place[patient] = min(fractions, key=lambda part: fullness(part, of_patient))
        filled[place[patient]] += of_patient
    return [place[film.patient] for film in films]


def folds(films: Sequence[Grouped], count: int, seed: int) -> list[int]:
    """The fold of each film, 0 to `count` - 1, in order. Raises TrainingError when there are fewer patients."""
    patients = len({film.patient for film in films})
    if not 2 <= count <= patients:
        raise TrainingError(f"{count} folds of {patients} patients; wanted at least 2, and a patient for each")
    return [int(part) for part in divide(films, {str(fold): 1 / count for fold in range(count)}, seed)]


def cross_validation(films: Sequence[G], count: int, seed: int) -> Iterator[tuple[tuple[G, ...], tuple[G, ...]]]:
    """(the films to learn from, the films held out) for each fold; every film is held out once."""
    of_film = folds(films, count, seed)
    for fold in range(count):
        learned = tuple(film for film, its in zip(films, of_film, strict=True) if its != fold)
        yield learned, tuple(film for film, its in zip(films, of_film, strict=True) if its == fold)


def _stratum(film: Grouped) -> str:
    return f"{film.label} {film.subtype}"


def _lot(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed} {patient}".encode()).hexdigest()
