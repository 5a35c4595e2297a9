"""What goes where: the objects of a round, each one's fate at each destination, and the end of a delivery."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from cxrnode.family import Family
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.rejections import owed
from cxrnode.ledger.states import OPEN, Fate, State, TaskState, Work
from cxrnode.ledger.tables import deliveries, objects, rounds, tasks
from cxrnode.ledger.work import Lease, add_task, again, require, settle
from cxrnode.uids import Role

ORDER = (*Family, Role.REJECTION)
"""What goes first: the report, then the pictures."""


@dataclass(frozen=True)
class ObjectRow:
    """One object: its UIDs, and the file under the round's result folder that holds its bytes."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    role: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Parcel:
    """One object still to be sent to one destination."""

    sop_instance_uid: str
    sop_class_uid: str
    round_key: str
    file: str


def outstanding(ledger: Ledger, held: Lease) -> list[Parcel]:
    """The objects of this round that this destination has not taken or refused yet, the report first."""
    with ledger.reading() as db:
        rows = db.execute(
            select(objects)
            .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
            .where(
                objects.c.round_key == held.round_key,
                deliveries.c.destination == held.destination,
                deliveries.c.fate == Fate.DUE,
            )
        ).all()
    rows = sorted(rows, key=lambda row: (ORDER.index(row.role), row.sop_instance_uid))
    return [Parcel(row.sop_instance_uid, row.sop_class_uid, row.round_key, row.file) for row in rows]


def still_due(ledger: Ledger, held: Lease, sop_instance_uid: str) -> bool:
    """Whether this destination is still to be sent this object; asked before each is sent. Raises StaleLease.

    A sender that was paused past its lease learns here that another sends now.
    """
    with ledger.reading() as db:
        require(db, held)
        fate = db.execute(select(deliveries.c.fate).where(*_there(held, sop_instance_uid))).scalar_one()
    return bool(fate == Fate.DUE)


def note_fate(
    ledger: Ledger, held: Lease, sop_instance_uid: str, fate: Fate, *, status: int | None, reason: str, now: datetime
) -> None:
    """Write what a destination made of one object; raises StaleLease when the lease is lost.

    Of an object that was cancelled while it was being sent, only that it was accepted is news.
    """
    with ledger.writing() as db:
        require(db, held)
        news = [] if fate is Fate.ACCEPTED else [deliveries.c.fate == Fate.DUE]
        tried = deliveries.c.attempts + 1
        values = {"fate": fate, "status": status, "reason": reason, "attempts": tried, "at": now}
        db.execute(update(deliveries).where(*_there(held, sop_instance_uid), *news).values(values))


def add(ledger: Ledger, held: Lease, item: ObjectRow) -> None:
    """One more object, due at this lease's destination alone; raises StaleLease when the lease is lost."""
    with ledger.writing() as db:
        require(db, held)
        db.execute(insert(objects).values(round_key=held.round_key, **vars(item)))
        to = {"sop_instance_uid": item.sop_instance_uid, "destination": held.destination}
        db.execute(insert(deliveries).values(fate=Fate.DUE, **to))


def finish_delivery(ledger: Ledger, held: Lease, stage_ms: float, now: datetime, *, commit: bool = False) -> None:
    """End a delivery task; with the last of them the round is finished. Raises StaleLease when the lease is lost.

    With `commit` the destination is first to be asked to commit itself to what it has accepted. A round that was
    withdrawn while it was being sent leaves the task due: its rejection note is to be made.
    """
    with ledger.writing() as db:
        if owed(db, held.round_key, held.destination):
            settle(db, held, TaskState.DUE, due_at=now, leased_until=None, last_error="")
            return
        settle(db, held, TaskState.DONE, last_error="")
        row = db.execute(select(rounds).where(rounds.c.key == held.round_key)).one()
        stages = {f"deliver {held.destination}": round(stage_ms, 1)} | json.loads(row.stages_ms)
        db.execute(update(rounds).where(rounds.c.key == held.round_key).values(stages_ms=json.dumps(stages)))
        there = (held.round_key, held.destination)
        if commit and accepted(db, *there) and not again(db, Work.COMMIT, *there, now):
            add_task(db, Work.COMMIT, held.round_key, row.lane, now, held.destination)
        finish_if_done(db, held.round_key, now)


def accepted(db: Connection, round_key: str, destination: str) -> list[tuple[str, str]]:
    """SOP Class and SOP Instance UIDs of what a destination has accepted, and not yet committed itself to or not."""
    there = (objects.c.round_key == round_key, deliveries.c.destination == destination)
    rows = db.execute(
        select(objects.c.sop_class_uid, objects.c.sop_instance_uid)
        .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
        .where(*there, deliveries.c.fate == Fate.ACCEPTED)
        .order_by(objects.c.sop_instance_uid)
    )
    return [(row.sop_class_uid, row.sop_instance_uid) for row in rows]


def cancel_due(db: Connection, round_key: str, fate: Fate, now: datetime) -> None:
    """Send nothing more of a round: what was due has `fate`, and what waited for it is done.

    Whoever is sending just now looks before each object (`still_due`), and ends the task itself.
    """
    made = select(objects.c.sop_instance_uid).where(objects.c.round_key == round_key)
    due = (deliveries.c.sop_instance_uid.in_(made), deliveries.c.fate == Fate.DUE)
    db.execute(update(deliveries).where(*due).values(fate=fate, at=now))
    waiting = (*_deliveries_of(round_key), tasks.c.state == TaskState.DUE)
    db.execute(update(tasks).where(*waiting).values(state=TaskState.DONE, last_error=""))


def finish_if_done(db: Connection, round_key: str, now: datetime) -> None:
    """Move a round on when none of its tasks is open."""
    open_tasks = (tasks.c.round_key == round_key, tasks.c.state.in_(OPEN))
    if db.execute(select(func.count()).select_from(tasks).where(*open_tasks)).scalar_one() == 0:
        move(db, round_key, State.FINISHED, finished_at=now)


def _there(held: Lease, sop_instance_uid: str) -> tuple[ColumnElement[bool], ...]:
    return deliveries.c.sop_instance_uid == sop_instance_uid, deliveries.c.destination == held.destination


def _deliveries_of(round_key: str) -> tuple[ColumnElement[bool], ...]:
    return tasks.c.round_key == round_key, tasks.c.work == Work.DELIVER
