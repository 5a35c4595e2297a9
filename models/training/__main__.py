"""`python -m models.training RECIPE --data DIR --out DIR`: a training on a machine that holds no node."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from models.training.train import train


def main(
    recipe: Path,
    data: Annotated[Path, typer.Option(help="folder that the recipe's manifest is relative to")],
    out: Annotated[Path, typer.Option(help="folder that the model's own folder is made in")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0: torch's own choice")] = 0,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a training that was stopped")] = False,
) -> None:
    """Train the model that RECIPE describes."""
    train(recipe, data, out, now=datetime.now(UTC), device=device, threads=threads, resume=resume)


if __name__ == "__main__":
    typer.run(main)
