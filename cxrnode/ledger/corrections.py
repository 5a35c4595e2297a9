"""Corrected copies of images: before its delivery a study is reported anew under them, after it the change is noted.

Delivered is a round of which any destination has accepted anything, even while the correction arrived: what is under
way then is accepted or not, and a new round's report names it as its predecessor if it was.
"""

from datetime import datetime

from sqlalchemy import Connection, insert, or_, select, update

from cxrnode.ledger.parcels import cancel_due, finish_if_done
from cxrnode.ledger.replayed import unsent
from cxrnode.ledger.standing import stood_on
from cxrnode.ledger.states import TAKEN, Fate, Kind, Lane, State, TaskState, Work
from cxrnode.ledger.tables import changes, deliveries, instances, objects, rounds, tasks


def correct(db: Connection, study_key: str, instance_key: str, attributes: str, now: datetime) -> bool:
    """Take a corrected copy into account; whether the study needs a round that is still arriving, to report it anew.

    Of a round that was not delivered nothing more is sent; of the latest that was, the change is noted. Rounds of which
    nothing is sent have no part in it; nor does a replay's take it in that waits to be read, perhaps for long.
    """
    of_study = select(rounds).where(rounds.c.study_key == study_key, ~unsent(rounds.c.key)).order_by(rounds.c.number)
    known = db.execute(of_study).all()
    delivered = _delivered(db, study_key)
    for one in known:
        if one.state == State.ANALYSED and one.key not in delivered:
            cancel_due(db, one.key, Fate.SUPERSEDED, now)
            finish_if_done(db, one.key, now)
    changed = [one.key for one in known if one.key in delivered]
    if changed:
        db.execute(insert(changes).values(instance_key=instance_key, round_key=changed[-1], attributes=attributes))
    if not known or known[-1].state == State.ARRIVING:
        return True
    latest = known[-1]
    if latest.state == State.READY and latest.lane != Lane.REPLAY and not _being_analysed(db, latest.key):
        db.execute(update(instances).where(instances.c.key == instance_key).values(first_round=latest.number))
        return False
    return latest.key not in delivered


def outdated(db: Connection, study_key: str, number: int) -> bool:
    """Whether a correction arrived too late for this round, while it was being analysed: the next one will cover it.

    Not where that is a round of which nothing is sent.
    """
    unheard = select(rounds).where(rounds.c.study_key == study_key, unsent(rounds.c.key))
    silent = {None if row.state == State.ARRIVING else row.number for row in db.execute(unheard)}
    later = or_(instances.c.first_round.is_(None), instances.c.first_round > number)
    waiting = (instances.c.study_key == study_key, instances.c.kind == Kind.CORRECTION, later)
    covered_by = set(db.execute(select(instances.c.first_round).where(*waiting)).scalars())
    return bool(covered_by - silent)


def _delivered(db: Connection, study_key: str) -> set[str]:
    """The rounds of which a destination has accepted anything, and those for which these stand."""
    accepted = (rounds.c.study_key == study_key, deliveries.c.fate.in_(TAKEN))
    joined = (
        select(rounds.c.key)
        .join(objects, objects.c.round_key == rounds.c.key)
        .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
    )
    found = set(db.execute(joined.where(*accepted)).scalars())
    return found | {later for later, earlier in stood_on(db, study_key).items() if earlier in found}


def _being_analysed(db: Connection, round_key: str) -> bool:
    leased = (tasks.c.round_key == round_key, tasks.c.work == Work.ANALYSE, tasks.c.state == TaskState.LEASED)
    return db.execute(select(tasks.c.key).where(*leased)).first() is not None
