"""The commands of whoever answers for the patients' records: trace, show, purge, audit; each is in the audit trail."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cxrnode.commands.console import DATES, Json, started

app = typer.Typer()


@app.command()
def trace(
    study: Annotated[str, typer.Argument(help="A study's key or UID.", metavar="STUDY")],
    uids: Annotated[bool, typer.Option("--uids", help="Print the SOP Instance UIDs as well.")] = False,
    json: Json = False,
) -> None:
    """Print what happened to one study and when: received, complete, analysed, sent, withdrawn, and what waits."""
    from cxrnode.commands.trace import trace as run

    run(started(), study, with_uids=uids, as_json=json)


@app.command()
def show(
    wanted: Annotated[
        list[str],
        typer.Argument(help="A study's key or UID, result files, or folders of them.", metavar="STUDY|FILE|DIR..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pages and pictures.")] = Path("show-out"),
    json: Json = False,
) -> None:
    """Show results without a viewer: reports as HTML, all else as PNG, and an index; works offline."""
    from cxrnode.commands.show import show as run

    run(wanted, started(), out, as_json=json)


@app.command()
def purge(
    study: Annotated[str | None, typer.Argument(help="A study's key or UID: it alone.", metavar="STUDY")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which studies would go.")] = False,
    owed_too: Annotated[
        bool, typer.Option("--even-if-owed", help="STUDY also where it is not finished or results are owed.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete images and results older than retention.keep_days, as the node does by itself; or erase one study."""
    from cxrnode.commands.erase import erase
    from cxrnode.commands.purge import purge as run

    if study is not None:
        erase(started(), study, dry_run=dry_run, owed_too=owed_too, as_json=json)
    else:
        run(started(), dry_run=dry_run, as_json=json)


@app.command()
def audit(
    first: Annotated[
        datetime | None, typer.Option("--from", help="Of this day (UTC) and later.", formats=DATES)
    ] = None,
    last: Annotated[datetime | None, typer.Option("--to", help="Of this day (UTC) and earlier.", formats=DATES)] = None,
    study: Annotated[str | None, typer.Option(help="About the study with this key or UID alone.")] = None,
    who: Annotated[str | None, typer.Option(help="In which this user or AE title took part alone.")] = None,
    xml: Annotated[bool, typer.Option("--xml", help="Print the messages as they stand in the files.")] = False,
    json: Json = False,
) -> None:
    """Read the audit trail: who sent, asked for, looked at and removed what, and when. It names patients."""
    from cxrnode.commands.audited import Wanted
    from cxrnode.commands.audited import audit as run

    days = (first and first.date(), last and last.date())
    run(started(), Wanted(*days, study or "", who or ""), datetime.now(UTC), as_xml=xml, as_json=json)
