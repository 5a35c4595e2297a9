"""A recipe of kind "gate" and folders of films become the gate's folder in the zoo."""

import hashlib
import platform
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from cxrnode.errors import TrainingError
from models.card import Measured, Source, Weights
from models.gate import Gate, load
from models.gatecard import GateCard, GateData, Limits
from models.gatenet import KINDS, GateNetwork, trunk_of
from models.training.gate.deal import deal, fields_of, made
from models.training.gate.films import Frontal, GateFilms, read_gate_films
from models.training.gate.fit import choose_limits, fit_distance, fit_head, fit_temperature
from models.training.gate.measure import Trial, measured, trial_of_dicom, trials_of_films, trials_of_nothing
from models.training.gate.pictures import MAKERS
from models.training.gate.recipe import GateRecipe, Made, read_gate_recipe
from models.training.loop import be_repeatable
from models.training.sources.listed import DicomFiles
from models.training.start import LITE0, STARTS, begin
from models.training.write import WEIGHTS_FILE, refuse_existing, write_whole

LIBRARIES = ("torch", "numpy", "pillow", "safetensors")
EACH = 100
"""made pictures of each maker in validation and test"""

Tell = Callable[[str], None]


def train_gate(
    recipe_path: Path,
    data_dir: Path,
    out_dir: Path,
    *,
    now: datetime,
    threads: int = 0,
    dicom: DicomFiles | None = None,
    tell: Tell = print,
) -> Path:
    """Train, measure and write `out_dir`/<name>, which must not be there; returns it. Raises TrainingError.

    It runs on the CPU, in minutes: the trunk learns nothing. `dicom` reads DICOM files; without it none is measured.
    """
    recipe = read_gate_recipe(recipe_path)
    folder = out_dir / recipe.name
    refuse_existing(folder)
    films = read_gate_films(data_dir, recipe)
    if recipe.digest not in {"", films.digest}:
        raise TrainingError(f"the recipe's films have digest {films.digest}, wanted {recipe.digest}")
    if threads:
        torch.set_num_threads(threads)
    be_repeatable(recipe.seed)
    network = with_published_trunk(data_dir, len(films.learn))
    limits = learn(network, films, recipe, tell)
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    card = _card(recipe, films, limits, hashlib.sha256(weights).hexdigest())
    figures = []
    for figure in measure_all(Gate(card, network), recipe, films, data_dir, now, dicom):
        tell(_line(figure))
        figures.append(figure)
    whole = card.model_copy(update={"measured": tuple(figures)})
    write_whole(folder, weights, whole, _completed(recipe, films, now))
    load(folder)
    tell(f"written: {folder}")
    return folder


def with_published_trunk(data_dir: Path, groups: int) -> GateNetwork:
    """A network with the published trunk and nothing else; raises TrainingError."""
    lite0, _ = begin(STARTS[LITE0.name], "efficientnet_lite0", data_dir, dropout=0.0)
    network = GateNetwork(groups)
    network.trunk = trunk_of(lite0)
    return network.to(memory_format=torch.channels_last).eval()


def learn(network: GateNetwork, films: GateFilms, recipe: GateRecipe, tell: Tell) -> Limits:
    """Everything that is learned, and the limits, which validation films choose."""
    lessons = deal(network, list(films.learn.values()), recipe.pictures, recipe.marring, recipe.seed)
    tell(f"{len(lessons.kinds)} pictures seen")
    fit_head(network, lessons, recipe.head, recipe.seed)
    fit_distance(network, lessons, recipe.shrinkage)
    upright = [fields_of(network, [film.radiograph for film in source]) for source in films.validate_on]
    fields, kinds = _validation(network, films, upright, recipe.seed + 1)
    tell(f"temperature {fit_temperature(network, fields, kinds):.3f}")
    tell(f"kinds told apart in validation: {float((network.logits(fields).argmax(1) == kinds).float().mean()):.4f}")
    limits = choose_limits(network, upright, [source.name for source in recipe.validate_on], recipe.passing)
    tell(f"limits: frontal {limits.frontal}, distance {limits.distance}")
    return limits


