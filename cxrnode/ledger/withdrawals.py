"""Results withdrawn: which rounds, what of them is cancelled, and which destinations are owed a rejection note."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, insert, select

from cxrnode.errors import Unknown
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.parcels import ORDER, cancel_due, finish_if_done
from cxrnode.ledger.purges import purged
from cxrnode.ledger.states import TAKEN, Fate, State, Work
from cxrnode.ledger.tables import deliveries, objects, rounds, withdrawals
from cxrnode.ledger.work import again
from cxrnode.uids import Role


@dataclass(frozen=True)
class Withdrawal:
    """One round's results: by destination the families that it has taken, and those that are not sent any more."""

    study: str
    round_number: int
    model: str
    taken: dict[str, tuple[str, ...]]
    cancelled: dict[str, tuple[str, ...]]
    withdrawn_at: datetime | None
    """None: not yet"""
    reason: str
    purged: bool
    """its results were deleted when their time was over: no note can be made of them"""


def chosen(ledger: Ledger, *, model: str | None = None, study: str | None = None) -> dict[str, Withdrawal]:
    """The rounds of a model ("name" or "name version") or of a study whose results went out or wait, by key.

    Those that were withdrawn before are among them. Raises Unknown when no round or study has that name.
    """
    with ledger.reading() as db:
        wanted = _of_model(db, model) if study is None else rounds.c.study_key == study_named(db, study)
        rows = db.execute(select(rounds).where(wanted).order_by(rounds.c.closed_at, rounds.c.number)).all()
        told = {row.key: _withdrawal(db, row) for row in rows}
    return {key: one for key, one in told.items() if one.taken or one.cancelled}


def withdraw(ledger: Ledger, round_key: str, reason: str, now: datetime) -> Withdrawal:
    """Withdraw a round: cancel what is due, and make a delivery due wherever there is something to reject.

    What it tells is from before. Nothing happens to a round that was withdrawn before, or purged.
    """
    with ledger.writing() as db:
        row = db.execute(select(rounds).where(rounds.c.key == round_key)).one()
        found = _withdrawal(db, row)
        if found.withdrawn_at is not None or found.purged:
            return found
        db.execute(insert(withdrawals).values(round_key=round_key, reason=reason, at=now))
        cancel_due(db, round_key, Fate.WITHDRAWN, now)
        for destination in found.taken:
            again(db, Work.DELIVER, round_key, destination, now)
        if row.state == State.ANALYSED:
            finish_if_done(db, round_key, now)
        elif found.taken:
            move(db, round_key, State.ANALYSED)
        return found


def _of_model(db: Connection, model: str | None) -> ColumnElement[bool]:
    known = sorted(filter(None, db.execute(select(rounds.c.model).distinct()).scalars()))
    named = [one for one in known if model in (one, one.rpartition(" ")[0])]
    if not named:
        raise Unknown(f"no study was read by a model {model!r}; wanted one of: {', '.join(known) or 'none was read'}")
    return rounds.c.model.in_(named)


def _withdrawal(db: Connection, row: Row[tuple[object, ...]]) -> Withdrawal:
    before = db.execute(select(withdrawals).where(withdrawals.c.round_key == row.key)).first()
    results = (objects.c.round_key == row.key, objects.c.role != Role.REJECTION)
    sent = db.execute(
        select(objects.c.role, deliveries.c.destination, deliveries.c.fate)
        .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
        .where(*results, deliveries.c.fate.in_([*TAKEN, Fate.DUE, Fate.WITHDRAWN]))
        .order_by(deliveries.c.destination)
    ).all()
    by_fate: dict[bool, dict[str, tuple[str, ...]]] = {True: {}, False: {}}
    for one in sorted(sent, key=lambda one: ORDER.index(one.role)):
        there = by_fate[one.fate in TAKEN]
        there[one.destination] = (*there.get(one.destination, ()), one.role)
    return Withdrawal(
        study=str(row.study_key),
        round_number=row.number,
        model=str(row.model or ""),
        taken=by_fate[True],
        cancelled=by_fate[False],
        withdrawn_at=before.at if before else None,
        reason=before.reason if before else "",
        purged=db.execute(select(rounds.c.key).where(rounds.c.key == row.key, purged())).first() is not None,
    )
