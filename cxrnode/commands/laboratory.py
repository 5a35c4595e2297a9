"""The commands of whoever makes and measures models: train, evaluate, ensemble, table, maps, shortcut, compare."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cxrnode.commands.console import Json

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe (TOML).", metavar="RECIPE", exists=True, dir_okay=False)],
    data: Annotated[Path, typer.Option(help="Folder of the data set and its manifest.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder that gets the model's folder; never overwrites one.")] = Path(
        "runs"
    ),
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves their number to torch.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
) -> None:
    """Train a model from a recipe: card, weights and recipe in one folder."""
    from cxrnode.decoding.film import DicomFiles
    from models.training.train import train as run

    now = datetime.now(UTC)
    run(recipe, data, out, now=now, device=device, threads=threads, resume=resume, dicom=DicomFiles())


@app.command()
def evaluate(  # noqa: PLR0913  # each is an option of the command
    model: Annotated[str, typer.Argument(help="A name in the zoo, or a model's folder.", metavar="MODEL")],
    data: Annotated[
        Path, typer.Argument(help="Folder of the films and their list.", metavar="DATA", exists=True, file_okay=False)
    ],
    *,
    films: Annotated[
        Path | None, typer.Option(help="TOML table that says what films (as a recipe's [[external]]).", exists=True)
    ] = None,
    manifest: Annotated[str, typer.Option(help="CSV of the films, in DATA; else that of Kermany's 224 x 224.")] = "",
    positive_class: Annotated[str, typer.Option(help="What it calls a positive; else PNEUMONIA.")] = "",
    group_column: Annotated[str, typer.Option(help="Its column of patients; else patient_group.")] = "",
    split: Annotated[str, typer.Option(help="The split to read; else test, or that of --films.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="New run folder for predictions, plots and the worst cases (these hold films).")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves their number to torch.")] = 1,
    note: Annotated[bool, typer.Option("--note", help="Write the figures onto the model's card.")] = False,
    json: Json = False,
) -> None:
    """Measure a model on films it has not seen: figures with 95 % intervals, beside the paper's."""
    from cxrnode.decoding.film import DicomFiles
    from cxrnode.settings import load
    from models.evaluation.command import Request, evaluate_and_show

    which = (films, manifest, positive_class, group_column, split)
    request = Request(model, data, *which, out, device, threads, note=note, as_json=json)
    evaluate_and_show(request, load().model.zoo, datetime.now(UTC), DicomFiles())


@app.command()
def ensemble(
    name: Annotated[str, typer.Argument(help="The ensemble's name, and its folder's.", metavar="NAME")],
    members: Annotated[
        list[Path], typer.Argument(help="Two model folders or more, with their run files.", metavar="MEMBER...")
    ],
    out: Annotated[Path, typer.Option(help="Folder that gets the ensemble's folder; never overwrites one.")] = Path(
        "runs"
    ),
) -> None:
    """Make an ensemble of trained models: mean probability, mean map; operating point chosen on validation."""
    from models.evaluation.cast import make_ensemble

    typer.echo(make_ensemble(name, members, out, datetime.now(UTC)))


@app.command()
def table(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders (or run.json in them).", metavar="RUN...", exists=True)
    ],
    recipes: Annotated[
        Path | None, typer.Option(help="Folder of recipes, to name those that nobody has run.", exists=True)
    ] = None,
    readme: Annotated[Path | None, typer.Option(help="Write the table between this page's marks.", exists=True)] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the page agrees; status 1 if not.")] = False,
) -> None:
    """Print the results table, every figure computed again from the run folders' predictions."""
    from models.evaluation.command import show_table

    if not show_table(folders, recipes, readme, check=check):
        raise typer.Exit(1)


