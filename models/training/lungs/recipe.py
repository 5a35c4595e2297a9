"""The recipe of a lung segmenter: `kind = "lungs"`, every fault in one message."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cxrnode.errors import TrainingError
from models.card import Input, Name, Population, Positive, Sentence, Source
from models.lungcard import Localised, Mask
from models.strict import Table, load_toml, read_table
from models.training.recipe import Augmentation, Relative


class Outlined(Source):
    """Films with lung masks: `masks` (CSV) names each mask's `file` and the film it is `of`, `manifest` the patients.

    Of the masks only those of `group` count.
    """

    manifest: Relative
    masks: Relative
    group: Sentence
    group_column: str = "patient_group"


class TrainingFilms(Outlined):
    """What is learned from; `digest` "" is filled in by the first training, and held to from then on."""

    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class Schedule(Table):
    """How long and how fast."""

    epochs: int = Field(ge=1, le=1000)
    batch: int = Field(ge=2, le=4096)
    learning_rate: Positive
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)


class Promise(Table):
    """What the card will say that no training can find out."""

    version: Sentence
    intended_use: Sentence
    not_for: tuple[Sentence, ...] = Field(min_length=1)
    population: Population


class Made(Table):
    """How the segmenter beside this recipe came about; written by the training."""

    date: Sentence
    device: Sentence
    versions: dict[str, str]
    best_epoch: int
    validation_dice: float


class LungRecipe(Table):
    """Everything the training of one lung segmenter depends on."""

    kind: Literal["lungs"]
    name: Name
    seed: int
    width: int = Field(ge=1, le=64)
    input: Input
    mask: Mask
    localised: Localised
    data: TrainingFilms
    schedule: Schedule
    augmentation: Augmentation
    external: tuple[Outlined, ...] = ()
    card: Promise
    made: Made | None = None


def is_of_lungs(path: Path) -> bool:
    """Whether the recipe says that it is one; raises TrainingError when it cannot be read."""
    return load_toml(path, TrainingError).get("kind") == "lungs"


def read_lung_recipe(path: Path) -> LungRecipe:
    """Read a recipe; raises TrainingError with every fault."""
    return read_table(path, LungRecipe, TrainingError)
