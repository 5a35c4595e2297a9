"""What came of a round: its readings, its result objects, and each object's fate at each destination."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from cxrnode.family import Family
from cxrnode.finding import Outcome
from cxrnode.ledger.arrivals import add_task
from cxrnode.ledger.database import Ledger, move
from cxrnode.ledger.tables import (
    Fate,
    Kind,
    State,
    TaskState,
    Work,
    deliveries,
    instances,
    objects,
    readings,
    rounds,
    routings,
    studies,
    tasks,
)
from cxrnode.ledger.work import Lease, require, settle
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
class ObjectRow:
    """One result object: its UIDs, and the file under the round's result folder that holds its bytes."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    role: str
    file: str
    sha256: str


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


@dataclass(frozen=True)
class Parcel:
    """One result object still to be sent to one destination."""

    sop_instance_uid: str
    sop_class_uid: str
    round_key: str
    file: str


def study_of(ledger: Ledger, spool: Spool, round_key: str) -> Study:
    """The study as this round covers it: every source instance that had arrived when it was closed."""
    with ledger.reading() as db:
        row = db.execute(
            select(rounds.c.number, rounds.c.study_key, studies.c.study_instance_uid)
            .join(studies, studies.c.key == rounds.c.study_key)
            .where(rounds.c.key == round_key)
        ).one()
        covered = _covered(db, row.study_key, row.number)
        return Study(
            key=row.study_key,
            study_instance_uid=row.study_instance_uid,
            round_number=row.number,
            instances=tuple(Instance(key, spool.image(key), *columns) for key, *columns in covered),
            predecessor=_predecessor(db, row.study_key, row.number, row.study_instance_uid),
        )


def finish_analysis(ledger: Ledger, held: Lease, result: RoundResult, now: datetime) -> None:
    """Write a round's outcome and make its deliveries due, all or nothing; raises StaleLease when the lease is lost."""
    with ledger.writing() as db:
        settle(db, held, TaskState.DONE, last_error="")
        _write_result(db, held.round_key, result, now)


def abandon(ledger: Ledger, held: Lease, reason: str, now: datetime) -> None:
    """Give an analysis up: every image of the round failed for `reason`; nothing is sent, a person must look."""
    with ledger.writing() as db:
        settle(db, held, TaskState.ABANDONED, last_error=reason)
        row = db.execute(select(rounds.c.study_key, rounds.c.number).where(rounds.c.key == held.round_key)).one()
        covered = _covered(db, row.study_key, row.number)
        failed = [ReadingRow(key, Outcome.FAILED, reason, None) for key, *_ in covered]
        _write_result(db, held.round_key, RoundResult(Outcome.FAILED, failed, (), {}, "", {}), now)


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
    families = list(Family)
    rows = sorted(rows, key=lambda row: (families.index(Family(row.role)), row.sop_instance_uid))
    return [Parcel(row.sop_instance_uid, row.sop_class_uid, row.round_key, row.file) for row in rows]


def note_fate(
    ledger: Ledger, held: Lease, sop_instance_uid: str, fate: Fate, *, status: int | None, reason: str, now: datetime
) -> None:
    """Write what a destination made of one object; raises StaleLease when the lease is lost."""
    with ledger.writing() as db:
        require(db, held)
        at = (deliveries.c.sop_instance_uid == sop_instance_uid, deliveries.c.destination == held.destination)
        tried = deliveries.c.attempts + 1
        values = {"fate": fate, "status": status, "reason": reason, "attempts": tried, "at": now}
        db.execute(update(deliveries).where(*at).values(values))


def finish_delivery(ledger: Ledger, held: Lease, stage_ms: float, now: datetime) -> None:
    """End a delivery task; with the last of them the round is finished. Raises StaleLease when the lease is lost."""
    with ledger.writing() as db:
        settle(db, held, TaskState.DONE, last_error="")
        row = db.execute(select(rounds.c.stages_ms).where(rounds.c.key == held.round_key).with_for_update()).one()
        stages = json.loads(row.stages_ms) | {f"deliver {held.destination}": round(stage_ms, 1)}
        db.execute(update(rounds).where(rounds.c.key == held.round_key).values(stages_ms=json.dumps(stages)))
        _finish_if_done(db, held.round_key, now)


def _write_result(db: Connection, round_key: str, result: RoundResult, now: datetime) -> None:
    lane = db.execute(select(rounds.c.lane).where(rounds.c.key == round_key)).scalar_one()
    db.execute(insert(routings).values(round_key=round_key, route=result.route, prevalence=result.prevalence))
    for reading in result.readings:
        db.execute(insert(readings).values(round_key=round_key, **vars(reading)))
    for item in result.objects:
        db.execute(insert(objects).values(round_key=round_key, **vars(item)))
    for destination, uids in result.sent_to.items():
        for uid in uids:
            db.execute(insert(deliveries).values(sop_instance_uid=uid, destination=destination, fate=Fate.DUE))
        add_task(db, Work.DELIVER, round_key, lane, now, destination)
    told = {"outcome": result.outcome, "model": result.model, "stages_ms": json.dumps(dict(result.stages_ms))}
    move(db, round_key, State.ANALYSED, analysed_at=now, **told)
    _finish_if_done(db, round_key, now)


def _finish_if_done(db: Connection, round_key: str, now: datetime) -> None:
    open_tasks = (tasks.c.round_key == round_key, tasks.c.state.in_([TaskState.DUE, TaskState.LEASED]))
    if db.execute(select(func.count()).select_from(tasks).where(*open_tasks)).scalar_one() == 0:
        move(db, round_key, State.FINISHED, finished_at=now)


def _covered(db: Connection, study_key: str, number: int) -> list[tuple[str, str, str, str]]:
    covered = (instances.c.study_key == study_key, instances.c.kind == Kind.SOURCE, instances.c.first_round <= number)
    columns = (instances.c.key, instances.c.sop_instance_uid, instances.c.sha256, instances.c.calling_ae)
    rows = db.execute(select(*columns).where(*covered).order_by(instances.c.received_at, instances.c.key)).all()
    return [(row.key, row.sop_instance_uid, row.sha256, row.calling_ae) for row in rows]


def _predecessor(db: Connection, study_key: str, number: int, study_instance_uid: str) -> Predecessor | None:
    earlier = (rounds.c.study_key == study_key, rounds.c.number < number, objects.c.role == Family.REPORT)
    row = db.execute(
        select(objects)
        .join(rounds, rounds.c.key == objects.c.round_key)
        .where(*earlier)
        .order_by(rounds.c.number.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return Predecessor(study_instance_uid, row.series_instance_uid, row.sop_class_uid, row.sop_instance_uid)
