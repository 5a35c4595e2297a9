"""ModelCard: what a model is, wants and promises; a folder whose weights are not the card's does not load."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AliasChoices, Field, model_validator

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Algorithm, MapMethod, Reference
from cxrnode.uids import digest_of
from models.algorithm import device_uid, shifted
from models.strict import Table, read_table

ZOO_DIR = Path(__file__).parent / "zoo"

Sentence = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Likeness = Annotated[float, Field(ge=-1, le=1)]
"""most figures are shares; a correlation may fall below nought"""
Positive = Annotated[float, Field(gt=0)]
Size = Annotated[int, Field(ge=32, le=4096)]
Count = Annotated[int, Field(ge=1)]


class Weights(Table):
    """The file of weights, beside the card."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.safetensors$")]
    sha256: Sha256


class Input(Table):
    """What the network is fed: the radiograph brought to (rows, columns), then (x * scale - mean) / std."""

    rows: Size
    columns: Size
    resize: Literal["squash", "letterbox", "crop"]
    """see models.fit"""
    scale: Positive
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


class FindingCode(Table):
    """What a positive answer means, as a code of a DICOM coding scheme."""

    label: Sentence
    code_value: Sentence
    coding_scheme: Sentence
    code_meaning: Sentence


class OperatingPoint(Table):
    """Positive at or above `probability`; `rule` says how it was chosen."""

    probability: Fraction
    rule: Sentence


class Calibration(Table):
    """What turns a logit into a probability, and the share of positives among the images it was fitted on.

    The probability is the logistic function of logit / temperature + bias.
    """

    temperature: Positive
    bias: float = 0.0
    prevalence: Fraction
    fitted_on: Sentence


class Explanation(Table):
    """How the map is made, and the layer that Grad-CAM explains, as `torch.nn.Module.get_submodule` names it."""

    method: Literal["grad-cam", "attention-rollout"] = "grad-cam"
    layer: Sentence | None = None

    @model_validator(mode="after")
    def _layer_for_grad_cam(self) -> "Explanation":
        if (self.layer is None) == (self.method == "grad-cam"):
            raise ValueError(f"{self.method} has layer {self.layer!r}; wanted one for grad-cam, none for the other")
        return self

    @property
    def map_method(self) -> MapMethod:
        """The method by the name that results give it."""
        return MapMethod.GRAD_CAM if self.method == "grad-cam" else MapMethod.ATTENTION_ROLLOUT


class Population(Table):
    """Whom the model has seen, and whom alone it may be asked about."""

    age_years: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=150)]]
    views: tuple[Sentence, ...] = Field(min_length=1)
    modality: tuple[Sentence, ...] = Field(min_length=1)
    sentence: Sentence

    @model_validator(mode="after")
    def _ordered(self) -> "Population":
        if self.age_years[0] > self.age_years[1]:
            raise ValueError(f"age_years runs from {self.age_years[0]} to {self.age_years[1]}; wanted youngest first")
        return self


class Source(Table):
    """Where data or weights come from, and on what terms."""

    name: Sentence
    licence: Sentence
    attribution: Sentence


class StartWeights(Source):
    """What the training began from, and the share of the network that it filled."""

    sha256: Sha256
    share: Sentence = "all but the head"


class SplitSize(Table):
    """How much one split holds."""

    images: Count
    positive: int = Field(ge=0)
    patients: Count


class Data(Source):
    """What the model was trained, tuned and tested on; `digest` as models.training.dataset gives it."""

    digest: Sha256
    splits: dict[str, SplitSize]


class Measured(Table):
    """One figure, with its 95 % confidence interval from a bootstrap over patients."""

    metric: Sentence
    value: Likeness
    ci_low: Likeness
    ci_high: Likeness
    n: Count
    n_patients: Count
    data: Sentence
    split: Sentence
    command: Sentence
    date: date


