"""`python -m models.training.lungs NAME --data DIR`: the figures of a segmenter's card, measured again or recorded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from models.card import Measured, find
from models.evaluation.measure import Figure
from models.evaluation.record import record as record_on_card
from models.lungcard import load_lung_card
from models.lungs import Lungs, load
from models.reader import load as load_reader
from models.training.lungs.pairs import Pairs
from models.training.lungs.recipe import LungRecipe, read_lung_recipe
from models.training.lungs.stray import PLACES, kept, told
from models.training.lungs.train import measure_all, read_outlined


def main(
    name: Annotated[str, typer.Argument(help="name of the segmenter's folder")],
    data: Annotated[Path, typer.Option(help="folder that the recipe's manifests are relative to")],
    zoo: Annotated[Path | None, typer.Option(help="folder of model folders; else the one that ships")] = None,
    model: Annotated[str, typer.Option(help="hold this model's maps on the validation films against the lungs")] = "",
    record: Annotated[bool, typer.Option("--note", help="write the figures onto the card")] = False,  # noqa: FBT002  typer makes an option of it
) -> None:
    """Measure the segmenter called NAME and print each figure beside the card's.

    With --model only the rule for stray maps is measured, with that model's maps and with made-up stray ones.
    """
    folder, now = find(name, zoo), datetime.now(UTC)
    card, recipe = load_lung_card(folder), read_lung_recipe(folder / "recipe.toml")
    pairs, lungs = read_outlined(recipe, data, typer.echo), load(folder, "cpu")
    rows = list(rule_rows(lungs, recipe, pairs, model, now) if model else measure_all(lungs, recipe, pairs, data, now))
    said = {(row.data, row.split, row.metric): f"{row.value:.4f}" for row in card.measured}
    for row in rows:
        on_card = said.get((row.data, row.split, row.metric), "does not say")
        interval = f"[{row.ci_low:.4f}, {row.ci_high:.4f}]"
        typer.echo(f"{row.data}, {row.split} ({row.n}): {row.metric} {row.value:.4f} {interval}; card {on_card}")
    if record:
        record_on_card(folder, rows)


def rule_rows(lungs: Lungs, recipe: LungRecipe, pairs: Pairs, model: str, now: datetime) -> Iterator[Measured]:
    """How the rule for stray maps does on the validation films, where it was chosen."""
    validation, reader = pairs.split("val"), load_reader(find(model), "cpu")
    figure, n, n_patients = kept(lungs, reader, validation, recipe.seed)
    command = f"python -m models.training.lungs {recipe.name} --data DATA --model {model}"

    def row(figure: Figure, name: str, n: int, n_patients: int) -> Measured:
        words = {"data": name, "split": "val", "command": command, "date": now.date()}
        return Measured.model_validate(vars(figure) | words | {"n": n, "n_patients": n_patients})

    yield row(figure, f"maps of {model} {reader.card.version}, its positives", n, n_patients)
    patients = len({pair.patient for pair in validation})
    yield row(
        told(lungs, validation, recipe.seed), f"{len(PLACES)} made-up stray maps a film", len(validation), patients
    )


if __name__ == "__main__":
    typer.run(main)
