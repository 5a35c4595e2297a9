"""The one command `cxrnode`: read settings, call one function; heavy rooms load only when they are needed."""

import os
import signal
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cxrnode import __version__
from cxrnode.errors import CxrNodeError
from cxrnode.log import start
from cxrnode.settings import Settings, load

app = typer.Typer(
    name="cxrnode",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Read frontal chest radiographs for pneumonia: DICOM in, a report and an overlay back. Not a medical device.",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]
Files = Annotated[
    list[Path], typer.Argument(help="DICOM files, or folders of them.", metavar="FILE|DIR...", exists=True)
]
CallingAe = Annotated[str, typer.Option(help="The AE title that sent them, for routes that ask: a file cannot tell.")]
rules = typer.Typer(no_args_is_help=True, help="Look at the rules and routes in the settings without running a node.")
app.add_typer(rules, name="rules")


class Role(StrEnum):
    """What a worker does."""

    ANALYSE = "analyse"
    DELIVER = "deliver"


@app.callback()
def settings_file(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file (TOML); else $CXRNODE_CONFIG, else the defaults."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    """Remember which settings file this command and its children read."""
    if version:
        typer.echo(f"cxrnode {__version__}")
        raise typer.Exit
    if config is not None:
        os.environ["CXRNODE_CONFIG"] = str(config.absolute())


@app.command()
def up() -> None:
    """Run the whole node on this machine: broker, receiver, workers, Flower; until Ctrl-C."""
    from cxrnode.up import up as run

    run(_start())


@app.command()
def receive() -> None:
    """Run the receiver alone: the DICOM SCP, the ledger's intake and the reconciler."""
    from cxrnode.reception import Reception

    reception = Reception(_start())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reception.stop())
    reception.run()


@app.command()
def work(
    role: Annotated[
        Role, typer.Option(help="analyse: hold the model and read studies; deliver: send results.")
    ] = Role.ANALYSE,
) -> None:
    """Run one worker: Celery's prefork pool for one role."""
    from workers.start import work as run

    run(_start(), role.value)


@app.command()
def flower() -> None:
    """Run Flower, the operators' page, behind the password in the settings or the generated one."""
    from workers.watch import watch

    watch(_start())


@app.command()
def status(
    json: Json = False,
    limit: Annotated[int, typer.Option(help="How many rounds to list, latest first.")] = 20,
) -> None:
    """Say where every received instance is; the sum is what was received."""
    from cxrnode.status import show

    if not show(_start("warning"), as_json=json, limit=limit):
        raise typer.Exit(1)


@app.command()
def analyse(
    paths: Files,
    out: Annotated[Path | None, typer.Option(help="Folder for the result objects, pictures and pages.")] = None,
    json: Json = False,
    calling_ae: CallingAe = "",
) -> None:
    """Read files without queue or network; one line an instance. Exit status 1 when any image failed."""
    from cxrnode.offline import analyse_files

    if not analyse_files(paths, _start("warning"), out=out, as_json=json, calling_ae=calling_ae):
        raise typer.Exit(1)


@rules.command("test")
def rules_test(paths: Files, json: Json = False, calling_ae: CallingAe = "") -> None:
    """Show which route would take each study, its model and destinations, and why the others would not."""
    from cxrnode.rules import foretell

    foretell(paths, _start("warning"), calling_ae=calling_ae, as_json=json)


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
    from cxrnode.film import DicomFiles
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
    from cxrnode.film import DicomFiles
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
    from models.card import find
    from models.evaluation.map_command import maps as run

    folder = Path(model) if (Path(model) / "card.toml").is_file() else find(model, load().model.zoo)
    run(folder, data, now=datetime.now(UTC), films=films, seed=seed, as_json=json, note=note)


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
def check(json: Json = False) -> None:
    """Tell before starting what is wrong: settings, disk, ledger, broker, weights, every destination."""
    from cxrnode.check import check as run

    if not run(_start("error"), as_json=json):
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and pages.")] = Path("demo-out"),
    more: Annotated[
        list[Path] | None, typer.Option("--input", help="More DICOM files, or folders of them.", exists=True)
    ] = None,
    json: Json = False,
) -> None:
    """Run the main job on real radiographs: a node and an archive on loopback, studies in, results back, shown."""
    from cxrnode.demo import demo as run

    if not run(out, more or [], as_json=json):
        raise typer.Exit(1)


def main() -> None:
    """The console script: errors of the tree become one line and exit status 2."""
    try:
        app()
    except CxrNodeError as error:
        typer.echo(f"cxrnode: {error}", err=True)
        sys.exit(2)


def _start(level: str | None = None) -> Settings:
    settings = load()
    start(level or settings.log.level)
    return settings


if __name__ == "__main__":
    main()