class ReferenceMix(Table):
    """How many films of a split fell in each tenth of probability: what service is held against (cxrnode reference)."""

    source: Annotated[str, Field(min_length=1, max_length=128)]
    probability: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=10, max_length=10)]


class Card(Table):
    """What every card says, whatever its model does."""

    name: Name
    version: Sentence
    architecture: Sentence
    intended_use: Sentence
    not_for: tuple[Sentence, ...] = Field(min_length=1)
    weights: Weights
    start: StartWeights | None = None
    """None: trained from scratch"""
    measured: tuple[Measured, ...] = Field(min_length=1)


C = TypeVar("C", bound=Card)


class ModelCard(Card):
    """Everything a user of a model that reads may rely on."""

    input: Input
    finding: FindingCode
    operating_point: OperatingPoint
    calibration: Calibration
    explanation: Explanation = Field(validation_alias=AliasChoices("explanation", "gradcam"))
    """[gradcam] is what the table was called while there was no other method"""
    population: Population
    data: Data
    reference: ReferenceMix | None = None

    @property
    def digest(self) -> str:
        """sha256 of all that changes a result, and of nothing else."""
        table = self.model_dump(mode="json")
        parts = {key: table[key] for key in ("architecture", "input", "finding", "explanation")}
        return digest_of(
            parts
            | {
                "weights": self.weights.sha256,
                "operating_point": self.operating_point.probability,
                "temperature": self.calibration.temperature,
                "bias": self.calibration.bias,
                "prevalence": self.calibration.prevalence,
            }
        )

    @property
    def device_uid(self) -> str:
        """The Device UID that results name as their observer: another digest, another device."""
        return device_uid(self.name, self.version, self.digest)

    def algorithm(self, prevalence: float | None = None) -> Algorithm:
        """What a result must say of this model, at a site's own `prevalence` or else the card's.

        Raises ModelMismatch when nothing can be shifted from the card's.
        """
        alone = Algorithm(
            name=self.name,
            version=self.version,
            digest=self.digest,
            device_uid=self.device_uid,
            weights_sha256=self.weights.sha256,
            operating_point=self.operating_point.probability,
            prevalence=self.calibration.prevalence,
            population=self.population.sentence,
            age_years=self.population.age_years,
            views=self.population.views,
            modalities=self.population.modality,
            explanation=self.explanation.map_method,
            side=max(self.input.rows, self.input.columns),
            reference=Reference(self.reference.source, self.reference.probability) if self.reference else None,
        )
        return alone if prevalence is None else shifted(alone, prevalence)


def find(name: str, zoo_dir: Path | None = None) -> Path:
    """The folder of the model called `name`; raises ModelMismatch with the names there are."""
    zoo = zoo_dir or ZOO_DIR
    known = sorted(path.parent.name for path in zoo.glob("*/card.toml"))
    if name not in known:
        raise ModelMismatch(
            f"no model is called {name!r} in {zoo}; wanted one of: {', '.join(known) or 'none is there'}"
        )
    return zoo / name


def find_own_first(name: str, zoo_dir: Path | None) -> Path:
    """The folder called `name` in the hospital's zoo, else in the one that comes with the program.

    Raises ModelMismatch.
    """
    own = zoo_dir is not None and (zoo_dir / name / "card.toml").is_file()
    return find(name, zoo_dir if own else ZOO_DIR)


def load_card(folder: Path) -> ModelCard:
    """The card of a model that reads; raises ModelMismatch."""
    return kept_card(folder, ModelCard)


def kept_card(folder: Path, kind: type[C]) -> C:
    """Read `folder`/card.toml and hold the weights beside it to their sha256; raises ModelMismatch."""
    card = read_table(folder / "card.toml", kind, ModelMismatch)
    path = folder / card.weights.file
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelMismatch(f"{path}: cannot be read ({error.strerror}); {card.name}'s card wants it") from error
    if found != card.weights.sha256:
        raise ModelMismatch(f"{path} has sha256 {found}, but its card says {card.weights.sha256}")
    return card
