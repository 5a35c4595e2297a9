"""What came of a round: its readings and its result objects, and what each destination is to be sent of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, exists, insert, select

from cxrnode.family import Family
from cxrnode.finding import Outcome, Reference
from cxrnode.ledger import completions, mixes, shadows
from cxrnode.ledger.corrections import outdated
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.parcels import ObjectRow, cancel_due, finish_if_done
from cxrnode.ledger.purged import kept
from cxrnode.ledger.purges import purged
from cxrnode.ledger.replayed import ordered, unsent
from cxrnode.ledger.states import TAKEN, Fate, Kind, State, TaskState, Work
from cxrnode.ledger.tables import (
    cards,
    deliveries,
    gists,
    instances,
    objects,
    readings,
    rounds,
    routings,
    studies,
    withdrawals,
)
from cxrnode.ledger.work import Lease, add_task, settle
from cxrnode.spool import Spool
from cxrnode.study import Instance, Predecessor, Study


@dataclass(frozen=True)
class ReadingRow:
    """One instance's outcome as the ledger keeps it."""

    instance_key: str
    outcome: Outcome
    reason: str
    probability: float | None


@dataclass(frozen=True)
class RoundResult:
    """Everything that an analysis leaves behind; `sent_to` has the SOP Instance UIDs that each destination gets.

    `route` is empty where none was given or none took the study; `prevalence` is what the probabilities hold for.
    """

    outcome: Outcome
    readings: Sequence[ReadingRow]
    objects: Sequence[ObjectRow]
    sent_to: Mapping[str, Sequence[str]]
    model: str
    stages_ms: Mapping[str, float]
    route: str = ""
    prevalence: float | None = None
    card: str = ""
    """digest of the card of the model that read it; empty where none did"""
    operating_point: float | None = None
    gist: str = ""
    """what the results say (cxrnode/late.py); empty of an analysis that was given up"""
    mix: mixes.Mix = field(default_factory=dict)
    """what a live study adds to what drift is told from; empty of others"""
    shadow: str = ""
    """the model that is to read it too, when nothing live waits"""
    reference: Reference | None = None
    """what the card that read it says that this is held against"""


def study_of(ledger: Ledger, spool: Spool, round_key: str) -> Study:
    """The study as this round covers it: every source instance that had arrived when it was closed, corrected."""
    with ledger.reading() as db:
        return study_in(db, spool, round_key)


def study_in(db: Connection, spool: Spool, round_key: str) -> Study:
    """The same within a transaction."""
    row = db.execute(
        select(rounds.c.number, rounds.c.study_key, studies.c.study_instance_uid)
        .join(studies, studies.c.key == rounds.c.study_key)
        .where(rounds.c.key == round_key)
    ).one()
    return Study(
        key=row.study_key,
        study_instance_uid=row.study_instance_uid,
        round_number=row.number,
        instances=_instances(db, spool, row.study_key, row.number),
        predecessor=_predecessor(db, row.study_key, row.number, row.study_instance_uid),
        warnings=completions.warnings(db, round_key),
    )


def told_of_study(spool: Spool, tell: Callable[[Study], bool]) -> Callable[[Connection, str], bool]:
    """What `tell` says of the study of a round, to be asked within a transaction by the round's key."""
    return lambda db, round_key: tell(study_in(db, spool, round_key))


def finish_analysis(ledger: Ledger, held: Lease, result: RoundResult, now: datetime) -> bool:
    """Write a round's outcome and make its deliveries due, all or nothing; raises StaleLease when the lease is lost.

    False: earlier results stand, these are not kept, and nothing is sent.
    """
    with ledger.writing() as db:
        settle(db, held, TaskState.DONE, last_error="")
        return _write_result(db, held.round_key, result, now)


def abandon(ledger: Ledger, held: Lease, reason: str, now: datetime, told: RoundResult | None = None) -> None:
    """Give an analysis up: every image of the round failed for `reason`, a person must look; `told`: what is sent."""
    with ledger.writing() as db:
        settle(db, held, TaskState.ABANDONED, last_error=reason)
        if told is not None:
            _write_result(db, held.round_key, told, now)
            return
        row = db.execute(select(rounds.c.study_key, rounds.c.number).where(rounds.c.key == held.round_key)).one()
        covered = db.execute(_covered(row.study_key, row.number, Kind.SOURCE)).all()
        failed = [ReadingRow(one.key, Outcome.FAILED, reason, None) for one in covered]
        _write_result(db, held.round_key, RoundResult(Outcome.FAILED, failed, (), {}, "", {}), now)


