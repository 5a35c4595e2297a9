"""Every model that ships has a card, the weights on it, and the recipe it came from."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cxrnode.settings import Settings
from models.card import ZOO_DIR, Card, ModelCard, find, kept_card
from models.evaluation.run import PREDICTIONS_FILE, RUN_FILE
from models.gatecard import GateCard
from models.lungcard import LungCard

KINDS: dict[str, type[Card]] = {"gate": GateCard, "lungs": LungCard}
OF_THE_RUN = {RUN_FILE, PREDICTIONS_FILE, "curves.png", "roc.png", "calibration.png", "confusion.png", "worst"}
LARGEST_MB = 25  # a folder is in every clone, wheel and image
FOLDERS = sorted(path.parent for path in ZOO_DIR.glob("*/*.*"))


def card_in(folder: Path) -> Any:
    """The card of whatever kind of model lies there."""
    kind = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8")).get("kind", "")
    return kept_card(folder, KINDS.get(kind, ModelCard))


def test_the_model_of_the_default_settings_ships() -> None:
    assert find(Settings().model.name).is_dir()


@pytest.mark.parametrize("folder", sorted(set(FOLDERS)), ids=lambda path: path.name)
def test_a_model_folder_holds_card_weights_and_recipe_and_nothing_else(folder: Path) -> None:
    card = card_in(folder)

    assert card.name == folder.name
    names, wanted = {path.name for path in folder.iterdir()}, {"card.toml", card.weights.file, "recipe.toml"}
    assert wanted <= names <= wanted | OF_THE_RUN
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST_MB * 1e6
    recipe = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe.get("data", recipe)["digest"] == card.data.digest  # a gate has many sources, and one digest over all


@pytest.mark.parametrize("folder", sorted(set(FOLDERS)), ids=lambda path: path.name)
def test_a_card_says_who_it_is_for_and_how_good_it_was_on_whom(folder: Path) -> None:
    card = card_in(folder)

    assert card.not_for
    assert isinstance(card, GateCard) or card.population.sentence  # a gate's population is whoever it let pass
    tested = [figure for figure in card.measured if figure.split == "test"]
    assert tested
    assert all(figure.ci_low <= figure.value <= figure.ci_high for figure in tested)
