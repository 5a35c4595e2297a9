"""A recipe is whole or it is refused, and what a training writes reads back as the same value."""

from pathlib import Path

import pytest

from cxrnode.errors import TrainingError
from models.card import ZOO_DIR
from models.training.recipe import Recipe, read_recipe
from models.training.write import toml_of
from tests.films import films_table, recipe_table, write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "config" / "recipes"


def test_every_fault_is_named_in_one_message(tmp_path: Path) -> None:
    schedule = recipe_table()["schedule"] | {"epochs": 0}
    augmentation = recipe_table()["augmentation"] | {"mirror": True}
    path = write_recipe(
        tmp_path / "r.toml",
        start="vgg",
        schedule=schedule,
        augmentation=augmentation,
        data=films_table(manifest="/etc/passwd"),
    )
    with pytest.raises(TrainingError) as raised:
        read_recipe(path)
    message = str(raised.value)
    assert "4 faults" in message
    for part in ("start = 'vgg'", "schedule.epochs = 0", "augmentation.mirror = True", "data.manifest = '/etc/passwd'"):
        assert part in message


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("name = ")
    with pytest.raises(TrainingError, match=r"r\.toml: not TOML"):
        read_recipe(tmp_path / "r.toml")
    with pytest.raises(TrainingError, match=r"absent\.toml: cannot be read"):
        read_recipe(tmp_path / "absent.toml")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("pneumonia-*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_node_are_whole(tmp_path: Path, path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.data.digest, "pinned to its data"
    (tmp_path / "copy.toml").write_text(toml_of(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "copy.toml") == recipe


def test_there_is_a_recipe_for_the_default_model() -> None:
    assert (RECIPES / "pneumonia-efficientnet-lite0.toml").is_file()


def test_the_recipes_differ_in_architecture_start_and_pace_alone() -> None:
    """Trained alike: what a comparison of architectures rests on."""
    own = {"name", "architecture", "start", "schedule"}
    recipes = [read_recipe(path).model_dump(exclude=own) for path in RECIPES.glob("pneumonia-*.toml")]
    assert len(recipes) >= 9
    assert all(recipe == recipes[0] for recipe in recipes)


def test_the_recipe_of_the_model_that_ships_is_the_one_it_was_trained_by() -> None:
    shipped = read_recipe(ZOO_DIR / "pneumonia-efficientnet-lite0" / "recipe.toml")
    assert shipped.model_copy(update={"made": None}) == read_recipe(RECIPES / "pneumonia-efficientnet-lite0.toml")


def test_a_recipe_shares_what_its_base_says_but_for_its_own(tmp_path: Path) -> None:
    write_recipe(tmp_path / "base.toml")
    (tmp_path / "r.toml").write_text('base = "base.toml"\nname = "other"\n[schedule]\nepochs = 7\n')
    recipe = read_recipe(tmp_path / "r.toml")
    assert (recipe.name, recipe.schedule.epochs, recipe.schedule.batch) == ("other", 7, 8)


def test_an_unknown_architecture_and_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"architecture = 'resnet19': .*wanted one of: densenet121, "):
        read_recipe(write_recipe(tmp_path / "a.toml", architecture="resnet19"))
    with pytest.raises(TrainingError, match=r"fit efficientnet_lite0, efficientnet_b0, not 'resnet18'"):
        read_recipe(write_recipe(tmp_path / "b.toml", architecture="resnet18"))


def test_cross_entropy_is_what_a_recipe_gets_that_names_no_loss() -> None:
    assert Recipe.model_validate(recipe_table()).loss.kind == "cross-entropy"
