"""A clock that was put back: what the ledger has put off would wait as much longer, so it is put back as well."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from cxrnode.ledger.canaries import canaries
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replaytables import planned, replays
from cxrnode.ledger.states import OPEN, State
from cxrnode.ledger.tables import circuits, questions, rounds, tasks, transactions
from cxrnode.ledger.transfers import transfers

TOLERANCE = timedelta(minutes=10)
"""Hosts that share a ledger must have clocks that differ by less; a clock put back by less costs no more than that."""
UNDONE = tasks.c.state.in_(OPEN)
ARRIVING = rounds.c.state == State.ARRIVING
HAPPENED = (
    select(func.max(tasks.c.created_at)).where(UNDONE),
    select(func.max(tasks.c.submitted_at)).where(UNDONE),
    select(func.max(rounds.c.last_received_at)).where(ARRIVING),
    select(func.max(circuits.c.opened_at)),
    select(func.max(transfers.c.last_at)),
    select(func.max(canaries.c.began_at)),
    select(func.max(replays.c.loaded_at)).where(replays.c.finished_at.is_(None)),
)
"""Moments that were noted as they came, and so never lie ahead by more than the hosts' clocks differ."""
WAITED_FOR = (
    *(getattr(tasks.c, name) for name in ("created_at", "due_at", "leased_until", "submitted_at")),
    *(
        rounds.c.last_received_at,
        transfers.c.last_at,
        circuits.c.opened_at,
        circuits.c.probe_at,
        transactions.c.asked_at,
    ),
    *(questions.c.asked_at, questions.c.ask_at, replays.c.loaded_at),
    *(planned.c.due_at, planned.c.held_since, planned.c.held_until),
    *(canaries.c.began_at, canaries.c.due_at, canaries.c.ended_at),
)
"""Every moment that something is measured from, or waits for."""


def server(ledger: Ledger) -> datetime | None:
    """What time it is for the ledger's server (UTC); None for SQLite, which has none."""
    with ledger.reading() as db:
        return db.execute(select(func.clock_timestamp())).scalar_one() if db.dialect.name == "postgresql" else None


def put_back(ledger: Ledger, now: datetime) -> timedelta:
    """By how much the clock was put back since something was noted; what lies ahead is put back as far.

    A lease that is cut short so has a fence; whoever holds it drops the work, or has ended it before.
    """
    with ledger.reading() as db:
        if _ahead(db, now) <= TOLERANCE:
            return timedelta(0)
    with ledger.writing() as db:
        by = _ahead(db, now)  # another receiver may have been first
        for column in WAITED_FOR:
            for (ahead,) in db.execute(select(column).where(column > now).distinct()).all():
                db.execute(update(column.table).where(column == ahead).values({column.key: ahead - by}))
    return by


def _ahead(db: Connection, now: datetime) -> timedelta:
    """How far the latest of what was noted as it came lies ahead."""
    noted = [db.execute(latest).scalar() for latest in HAPPENED]
    return max((one - now for one in noted if one is not None and one > now), default=timedelta(0))
