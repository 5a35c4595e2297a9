"""What waits, and since when, in few numbers: for whoever watches a node, however many studies it has read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from cxrnode.ledger.circuits import Circuit, opened
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.quarantine import missed
from cxrnode.ledger.states import OPEN, State
from cxrnode.ledger.tables import rounds, tasks

SINCE = {
    State.ARRIVING: rounds.c.last_received_at,
    State.READY: rounds.c.closed_at,
    State.ANALYSED: rounds.c.analysed_at,
}
"""The states in which a round waits, with the moment since when it does."""


@dataclass(frozen=True)
class Heap:
    """How many there are of what `kind` names, and since when the oldest is there."""

    kind: tuple[str, str]
    count: int
    since: datetime


@dataclass(frozen=True)
class Backlog:
    """Rounds that are not finished by state and lane, tasks that are open by work and destination."""

    rounds: tuple[Heap, ...]
    tasks: tuple[Heap, ...]
    given_up: int
    """analyses in quarantine, but for those by shadow models"""
    away: tuple[Circuit, ...]


def backlog(ledger: Ledger) -> Backlog:
    """What there is now; no table is gone through as a whole. Raises LedgerUnavailable."""
    with ledger.reading() as db:
        waiting = [heap for state in SINCE for heap in _rounds(db, state)]
        named = (tasks.c.work.label("name"), tasks.c.destination.label("of"))
        still = select(*named, *_counted(tasks.c.created_at)).where(tasks.c.state.in_(OPEN)).group_by(*named)
        due = _heaps(db.execute(still))
        person = db.execute(select(func.count()).select_from(missed().subquery())).scalar_one()
    return Backlog(tuple(waiting), tuple(due), person, tuple(opened(ledger)))


def _rounds(db: Connection, state: State) -> list[Heap]:
    named = (rounds.c.state.label("name"), rounds.c.lane.label("of"))
    here = select(*named, *_counted(SINCE[state])).where(rounds.c.state == state)
    return _heaps(db.execute(here.group_by(*named)))


def _counted(since: ColumnElement[datetime]) -> tuple[ColumnElement[Any], ...]:
    return func.count().label("number"), func.min(since).label("since")


def _heaps(rows: Iterable[Row[Any]]) -> list[Heap]:
    return [Heap((row.name, row.of), row.number, row.since) for row in rows]
