"""The account: where every acknowledged instance is, so that the sum is what was received."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, select

from cxrnode.ledger.completions import Reason, closing_of
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.replayed import not_sent
from cxrnode.ledger.standing import standing_number, stood_on
from cxrnode.ledger.tables import (
    OPEN,
    TAKEN,
    Fate,
    Kind,
    State,
    TaskState,
    Work,
    changes,
    deliveries,
    instances,
    objects,
    purges,
    readings,
    rounds,
    routings,
    studies,
    tasks,
    withdrawals,
)
from cxrnode.spool import Spool
from cxrnode.uids import Role


@dataclass(frozen=True)
class Line:
    """How many instances are in one place with one outcome (empty while there is none)."""

    place: str
    outcome: str
    instances: int


@dataclass(frozen=True)
class Account:
    """Every instance, once; `total` is counted from the disk, the lines from the ledger and what it does not know."""

    total: int
    lines: tuple[Line, ...]

    @property
    def balanced(self) -> bool:
        """Whether the lines sum to what was received."""
        return sum(line.instances for line in self.lines) == self.total


@dataclass(frozen=True)
class RoundLine:
    """One round as an operator sees it: random keys, no UID."""

    study: str
    round_number: int
    state: str
    outcome: str
    route: str
    """empty where none was given or none took the study"""
    model: str
    prevalence: float | None
    """that the probability holds for"""
    instances: int
    closed: str
    """why the study counted as complete, as a code (completions.Reason); empty while it does not"""
    incomplete: str
    """the same as a sentence, where its source said that there was more"""
    stands: int | None
    """the number of the earlier round whose results stand, as this one has nothing new to say"""
    probability: float | None
    reasons: tuple[str, ...]
    objects: int
    deliveries: dict[str, str]
    commitment: dict[str, str]
    """what there is to say of storage commitment beyond that, by destination"""
    withdrawn: str
    """why; empty where the results stand"""
    withdrawn_at: datetime | None
    notes: dict[str, str]
    """what became of the rejection notes, by destination"""
    changed: tuple[str, ...]
    """the patient and study attributes that were corrected after delivery, by keyword"""
    changed_instances: int
    stages_ms: dict[str, float]
    last_received_at: datetime
    finished_at: datetime | None
    last_error: str


def account(ledger: Ledger, spool: Spool) -> Account:
    """Count every instance where it is. Instances that wait on the disk for the ledger are a line of their own."""
    places: Counter[tuple[str, str]] = Counter()
    with ledger.reading() as db:
        latest = _latest_closed_rounds(db)
        bearers = _bearers(db)
        outcomes = {(row.round_key, row.instance_key): row.outcome for row in db.execute(select(readings))}
        held = _rounds_being_analysed(db)
        committing = _rounds_being_committed(db)
        fates = _fates_by_round(db)
        purged = {row.instance_key: row for row in db.execute(select(purges))}
        withdrawn = set(db.execute(select(withdrawals.c.round_key)).scalars())
        entered = set()
        for row in db.execute(
            select(instances.c.key, instances.c.kind, instances.c.study_key, instances.c.first_round)
        ):
            entered.add(row.key)
            covering = latest.get(row.study_key)
            if purge := purged.get(row.key):
                place = f"purged after {purge.keep_days:g} days"
                places[place, outcomes.get((purge.round_key, row.key), "")] += 1
            elif row.kind != Kind.SOURCE:
                places[str(row.kind), ""] += 1
            elif row.first_round is None or covering is None:
                places["waiting for the study to be complete", ""] += 1
            else:
                outcome = outcomes.get((covering.key, row.key), "")
                covering = bearers.get(covering.key, covering)
                sent = fates.get((covering.key, covering.key in withdrawn), Counter())
                if covering.state == State.ANALYSED and covering.key in committing:
                    place = "waiting for commitment"
                elif covering.key in withdrawn:
                    place = _place_withdrawn(covering, sent)
                else:
                    place = _place(covering, held, sent)
                places[place, outcome] += 1
    on_disk = set(spool.keys())  # after the ledger, which never knows of one before the disk has it
    if waiting := len(on_disk - entered):
        places["on the disk, not yet in the ledger", ""] = waiting
    lines = tuple(Line(place, outcome, count) for (place, outcome), count in sorted(places.items()))
    return Account(total=len(on_disk), lines=lines)


def round_lines(ledger: Ledger, limit: int | None = None) -> list[RoundLine]:
    """The rounds, latest first."""
    with ledger.reading() as db:
        rows = db.execute(
            select(rounds).order_by(rounds.c.last_received_at.desc(), rounds.c.number.desc()).limit(limit)
        ).all()
        return [_round_line(db, row) for row in rows]


def study_key_of(ledger: Ledger, study_instance_uid: str) -> str | None:
    """The random key of a study, for those who may know its UID."""
    with ledger.reading() as db:
        return db.execute(select(studies.c.key).where(studies.c.study_instance_uid == study_instance_uid)).scalar()


def _latest_closed_rounds(db: Connection) -> dict[str, Row[tuple[object, ...]]]:
    """Of each study; one of which nothing is sent only where there is no other."""
    sent = rounds.c.key.not_in(not_sent())
    closed = select(rounds).where(rounds.c.state != State.ARRIVING).order_by(sent, rounds.c.number)
    return {row.study_key: row for row in db.execute(closed)}


def _bearers(db: Connection) -> dict[str, Row[tuple[object, ...]]]:
    """Of each round that made no results of its own, the one whose results stand."""
    stands_on = stood_on(db)
    known = {row.key: row for row in db.execute(select(rounds).where(rounds.c.key.in_(set(stands_on.values()))))}
    return {key: known[bearer] for key, bearer in stands_on.items()}


def _rounds_being_analysed(db: Connection) -> set[str]:
    leased = (tasks.c.work == Work.ANALYSE, tasks.c.state == TaskState.LEASED)
    return set(db.execute(select(tasks.c.round_key).where(*leased)).scalars())


def _rounds_being_committed(db: Connection) -> set[str]:
    """Rounds of which nothing is left to be sent, and a destination still to commit itself."""
    opened: dict[str, set[str]] = {Work.COMMIT: set(), Work.DELIVER: set()}
    still = (tasks.c.work.in_(opened), tasks.c.state.in_(OPEN))
    for row in db.execute(select(tasks.c.work, tasks.c.round_key).where(*still)):
        opened[row.work].add(row.round_key)
    return opened[Work.COMMIT] - opened[Work.DELIVER]


def _fates_by_round(db: Connection) -> dict[tuple[str, bool], Counter[str]]:
    """How many objects had which fate, by round: its results, and (True) its rejection notes."""
    fates: dict[tuple[str, bool], Counter[str]] = {}
    joined = select(objects.c.round_key, objects.c.role, deliveries.c.fate).join(
        deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid
    )
    for row in db.execute(joined):
        fates.setdefault((row.round_key, row.role == Role.REJECTION), Counter())[row.fate] += 1
    return fates


def _place(covering: Row[tuple[object, ...]], held: set[str], fates: Counter[str]) -> str:
    if covering.state == State.READY:
        return "being analysed" if covering.key in held else "waiting for analysis"
    if covering.state == State.ANALYSED:
        return "waiting for delivery"
    if not fates:
        return "finished, nothing to send"
    if set(fates) == {Fate.SUPERSEDED}:
        return "superseded before delivery"
    if not set(fates) <= set(TAKEN):
        return "finished, not all delivered"
    return "finished, accepted, not all committed" if Fate.NOT_COMMITTED in fates else "finished, delivered"


def _place_withdrawn(covering: Row[tuple[object, ...]], notes: Counter[str]) -> str:
    if covering.state == State.ANALYSED:
        return "withdrawn, rejection notes wait for delivery"
    undelivered = notes[Fate.REFUSED] + notes[Fate.GIVEN_UP]
    return "withdrawn, not all rejection notes delivered" if undelivered else "withdrawn"


def _round_line(db: Connection, row: Row[tuple[object, ...]]) -> RoundLine:
    of_round = select(readings).where(readings.c.round_key == row.key)
    seen = db.execute(of_round).all()
    gone = select(purges.c.instance_key).join(rounds).where(rounds.c.number < row.number)
    covered = select(instances.c.key).where(
        instances.c.key.not_in(gone),
        instances.c.study_key == row.study_key,
        instances.c.kind == Kind.SOURCE,
        instances.c.first_round.is_(None) if row.state == State.ARRIVING else instances.c.first_round <= row.number,
    )
    made = db.execute(select(objects.c.sop_instance_uid, objects.c.role).where(objects.c.round_key == row.key)).all()
    results = [one.sop_instance_uid for one in made if one.role != Role.REJECTION]
    notes = [one.sop_instance_uid for one in made if one.role == Role.REJECTION]
    routed = db.execute(select(routings).where(routings.c.round_key == row.key)).first()
    withdrawn = db.execute(select(withdrawals).where(withdrawals.c.round_key == row.key)).first()
    changed = db.execute(
        select(changes.c.attributes, instances.c.sop_instance_uid)
        .join(instances, instances.c.key == changes.c.instance_key)
        .where(changes.c.round_key == row.key)
    ).all()
    told = db.execute(select(tasks).where(tasks.c.round_key == row.key, tasks.c.last_error != "")).all()
    closing = closing_of(db, row.key)
    quiet_s = (row.closed_at - row.last_received_at).total_seconds() if row.closed_at else 0.0
    probabilities = [reading.probability for reading in seen if reading.probability is not None]
    return RoundLine(
        study=row.study_key,
        round_number=row.number,
        state=row.state,
        outcome=row.outcome or "",
        route=routed.route if routed else "",
        model=row.model or "",
        prevalence=routed.prevalence if routed else None,
        instances=len(db.execute(covered).all()),
        closed=closing.reason if closing else "",
        incomplete=closing.words(quiet_s) if closing and closing.reason is Reason.INCOMPLETE else "",
        stands=standing_number(db, row.key),
        probability=max(probabilities, default=None),
        reasons=tuple(sorted({reading.reason for reading in seen if reading.reason})),
        objects=len(results),
        deliveries=_fates(db, results),
        commitment={one.destination: one.last_error for one in told if one.work == Work.COMMIT},
        withdrawn=withdrawn.reason if withdrawn else "",
        withdrawn_at=withdrawn.at if withdrawn else None,
        notes=_fates(db, notes),
        changed=tuple(sorted({name for one in changed for name in one.attributes.split(", ")})),
        changed_instances=len({one.sop_instance_uid for one in changed}),
        stages_ms=json.loads(row.stages_ms),
        last_received_at=row.last_received_at,
        finished_at=row.finished_at,
        last_error="; ".join(sorted({one.last_error for one in told if one.work != Work.COMMIT})),
    )


def _fates(db: Connection, sop_instance_uids: Sequence[str]) -> dict[str, str]:
    """What became of these objects at each destination, in words."""
    counts: dict[str, Counter[str]] = {}
    for row in db.execute(select(deliveries).where(deliveries.c.sop_instance_uid.in_(sop_instance_uids))):
        counts.setdefault(row.destination, Counter())[row.fate] += 1
    return {name: ", ".join(f"{n} {fate}" for fate, n in sorted(counts[name].items())) for name in sorted(counts)}