@app.command()
def maps(
    model: Annotated[str, typer.Argument(help="A name in the zoo, or a model's folder.", metavar="MODEL")],
    data: Annotated[
        Path, typer.Argument(help="Folder of the films, their masks and lists.", metavar="DATA", exists=True)
    ],
    films: Annotated[int, typer.Option(help="How many films of the test split, drawn by chance.", min=1)] = 150,
    seed: Annotated[int, typer.Option(help="Of that chance, and of all other.")] = 0,
    note: Annotated[bool, typer.Option("--note", help="Write the figures onto the model's card.")] = False,
    json: Json = False,
) -> None:
    """Measure a model's heat maps: in the lungs, on the disease, carrying the answer, gone when it has forgotten."""
    from cxrnode.settings import load
    from models.card import find
    from models.evaluation.map_command import maps as run

    folder = Path(model) if (Path(model) / "card.toml").is_file() else find(model, load().model.zoo)
    run(folder, data, now=datetime.now(UTC), films=films, seed=seed, as_json=json, note=note)


@app.command()
def reference(
    model: Annotated[str, typer.Argument(help="A name in the zoo, or a model's folder.", metavar="MODEL")],
    note: Annotated[bool, typer.Option("--note", help="Write it onto the model's card.")] = False,
    json: Json = False,
) -> None:
    """Make what drift is held against from a model's validation split: its films by tenths of probability."""
    from cxrnode.settings import load
    from models.card import find
    from models.evaluation.reference import reference as run

    folder = Path(model) if (Path(model) / "card.toml").is_file() else find(model, load().model.zoo)
    run(folder, noted=note, as_json=json)


@app.command()
def shortcut(  # noqa: PLR0913
    model: Annotated[str, typer.Argument(help="A model that comes with the node, or a model's folder.")],
    data: Annotated[Path, typer.Argument(help="Folder of the films and their manifest.", exists=True)],
    *,
    manifest: Annotated[
        str, typer.Option(help="CSV of films at their true aspect, in the folder.")
    ] = "kermany/native320_manifest.csv",
    positive_class: Annotated[str, typer.Option(help="What its column class calls a positive.")] = "PNEUMONIA",
    group_column: Annotated[str, typer.Option(help="Its column that tells patients apart.")] = "patient_group",
    split: Annotated[str, typer.Option(help="The split to read.")] = "test",
    count: Annotated[int, typer.Option(help="How many films, drawn by chance; 0 takes all.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of that chance, and of the intervals.")] = 0,
    record: Annotated[bool, typer.Option("--note", help="Write the figures onto the model's card.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    json: Json = False,
) -> None:
    """Measure how far a model's probabilities move when only a film's frame changes: its aspect, stretch, border."""
    from models.card import find
    from models.evaluation.shortcut import Sample, at_true_aspect
    from models.evaluation.shortcut import shortcut as run

    folder = Path(model) if (Path(model) / "card.toml").is_file() else find(model)
    sample = Sample(at_true_aspect(manifest, positive_class, group_column), split, count, seed)
    run(folder, data, sample, now=datetime.now(UTC), device=device, as_json=json, recorded=record)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A model that has read studies here: its name, or name and version.")],
    b: Annotated[str, typer.Argument(help="Another, or another version of it.")],
    *,
    labels: Annotated[
        Path | None, typer.Option(help="CSV of what is true: study or image, and label.", exists=True, dir_okay=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the page, the CSV and the Parquet file.")] = Path("compare-out"),
    most: Annotated[int, typer.Option(help="How many of the largest disagreements get pictures.", min=0)] = 12,
    uids: Annotated[bool, typer.Option("--uids", help="Write Study and SOP Instance UIDs as well.")] = False,
    json: Json = False,
) -> None:
    """Compare what two models said of the same studies: who flips, by how much, and with labels, who was right."""
    from cxrnode.compare.command import Request
    from cxrnode.compare.command import compare as run
    from cxrnode.log import start
    from cxrnode.settings import load

    start("warning")
    run(Request(a, b, out, labels, most, uids), load(), datetime.now(UTC), as_json=json)
