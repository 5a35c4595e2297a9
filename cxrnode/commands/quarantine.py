"""`cxrnode quarantine` and `cxrnode retry`: what waits for a person, with the reason, and its beginning anew."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrnode.counted import counted
from cxrnode.errors import Unknown
from cxrnode.ledger import Ledger, circuits
from cxrnode.ledger.quarantine import Waiting, reopen, waiting
from cxrnode.log import logger
from cxrnode.settings import Settings

LOG = logger("retry")


def quarantine(settings: Settings, *, as_json: bool) -> None:
    """Print what waits for a person, the longest first."""
    found = waiting(Ledger(settings.ledger_url))
    if as_json:
        print(json.dumps([_as_object(one) for one in found], indent=2))
    else:
        _print_table(found)


def retry(settings: Settings, study: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Begin anew what waits of a study, or of all where none is named, and print it. Raises Unknown."""
    ledger = Ledger(settings.ledger_url)
    found, now = waiting(ledger, study), datetime.now(UTC)
    begun = [one for one in found if not dry_run and reopen(ledger, one, now)]
    if begun:
        LOG.info("begun anew", count=len(begun))
    if as_json:
        listed = [_as_object(one) | {"begun": one in begun} for one in found]
        print(json.dumps({"dry_run": dry_run, "waiting": listed}, indent=2))
        return
    _print_table(found)
    if dry_run:
        Console().print(f"Dry run, nothing was changed: would be begun anew: {len(found)}.")
    elif found:
        left = len(found) - len(begun)
        Console().print(f"Begun anew: {len(begun)}." + (f" Not just now, they are under way: {left}." if left else ""))


def retry_destination(settings: Settings, destination: str, *, dry_run: bool, as_json: bool) -> None:
    """Make due at once what waits for a destination that is taken for away or is tried later. Raises Unknown."""
    known = [one.name for one in settings.destinations]
    if destination not in known:
        raise Unknown(f"no destination is called {destination!r}; wanted one of: {', '.join(known) or 'none is there'}")
    waits = circuits.probe_now(Ledger(settings.ledger_url), destination, datetime.now(UTC), dry_run=dry_run)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "destination": destination, "deliveries": waits}, indent=2))
    elif dry_run:
        Console().print(f"Dry run, nothing was changed: deliveries that wait for {destination}: {waits}.")
    else:
        LOG.info("destination tried now", destination=destination, count=waits)
        Console().print(f"Deliveries to {destination} that are due now: {waits}; if it is away, one of them tries.")


def _as_object(one: Waiting) -> dict[str, object]:
    return asdict(one) | {"since": one.since.isoformat()}


def _print_table(found: Sequence[Waiting]) -> None:
    console = Console()
    if not found:
        console.print("Nothing waits for a person.")
        return
    table = Table(*("study", "round", "what", "attempts", "since (UTC)", "reason"), title="Waits for a person")
    for one in found:
        count = counted(one.objects, "object")
        what = f"{count} for {one.destination}" if one.destination else "analysis"
        told = (str(one.attempts), f"{one.since:%Y-%m-%d %H:%M:%S}", escape(one.reason))
        table.add_row(one.study[:8], str(one.round_number), what, *told)
    console.print(table)
