"""`python -m models.training.lungs NAME --data DIR`: the figures of a segmenter's card, measured again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from models.card import find
from models.lungcard import load_lung_card
from models.lungs import load
from models.training.lungs.recipe import read_lung_recipe
from models.training.lungs.train import measure_all, read_outlined


def main(
    name: Annotated[str, typer.Argument(help="name of the segmenter's folder")],
    data: Annotated[Path, typer.Option(help="folder that the recipe's manifests are relative to")],
    zoo: Annotated[Path | None, typer.Option(help="folder of model folders; else the one that ships")] = None,
) -> None:
    """Measure the segmenter called NAME and print each figure beside the card's."""
    folder = find(name, zoo)
    card, recipe = load_lung_card(folder), read_lung_recipe(folder / "recipe.toml")
    pairs = read_outlined(recipe, data, typer.echo)
    said = {(figure.data, figure.metric): figure for figure in card.measured}
    for figure in measure_all(load(folder, "cpu"), recipe, pairs, data, datetime.now(UTC)):
        on_card = said[figure.data, figure.metric]
        interval = f"[{figure.ci_low:.4f}, {figure.ci_high:.4f}]"
        typer.echo(f"{figure.data}: {figure.metric} {figure.value:.4f} {interval}; card {on_card.value:.4f}")


if __name__ == "__main__":
    typer.run(main)