def measure_all(
    gate: Gate, recipe: GateRecipe, films: GateFilms, data_dir: Path, now: datetime, dicom: DicomFiles | None
) -> Iterator[Measured]:
    """The test films, opened here for the only time, what is made of them, and whatever DICOM files are at hand."""
    command = f"cxrnode train {recipe.name}.toml --data DATA"
    for trial in _trials(recipe, films, data_dir, dicom):
        if trial.radiographs:
            yield measured(gate, trial, command, now.date())


def _trials(recipe: GateRecipe, films: GateFilms, data_dir: Path, dicom: DicomFiles | None) -> Iterator[Trial]:
    for source, tested in zip(recipe.test, films.test, strict=True):
        yield from trials_of_films(source.name, tested)
    everybody = tuple(film for tested in films.test for film in tested)
    yield from trials_of_nothing(everybody, EACH, recipe.seed + 2)
    if dicom is not None:
        yield from (
            trial_of_dicom(data_dir, source, dicom) for source in recipe.dicom if (data_dir / source.manifest).is_file()
        )


def _validation(network: GateNetwork, films: GateFilms, upright: list[Tensor], seed: int) -> tuple[Tensor, Tensor]:
    """Fields and kinds of the validation films in every pose, and of pictures made of them."""
    everybody: list[Frontal] = [film for source in films.validate_on for film in source]
    shown = {"upright": torch.cat(upright)}
    for kind in KINDS[1:-1]:
        shown[kind] = fields_of(network, [film.radiograph for film in everybody], kind)
    shown["other"] = torch.cat([fields_of(network, made(everybody, name, EACH, seed)) for name in MAKERS])
    kinds = [torch.full((len(shown[kind]),), place) for place, kind in enumerate(KINDS)]
    return torch.cat([shown[kind] for kind in KINDS]), torch.cat(kinds)


def _card(recipe: GateRecipe, films: GateFilms, limits: Limits, sha256: str) -> GateCard:
    """The card without its figures, which the gate itself is needed for."""
    sizes = {
        **{f"learned from: {name}": len(learned) for name, learned in films.learn.items()},
        **{
            f"{part}: {source.name}": len(used)
            for part, sources, parted in (
                ("tuned on", recipe.validate_on, films.validate_on),
                ("tested on", recipe.test, films.test),
            )
            for source, used in zip(sources, parted, strict=True)
        },
    }
    learned_from = tuple(
        Source(name=source.name, licence=source.licence, attribution=source.attribution) for source in recipe.learn
    )
    return GateCard.model_construct(
        kind="gate",
        name=recipe.name,
        version=recipe.card.version,
        architecture="efficientnet_lite0_fields",
        groups=len(films.learn),
        intended_use=recipe.card.intended_use,
        not_for=recipe.card.not_for,
        weights=Weights(file=WEIGHTS_FILE, sha256=sha256),
        start=LITE0.model_copy(update={"share": "stem and first five stages, which learn nothing here"}),
        limits=limits,
        data=GateData(digest=films.digest, learned_from=learned_from, made=recipe.card.made, films=sizes),
        measured=(),
    )


def _completed(recipe: GateRecipe, films: GateFilms, now: datetime) -> GateRecipe:
    """The recipe with the films' digest and how the gate was made."""
    made_so = Made(
        date=now.isoformat(timespec="seconds"),
        device=f"CPU, {platform.machine()}",
        versions={"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
    )
    return recipe.model_copy(update={"digest": films.digest, "made": made_so})


def _line(figure: Measured) -> str:
    interval = f"[{figure.ci_low:.3f}, {figure.ci_high:.3f}]"
    return f"{figure.data}: {figure.metric} {figure.value:.4f} {interval}, n {figure.n} of {figure.n_patients}"
