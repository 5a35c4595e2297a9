"""EnsembleCard: a card that names several members; each keeps its own folder, card and weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Algorithm
from cxrnode.uids import digest_of
from models.algorithm import known_by, shifted
from models.card import Measured, ModelCard, Name, OperatingPoint, Sentence, Sha256, find_own_first, load_card
from models.strict import Table, as_table, load_toml


class Member(Table):
    """A model by its name and by the digest of its card: another member is another ensemble."""

    name: Name
    digest: Sha256


class EnsembleCard(Table):
    """What an ensemble says beyond its members' cards; population, finding and data are theirs."""

    name: Name
    version: Sentence
    intended_use: Sentence
    not_for: tuple[Sentence, ...] = Field(min_length=1)
    members: Annotated[tuple[Member, ...], Field(min_length=2, max_length=16)]
    operating_point: OperatingPoint
    measured: tuple[Measured, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Cast:
    """An ensemble's card with its members' cards and folders, which have been held to it."""

    card: EnsembleCard
    members: tuple[ModelCard, ...]
    folders: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The ensemble's."""
        return self.card.name

    @property
    def version(self) -> str:
        """The ensemble's."""
        return self.card.version

    @property
    def architecture(self) -> str:
        """The members', joined."""
        return " + ".join(member.architecture for member in self.members)

    def algorithm(self, prevalence: float | None = None) -> Algorithm:
        """What a result must say of the ensemble, at a site's own `prevalence` or else the members'.

        Raises ModelMismatch when nothing can be shifted from theirs.
        """
        digests = [member.digest for member in self.members]
        alone = replace(
            self.members[0].algorithm(),
            name=self.card.name,
            version=self.card.version,
            weights_sha256=digest_of([member.weights.sha256 for member in self.members]),
            operating_point=self.card.operating_point.probability,
            side=max(member.algorithm().side for member in self.members),
            reference=None,
        )
        point = self.card.operating_point.probability
        known = known_by(alone, digest_of({"members": digests, "operating_point": point}))
        return known if prevalence is None else shifted(known, prevalence)


def card_of(folder: Path) -> ModelCard | Cast:
    """The card in `folder`, of one model or of an ensemble, whose weights are what it says. Raises ModelMismatch."""
    path = folder / "card.toml"
    values = load_toml(path, ModelMismatch)
    if "members" not in values:
        return load_card(folder)
    return _cast(as_table(values, EnsembleCard, path, ModelMismatch), folder)


def _cast(card: EnsembleCard, folder: Path) -> Cast:
    """Members lie beside the ensemble, or among the models that come with the program."""
    folders = tuple(find_own_first(member.name, folder.parent) for member in card.members)
    cards = tuple(load_card(one) for one in folders)
    for member, found in zip(card.members, cards, strict=True):
        if found.digest != member.digest:
            raise ModelMismatch(f"{member.name} has digest {found.digest}, but {card.name} wants {member.digest}")
    hold_together(cards)
    return Cast(card, cards, folders)


def hold_together(cards: Sequence[ModelCard]) -> None:
    """A mean has a meaning only where members answer the same question. Raises ModelMismatch."""
    for other in cards[1:]:
        _refuse_stranger(cards[0], other)


def _refuse_stranger(first: ModelCard, other: ModelCard) -> None:
    for part, one, another in (
        ("finding", first.finding, other.finding),
        ("population", first.population, other.population),
        ("method of explanation", first.explanation.method, other.explanation.method),
        ("prevalence", first.calibration.prevalence, other.calibration.prevalence),
    ):
        if one != another:
            raise ModelMismatch(f"{first.name} and {other.name} differ in {part}: {one} and {another}; wanted the same")
