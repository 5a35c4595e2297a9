"""Storage commitment in the ledger: what was asked, what was reported, and what that makes of each object.

A report is kept as it comes, by whoever receives it; what it means for an object is decided under the task's lease.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from cxrnode.commitment import REASONS, Report, Request
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.parcels import accepted, finish_if_done
from cxrnode.ledger.states import Fate, State, TaskState, Work
from cxrnode.ledger.tables import commitments, deliveries, objects, rounds, transactions, withdrawals
from cxrnode.ledger.work import Lease, again, require, settle
from cxrnode.uids import Role

MOST_REQUESTS = 3
"""so often is the same object asked about in vain"""
MOST_FAILURES = 3
"""so often may an archive say of an object that it failed: it is sent again each time but the last"""


@dataclass(frozen=True)
class Standing:
    """Where a round's commitment at one destination is: how many objects wait, and until when a report may come."""

    waiting: int
    until: datetime | None


def ask(ledger: Ledger, held: Lease) -> Request:
    """A request for everything that waits, written down before it is sent; raises StaleLease when the lease is lost."""
    with ledger.writing() as db:
        require(db, held)
        waiting = accepted(db, held.round_key, held.destination)
        last = db.execute(select(func.max(transactions.c.number)).where(*_asked(held))).scalar() or 0
        uid = f"2.25.{uuid4().int}"
        there = {"round_key": held.round_key, "destination": held.destination}
        db.execute(insert(transactions).values(uid=uid, number=last + 1, **there))
        for _, sop_instance_uid in waiting:
            db.execute(insert(commitments).values(transaction_uid=uid, sop_instance_uid=sop_instance_uid))
    return Request(uid, tuple(waiting))


def asked(ledger: Ledger, transaction_uid: str, now: datetime) -> None:
    """The archive has taken the request: from now on its report may come."""
    with ledger.writing() as db:
        db.execute(update(transactions).where(transactions.c.uid == transaction_uid).values(asked_at=now))


def reported(ledger: Ledger, transaction_uid: str) -> bool:
    """Whether the report has come."""
    with ledger.reading() as db:
        wanted = select(transactions.c.reported_at).where(transactions.c.uid == transaction_uid)
        return db.execute(wanted).scalar() is not None


def record(ledger: Ledger, report: Report, destinations: Collection[str], now: datetime) -> bool:
    """Keep a report and make the task due that concludes from it; the first report of a transaction holds.

    False: none of these destinations was asked under this Transaction UID. A late report opens the round again.
    """
    with ledger.writing() as db:
        one = (transactions.c.uid == report.transaction_uid, transactions.c.destination.in_(destinations))
        found = db.execute(select(transactions).where(*one)).first()
        if found is None:
            return False
        if found.reported_at is not None:
            return True
        db.execute(update(transactions).where(*one).values(reported_at=now))
        for uid in report.committed:
            db.execute(update(commitments).where(*_line(found.uid, uid)).values(committed_at=now))
        for uid, reason in report.failed.items():
            db.execute(update(commitments).where(*_line(found.uid, uid)).values(failure=reason))
        again(db, Work.COMMIT, found.round_key, found.destination, now)
        state = db.execute(select(rounds.c.state).where(rounds.c.key == found.round_key)).scalar_one()
        if state == State.FINISHED:
            move(db, found.round_key, State.ANALYSED)
        return True


def conclude(ledger: Ledger, held: Lease, timeout_s: float, now: datetime) -> Standing:
    """Give every object the fate that the reports say, each report once; raises StaleLease when the lease is lost.

    What failed is to be sent again, or is given up. An older report's failure is no news, its success is.
    """
    with ledger.writing() as db:
        require(db, held)
        made = db.execute(select(transactions).where(*_asked(held)).order_by(transactions.c.number)).all()
        for one in made:
            if one.reported_at is not None and one.concluded_at is None:
                _conclude(db, held, one, now, latest=one is made[-1])
        waiting = accepted(db, held.round_key, held.destination)
    latest = made[-1] if made else None
    if latest is None or latest.asked_at is None or latest.reported_at is not None:
        return Standing(len(waiting), None)
    until = latest.asked_at + timedelta(seconds=timeout_s)
    return Standing(len(waiting), until if until > now else None)


def wait(ledger: Ledger, held: Lease, until: datetime, told: str, now: datetime) -> None:
    """Give the task back until a report is overdue, or at once if it came meanwhile."""
    with ledger.writing() as db:
        unread = (transactions.c.reported_at.is_not(None), transactions.c.concluded_at.is_(None))
        came = db.execute(select(transactions.c.uid).where(*_asked(held), *unread)).first()
        settle(db, held, TaskState.DUE, due_at=now if came else until, leased_until=None, last_error=told)


