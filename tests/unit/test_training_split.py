"""A split parts no patient's films, gives each part its share of every class, and is the same in whatever order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from cxrnode.errors import TrainingError
from models.training.groups import joined, refuse_shared
from models.training.sources.kermany import patient_of
from models.training.sources.table import read_table
from models.training.split import cross_validation, divide, folds

EIGHTY = {"train": 0.8, "val": 0.1, "test": 0.1}
SEEDS = st.integers(0, 10_000)


@dataclass(frozen=True)
class Shot:
    patient: str
    label: int
    subtype: str = ""

    @property
    def stratum(self) -> str:
        return f"{self.label}{self.subtype}"


@st.composite
def shots(draw: st.DrawFn, *, mixed: bool) -> list[Shot]:
    """Films of up to 40 patients; `mixed`: a patient's films need not be of one kind."""
    kinds = st.tuples(st.integers(0, 1), st.sampled_from(["", "viral"]))
    films = []
    for number in range(draw(st.integers(1, 40))):
        kind = draw(kinds)
        films += [Shot(f"p{number}", *(draw(kinds) if mixed else kind)) for _ in range(draw(st.integers(1, 6)))]
    return films


@st.composite
def fractions(draw: st.DrawFn) -> dict[str, float]:
    weights = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    return {f"part {number}": weight / sum(weights) for number, weight in enumerate(weights)}


@settings(deadline=None)
@given(films=shots(mixed=True), wanted=fractions(), seed=SEEDS)
def test_every_film_is_in_one_part_and_no_patient_in_two(
    films: list[Shot], wanted: dict[str, float], seed: int
) -> None:
    parts = divide(films, wanted, seed)
    assert len(parts) == len(films)
    assert set(parts) <= set(wanted)
    of_patient: dict[str, set[str]] = {}
    for film, part in zip(films, parts, strict=True):
        of_patient.setdefault(film.patient, set()).add(part)
    assert all(len(places) == 1 for places in of_patient.values())


@settings(deadline=None)
@given(films=shots(mixed=True), wanted=fractions(), seed=SEEDS, chance=st.randoms(use_true_random=False))
def test_the_order_of_films_and_fractions_changes_nothing(
    films: list[Shot], wanted: dict[str, float], seed: int, chance: object
) -> None:
    part_of = dict(zip((film.patient for film in films), divide(films, wanted, seed), strict=True))
    chance.shuffle(films)  # type: ignore[attr-defined]
    again = divide(films, dict(reversed(wanted.items())), seed)
    assert again == [part_of[film.patient] for film in films]


@settings(deadline=None)
@given(films=shots(mixed=False), wanted=fractions(), seed=SEEDS)
def test_each_part_gets_its_share_of_every_class_and_subtype(
    films: list[Shot], wanted: dict[str, float], seed: int
) -> None:
    """To within the films of the largest patient: nobody can do better for certain without parting one."""
    found = shares(films, divide(films, wanted, seed))
    whole = Counter(film.stratum for film in films)
    for stratum, total in whole.items():
        largest = max(Counter(film.patient for film in films if film.stratum == stratum).values())
        for part, fraction in wanted.items():
            assert abs(found[stratum, part] - fraction * total) <= largest


def shares(films: Sequence[Shot], parts: Sequence[str]) -> Counter[tuple[str, str]]:
    return Counter((film.stratum, part) for film, part in zip(films, parts, strict=True))


def test_another_seed_is_another_split() -> None:
    films = [Shot(f"p{number}", number % 2) for number in range(40)]
    assert len({tuple(divide(films, EIGHTY, seed)) for seed in range(5)}) == 5


@settings(deadline=None)
@given(films=shots(mixed=True), count=st.integers(2, 6), seed=SEEDS)
def test_in_cross_validation_every_film_is_held_out_once_and_no_patient_is_on_both_sides(
    films: list[Shot], count: int, seed: int
) -> None:
    if len({film.patient for film in films}) < count:
        with pytest.raises(TrainingError, match=f"{count} folds of"):
            folds(films, count, seed)
        return
    held: list[Shot] = []
    for learned, out in cross_validation(films, count, seed):
        assert not {film.patient for film in learned} & {film.patient for film in out}
        assert len(learned) + len(out) == len(films)
        held += out
    assert Counter(held) == Counter(films)


