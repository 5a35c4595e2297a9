"""What waits for a person: analyses that were given up, and results that a destination did not take; and its reopening.

Only what a study's latest round left undone waits: a later round covers the same images and replaces its results.
Rejection notes wait whatever came later. Results that were withdrawn are not sent any more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, or_, select, update

from cxrnode.ledger.arrivals import read_again
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.replayed import of_shadow, ordered, unsent
from cxrnode.ledger.standing import repeats
from cxrnode.ledger.states import Fate, State, TaskState, Work
from cxrnode.ledger.tables import deliveries, objects, rounds, tasks, withdrawals
from cxrnode.ledger.work import again
from cxrnode.uids import Role


@dataclass(frozen=True)
class Waiting:
    """One thing that a person may reopen: an analysis (no destination), or what one destination has not taken."""

    study: str
    round_number: int
    round_key: str
    destination: str
    objects: int
    """how many of the round's objects the destination has not taken; 0 for an analysis"""
    reason: str
    attempts: int
    since: datetime


def waiting(ledger: Ledger, study: str | None = None) -> list[Waiting]:
    """All that waits for a person, the longest first; of one study alone by its name. Raises Unknown."""
    with ledger.reading() as db:
        mine = [] if study is None else [rounds.c.study_key == study_named(db, study)]
        found = [*map(_analysis, db.execute(given_up().where(*mine))), *_deliveries(db, mine)]
    return sorted(found, key=lambda one: one.since)


def reopen(ledger: Ledger, one: Waiting, now: datetime) -> bool:
    """Begin it anew, as if it had never been tried; False when it does not wait (any more), or is at work just now.

    An analysis is begun in a new round, so that the one that failed stays told; what a destination accepted stays.
    """
    with ledger.writing() as db:
        latest = db.execute(select(rounds).where(rounds.c.key == one.round_key)).one()
        return _send_again(db, latest, one, now) if one.destination else _analyse_again(db, latest, now)


def given_up() -> Select[tuple[object, ...]]:
    """The analyses in quarantine, with their study and round."""
    abandoned = (tasks.c.work == Work.ANALYSE, tasks.c.state == TaskState.ABANDONED)
    return select(rounds, tasks.c.attempts, tasks.c.last_error).join(tasks).where(*abandoned, _latest(unsent))


def missed() -> Select[tuple[object, ...]]:
    """Those of them that a patient's result is wanting for: what a shadow model failed on is nobody's loss."""
    return given_up().where(~of_shadow(rounds.c.key))


def not_taken() -> Select[tuple[object, ...]]:
    """Each object that a destination refused, or whose sending was given up, and that is still wanted there."""
    failed = deliveries.c.fate.in_([Fate.REFUSED, Fate.GIVEN_UP])
    return (
        select(rounds.c.study_key, rounds.c.key, rounds.c.number, deliveries)
        .select_from(rounds.join(objects).join(deliveries))
        .where(failed, wanted())
        .order_by(rounds.c.key, deliveries.c.destination, deliveries.c.at)
    )


def wanted() -> ColumnElement[bool]:
    """Whether an object's delivery still matters: its round is the latest with results and stands, or it is a note."""
    withdrawn = exists().where(withdrawals.c.round_key == rounds.c.key)
    stands = and_(_latest(lambda key: or_(repeats(key), unsent(key))), ~withdrawn)
    return or_(objects.c.role == Role.REJECTION, stands)


def _latest(but: Callable[[ColumnElement[str]], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Whether a round is its study's latest, some left out, as a condition on their keys."""
    later = rounds.alias()
    follows = (later.c.study_key == rounds.c.study_key, later.c.number > rounds.c.number)
    return ~exists().where(*follows, ~but(later.c.key))


def _analysis(row: Row[tuple[object, ...]]) -> Waiting:
    return Waiting(row.study_key, row.number, row.key, "", 0, row.last_error, row.attempts, row.analysed_at)


def _deliveries(db: Connection, mine: Sequence[ColumnElement[bool]]) -> list[Waiting]:
    found = []
    rows = db.execute(not_taken().where(*mine)).all()
    for (key, destination), group in groupby(rows, key=lambda row: (row.key, row.destination)):
        failed = list(group)
        last, tried = failed[-1], max(row.attempts for row in failed)
        about = (last.study_key, last.number, key, destination)
        found.append(Waiting(*about, len(failed), last.reason, tried, last.at))
    return found


def _analyse_again(db: Connection, latest: Row[tuple[object, ...]], now: datetime) -> bool:
    if db.execute(given_up().where(rounds.c.key == latest.key)).first() is None:
        return False
    return read_again(db, latest.study_key, now, ordered(db, latest.key)) is not None


def _send_again(db: Connection, latest: Row[tuple[object, ...]], one: Waiting, now: datetime) -> bool:
    mine = (tasks.c.round_key == latest.key, tasks.c.work == Work.DELIVER, tasks.c.destination == one.destination)
    task = db.execute(select(tasks.c.state).where(*mine)).scalar_one()
    here = (rounds.c.key == latest.key, deliveries.c.destination == one.destination)
    uids = [row.sop_instance_uid for row in db.execute(not_taken().where(*here))]
    if task == TaskState.LEASED or not uids:
        return False
    theirs = (deliveries.c.sop_instance_uid.in_(uids), deliveries.c.destination == one.destination)
    db.execute(update(deliveries).where(*theirs).values(fate=Fate.DUE))
    again(db, Work.DELIVER, latest.key, one.destination, now)
    if latest.state == State.FINISHED:
        move(db, latest.key, State.ANALYSED)
    return True
