"""The command line of backfills: replay, replays, pause, resume."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cxrnode.commands.console import DATES, Json, started

app = typer.Typer()

CHOICE, READING, PACE = "Which studies", "How they are read", "How fast"
LISTED = "CSV of Study Instance UIDs or accession numbers, to be found in --archive or --from-spool."

Named = Annotated[
    str | None, typer.Argument(help="Its key or how that begins, as `replays` shows it; else all.", metavar="REPLAY")
]
Paths = Annotated[
    list[str] | None,
    typer.Argument(help="DICOM files, folders, DICOMDIRs, .zip archives, or patterns of them.", metavar="PATH..."),
]
Archive = Annotated[str, typer.Option(help="Search this archive of the settings.", rich_help_panel=CHOICE)]
FromSpool = Annotated[
    bool, typer.Option("--from-spool", help="What this node has, fetched from nowhere.", rich_help_panel=CHOICE)
]
Plan = Annotated[
    Path | None,
    typer.Option("--plan", help="A plan that was saved before.", exists=True, dir_okay=False, rich_help_panel=CHOICE),
]
Listing = Annotated[
    Path | None, typer.Option("--list", help=LISTED, exists=True, dir_okay=False, rich_help_panel=CHOICE)
]
First = Annotated[
    datetime | None, typer.Option("--from", help="First Study Date.", formats=DATES, rich_help_panel=CHOICE)
]
Last = Annotated[
    datetime | None, typer.Option("--to", help="Last Study Date; else --from.", formats=DATES, rich_help_panel=CHOICE)
]
Modality = Annotated[list[str] | None, typer.Option(help="Modality, as DX; may be repeated.", rich_help_panel=CHOICE)]
Description = Annotated[str, typer.Option(help="Study Description; * and ? fit.", rich_help_panel=CHOICE)]
BodyPart = Annotated[str, typer.Option(help="Body Part Examined; * and ? fit.", rich_help_panel=CHOICE)]
Station = Annotated[str, typer.Option(help="Station Name; * and ? fit.", rich_help_panel=CHOICE)]
CallingAe = Annotated[
    str, typer.Option(help="The AE title that sent files, for routes that ask.", rich_help_panel=CHOICE)
]
Model = Annotated[
    str, typer.Option(help="Read by this model of the zoo; else as the settings say.", rich_help_panel=READING)
]
Send = Annotated[
    bool, typer.Option("--send/--no-send", help="Send results, or only keep them.", rich_help_panel=READING)
]
Again = Annotated[
    bool, typer.Option("--again", help="Read also what this model has read before.", rich_help_panel=READING)
]
PerMinute = Annotated[
    float | None, typer.Option(help="Studies begun in a minute, at most.", min=0.01, rich_help_panel=PACE)
]
AtMost = Annotated[int, typer.Option(help="Studies under way at a time.", min=1, max=1000, rich_help_panel=PACE)]
Fetches = Annotated[int, typer.Option(help="Studies fetched at a time.", min=1, max=16, rich_help_panel=PACE)]
Windows = Annotated[
    list[str] | None,
    typer.Option(
        "--window", help="Begin studies only then, local time: 19:00-06:00; may be repeated.", rich_help_panel=PACE
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only make the plan and show what it comes to.")]
SavePlan = Annotated[
    Path | None, typer.Option(help="With --dry-run: keep the plan here, to be reviewed and run.", dir_okay=False)
]
Verdicts = Annotated[
    Path | None, typer.Option(help="The verdict file (CSV); else in the state folder.", dir_okay=False)
]


@app.command()
def replay(  # noqa: PLR0913  # each is an option of the command
    paths: Paths = None,
    *,
    archive: Archive = "",
    from_spool: FromSpool = False,
    plan: Plan = None,
    listing: Listing = None,
    first: First = None,
    last: Last = None,
    modality: Modality = None,
    description: Description = "",
    body_part: BodyPart = "",
    station: Station = "",
    calling_ae: CallingAe = "",
    model: Model = "",
    send: Send = True,
    again: Again = False,
    per_minute: PerMinute = None,
    at_most: AtMost = 16,
    fetches: Fetches = 2,
    windows: Windows = None,
    dry_run: DryRun = False,
    save_plan: SavePlan = None,
    verdicts: Verdicts = None,
    json: Json = False,
) -> None:
    """Have old studies read, below the live service: plan, fetch, read, send; each study ends with one verdict.

    Stopped or killed, the same command goes on. What this model has read before is not read again.
    Exit status 0 when every study has its verdict.
    """
    from cxrnode.backfill.command import preview
    from cxrnode.backfill.command import replay as run
    from cxrnode.backfill.planning import Manner
    from cxrnode.plans.criteria import Criteria
    from cxrnode.replay.asked import Asked
    from cxrnode.replay.pace import Pace, Window

    if save_plan is not None and not dry_run:
        raise typer.BadParameter("is of use with --dry-run alone", param_hint="--save-plan")
    since, until = (day and day.date() for day in (first or last, last or first))
    criteria = Criteria(since, until, tuple(modality or ()), description, body_part, station)
    source = (tuple(paths or ()), archive, from_spool, plan, listing, criteria, calling_ae)
    asked = Asked(*source, model=model, send=send, again=again)
    pace = Pace(tuple(Window.parsed(text) for text in windows or ()), per_minute, at_most)
    manner, settings = Manner(pace, fetches, verdicts, as_json=json), started()
    if dry_run:
        preview(asked, settings, manner, save_plan)
    elif not run(asked, settings, manner):
        raise typer.Exit(1)


@app.command()
def replays(json: Json = False) -> None:
    """List the replays there were and are, the latest first, and how each stands."""
    from cxrnode.backfill.listing import show

    show(started(), as_json=json)


@app.command()
def pause(replay: Named = None) -> None:
    """Let a replay begin no more studies until `cxrnode resume`; what is under way comes to its end."""
    from cxrnode.backfill.listing import pause as run

    run(started(), replay, datetime.now(UTC))


@app.command()
def resume(replay: Named = None) -> None:
    """Let a paused replay go on."""
    from cxrnode.backfill.listing import pause as run

    run(started(), replay, None)
