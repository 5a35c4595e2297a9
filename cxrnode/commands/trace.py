"""`cxrnode trace`: one study's day, event by event with what each took, stage by stage; UIDs only where asked for."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrnode.audit.looking import looks
from cxrnode.ledger import Ledger
from cxrnode.ledger.timeline import Event, Timeline, timeline
from cxrnode.settings import Settings
from cxrnode.stopwatch import STAGES


def trace(settings: Settings, study: str, *, with_uids: bool, as_json: bool) -> None:
    """Print the timeline of the study of this name, once the audit trail knows who asked.

    Raises Unknown, and AuditUnavailable: then nothing is printed.
    """
    ledger = Ledger(settings.ledger_url)
    told = timeline(ledger, study)
    looks(settings, "trace", ledger, [told.study], datetime.now(UTC))
    if as_json:
        events = [_as_object(event, with_uids=with_uids) for event in told.events]
        print(json.dumps({"study": told.study, "events": events}, indent=2))
    else:
        _print_table(told, with_uids=with_uids)


def _as_object(event: Event, *, with_uids: bool) -> dict[str, object]:
    told = asdict(event) | {"at": event.at.isoformat()}
    if not with_uids:
        del told["uids"]
    return told


def _print_table(told: Timeline, *, with_uids: bool) -> None:
    table = Table(*("at (UTC)", "round", "what", "took", "told"), title=f"Study {told.study}")
    for event in told.events:
        number = "" if event.round_number is None else str(event.round_number)
        took = "" if event.took_s is None else f"{event.took_s:.1f} s"
        words = (event.told, *event.uids) if with_uids else (event.told,)
        table.add_row(f"{event.at:%Y-%m-%d %H:%M:%S}", number, event.what, took, escape("\n".join(words)))
    Console().print(table)
    for event in told.events:
        if event.stages_ms:
            Console().print(_stages(event))


def _stages(event: Event) -> Table:
    """Where the time of an analysis and of its deliveries went."""
    table = Table("stage", "ms", "share", title=f"Round {event.round_number}, {event.what}")
    whole = sum(event.stages_ms.values()) or 1.0
    for name in sorted(event.stages_ms, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES)):
        ms = event.stages_ms[name]
        table.add_row(escape(name), f"{ms:.1f}", f"{ms / whole:.0%}")
    table.add_row("all", f"{whole:.1f}", "")
    return table
