"""recipe.toml becomes one frozen Recipe: all that a training depends on, every fault in one message."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cxrnode.errors import TrainingError
from cxrnode.uids import digest_of
from models.card import FindingCode, Fraction, Name, Population, Positive, Sentence, Source
from models.networks import NETWORKS
from models.strict import Table, as_table, load_toml
from models.training.start import STARTS

Relative = Annotated[str, Field(pattern=r"^[\w-][\w./-]*$")]
RelativeOrNone = Annotated[str, Field(pattern=r"^([\w-][\w./-]*)?$")]

KERMANY_CLASSES = ("NORMAL", "PNEUMONIA")


class FreshSplit(Table):
    """A split drawn by patient: the same seed, the same split, in whatever order the films are listed."""

    seed: int = 1
    fractions: dict[str, Positive] = Field(default={"train": 0.8, "val": 0.1, "test": 0.1})

    @model_validator(mode="after")
    def _whole(self) -> "FreshSplit":
        if not math.isclose(sum(self.fractions.values()), 1):
            raise ValueError(f"fractions are {self.fractions}; wanted numbers that add up to 1")
        return self


class Films(Source):
    """Where films lie and what is known of them; README.md, "Train your own", shows each kind.

    manifest: image files and a CSV; dicom: DICOM files and a CSV of labels; kermany: the folders as published.
    """

    kind: Literal["manifest", "dicom", "kermany"] = "manifest"
    manifest: RelativeOrNone = ""
    """the CSV, relative to the data folder"""
    folder: RelativeOrNone = ""
    """the films of the other two kinds, relative to the data folder"""
    positive_class: Sentence
    negative_classes: tuple[Sentence, ...] = ()
    """wanted where there is more than one"""
    also_positive: tuple[Sentence, ...] = ()
    left_out: tuple[Sentence, ...] = ()
    """classes whose films are passed over, for nobody can say whether they are positive"""
    group_column: str = "patient_group"
    """tells patients apart in a manifest"""
    class_column: str = "class"
    split_column: str = "split"
    """empty where a manifest has none: every film is then in the split called all"""
    fresh_split: FreshSplit | None = None
    """drawn instead of read from the CSV; of Kermany's films one always is"""
    published_test: bool = False
    """Kermany's test folder stays the test split"""

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Films":
        if self.kind != "kermany" and not self.manifest:
            raise ValueError(f"films of kind {self.kind!r} have no manifest; wanted the name of a CSV")
        if self.kind == "kermany" and self.positive_class not in KERMANY_CLASSES:
            raise ValueError(f"positive_class is {self.positive_class!r}; wanted {' or '.join(KERMANY_CLASSES)}")
        if self.published_test and self.kind != "kermany":
            raise ValueError("published_test is set; wanted films of kind 'kermany' with it")
        if self.published_test and self.fresh_split and {*self.fresh_split.fractions} == {"test"}:
            raise ValueError("fresh_split has a part test only, and published_test fills that; wanted another part")
        return self

    @property
    def place(self) -> str:
        """The file or folder that all depends on, relative to the data folder."""
        return self.manifest or self.folder


class TrainingFilms(Films):
    """What is learned from; `digest` "" is filled in by the first training, and held to from then on."""

    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class External(Films):
    """Other films that the finished model is only measured on; `centre_square` crops each to its middle square."""

    split: Sentence
    centre_square: bool = False
    keep_predictions: bool = True
    """False where the list of films may not be passed on: the card then has the figures, the run folder nothing"""


class Schedule(Table):
    """How long and how fast."""

    epochs: int = Field(ge=1, le=1000)
    batch: int = Field(ge=2, le=4096)
    learning_rate: Positive
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)


class Loss(Table):
    """Cross-entropy, or focal loss (Lin et al., ICCV 2017) with its `gamma` and the positives' weight `alpha`."""

    kind: Literal["cross-entropy", "focal"] = "cross-entropy"
    gamma: float = Field(default=2.0, ge=0)
    alpha: Fraction = 0.25


class Augmentation(Table):
    """The most that chance does to a film, each drawn evenly; none mirrors it, for the heart has a side."""

    stretch: float = Field(ge=1, le=2)
    """each axis on its own is scaled by 1/stretch to stretch: takes away the aspect as a clue"""
    shift: float = Field(ge=0, le=0.5)
    """of the image's side"""
    rotation_deg: float = Field(ge=0, le=45)
    brightness: Fraction
    contrast: float = Field(ge=0, lt=1)
    blur_px: float = Field(default=0.0, ge=0, le=3)
    """standard deviation of a Gaussian, in pixels of the network's input: takes away the sharpness as a clue"""


class Promise(Table):
    """What the card will say that no training can find out."""

    version: Sentence
    intended_use: Sentence
    not_for: tuple[Sentence, ...] = Field(min_length=1)
    finding: FindingCode
    population: Population


class Made(Table):
    """How the model beside this recipe came about; written by the training."""

    date: Sentence
    device: Sentence
    versions: dict[str, str]
    best_epoch: int
    validation_roc_auc: Fraction


class Recipe(Table):
    """Everything one training depends on."""

    name: Name
    architecture: str
    start: str = "scratch"
    seed: int
    data: TrainingFilms
    schedule: Schedule
    loss: Loss = Loss()
    calibration: Literal["temperature", "platt"] = "temperature"
    augmentation: Augmentation
    external: tuple[External, ...] = ()
    card: Promise
    made: Made | None = None

    @field_validator("architecture")
    @classmethod
    def _built(cls, architecture: str) -> str:
        if architecture not in NETWORKS:
            raise ValueError(f"unknown architecture; wanted one of: {', '.join(NETWORKS)}")
        return architecture

    @field_validator("start")
    @classmethod
    def _known(cls, start: str) -> str:
        if start not in STARTS:
            raise ValueError(f"unknown start weights; wanted one of: {', '.join(STARTS)}")
        return start

    @model_validator(mode="after")
    def _fits(self) -> "Recipe":
        fits = STARTS[self.start].fits
        if self.architecture not in fits:
            raise ValueError(f"start weights {self.start!r} fit {', '.join(fits)}, not {self.architecture!r}")
        return self

    @property
    def identity(self) -> str:
        """sha256 of all that a training's weights depend on but the films."""
        return digest_of(self.model_dump(mode="json", exclude={"card", "external", "made", "calibration"}))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; raises TrainingError with every fault.

    `base` names a file beside it whose entries it shares; a table of both is merged, its own entries winning.
    """
    return as_table(_merged(path), Recipe, path, TrainingError)


def _merged(path: Path) -> dict[str, Any]:
    own = load_toml(path, TrainingError)
    base = own.pop("base", None)
    return own if base is None else _over(_merged(path.parent / str(base)), own)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = [key for key in above if isinstance(above[key], dict) and isinstance(below.get(key), dict)]
    return below | above | {key: _over(below[key], above[key]) for key in both}
