"""The verdicts of a plan with what the ledger knows of each, as the rows of a verdict file; a page in memory."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, func, select

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replaytables import Step, planned
from cxrnode.ledger.states import TAKEN, Fate
from cxrnode.ledger.tables import deliveries, gists, instances, objects, readings, rounds
from cxrnode.plans import verdicts
from cxrnode.plans.plan import Entry, Verdict

PAGE = 500


def rows(ledger: Ledger, replay: str) -> Iterator[verdicts.Row]:
    """Every study of the plan that has its verdict, in the plan's order."""
    done = select(planned).where(planned.c.replay_key == replay, planned.c.step == Step.DONE).order_by(planned.c.number)
    last = -1
    while True:
        with ledger.reading() as db:
            page = db.execute(done.where(planned.c.number > last).limit(PAGE)).all()
            found = [_row(db, row) for row in page]
        if not page:
            return
        last = page[-1].number
        yield from found


def _row(db: Connection, row: Row[tuple[Any, ...]]) -> verdicts.Row:
    entry = Entry.model_validate_json(row.entry)
    known = (row.number, entry.study, entry.accession, entry.date, Verdict(row.verdict), row.reason)
    if row.round_key is None:
        return verdicts.Row(*known, instances=entry.instances, at=row.at)
    read = db.execute(select(rounds).where(rounds.c.key == row.round_key)).one()
    of_round = readings.c.round_key == row.round_key
    return verdicts.Row(
        *known,
        outcome=read.outcome,
        probability=db.execute(select(func.max(readings.c.probability)).where(of_round)).scalar(),
        model=read.model or "",
        instances=db.execute(select(func.count(instances.c.key)).join(readings).where(of_round)).scalar_one(),
        round=read.number,
        delivered=_delivered(db, row.round_key),
        at=row.at,
    )


def _delivered(db: Connection, round_key: str) -> str:
    """What became of a round's results, or of those of the round that stands in its place."""
    stands_on = db.execute(select(gists.c.stands_on).where(gists.c.round_key == round_key)).scalar()
    sent = select(deliveries.c.fate).join(objects).where(objects.c.round_key == (stands_on or round_key))
    fates = set(db.execute(sent.distinct()).scalars())
    if not fates:
        return "not sent"
    if fates == {Fate.COMMITTED}:
        return "committed"
    if Fate.DUE in fates:
        return "waiting"
    return "sent" if fates <= set(TAKEN) else ", ".join(sorted(fates - set(TAKEN)))