def _write_result(db: Connection, round_key: str, result: RoundResult, now: datetime) -> bool:
    """Whether the result's objects are kept."""
    written = db.execute(select(rounds).where(rounds.c.key == round_key)).one()
    db.execute(insert(routings).values(round_key=round_key, route=result.route, prevalence=result.prevalence))
    if result.card:
        card = {"digest": result.card, "operating_point": result.operating_point}
        db.execute(insert(cards).values(round_key=round_key, **card))
    stands_on = _same_before(db, written, result) if result.gist else None
    db.execute(insert(gists).values(round_key=round_key, gist=result.gist, stands_on=stands_on))
    if stands_on is not None:
        result = replace(result, objects=(), sent_to={})
    _insert(db, readings, [{"round_key": round_key, **vars(reading)} for reading in result.readings])
    _insert(db, objects, [{"round_key": round_key, **vars(item)} for item in result.objects])
    for destination, uids in result.sent_to.items():
        due = {"destination": destination, "fate": Fate.DUE}
        _insert(db, deliveries, [{"sop_instance_uid": uid, **due} for uid in uids])
        add_task(db, Work.DELIVER, round_key, written.lane, now, destination)
    if result.mix:
        mixes.count(db, result.card, result.model, result.mix, result.reference, now)
    told = {"outcome": result.outcome, "model": result.model, "stages_ms": json.dumps(dict(result.stages_ms))}
    move(db, round_key, State.ANALYSED, analysed_at=now, **told)
    if outdated(db, written.study_key, written.number):
        cancel_due(db, round_key, Fate.SUPERSEDED, now)
    finish_if_done(db, round_key, now)
    if result.shadow:
        shadows.begin(db, written.study_key, result.shadow, now)
    return stands_on is None


def _insert(db: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """All of them at once."""
    if rows:
        db.execute(insert(table), rows)


def _same_before(db: Connection, later: Row[tuple[object, ...]], result: RoundResult) -> str | None:
    """The earlier round of a study whose results say the same, and are or will be wherever these are to go; its key.

    It is the latest that made results to be sent; None where that one says something else, or does not stand. A replay
    is for the model's sake: what another card read is not the same then. Nor does one stand that sends nothing.
    """
    order = ordered(db, later.key)
    made = (
        select(rounds.c.key, gists.c.gist, cards.c.digest)
        .select_from(
            rounds.join(objects)
            .outerjoin(gists, gists.c.round_key == rounds.c.key)
            .outerjoin(cards, cards.c.round_key == rounds.c.key)
        )
        .where(rounds.c.study_key == later.study_key, rounds.c.number < later.number)
        .where(objects.c.role == Family.REPORT, ~unsent(rounds.c.key))
        .order_by(rounds.c.number.desc())
    )
    latest = db.execute(made).first()
    if latest is None or latest.gist != result.gist:
        return None
    if order is not None and not (order.send and latest.digest == result.card):
        return None
    if db.execute(select(withdrawals).where(withdrawals.c.round_key == latest.key)).first() is not None:
        return None
    sent = select(deliveries.c.destination, deliveries.c.fate).join(objects).where(objects.c.round_key == latest.key)
    fates = db.execute(sent).all()
    lacking = {row.destination for row in fates if row.fate not in {*TAKEN, Fate.DUE}}
    there = {row.destination for row in fates} - lacking
    return str(latest.key) if there >= set(result.sent_to) else None


def _instances(db: Connection, spool: Spool, study_key: str, number: int) -> tuple[Instance, ...]:
    """Each image once, in the order in which the copies that count were received: the latest correction, or the first.

    A corrected image keeps its key and who sent it first.
    """
    corrected = {row.sop_instance_uid: row for row in db.execute(_covered(study_key, number, Kind.CORRECTION))}
    found = []
    for row in db.execute(_covered(study_key, number, Kind.SOURCE)):
        copy = corrected.get(row.sop_instance_uid, row)
        uid, path = row.sop_instance_uid, spool.image(copy.key)
        instance = Instance(row.key, path, uid, copy.sha256, row.calling_ae, corrected=copy is not row)
        found.append(((copy.received_at, copy.key), instance))
    return tuple(instance for _, instance in sorted(found, key=itemgetter(0)))


def _covered(study_key: str, number: int, kind: Kind) -> Select[tuple[Any, ...]]:
    """The instances of one kind that a round covers and that were not purged, as they were received."""
    covered = (instances.c.study_key == study_key, instances.c.kind == kind, instances.c.first_round <= number)
    return select(instances).where(*covered, kept()).order_by(instances.c.received_at, instances.c.key)


def _predecessor(db: Connection, study_key: str, number: int, study_instance_uid: str) -> Predecessor | None:
    """The latest report before this round that somebody has or will have, not withdrawn, of images not purged."""
    earlier = (rounds.c.study_key == study_key, rounds.c.number < number, objects.c.role == Family.REPORT)
    sent = deliveries.c.fate.in_([*TAKEN, Fate.DUE])
    row = db.execute(
        select(objects)
        .join(rounds, rounds.c.key == objects.c.round_key)
        .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
        .where(sent, *earlier, ~exists().where(withdrawals.c.round_key == rounds.c.key), ~purged())
        .order_by(rounds.c.number.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Predecessor(study_instance_uid, row.series_instance_uid, row.sop_class_uid, row.sop_instance_uid)
