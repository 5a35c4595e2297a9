"""`cxrnode shortcut`: how far a model's probabilities move when only the frame of a film changes, not what it shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cxrnode.finding import Finding
from models.card import Measured
from models.ensemble import load_model
from models.evaluation.measure import resamples
from models.evaluation.record import record
from models.evaluation.reframe import CHANGES, Radiograph
from models.training.dataset import DataSet, Film, labels_of, radiograph_of, read_films
from models.training.recipe import Films

Read = Callable[[Sequence[Radiograph]], Sequence[Finding]]
Values = NDArray[np.float64]

MANIFEST = "kermany/native320_manifest.csv"

LIMIT = 0.05
"""the median, over all changes that a squashed film shows, that a model should not exceed"""
ANY = "reframing"
"""what the changes that squashing does not undo are called together"""
HIGH = 0.95
"""the other quantile that is told"""


@dataclass(frozen=True)
class Moved:
    """How far a change moves the probabilities of the films of one class, or of both (`of` is "all").

    Of the change `ANY`, `flipped` counts a film once for every change that flips it.

    Intervals are of 95 %, by patient bootstrap. `shift` is the mean with its sign: above nought the change makes films
    likelier positives. `flipped` films fall on the other side of the operating point.
    """

    change: str
    seen: bool
    of: str
    n: int
    n_patients: int
    median: float
    median_low: float
    median_high: float
    percentile_95: float
    percentile_95_low: float
    percentile_95_high: float
    shift: float
    flipped: int


@dataclass(frozen=True)
class Sample:
    """Which films are read: of more than `count` of a split some, chosen by chance; 0 takes all."""

    films: Films
    split: str = "test"
    count: int = 0
    seed: int = 0


def shortcut(
    folder: Path,
    data_dir: Path,
    sample: Sample,
    *,
    now: datetime,
    device: str = "auto",
    as_json: bool = False,
    recorded: bool = False,
) -> list[Moved]:
    """Measure the model in `folder`, and print.

    `recorded` writes each change's medians by class, and the figures of all changes together, onto its card. Raises
    ModelMismatch and TrainingError.
    """
    chosen = chosen_of(read_films(data_dir, sample.films), sample)
    reader = load_model(folder, device)
    found = list(moved(reader.read, chosen, reader.algorithm.operating_point, sample.seed))
    if recorded:
        record(folder, [row for line in found for row in _rows(line, sample, folder.name, now)])
    if as_json:
        Console().print_json(data=[asdict(line) for line in found])
    else:
        _print(found, f"{folder.name}: {sample.films.name}, {sample.split}")
    return found


def at_true_aspect(manifest: str, positive_class: str, group_column: str) -> Films:
    """Films that no publisher has squashed: Kermany's, or by another manifest somebody's own."""
    ours = manifest == MANIFEST
    return Films(
        name="Kermany chest films at true aspect, squashed as in service" if ours else manifest,
        licence="CC BY 4.0" if ours else "not told",
        attribution="Kermany, Zhang, Goldbaum, Mendeley Data, rscbjbr9sj" if ours else "not told",
        manifest=manifest,
        positive_class=positive_class,
        group_column=group_column,
    )


def chosen_of(films: DataSet, sample: Sample) -> tuple[Film, ...]:
    """The sample's films, as many of each class as can be."""
    there = sorted(films.split(sample.split), key=lambda film: film.file)
    if not 0 < sample.count < len(there):
        return tuple(there)
    by_chance = [there[index] for index in np.random.default_rng(sample.seed).permutation(len(there))]
    classes = [[film for film in by_chance if film.label == label] for label in (0, 1)]
    each = min(len(classes[0]), len(classes[1]), sample.count // 2)
    taken = [*classes[0][:each], *classes[1][:each]]
    return tuple(taken + [film for film in by_chance if film not in taken][: sample.count - len(taken)])


def moved(read: Read, films: Sequence[Film], operating_point: float, seed: int = 0) -> Iterator[Moved]:
    """Every change, each for both classes and for each of them; both must be there."""
    labels = labels_of(films)
    patients = np.array([film.patient for film in films])
    drawn = resamples(patients.tolist(), labels, seed)
    plain, changed = _answers(read, films)
    seen = [change for change in CHANGES if change.seen]
    for names, made in [*(([change], change.name) for change in CHANGES), (seen, ANY)]:
        far = np.concatenate([changed[change.name] for change in names])
        for of, inside in (("all", labels >= 0), ("negative", labels == 0), ("positive", labels == 1)):
            several = np.tile(inside, len(names))
            weights = np.tile(drawn, len(names))[:, several]
            before, after = np.tile(plain, len(names))[several], far[several]
            counts = (int(inside.sum()), len(set(patients[inside])))
            yield Moved(
                made,
                names[0].seen,
                of,
                *counts,
                *_with_interval(np.abs(after - before), weights, 0.5),
                *_with_interval(np.abs(after - before), weights, HIGH),
                shift=float((after - before).mean()),
                flipped=int(((before >= operating_point) != (after >= operating_point)).sum()),
            )


def _answers(read: Read, films: Sequence[Film]) -> tuple[Values, dict[str, Values]]:
    """(N,) probabilities of the films as they are, and under each change by its name."""
    plain, changed = np.empty(len(films)), {change.name: np.empty(len(films)) for change in CHANGES}
    console = Console(stderr=True)
    for index, film in enumerate(track(films, "shortcut", console=console, disable=not console.is_terminal)):
        whole = radiograph_of(film)
        plain[index] = read([whole])[0].probability
        for change in CHANGES:
            changed[change.name][index] = read([change.make(whole, film.label)])[0].probability
    return plain, changed


def _with_interval(values: Values, drawn: Values, share: float) -> tuple[float, float, float]:
    some = drawn[drawn.sum(axis=1) > 0]  # a resample may hold no film of one class
    low, high = np.percentile(quantile(values, some, share), (2.5, 97.5))
    return float(quantile(values, np.ones((1, len(values))), share)[0]), float(low), float(high)


def quantile(values: Values, weights: Values, share: float) -> Values:
    """(R,) smallest of the (N,) values that `share` of the weight, (R, N), lies at or below."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[:, order], axis=1)
    reached = below >= share * below[:, -1:] - 1e-9
    found: Values = values[order][reached.argmax(axis=1)]
    return found


def _rows(line: Moved, sample: Sample, model: str, now: datetime) -> Iterator[Measured]:
    which = f"--manifest {sample.films.manifest} --split {sample.split} --count {sample.count} --seed {sample.seed}"
    figures = {"median": (line.median, line.median_low, line.median_high)} if line.of != "all" else {}
    if line.change == ANY:
        figures["median"] = (line.median, line.median_low, line.median_high)
        figures["percentile_95"] = (line.percentile_95, line.percentile_95_low, line.percentile_95_high)
    for name, (value, low, high) in figures.items():
        yield Measured(
            metric=f"moved_by_{line.change}_{name}" + ("" if line.of == "all" else f"_of_{line.of}s"),
            value=value,
            ci_low=low,
            ci_high=high,
            n=line.n,
            n_patients=line.n_patients,
            data=sample.films.name,
            split=sample.split,
            command=f"cxrnode shortcut {model} DATA {which} --note",
            date=now.date(),
        )


def _print(lines: Sequence[Moved], title: str) -> None:
    table = Table(
        *(
            "the frame's change",
            "of",
            "films",
            "median [95 % CI]",
            "95th percentile [95 % CI]",
            "mean, signed",
            "flipped",
        ),
        title=f"How far the probability moves. {title}",
    )
    for line in lines:
        median = f"{line.median:.3f} [{line.median_low:.3f}, {line.median_high:.3f}]"
        high = f"{line.percentile_95:.3f} [{line.percentile_95_low:.3f}, {line.percentile_95_high:.3f}]"
        table.add_row(line.change, line.of, str(line.n), median, high, f"{line.shift:+.3f}", str(line.flipped))
    console = Console()
    console.print(table)
    together = {line.of: line.median for line in lines if line.change == ANY}
    largest = max((line for line in lines if line.seen), key=lambda line: line.median)
    verdict = "within" if together["all"] <= LIMIT else "ABOVE"
    each = ", ".join(f"{of}s {median:.3f}" for of, median in together.items() if of != "all")
    console.print(f"median over these changes {together['all']:.3f}, {verdict} the wanted {LIMIT} ({each})")
    console.print(f"largest median of one change in one class {largest.median:.3f} ({largest.change}, {largest.of})")
    console.print("Resampling to another aspect is undone by squashing, so that it moves nothing proves nothing.")
