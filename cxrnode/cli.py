"""The one command `cxrnode`: read settings, call one function; heavy rooms load only when they are needed."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cxrnode import __version__
from cxrnode.backfill.commands import app as backfill
from cxrnode.backup.commands import app as backup
from cxrnode.commands.console import Json, started
from cxrnode.commands.custody import app as custody
from cxrnode.commands.laboratory import app as laboratory
from cxrnode.errors import CxrNodeError
from cxrnode.unswept import unswept

app = typer.Typer(
    name="cxrnode",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Read frontal chest radiographs for pneumonia: DICOM in, a report and an overlay back. Not a medical device.",
)
Files = Annotated[
    list[Path], typer.Argument(help="DICOM files, or folders of them.", metavar="FILE|DIR...", exists=True)
]
CallingAe = Annotated[str, typer.Option(help="The AE title that sent them, for routes that ask: a file cannot tell.")]
rules = typer.Typer(no_args_is_help=True, help="Look at the rules and routes in the settings without running a node.")
app.add_typer(rules, name="rules")
app.add_typer(custody)
app.add_typer(backfill)
app.add_typer(backup)
app.add_typer(laboratory)


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
    os.umask(0o077)  # whatever a command writes may have a patient in it, or a secret
    if config is not None:
        os.environ["CXRNODE_CONFIG"] = str(config.absolute())


@app.command()
def up() -> None:
    """Run the whole node on this machine: broker, receiver, workers, Flower; until Ctrl-C."""
    from cxrnode.up import up as run

    run(started(None))


@app.command()
def receive(
    receiver: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of [[receivers]]; else that of the table [receiving].")
    ] = None,
) -> None:
    """Run a receiver alone: the DICOM SCP, the ledger's intake and the reconciler."""
    from cxrnode.metrics.files import begin

    with unswept():
        settings = started(None)
        listener = settings.listeners[0] if receiver is None else settings.listener(receiver)
        begin(settings, listener.metrics_port)  # before anything that counts is imported
        from cxrnode.serving.entrance import receive as run

    if not run(settings, listener):
        raise typer.Exit(1)


@app.command()
def work(
    role: Annotated[
        Role, typer.Option(help="analyse: hold the model and read studies; deliver: send results.")
    ] = Role.ANALYSE,
) -> None:
    """Run one worker: Celery's prefork pool for one role."""
    from cxrnode.metrics.files import begin

    with unswept():
        settings = started(None)
        ports = {Role.ANALYSE: settings.metrics.analysis_port, Role.DELIVER: settings.metrics.delivery_port}
        begin(settings, ports[role])  # before anything that counts is imported
        from cxrnode.serving.anew import begin_anew
        from cxrnode.serving.running import present
        from cxrnode.serving.shift import at_work
        from workers.start import work as run

    with at_work(settings, f"worker ({role.value})"), present(settings, f"worker ({role.value})"):
        anew = run(settings, role.value)
    if anew:
        begin_anew()


@app.command()
def flower() -> None:
    """Run Flower, the operators' page, behind the password in the settings or the generated one."""
    from cxrnode.serving.anew import begin_anew, good, on_hangup
    from cxrnode.serving.running import present
    from workers.watch import watch

    settings = started(None)
    on_hangup(lambda: begin_anew() if good() else None, sys.exit)
    with present(settings, "flower"):
        watch(settings)


@app.command()
def reload(json: Json = False) -> None:
    """Have the node's processes on this machine read the settings anew; no association and no study is cut short."""
    from cxrnode.commands.reload import reload as run

    if not run(started(), as_json=json):
        raise typer.Exit(1)


@app.command()
def status(
    json: Json = False,
    limit: Annotated[int, typer.Option(help="How many rounds to list, latest first.")] = 20,
    recount: Annotated[
        bool, typer.Option("--recount", help="Count every study anew, and mend the running count where it is wrong.")
    ] = False,
    watch: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.1, help="Say it again every so often, until Ctrl-C.")
    ] = None,
) -> None:
    """Say where every received instance is; the sum is what was received."""
    from cxrnode.commands.status import show, show_again

    if watch is not None:
        if json or recount:
            raise typer.BadParameter("--watch prints tables of the running count; wanted without --json and --recount")
        show_again(started(), limit=limit, every_s=watch)
    elif not show(started(), as_json=json, limit=limit, count_all=recount):
        raise typer.Exit(1)