def stop_asking(ledger: Ledger, held: Lease, reason: str, now: datetime, *, after: int = MOST_REQUESTS) -> int:
    """What was asked about `after` times without an answer is taken as not committed; how many objects that were."""
    with ledger.writing() as db:
        require(db, held)
        unanswered = (commitments.c.committed_at.is_(None), commitments.c.failure.is_(None))
        stopped = 0
        for _, uid in accepted(db, held.round_key, held.destination):
            asked_of = select(func.count()).select_from(commitments).join(transactions)
            times = db.execute(asked_of.where(*_asked(held), *unanswered, commitments.c.sop_instance_uid == uid))
            if times.scalar_one() >= after:
                _become(db, held, uid, Fate.NOT_COMMITTED, reason, now)
                stopped += 1
        return stopped


def finish(ledger: Ledger, held: Lease, told: str, now: datetime, *, accepted_is_enough: bool = False) -> None:
    """End a commitment task, with the last of a round's tasks the round; what failed is made due to be sent again.

    What was accepted while the lease was held is still to be asked about, unless acceptance is the last word.
    """
    with ledger.writing() as db:
        if not accepted_is_enough and accepted(db, held.round_key, held.destination):
            settle(db, held, TaskState.DUE, due_at=now, leased_until=None)
            return
        settle(db, held, TaskState.DONE, last_error=told or _given_up(db, held))
        due = (deliveries.c.destination == held.destination, deliveries.c.fate == Fate.DUE, _of_round(held))
        if db.execute(select(deliveries.c.sop_instance_uid).where(*due)).first() is not None:
            again(db, Work.DELIVER, held.round_key, held.destination, now)
        finish_if_done(db, held.round_key, now)


def _conclude(db: Connection, held: Lease, one: Row[tuple[object, ...]], now: datetime, *, latest: bool) -> None:
    db.execute(update(transactions).where(transactions.c.uid == one.uid).values(concluded_at=now))
    for line in db.execute(select(commitments).where(commitments.c.transaction_uid == one.uid)).all():
        if line.failure is None and line.committed_at is not None:
            _become(db, held, line.sop_instance_uid, Fate.COMMITTED, "", now)
        elif line.failure is not None and latest:
            _fail(db, held, line.sop_instance_uid, line.failure, now)


def _fail(db: Connection, held: Lease, uid: str, failure: int, now: datetime) -> None:
    failed = (commitments.c.sop_instance_uid == uid, commitments.c.failure.is_not(None))
    times = select(func.count()).select_from(commitments).join(transactions).where(*_asked(held), *failed)
    reason = f"{held.destination} failed to commit itself: 0x{failure:04X}, {REASONS.get(failure, 'another reason')}"
    fate = Fate.GIVEN_UP if db.execute(times).scalar_one() >= MOST_FAILURES else Fate.DUE
    role = db.execute(select(objects.c.role).where(objects.c.sop_instance_uid == uid)).scalar_one()
    withdrawn = select(withdrawals.c.round_key).where(withdrawals.c.round_key == held.round_key)
    if role != Role.REJECTION and db.execute(withdrawn).first() is not None:
        fate = Fate.WITHDRAWN
    _become(db, held, uid, fate, reason, now)


def _given_up(db: Connection, held: Lease) -> str:
    failed = select(commitments.c.sop_instance_uid).join(transactions).where(*_asked(held), commitments.c.failure > 0)
    mine = (deliveries.c.destination == held.destination, deliveries.c.sop_instance_uid.in_(failed))
    reasons = select(deliveries.c.reason).where(*mine, deliveries.c.fate == Fate.GIVEN_UP).distinct()
    return "; ".join(sorted(db.execute(reasons).scalars()))


def _become(db: Connection, held: Lease, uid: str, fate: Fate, reason: str, now: datetime) -> None:
    """Only what is accepted becomes anything else by commitment, and what was given up as not committed by success."""
    open_fates = [Fate.ACCEPTED, Fate.NOT_COMMITTED] if fate is Fate.COMMITTED else [Fate.ACCEPTED]
    mine = (deliveries.c.sop_instance_uid == uid, deliveries.c.destination == held.destination)
    news = deliveries.c.fate.in_(open_fates)
    db.execute(update(deliveries).where(*mine, news).values(fate=fate, reason=reason, at=now))


def _asked(held: Lease) -> tuple[ColumnElement[bool], ...]:
    return transactions.c.round_key == held.round_key, transactions.c.destination == held.destination


def _line(transaction_uid: str, sop_instance_uid: str) -> tuple[ColumnElement[bool], ...]:
    return commitments.c.transaction_uid == transaction_uid, commitments.c.sop_instance_uid == sop_instance_uid


def _of_round(held: Lease) -> ColumnElement[bool]:
    made = select(objects.c.sop_instance_uid).where(objects.c.round_key == held.round_key)
    return deliveries.c.sop_instance_uid.in_(made)
