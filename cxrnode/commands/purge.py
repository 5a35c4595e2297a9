"""`cxrnode purge`: the studies whose time is over, shown beforehand or removed at once."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from rich.console import Console
from rich.table import Table

from cxrnode.audit.recorder import Recorder
from cxrnode.errors import StillOwed
from cxrnode.ledger import Ledger, tallies
from cxrnode.ledger.purges import expired
from cxrnode.retention import purge as remove
from cxrnode.settings import Settings
from cxrnode.spool import Spool


def purge(settings: Settings, *, dry_run: bool, as_json: bool) -> None:
    """Print what goes now and, unless on a dry run, remove it. Raises StillOwed while a backup is made."""
    ledger, keep_days, now = Ledger(settings.ledger_url), settings.retention.keep_days, datetime.now(UTC)
    while tallies.settle(ledger):
        pass  # what is not settled yet is not known to be over
    found = expired(ledger, keep_days, now)
    told = partial(Recorder(settings, "purge").removed, now=now, by_hand=True)
    while not dry_run and remove(ledger, Spool(settings.node.spool_dir), keep_days, now, told):
        pass
    if not dry_run and (left := expired(ledger, keep_days, now)):
        raise StillOwed(f"a backup is being made: {len(left)} of the studies stay; wanted the same command afterwards")
    if as_json:
        listed = [asdict(one) | {"finished_at": one.finished_at.isoformat()} for one in found]
        print(json.dumps({"dry_run": dry_run, "keep_days": keep_days, "studies": listed}, indent=2))
        return
    table = Table(*("study", "finished (UTC)", "instances", "MB"))
    for one in found:
        table.add_row(one.study[:8], f"{one.finished_at:%Y-%m-%d %H:%M}", str(one.instances), f"{one.size / 1e6:.1f}")
    console = Console()
    if found:
        console.print(table)
    kept = f"kept for {keep_days:g} days" if keep_days else "kept for ever (retention.keep_days = 0)"
    done = "Dry run, nothing was changed: would be purged" if dry_run else "Purged"
    console.print(f"Finished studies are {kept}. {done}: {len(found)}.", soft_wrap=True)
