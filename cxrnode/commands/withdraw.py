"""`cxrnode withdraw`: delivered results found bad are rejected wherever they are, and what waits is not sent."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrnode.ledger import Ledger
from cxrnode.ledger.withdrawals import Withdrawal, chosen
from cxrnode.ledger.withdrawals import withdraw as write
from cxrnode.log import logger
from cxrnode.results.words import plain
from cxrnode.settings import Settings

LOG = logger("withdraw")


def as_reason(words: str) -> str:
    """A person's words as one line that every character set can carry; empty when there are none."""
    return " ".join(plain(words).split())


def withdraw(
    settings: Settings, *, model: str | None, study: str | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Withdraw the rounds of a model or of a study and print them; on a dry run, print what would be withdrawn.

    Raises Unknown when no round or study has that name.
    """
    ledger = Ledger(settings.ledger_url)
    found = chosen(ledger, model=model, study=study)
    now = datetime.now(UTC)
    told = list(found.values()) if dry_run else [write(ledger, key, reason, now) for key in found]
    new = [one for one in told if one.withdrawn_at is None and not one.purged]
    if not dry_run:
        LOG.info("withdrawn", rounds=len(new))
    if as_json:
        print(json.dumps({"dry_run": dry_run, "reason": reason, "rounds": [_as_object(one) for one in told]}, indent=2))
    else:
        _print_table(told, len(new), dry_run=dry_run)


def _as_object(one: Withdrawal) -> dict[str, object]:
    told = asdict(one)
    before = told.pop("withdrawn_at")
    return told | {"withdrawn_before": before and before.isoformat()}


def _print_table(told: Sequence[Withdrawal], new: int, *, dry_run: bool) -> None:
    console = Console()
    if not told:
        console.print("Nothing to withdraw: no result was delivered, and none waits to be.")
        return
    table = Table(*("study", "round", "model", "to reject", "not sent any more", "withdrawn before"))
    for one in told:
        before = f"{one.withdrawn_at:%Y-%m-%d %H:%M} UTC: {escape(one.reason)}" if one.withdrawn_at else ""
        sent = (_listed(one.taken), _listed(one.cancelled))
        table.add_row(one.study[:8], str(one.round_number), one.model, *sent, before)
    console.print(table)
    done = "Dry run, nothing was changed: would be withdrawn" if dry_run else "Withdrawn; rejection notes go out now"
    console.print(f"{done}: {new} of {len(told)} rounds.")
    if purged := sum(one.purged for one in told):
        console.print(f"Purged, so that no rejection note can be made of them: {purged} rounds.", soft_wrap=True)


def _listed(families: dict[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{destination}: {', '.join(named)}" for destination, named in families.items())
