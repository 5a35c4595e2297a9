"""The rounds as an operator sees them, latest first: what each is, what it found and what became of its results."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from cxrnode.ledger import canaries
from cxrnode.ledger.completions import Reason, closings_of
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.purged import GONE
from cxrnode.ledger.standing import standing_numbers
from cxrnode.ledger.states import Kind, State, Work
from cxrnode.ledger.tables import (
    changes,
    deliveries,
    instances,
    objects,
    purges,
    readings,
    rounds,
    routings,
    tasks,
    withdrawals,
)
from cxrnode.uids import Role

TOGETHER = 200
"""Rounds of which everything is asked at once."""
Rows = Sequence[Row[Any]]


@dataclass(frozen=True)
class RoundLine:
    """One round as an operator sees it: random keys, no UID."""

    study: str
    round_number: int
    state: str
    lane: str
    """stat, live or replay (states.Lane)"""
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


def round_lines(ledger: Ledger, limit: int | None = None) -> list[RoundLine]:
    """The rounds, latest first, without those of canaries."""
    with ledger.reading() as db:
        by_age = (rounds.c.last_received_at.desc(), rounds.c.number.desc())
        latest = select(rounds).where(~canaries.of_canary(rounds.c.study_key)).order_by(*by_age)
        rows = db.execute(latest.limit(limit)).all()
        together = (rows[at : at + TOGETHER] for at in range(0, len(rows), TOGETHER))
        return [line for some in together for line in _Told(db, some).lines()]


class _Told:
    """What the ledger tells of some rounds, asked for once and kept by round."""

    def __init__(self, db: Connection, some: Rows) -> None:
        self._rounds = some
        keys = [row.key for row in some]

        def of(table: Any) -> dict[str, list[Row[Any]]]:
            return _by_round(db.execute(select(table).where(table.c.round_key.in_(keys))))

        self._readings, self._routings, self._withdrawals = of(readings), of(routings), of(withdrawals)
        self._tasks = _by_round(db.execute(select(tasks).where(tasks.c.round_key.in_(keys), tasks.c.last_error != "")))
        self._closings = closings_of(db, keys)
        self._stands = standing_numbers(db, keys)
        self._objects = of(objects)
        sent = select(objects.c.round_key, objects.c.role, deliveries.c.destination, deliveries.c.fate)
        self._deliveries = _by_round(db.execute(sent.join(deliveries).where(objects.c.round_key.in_(keys))))
        changed = select(changes.c.round_key, changes.c.attributes, instances.c.sop_instance_uid).join(instances)
        self._changes = _by_round(db.execute(changed.where(changes.c.round_key.in_(keys))))
        self._instances = _sources(db, {row.study_key for row in some})

    def lines(self) -> Iterable[RoundLine]:
        """One of each round."""
        return map(self._line, self._rounds)

    def _line(self, row: Row[Any]) -> RoundLine:
        key = row.key
        seen, sent, told = (rows.get(key, []) for rows in (self._readings, self._deliveries, self._tasks))
        routed = next(iter(self._routings.get(key, [])), None)
        withdrawn = next(iter(self._withdrawals.get(key, [])), None)
        changed = self._changes.get(key, [])
        closing = self._closings.get(key)
        quiet_s = (row.closed_at - row.last_received_at).total_seconds() if row.closed_at else 0.0
        probabilities = [reading.probability for reading in seen if reading.probability is not None]
        return RoundLine(
            study=row.study_key,
            round_number=row.number,
            state=row.state,
            lane=row.lane,
            outcome=row.outcome or "",
            route=routed.route if routed else "",
            model=row.model or "",
            prevalence=routed.prevalence if routed else None,
            instances=sum(_covers(row, one) for one in self._instances.get(row.study_key, [])),
            closed=closing.reason if closing else "",
            incomplete=closing.words(quiet_s) if closing and closing.reason is Reason.INCOMPLETE else "",
            stands=self._stands.get(key),
            probability=max(probabilities, default=None),
            reasons=tuple(sorted({reading.reason for reading in seen if reading.reason})),
            objects=sum(one.role != Role.REJECTION for one in self._objects.get(key, [])),
            deliveries=_fates(one for one in sent if one.role != Role.REJECTION),
            commitment={one.destination: one.last_error for one in told if one.work == Work.COMMIT},
            withdrawn=withdrawn.reason if withdrawn else "",
            withdrawn_at=withdrawn.at if withdrawn else None,
            notes=_fates(one for one in sent if one.role == Role.REJECTION),
            changed=tuple(sorted({name for one in changed for name in one.attributes.split(", ")})),
            changed_instances=len({one.sop_instance_uid for one in changed}),
            stages_ms=json.loads(row.stages_ms),
            last_received_at=row.last_received_at,
            finished_at=row.finished_at,
            last_error="; ".join(sorted({one.last_error for one in told if one.work != Work.COMMIT})),
        )


def _by_round(rows: Iterable[Row[Any]]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(row.round_key, []).append(row)
    return found


def _sources(db: Connection, study_keys: Iterable[str]) -> dict[str, list[Any]]:
    """The source instances of studies, each with the round of its study that was the latest when it was purged."""
    joined = instances.outerjoin(purges, and_(purges.c.instance_key == instances.c.key, GONE))
    joined = joined.outerjoin(rounds, rounds.c.key == purges.c.round_key)
    wanted = select(instances.c.study_key, instances.c.first_round, rounds.c.number.label("gone")).select_from(joined)
    found: dict[str, list[Any]] = {}
    mine = (instances.c.study_key.in_(study_keys), instances.c.kind == Kind.SOURCE)
    for row in db.execute(wanted.where(*mine)):
        found.setdefault(row.study_key, []).append(row)
    return found


def _covers(row: Row[Any], instance: Row[Any]) -> bool:
    """Whether a round covers this instance: it had come then, and was not purged before."""
    if instance.gone is not None and instance.gone < row.number:
        return False
    if row.state == State.ARRIVING:
        return instance.first_round is None
    return instance.first_round is not None and bool(instance.first_round <= row.number)


def _fates(sent: Iterable[Row[Any]]) -> dict[str, str]:
    """What became of these objects at each destination, in words."""
    counts: dict[str, Counter[str]] = {}
    for row in sent:
        counts.setdefault(row.destination, Counter())[row.fate] += 1
    return {name: ", ".join(f"{n} {fate}" for fate, n in sorted(counts[name].items())) for name in sorted(counts)}