@app.command()
def quarantine(json: Json = False) -> None:
    """List what waits for a person: analyses that were given up, and results that a destination did not take."""
    from cxrnode.commands.quarantine import quarantine as run

    run(started(), as_json=json)


@app.command()
def retry(
    study: Annotated[str | None, typer.Argument(help="A study's key or UID.", metavar="STUDY")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Everything that `quarantine` lists.")] = False,
    destination: Annotated[
        str | None, typer.Option(help="Send what waits for this destination now: it is back, as far as you know.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be begun anew.")] = False,
    json: Json = False,
) -> None:
    """Begin anew what waits for a person: the analysis in a new round, the results where they were not taken."""
    from cxrnode.commands.quarantine import retry as run
    from cxrnode.commands.quarantine import retry_destination

    if (study is not None) + failed + (destination is not None) != 1:
        raise typer.BadParameter("wanted one of STUDY, --failed and --destination")
    if destination is not None:
        retry_destination(started(), destination, dry_run=dry_run, as_json=json)
        return
    run(started(), study, dry_run=dry_run, as_json=json)


@app.command()
def withdraw(
    reason: Annotated[str, typer.Option(help="Why, in a sentence; it goes into the rejection notes and the ledger.")],
    model: Annotated[str | None, typer.Option(help="Results of this model: its name, or name and version.")] = None,
    study: Annotated[str | None, typer.Option(help="Results of the study with this key, as `status` shows it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be withdrawn.")] = False,
    json: Json = False,
) -> None:
    """Reject results that were delivered, wherever they are, and send no more of them."""
    from cxrnode.commands.withdraw import as_reason
    from cxrnode.commands.withdraw import withdraw as run

    if (model is None) == (study is None):
        raise typer.BadParameter("wanted one of --model and --study")
    if not (said := as_reason(reason)):
        raise typer.BadParameter("is empty; wanted why the results are withdrawn", param_hint="--reason")
    run(started(), model=model, study=study, reason=said, dry_run=dry_run, as_json=json)


@app.command()
def analyse(
    paths: Files,
    out: Annotated[Path | None, typer.Option(help="Folder for the result objects, pictures and pages.")] = None,
    json: Json = False,
    calling_ae: CallingAe = "",
) -> None:
    """Read files without queue or network; one line an instance. Exit status 1 when any image failed."""
    from cxrnode.commands.offline import analyse_files

    if not analyse_files(paths, started(), out=out, as_json=json, calling_ae=calling_ae):
        raise typer.Exit(1)


@rules.command("test")
def rules_test(paths: Files, json: Json = False, calling_ae: CallingAe = "") -> None:
    """Show which route would take each study, its model and destinations, and why the others would not."""
    from cxrnode.commands.rules import foretell

    foretell(paths, started(), calling_ae=calling_ae, as_json=json)


@app.command()
def check(json: Json = False) -> None:
    """Tell before starting what is wrong: settings, disk, ledger, broker, weights, every destination."""
    from cxrnode.check.looking import check as run

    if not run(started("error"), as_json=json):
        raise typer.Exit(1)


@app.command()
def conformance(
    json: Json = False,
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Write the IHE AIR capability sheet here instead, with a made-up object of every kind and outcome."
        ),
    ] = None,
) -> None:
    """Print the DICOM conformance statement (PS3.2) of a node with these settings."""
    from cxrnode.conformance.samples import write_samples
    from cxrnode.conformance.statement import conformance as run

    settings = started()
    typer.echo(run(settings, as_json=json) if samples is None else f"{write_samples(settings, samples)}\n", nl=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and pages.")] = Path("demo-out"),
    more: Annotated[
        list[Path] | None, typer.Option("--input", help="More DICOM files, or folders of them.", exists=True)
    ] = None,
    json: Json = False,
) -> None:
    """Run the main job on real radiographs: a node and an archive on loopback, studies in, results back, shown."""
    from cxrnode.commands.demo import demo as run

    if not run(out, more or [], as_json=json):
        raise typer.Exit(1)


def main() -> None:
    """The console script: errors of the tree become one line and exit status 2."""
    try:
        app()
    except CxrNodeError as error:
        typer.echo(f"cxrnode: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
