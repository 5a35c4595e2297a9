"""Circuits: a peer that gave no answer several times in a row is left alone, but for one probe at a time.

Its tasks are not touched: whether one may be leased is a condition on this table (Nygard, Release It!, 5.2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select, update

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.states import OPEN, TaskState, Work
from cxrnode.ledger.tables import circuits, returns, tasks

OPENS_AFTER = 3
"""calls in vain in a row: one association is lost on any network, and two workers may meet the same restart"""


@dataclass(frozen=True)
class Passage:
    """Whether a task may call its peer: freely, as the one `probe`, or not at all, and then why (`away`)."""

    probe: bool = False
    away: str = ""


FREE = Passage()


@dataclass(frozen=True)
class Circuit:
    """A peer that is left alone: since when, why, how often in vain, the next try, and how many tasks wait for it."""

    destination: str
    peer: str
    since: datetime
    reason: str
    failures: int
    next_try: datetime
    waiting: int


def passage(db: Connection, task_key: str, now: datetime, until: datetime) -> Passage:
    """How a task of a destination may go on; a probe that is due is given out, and no other before `until`."""
    here = (circuits.c.peer == _peer(db, task_key), circuits.c.probe_at.is_not(None))
    row = db.execute(select(circuits).where(*here)).first()
    if row is None:
        return FREE
    if row.probe_at > now:
        return Passage(away=silence(row))
    db.execute(update(circuits).where(*here).values(probe_at=until))
    return Passage(probe=True)


def failed(
    ledger: Ledger, task_key: str, reason: str, now: datetime, next_try: Callable[[int], datetime], *, probe: bool
) -> bool:
    """A task's call gave no answer: count it, and open the circuit or keep it open; whether it is open now.

    `next_try` of the failures in a row is when a probe is due. Once the circuit is open only the `probe` counts, not
    the calls that had begun before.
    """
    with ledger.writing() as db:
        peer = _peer(db, task_key)
        row = db.execute(select(circuits).where(circuits.c.peer == peer)).first()
        if row is None:
            to = select(tasks.c.destination).where(tasks.c.key == task_key).scalar_subquery()
            db.execute(insert(circuits).values(peer=peer, destination=to, failures=1, reason=reason))
            return False
        if row.opened_at is not None and not probe:
            return True
        failures = row.failures + 1
        values: dict[str, object] = {"failures": failures, "reason": reason}
        if failures >= OPENS_AFTER:
            values |= {"opened_at": row.opened_at or now, "probe_at": next_try(failures)}
        db.execute(update(circuits).where(circuits.c.peer == peer).values(values))
        return "probe_at" in values


def answered(ledger: Ledger, task_key: str) -> bool:
    """A task's call was answered: nothing waits for its peer any more; whether the circuit was open."""
    with ledger.reading() as db:
        if db.execute(select(circuits.c.peer).where(circuits.c.peer == _peer(db, task_key))).first() is None:
            return False
    with ledger.writing() as db:
        mine = circuits.c.peer == _peer(db, task_key)
        was_open = db.execute(select(circuits.c.peer).where(mine, circuits.c.opened_at.is_not(None))).first()
        db.execute(delete(circuits).where(mine))
        return was_open is not None


def forget(db: Connection) -> None:
    """Leave no circuit that no open task is behind: nobody would call its peer any more, to learn that it is back."""
    is_open = tasks.c.state.in_(OPEN)
    db.execute(delete(circuits).where(~exists().where(is_open, peer_of_task() == circuits.c.peer)))


def not_called(ledger: Ledger, task_key: str, now: datetime) -> None:
    """A probe had nothing to ask its peer: another task may be it at once."""
    with ledger.writing() as db:
        here = (circuits.c.peer == _peer(db, task_key), circuits.c.probe_at.is_not(None))
        db.execute(update(circuits).where(*here).values(probe_at=now))


def probe_now(ledger: Ledger, destination: str, now: datetime, *, dry_run: bool = False) -> int:
    """Make a destination's circuits and its waiting deliveries due at once; how many deliveries wait there.

    For a person who knows that it is back; an answer has still to show it.
    """
    with ledger.writing() as db:
        here = (circuits.c.destination == destination, circuits.c.probe_at.is_not(None))
        mine = (tasks.c.work == Work.DELIVER, tasks.c.destination == destination, tasks.c.state == TaskState.DUE)
        if not dry_run:
            db.execute(update(circuits).where(*here).values(probe_at=now))
            db.execute(update(tasks).where(*mine, tasks.c.due_at > now).values(due_at=now))
        return int(db.execute(select(func.count()).select_from(tasks).where(*mine)).scalar_one())


def opened(ledger: Ledger) -> list[Circuit]:
    """Every circuit that is open, the longest first."""
    with ledger.reading() as db:
        found = select(circuits).where(circuits.c.opened_at.is_not(None)).order_by(circuits.c.opened_at)
        return [
            Circuit(
                *(row.destination, row.peer, row.opened_at, row.reason, row.failures, row.probe_at),
                waiting=_behind(db, row.peer),
            )
            for row in db.execute(found).all()
        ]


def to_probe(db: Connection, now: datetime) -> list[tuple[str, datetime]]:
    """The peers of open circuits that are to be tried now, and since when."""
    due = select(circuits.c.peer, circuits.c.probe_at).where(circuits.c.probe_at <= now)
    return [(row.peer, row.probe_at) for row in db.execute(due)]


def silence(row: Row[tuple[Any, ...]]) -> str:
    """In words, what the row of an open circuit says of its peer."""
    return f"no answer since {row.opened_at:%Y-%m-%d %H:%M} UTC: {row.reason}"


def is_open() -> ColumnElement[bool]:
    """Whether the circuit of a task's peer is open."""
    return exists().where(circuits.c.peer == peer_of_task(), circuits.c.opened_at.is_not(None))


def peer_of_task() -> ColumnElement[str]:
    """Whom a task's destination stands for: itself, or whoever the round's results go back to."""
    back = (returns.c.round_key == tasks.c.round_key, returns.c.destination == tasks.c.destination)
    sender = select(returns.c.peer).where(*back).correlate(tasks).scalar_subquery()
    return func.coalesce(sender, tasks.c.destination)


def _peer(db: Connection, task_key: str) -> str:
    return str(db.execute(select(peer_of_task()).where(tasks.c.key == task_key)).scalar_one())


def _behind(db: Connection, peer: str) -> int:
    waiting = (tasks.c.state == TaskState.DUE, peer_of_task() == peer)
    return int(db.execute(select(func.count()).select_from(tasks).where(*waiting)).scalar_one())
