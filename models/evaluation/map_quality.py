"""How good a model's maps are: in the lungs, on the disease, carrying the answer, and gone when it has forgotten."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cxrnode.finding import Finding
from models.evaluation.deletion import area, deletion, insertion
from models.evaluation.maps import Map, by_chance, centre, mass_inside, rank_correlation, similarity, uniform
from models.evaluation.masked import Masked
from models.evaluation.randomised import Forgotten

Read = Callable[[Sequence[Map]], list[Finding]]
Values = NDArray[np.float64]

FORGETS = 5
"""how often the weights are shuffled, each time by other chance"""


@dataclass(frozen=True, eq=False)
class Quality:
    """One measure, (N,) a film, and the same measure of what stands beside it for comparison."""

    metric: str
    values: Values
    beside: dict[str, Values]
    patients: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Mapped:
    """A film with its mask and the map that the model shows."""

    masked: Masked
    shown: Map
    positive: bool


def mapped(read: Read, films: Iterable[Masked], operating_point: float) -> tuple[Mapped, ...]:
    """Every film read; maps come on the film's grid."""
    read_each = ((film, read([film.film])[0]) for film in films)
    return tuple(
        Mapped(film, found.heatmap.resized(*film.film.shape), found.probability >= operating_point)
        for film, found in read_each
    )


def inside(metric: str, films: Sequence[Mapped]) -> Quality:
    """The share of each map's mass inside the film's mask, beside an even map's and a Gaussian's in the middle."""
    others = {"uniform": uniform, "centre": centre}
    return Quality(
        metric,
        _each(mass_inside(film.shown, film.masked.mask) for film in films),
        {
            name: _each(mass_inside(make(*film.shown.shape), film.masked.mask) for film in films)
            for name, make in others.items()
        },
        _patients(films),
    )


def carrying(read: Read, films: Sequence[Mapped], seed: int, done: Callable[[], None]) -> Iterator[Quality]:
    """Deletion and insertion, beside maps that no model made; also where the curves end and begin whatever the map."""

    def answer(images: Sequence[Map]) -> Values:
        return _each(found.probability for found in read(images))

    generator = np.random.default_rng(seed)
    rows = [_curves(answer, film, generator, done) for film in films]
    patients = _patients(films)
    for number, name in enumerate(("deletion", "insertion")):
        areas = {key: _each(area(row[key][number]) for row in rows) for key in rows[0]}
        yield Quality(f"map_{name}_auc", areas.pop("model"), areas, patients)
    yield Quality("map_deletion_end", _each(row["model"][0][-1] for row in rows), {}, patients)
    yield Quality("map_insertion_start", _each(row["model"][1][0] for row in rows), {}, patients)


def forgetting(
    films: Sequence[Mapped], reader_of: Callable[[Forgotten, int], Read], seed: int, done: Callable[[], None]
) -> Iterator[Quality]:
    """How alike the maps of the model and of its forgetful selves are, beside the maps of two films by the model.

    A map that learned its place keeps no more likeness than two films' maps have. Means over `FORGETS` shuffles.
    """
    measures = {"rank_correlation": rank_correlation, "ssim": similarity}
    shown = [film.shown for film in films]
    for how_much in Forgotten:
        forgot = []
        for number in range(FORGETS):
            read = reader_of(how_much, seed + number)
            found = [read([film.masked.film])[0].heatmap for film in films]
            forgot.append([one.resized(*film.shown.shape) for one, film in zip(found, films, strict=True)])
            done()
        for name, measure in measures.items():
            alike = _each(
                float(np.mean([measure(one, maps[index]) for maps in forgot])) for index, one in enumerate(shown)
            )
            others = _each(measure(one, shown[index - 1]) for index, one in enumerate(shown))
            metric = f"map_{name}_{how_much}_randomised"
            yield Quality(metric, alike, {"other_film": others}, _patients(films))


def _curves(
    answer: Callable[[Sequence[Map]], Values], film: Mapped, generator: Generator, done: Callable[[], None]
) -> dict[str, tuple[Values, Values]]:
    rows, columns = film.shown.shape
    maps = {"model": film.shown, "random": by_chance(rows, columns, generator), "centre": centre(rows, columns)}
    curves = {}
    for name, one in maps.items():
        curves[name] = (
            deletion(answer, film.masked.film, one, generator),
            insertion(answer, film.masked.film, one, generator),
        )
        done()
    return curves


def _each(values: Iterable[float]) -> Values:
    return np.array(list(values), dtype=np.float64)


def _patients(films: Sequence[Mapped]) -> tuple[str, ...]:
    return tuple(film.masked.patient for film in films)
