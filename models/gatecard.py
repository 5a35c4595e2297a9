"""GateCard: what the gate is, what it lets pass, and how often it was right on which pictures."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from cxrnode.uids import digest_of
from models.card import Card, Count, Fraction, Positive, Sentence, Sha256, Source, find_own_first, kept_card
from models.strict import Table

GATE = "gate-frontal-chest"
"""the gate's folder in the zoo"""

Mode = Literal["refuse", "warn", "off"]
"""what becomes of an image that the gate objects to; off: nobody looks"""


class Limits(Table):
    """A film passes at or above the probability `frontal` and at or below `distance`; `rule`: how both were chosen."""

    frontal: Fraction
    distance: Positive
    rule: Sentence


class GateData(Table):
    """The films that it learned from and was measured on; `digest` covers every one of them and the part it had."""

    digest: Sha256
    learned_from: tuple[Source, ...] = Field(min_length=1)
    made: Sentence
    films: dict[str, Count]


class GateCard(Card):
    """Everything a user of the gate may rely on."""

    kind: Literal["gate"]
    architecture: Literal["efficientnet_lite0_fields"]
    groups: Count
    """kinds of patient with a centre of their own"""
    limits: Limits
    data: GateData

    @property
    def digest(self) -> str:
        """sha256 of all that changes what passes, and of nothing else."""
        limits = {"frontal": self.limits.frontal, "distance": self.limits.distance}
        return digest_of({"architecture": self.architecture, "weights": self.weights.sha256, "limits": limits})


def load_gate_card(folder: Path) -> GateCard:
    """Read `folder`/card.toml and hold the weights beside it to their sha256; raises ModelMismatch."""
    return kept_card(folder, GateCard)


def find_gate(mode: Mode, zoo_dir: Path | None = None) -> Path | None:
    """The folder of the gate that the settings ask for; None: they ask for none.

    It is looked for in the zoo, then in the one that comes with the program. Raises ModelMismatch.
    """
    if mode == "off":
        return None
    return find_own_first(GATE, zoo_dir)


def check_gate(mode: Mode, zoo_dir: Path | None = None) -> str:
    """What there is to say of the gate that the settings ask for; raises ModelMismatch when its card is not kept."""
    folder = find_gate(mode, zoo_dir)
    if folder is None:
        return "no gate: nobody looks whether the pixels are a frontal chest film's"
    card = load_gate_card(folder)
    return f"{card.name} {card.version}: the weights are those on the card"
