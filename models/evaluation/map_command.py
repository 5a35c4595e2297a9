"""`cxrnode maps`: the quality of a model's maps, as a table or JSON, and onto its card."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cxrnode.errors import ModelMismatch, TrainingError
from models.card import Measured
from models.evaluation.map_quality import FORGETS, Mapped, Quality, Read, Values, carrying, forgetting, inside, mapped
from models.evaluation.masked import with_lungs, with_opacities
from models.evaluation.means import mean_and_interval
from models.evaluation.randomised import Forgotten, forgetful
from models.evaluation.record import record
from models.explain import Explainer
from models.networks import NETWORKS
from models.reader import Reader, load, network_of
from models.strict import as_table, load_toml
from models.training.recipe import TrainingFilms

SPLIT = "test"
OPACITIES_NAME = "Adults' chest films with opacities outlined (external, outside the population)"
CURVE_FILMS = 30
"""positives whose deletion and insertion curves are drawn, 126 passes each"""
FORGET_FILMS = 20
"""positives whose maps are compared with those of forgetful networks, 15 passes each"""


@dataclass(frozen=True)
class Line:
    """One figure; `gain` is the model's mean less this one's with its interval, None in the model's own line."""

    metric: str
    of: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    n_patients: int
    data: str
    split: str
    gain: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """As the card has it."""
        return self.metric if self.of == "model" else f"{self.metric}_of_{self.of}"


def maps(
    folder: Path, data_dir: Path, *, now: datetime, films: int, seed: int, as_json: bool, note: bool
) -> list[Line]:
    """Measure the maps of the model in `folder` on `films` films of the test split, and print.

    `note` writes the figures onto the card. Raises ModelMismatch and TrainingError.
    """
    lines = list(_lines(folder, data_dir, films, seed))
    if note:
        command = f"cxrnode maps {folder.name} DATA --films {films} --seed {seed} --note"
        record(folder, [_measured(line, command, now) for line in lines])
    if as_json:
        Console().print_json(data=[asdict(line) for line in lines])
    else:
        _print_table(lines)
    return lines


def _lines(folder: Path, data_dir: Path, films: int, seed: int) -> Iterator[Line]:
    reader, learned_from = load(folder), _films_of(folder / "recipe.toml")
    wanted, point = reader.card.input, reader.algorithm.operating_point
    children = with_lungs(data_dir, learned_from, wanted, SPLIT, films, seed)
    positives = [one for one in mapped(reader.read, children, point) if one.positive]
    if not positives:
        raise ModelMismatch(f"{reader.card.name} finds nothing in {len(children)} films; wanted positives to look at")
    adults = mapped(reader.read, with_opacities(data_dir, wanted), point)
    for quality in _qualities(folder, reader, positives, seed):
        yield from lines_of(quality, learned_from.name, SPLIT, seed)
    if adults:
        yield from lines_of(inside("map_energy_pointing", adults), OPACITIES_NAME, "all", seed)


def _films_of(recipe: Path) -> TrainingFilms:
    """The films that the model's recipe names; the rest of it may be older than today's recipes."""
    return as_table(load_toml(recipe, TrainingError).get("data", {}), TrainingFilms, recipe, TrainingError)


def _qualities(folder: Path, reader: Reader, positives: Sequence[Mapped], seed: int) -> Iterator[Quality]:
    def forgetful_reader(how_much: Forgotten, number: int) -> Read:
        return _forgetful(folder, reader, how_much, number).read

    curve_films, forget_films = positives[:CURVE_FILMS], positives[:FORGET_FILMS]
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("maps", total=3 * len(curve_films) + len(Forgotten) * FORGETS)
        yield inside("map_lung_share", positives)
        yield from carrying(reader.read, curve_films, seed, lambda: bar.advance(task))
        yield from forgetting(forget_films, forgetful_reader, seed, lambda: bar.advance(task))


def _forgetful(folder: Path, reader: Reader, how_much: Forgotten, seed: int) -> Reader:
    card = reader.card
    network, place = network_of(folder)
    other = forgetful(network, NETWORKS[card.architecture].head, how_much, seed)
    return Reader(card, Explainer(other, card.explanation.layer, card.explanation.map_method), place)


def lines_of(quality: Quality, data: str, split: str, seed: int) -> Iterator[Line]:
    """The model's line, then one for each of what stands beside it."""
    n = (len(quality.patients), len(set(quality.patients)))
    yield Line(quality.metric, "model", *_mean(quality, quality.values, seed), *n, data, split)
    for name, values in quality.beside.items():
        gain = _mean(quality, quality.values - values, seed)
        yield Line(quality.metric, name, *_mean(quality, values, seed), *n, data, split, gain)


def _mean(quality: Quality, values: Values, seed: int) -> tuple[float, float, float]:
    return mean_and_interval(values, quality.patients, seed)


def _measured(line: Line, command: str, now: datetime) -> Measured:
    return Measured(
        metric=line.name,
        value=line.value,
        ci_low=line.ci_low,
        ci_high=line.ci_high,
        n=line.n,
        n_patients=line.n_patients,
        data=line.data,
        split=line.split,
        command=command,
        date=now.date(),
    )


def _print_table(lines: Sequence[Line]) -> None:
    table = Table(
        *("metric", "of", "mean", "95 % interval", "model less this", "films", "patients"),
        title="Quality of the maps of films read as positive (of adults: of all films)",
    )
    for line in lines:
        gain = "" if line.gain is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*line.gain)
        interval = f"{line.ci_low:.3f} to {line.ci_high:.3f}"
        counts = (str(line.n), str(line.n_patients))
        table.add_row(line.metric, line.of, f"{line.value:.3f}", interval, gain, *counts)
    Console().print(table)
