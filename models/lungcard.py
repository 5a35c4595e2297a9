"""LungCard: what a lung segmenter is and promises, and when a heat map counts as pointing at the lungs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from cxrnode.uids import digest_of
from models.card import Card, Count, Data, Fraction, Input, Population, Positive, Sentence, find_own_first, kept_card
from models.strict import Table


class Mask(Table):
    """A pixel is lung at or above `probability`; then the lungs grow by `dilation`, a share of the image's sides.

    The growth grants the map its blur: one cell of a Grad-CAM is a seventh of the side.
    """

    probability: Fraction
    dilation: Annotated[float, Field(ge=0, le=0.25)]


class Localised(Table):
    """A map points at the lungs when they hold `times` the mass that they would of a map spread evenly, or more.

    `rule` says how that was chosen.
    """

    times: Positive
    rule: Sentence


class LungCard(Card):
    """Everything a user of the segmenter may rely on."""

    kind: Literal["lungs"]
    architecture: Literal["unet"]
    width: Count
    """channels of the first level; each lower one has twice as many"""
    input: Input
    mask: Mask
    localised: Localised
    population: Population
    data: Data

    @field_validator("input")
    @classmethod
    def _sees_the_whole_image(cls, wanted: Input) -> Input:
        if wanted.resize != "squash":
            raise ValueError(f"resize is {wanted.resize!r}; wanted 'squash', for the mask spans the image")
        return wanted

    @property
    def digest(self) -> str:
        """sha256 of all that changes a mask or what is made of it, and of nothing else."""
        table = self.model_dump(mode="json")
        parts = {key: table[key] for key in ("architecture", "width", "input", "mask")}
        return digest_of(parts | {"weights": self.weights.sha256, "localised": self.localised.times})


def load_lung_card(folder: Path) -> LungCard:
    """Read `folder`/card.toml and hold the weights beside it to their sha256; raises ModelMismatch."""
    return kept_card(folder, LungCard)


def find_lungs(name: str, zoo_dir: Path | None = None) -> Path | None:
    """The folder of the segmenter called `name`; None when the name is empty, for then none is wanted.

    It is looked for in the zoo, then in the one that comes with the program. Raises ModelMismatch.
    """
    if not name:
        return None
    return find_own_first(name, zoo_dir)


def check_lungs(name: str, zoo_dir: Path | None = None) -> str:
    """What there is to say of the segmenter that the settings name; raises ModelMismatch when its card is not kept."""
    folder = find_lungs(name, zoo_dir)
    if folder is None:
        return "no lung segmenter: every heat map counts as localised"
    card = load_lung_card(folder)
    return f"{card.name} {card.version}: the weights are those on the card"
