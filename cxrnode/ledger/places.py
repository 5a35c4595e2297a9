"""Where an instance is: one place and one outcome each, by what the ledger says of its study."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from cxrnode.ledger import canaries
from cxrnode.ledger.purged import GONE
from cxrnode.ledger.replayed import unsent
from cxrnode.ledger.states import OPEN, TAKEN, Fate, Kind, State, TaskState, Work
from cxrnode.ledger.tables import (
    deliveries,
    gists,
    instances,
    objects,
    purges,
    readings,
    rounds,
    studies,
    tasks,
    withdrawals,
)
from cxrnode.uids import Role

Scope = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Which studies are meant, as a condition on a column of study keys."""
Fates = dict[tuple[str, bool], Counter[str]]
"""How many objects had which fate, by round: its results, and (True) its rejection notes."""


def among(found: Collection[str]) -> Scope:
    """These."""
    return lambda study: study.in_(found)


class Place(NamedTuple):
    """Where an instance is, with its outcome (empty while there is none)."""

    place: str
    outcome: str


def placed(db: Connection, scope: Scope) -> Iterator[tuple[str, Place]]:
    """Every instance of the studies meant, once: its study, and its place."""
    latest, closed = _closed_rounds(db, scope)
    told = [key for key, state in closed.items() if state != State.READY]
    bearers = _bearers(db, told)
    outcomes = _by_instance(db, told)
    held, committing = _at_work(db, [key for key, state in closed.items() if state != State.FINISHED])
    fates = _fates(db, [key for key, state in closed.items() if state == State.FINISHED])
    ours = set(db.execute(canaries.keys().where(scope(studies.c.key))).scalars())
    withdrawn = set(db.execute(select(withdrawals.c.round_key).where(withdrawals.c.round_key.in_(told))).scalars())
    known = select(
        *(instances.c.key, instances.c.kind, instances.c.study_key, instances.c.first_round),
        *(purges.c.round_key, purges.c.keep_days),
    ).select_from(instances.outerjoin(purges, (purges.c.instance_key == instances.c.key) & GONE))
    for key, kind, study, first_round, purged_by, keep_days in db.execute(known.where(scope(instances.c.study_key))):
        covering = latest.get(study)
        if study in ours:
            yield study, Place("canary", "")
        elif purged_by is not None:
            yield study, Place(f"purged after {keep_days:g} days", outcomes.get((purged_by, key), ""))
        elif kind != Kind.SOURCE:
            yield study, Place(kind, "")
        elif first_round is None or covering is None:
            yield study, Place("waiting for the study to be complete", "")
        else:
            bearer = bearers.get(covering, covering)
            state, sent = closed[bearer], fates.get((bearer, bearer in withdrawn), Counter())
            if state == State.ANALYSED and bearer in committing:
                place = "waiting for commitment"
            elif bearer in withdrawn:
                place = _place_withdrawn(state, sent)
            elif state == State.READY:
                place = "being analysed" if bearer in held else "waiting for analysis"
            else:
                place = _place(state, sent)
            yield study, Place(place, outcomes.get((covering, key), ""))


def _closed_rounds(db: Connection, scope: Scope) -> tuple[dict[str, str], dict[str, str]]:
    """Of each study the latest, one of which nothing is sent only where there is no other; and the state of each."""
    closed = select(rounds.c.study_key, rounds.c.key, rounds.c.state).where(rounds.c.state != State.ARRIVING)
    later_last = (unsent(rounds.c.key).desc(), rounds.c.number)
    rows = db.execute(closed.where(scope(rounds.c.study_key)).order_by(*later_last)).all()
    return {study: key for study, key, _ in rows}, {key: state for _, key, state in rows}


def _bearers(db: Connection, keys: Collection[str]) -> dict[str, str]:
    """Of each of these rounds that made no results of its own, the one of its study whose results stand."""
    stand = select(gists.c.round_key, gists.c.stands_on).where(gists.c.round_key.in_(keys))
    return {row.round_key: row.stands_on for row in db.execute(stand.where(gists.c.stands_on.is_not(None)))}


def _by_instance(db: Connection, keys: Collection[str]) -> dict[tuple[str, str], str]:
    """What each of these rounds made of each instance."""
    of_rounds = select(readings.c.round_key, readings.c.instance_key, readings.c.outcome)
    rows = db.execute(of_rounds.where(readings.c.round_key.in_(keys)))
    return {(round_key, instance): outcome for round_key, instance, outcome in rows}


def _at_work(db: Connection, keys: Collection[str]) -> tuple[set[str], set[str]]:
    """The rounds that are being analysed; and those of which all is sent, and a destination is to commit itself."""
    still = select(tasks.c.work, tasks.c.state, tasks.c.round_key).where(tasks.c.round_key.in_(keys))
    opened: dict[str, set[str]] = {work: set() for work in Work}
    held = set()
    for work, state, round_key in db.execute(still.where(tasks.c.state.in_(OPEN))):
        opened[work].add(round_key)
        if (work, state) == (Work.ANALYSE, TaskState.LEASED):
            held.add(round_key)
    return held, opened[Work.COMMIT] - opened[Work.DELIVER]


def _fates(db: Connection, keys: Collection[str]) -> Fates:
    note = (objects.c.role == Role.REJECTION).label("note")
    wanted = select(objects.c.round_key, note, deliveries.c.fate, func.count()).join(deliveries)
    fates: Fates = {}
    grouped = wanted.where(objects.c.round_key.in_(keys)).group_by(objects.c.round_key, note, deliveries.c.fate)
    for round_key, is_note, fate, count in db.execute(grouped):
        fates.setdefault((round_key, bool(is_note)), Counter())[fate] += count
    return fates


def _place(state: str, fates: Counter[str]) -> str:
    if state == State.ANALYSED:
        return "waiting for delivery"
    if not fates:
        return "finished, nothing to send"
    if set(fates) == {Fate.SUPERSEDED}:
        return "superseded before delivery"
    if not set(fates) <= set(TAKEN):
        return "finished, not all delivered"
    return "finished, accepted, not all committed" if Fate.NOT_COMMITTED in fates else "finished, delivered"


def _place_withdrawn(state: str, notes: Counter[str]) -> str:
    if state == State.ANALYSED:
        return "withdrawn, rejection notes wait for delivery"
    undelivered = notes[Fate.REFUSED] + notes[Fate.GIVEN_UP]
    return "withdrawn, not all rejection notes delivered" if undelivered else "withdrawn"