@pytest.mark.parametrize("wrong", [{"a": 0.5, "b": 0.4}, {"a": 1.0, "b": 0.0}, {"a": 1.5, "b": -0.5}, {}])
def test_fractions_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match="add up to 1"):
        divide([Shot("p", 1)], wrong, 0)


def test_real_patients_are_spread_at_least_as_evenly_as_by_scikit_learn(shared_data: Path) -> None:
    rows = read_table(shared_data / "kermany" / "full224_manifest.csv").rows
    films = [Shot(row["patient_group"], int(row["class"] == "PNEUMONIA"), row["subtype"]) for row in rows]
    strata = [film.stratum for film in films]

    ours = folds(films, 10, seed=3)
    theirs = np.zeros(len(films), dtype=int)
    splitter = StratifiedGroupKFold(10, shuffle=True, random_state=3)
    for number, (_, held) in enumerate(splitter.split(strata, strata, [film.patient for film in films])):
        theirs[held] = number

    assert unevenness(strata, ours) <= unevenness(strata, theirs.tolist())
    found = shares(films, divide(films, EIGHTY, 3))
    for stratum, total in Counter(strata).items():
        for part, fraction in EIGHTY.items():
            assert found[stratum, part] == pytest.approx(fraction * total, abs=1.5)


def unevenness(strata: Sequence[str], of_film: Sequence[int]) -> float:
    """The largest distance from a tenth, over folds and strata, in films."""
    counts = Counter(zip(strata, of_film, strict=True))
    return max(abs(counts[name, fold] - total / 10) for name, total in Counter(strata).items() for fold in range(10))


def test_the_papers_grouping_leaks_and_ours_does_not() -> None:
    """arXiv 2511.00456 groups by `name.split('_')[0]`: a normal film's name has no such mark, so each is a patient."""
    names = [f"{kind}IM-{number:04d}-000{film}.jpeg" for number in range(40) for kind, film in
             (("", 1), ("", 2), ("NORMAL2-", 1))]  # fmt: skip
    theirs = [name.split("_")[0] for name in names]
    assert len(set(theirs)) == len(names), "every normal film its own patient"
    children = [name.removeprefix("NORMAL2-").split("-")[1] for name in names]

    def torn(patients: Sequence[str]) -> int:
        parts = divide([Shot(patient, 0) for patient in patients], EIGHTY, seed=1)
        places: dict[str, set[str]] = {}
        for child, part in zip(children, parts, strict=True):
            places.setdefault(child, set()).add(part)
        return sum(len(found) > 1 for found in places.values())

    assert torn(theirs) > 10
    assert torn([patient_of(Path(name)) for name in names]) == 0


def test_films_with_identical_pixels_join_their_patients() -> None:
    groups = joined(["b", "a", "c", "d", "c"], ["1", "2", "2", "3", "1"])
    assert groups == ["a", "a", "a", "d", "a"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("123456")), max_size=20))
def test_groups_are_as_large_as_they_must_be_and_no_larger(pairs: list[tuple[str, str]]) -> None:
    """Against plain repetition: a film joins another when patient or pixels are the same, until nothing changes."""
    groups = joined([patient for patient, _ in pairs], [image for _, image in pairs])
    slow = list(range(len(pairs)))
    for _ in pairs:
        for left, (patient, image) in enumerate(pairs):
            for right, (other, its) in enumerate(pairs):
                if patient == other or image == its:
                    slow[left] = slow[right] = min(slow[left], slow[right])
    assert [groups.index(group) for group in groups] == slow


def test_a_patient_in_two_splits_is_named_with_the_films() -> None:
    with pytest.raises(TrainingError, match=r"1 patients .* 'b' the first \(3\.png in test, 2\.png in train\)"):
        refuse_shared(["a", "b", "b"], ["train", "train", "test"], ["1.png", "2.png", "3.png"])
