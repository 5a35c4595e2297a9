"""A study that was fetched becomes a round of its replay, to be read at once; never while somebody else's is open."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, exists, select, update

from cxrnode.ledger import arrivals
from cxrnode.ledger.completions import Closing, Reason
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.planned import Claim, has_images, this
from cxrnode.ledger.replayed import Order, hand_over, holds, ordered
from cxrnode.ledger.replaytables import Step, planned, replayed
from cxrnode.ledger.states import State
from cxrnode.ledger.tables import rounds, studies
from cxrnode.receipt import Receipt


class Closed(StrEnum):
    """What came of the wish to have a study read."""

    DONE = "done"
    BUSY = "busy"
    NOTHING = "nothing"


def close(
    ledger: Ledger, held: Claim, order: Order, receipts: Sequence[Receipt], closing: Closing, now: datetime
) -> Closed:
    """Enter what came of a study, and have it read: BUSY while a round of somebody else's is open, NOTHING to read.

    A round that the images began, or that another replay has left, or else a new one is the replay's, and ready at
    once.
    """
    with ledger.writing() as db:
        arrivals.enter(db, receipts)
        study_key = _study_key(db, held)
        if study_key is None or not has_images(db, study_key):
            return Closed.NOTHING
        return _close(db, held, study_key, order, closing, now)


def close_begun(ledger: Ledger, held: Claim, order: Order, closing: Closing, now: datetime) -> Closed:
    """The same of a study of which the replay has begun a round: NOTHING where it has not."""
    with ledger.writing() as db:
        study_key = _study_key(db, held)
        begun = select(replayed).join(rounds).where(rounds.c.study_key == study_key, rounds.c.state == State.ARRIVING)
        if db.execute(begun.where(replayed.c.replay_key == held.replay)).first() is None:
            return Closed.NOTHING
        return _close(db, held, str(study_key), order, closing, now)


def _close(db: Connection, held: Claim, study_key: str, order: Order, closing: Closing, now: datetime) -> Closed:
    opened = (rounds.c.study_key == study_key, rounds.c.state.in_([State.ARRIVING, State.READY]))
    for row in db.execute(select(rounds).where(*opened)).all():
        theirs = ordered(db, row.key)
        if row.state == State.READY or theirs is None:
            return Closed.BUSY
        if theirs.replay != held.replay:
            if holds(db, theirs.replay, held.entry.study, now):
                return Closed.BUSY
            hand_over(db, row.key, order)
    round_key = arrivals.read_again(db, study_key, now, order, closing)
    reading = {"step": Step.READING, "round_key": round_key, "reason": ""}
    db.execute(update(planned).where(*this(held)).values(**reading))
    return Closed.DONE


def close_late(ledger: Ledger, order: Order, quiet_since: datetime, now: datetime) -> int:
    """Have read what came after its study was closed, and how often: a round more, beside the one of the verdict."""
    arriving = (rounds.c.state == State.ARRIVING, rounds.c.last_received_at <= quiet_since)
    mine = (replayed.c.replay_key == order.replay, replayed.c.round_key == rounds.c.key)
    waiting = exists().where(
        planned.c.replay_key == order.replay,
        planned.c.study_instance_uid == studies.c.study_instance_uid,
        planned.c.step.in_([Step.WAITING, Step.FETCHING]),
    )
    late = select(rounds.c.study_key).join(studies, studies.c.key == rounds.c.study_key)
    wanted = late.join(replayed, mine[1]).where(*arriving, mine[0], ~waiting)
    with ledger.reading() as db:
        found = list(db.execute(wanted).scalars())
    for study_key in found:
        with ledger.writing() as db:
            arrivals.read_again(db, study_key, now, order, Closing(Reason.REPLAYED, None, 0))
    return len(found)


def _study_key(db: Connection, held: Claim) -> str | None:
    return db.execute(select(studies.c.key).where(studies.c.study_instance_uid == held.entry.study)).scalar()
