"""Where everything is, for operators: the account and the latest rounds, as tables or JSON; no name, no UID."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from cxrnode.audit.forward import Standing, standing
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.trail import Trail
from cxrnode.commands import lookout
from cxrnode.counted import counted
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger, circuits
from cxrnode.ledger.account import Account, account, recount
from cxrnode.ledger.circuits import Circuit
from cxrnode.ledger.completions import Reason
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.standing import nothing_new
from cxrnode.ledger.states import Lane
from cxrnode.serving.running import receivers
from cxrnode.settings import Settings
from cxrnode.spool import Spool


def show(settings: Settings, *, as_json: bool, limit: int, count_all: bool = False) -> bool:
    """Print the account and the latest rounds; whether the account balances, and agreed with what was counted anew."""
    ledger, spool = Ledger(settings.ledger_url), Spool(settings.node.spool_dir)
    counted_anew = recount(ledger, spool) if count_all else None
    status = replace(look(ledger, spool, limit), watched=lookout.look_out(settings, ledger, datetime.now(UTC)))
    if counted_anew is not None:
        status = replace(status, total=counted_anew.total, agreed=counted_anew.agreed)
    if settings.audit.syslog != "off":
        status = replace(status, audit=standing(Trail(folder_of(settings)), datetime.now(UTC)))
    listening = receivers(settings)
    if as_json:
        print(json.dumps(as_object(status) | {"receivers": listening}, indent=2))
    else:
        _print_tables(status.total, status.lines)
        _print_away(status.away)
        if status.audit is not None:
            Console(soft_wrap=True, highlight=False, markup=False).print(_audit_in_words(status.audit, settings))
        for line in (
            *map(_receiver_in_words, listening),
            *(lookout.in_words(status.watched) if status.watched else ()),
        ):
            Console(soft_wrap=True, highlight=False, markup=False).print(line)
        if status.agreed is not None:
            print(f"Counted anew. The running count {'agrees' if status.agreed else 'did not agree, and is mended'}.")
    return status.total.balanced and status.agreed is not False


def show_again(settings: Settings, *, limit: int, every_s: float) -> None:
    """Print the tables every so often, on a clear screen, until Ctrl-C; a ledger that is away is waited for."""
    with suppress(KeyboardInterrupt):
        while True:
            Console().clear()
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, again every {every_s:g} s; Ctrl-C ends it")
            try:
                show(settings, as_json=False, limit=limit)
            except LedgerUnavailable as error:
                print(error)
            sys.stdout.flush()  # a pipe would have it some minutes later
            time.sleep(every_s)


@dataclass(frozen=True)
class Status:
    """The account, the rounds, latest first, and the peers that are away."""

    total: Account
    lines: list[RoundLine]
    away: list[Circuit]
    agreed: bool | None = None
    """whether the running count said the same, where all was counted anew"""
    audit: Standing | None = None
    """how the audit trail stands with its collector, where it has one"""
    watched: lookout.Lookout | None = None
    """how the canaries stand, where it was asked"""


def look(ledger: Ledger, spool: Spool, limit: int | None = None) -> Status:
    """The status now; the rounds before the account, so that what they say has ended has ended in it too."""
    lines = round_lines(ledger, limit)
    return Status(account(ledger, spool), lines, circuits.opened(ledger))


def as_object(status: Status) -> dict[str, object]:
    """The status as plain values for JSON."""
    total, away = status.total, status.away
    rounds = [asdict(line) for line in status.lines]
    for line in rounds:
        for moment in ("last_received_at", "finished_at", "withdrawn_at"):
            line[moment] = line[moment] and line[moment].isoformat()
    return {
        "received": total.total,
        "balanced": total.balanced,
        "instances": [asdict(line) for line in total.lines],
        "rounds": rounds,
        "away": [asdict(one) | {"since": one.since.isoformat(), "next_try": one.next_try.isoformat()} for one in away],
        **({} if status.agreed is None else {"agreed": status.agreed}),
        **({} if status.audit is None else {"audit": asdict(status.audit)}),
        **({} if status.watched is None else lookout.as_object(status.watched)),
    }


def _print_tables(total: Account, lines: list[RoundLine]) -> None:
    console = Console()
    where = Table("where", "outcome", "instances", title="Every instance acknowledged")
    for line in total.lines:
        where.add_row(line.place, line.outcome, str(line.instances))
    where.add_section()
    where.add_row("received", "" if total.balanced else "DOES NOT BALANCE", str(total.total))
    console.print(where)
    rounds = Table(
        Column("study", no_wrap=True, min_width=8),  # as much of it as other commands want, however narrow the terminal
        *("round", "state", "outcome", "route", "model", "images", "probability", "deliveries", "note"),
        title="Latest rounds",
    )
    for row in lines:
        probability = "" if row.probability is None else f"{row.probability:.3f}"
        sent = "; ".join(f"{name}: {told}" for name, told in row.deliveries.items())
        note = "; ".join(filter(None, (*row.reasons, row.last_error)))
        read_by = (row.route, row.model)
        rounds.add_row(
            *(row.study[:8], str(row.round_number), _state(row), row.outcome, *read_by, str(row.instances)),
            *(probability, sent, note),
        )
    console.print(rounds)
    for row in lines:
        for told in filter(
            None, (row.incomplete, nothing_new(row.stands), *row.commitment.values(), _withdrawn(row), _changed(row))
        ):
            text = f"Study {row.study[:8]}, round {row.round_number}: {told}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _state(row: RoundLine) -> str:
    if row.closed == Reason.SHADOW:
        return f"{row.state}, shadow"
    return f"{row.state}, STAT" if row.lane == Lane.STAT else row.state


def _print_away(away: Sequence[Circuit]) -> None:
    if not away:
        return
    table = Table("destination", "since (UTC)", "next try (UTC)", "wait", "why", title="Destinations that are away")
    for one in away:
        times = (f"{one.since:%Y-%m-%d %H:%M:%S}", f"{one.next_try:%Y-%m-%d %H:%M:%S}")
        table.add_row(escape(one.peer), *times, str(one.waiting), escape(one.reason))
    Console().print(table)


def _receiver_in_words(one: Mapping[str, object]) -> str:
    over = " over TLS" if one["tls"] else ""
    runs = f"is process {one['pid']}" if one["pid"] else "does not run on this machine"
    return f"Receiver {one['name']}, {one['ae_title']} at {one['host']}:{one['port']}{over}, {runs}."


def _audit_in_words(audit: Standing, settings: Settings) -> str:
    where, waiting = settings.audit.where, counted(audit.waiting, "audit message")
    if not audit.away_since:
        return f"Audit collector {where}: {waiting} on the way."
    return f"Audit collector {where} is away since {audit.away_since[:19]} UTC ({audit.reason}): {waiting} kept for it."


def _withdrawn(row: RoundLine) -> str:
    if row.withdrawn_at is None:
        return ""
    notes = "; ".join(f"{name}: {told}" for name, told in row.notes.items()) or "none yet"
    return f"withdrawn {row.withdrawn_at:%Y-%m-%d %H:%M} UTC: {row.withdrawn} (rejection notes: {notes})"


def _changed(row: RoundLine) -> str:
    if not row.changed:
        return ""
    count = counted(row.changed_instances, "instance")
    return f"patient or study attributes changed after delivery: {', '.join(row.changed)}; {count}"
