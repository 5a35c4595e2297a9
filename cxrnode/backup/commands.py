"""The command line of backup and restore."""

from pathlib import Path
from typing import Annotated

import typer

from cxrnode.commands.console import Json, started

app = typer.Typer()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to make; best on another machine's disk.", metavar="FOLDER")],
    copy_all: Annotated[
        bool, typer.Option("--copy-all", help="Also what has not changed since the backup beside it: no link to that.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy ledger, spool, audit trail and replays into a folder while the node runs; patient data, mode 0700."""
    from datetime import UTC, datetime

    from cxrnode.audit.recorder import Recorder
    from cxrnode.backup.making import backup as run

    settings = started()
    run(settings, folder, datetime.now(UTC), copy_all=copy_all, as_json=json)
    Recorder(settings, "backup").copied(folder, datetime.now(UTC))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup that was made so.", metavar="FOLDER", exists=True)],
    all_that_is_whole: Annotated[
        bool, typer.Option("--all-that-is-whole", help="Leave out images and results that are damaged, and name them.")
    ] = False,
    json: Json = False,
) -> None:
    """Put a backup where there is nothing yet, each file held against its sha256; then start the node."""
    from datetime import UTC, datetime

    from cxrnode.audit.recorder import Recorder
    from cxrnode.backup.restoring import restore as run

    settings = started()
    run(settings, folder, all_that_is_whole=all_that_is_whole, as_json=json)
    Recorder(settings, "restore").brought_back(folder, datetime.now(UTC))  # in the trail that was restored
