"""Where an instance is: one place and one outcome each, by what the ledger says of its study."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select

from cxrnode.ledger.purged import GONE
from cxrnode.ledger.replayed import unsent
from cxrnode.ledger.tables import (
    OPEN,
    TAKEN,
    Fate,
    Kind,
    State,
    TaskState,
    Work,
    deliveries,
    gists,
    instances,
    objects,
    purges,
    readings,
    rounds,
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


class _Covering(NamedTuple):
    """The round that speaks for a study's instances."""

    key: str
    state: str


def placed(db: Connection, scope: Scope) -> Iterator[tuple[str, Place]]:
    """Every instance of the studies meant, once: its study, and its place."""
    latest, bearers = _latest_closed_rounds(db, scope), _bearers(db, scope)
    of_round = _of_studies(select(readings.c.round_key, readings.c.instance_key, readings.c.outcome), scope)
    outcomes = {(row.round_key, row.instance_key): row.outcome for row in db.execute(of_round)}
    held, committing = _at_work(db, scope)
    fates = _fates(db, scope)
    withdrawn = set(db.execute(_of_studies(select(withdrawals.c.round_key), scope)).scalars())
    gone = select(purges).join(instances).where(scope(instances.c.study_key), GONE)
    purged = {row.instance_key: row for row in db.execute(gone)}
    known = select(instances.c.key, instances.c.kind, instances.c.study_key, instances.c.first_round)
    for key, kind, study, first_round in db.execute(known.where(scope(instances.c.study_key))):
        covering = latest.get(study)
        if purge := purged.get(key):
            yield study, Place(f"purged after {purge.keep_days:g} days", outcomes.get((purge.round_key, key), ""))
        elif kind != Kind.SOURCE:
            yield study, Place(kind, "")
        elif first_round is None or covering is None:
            yield study, Place("waiting for the study to be complete", "")
        else:
            outcome = outcomes.get((covering.key, key), "")
            bearer = bearers.get(covering.key, covering)
            sent = fates.get((bearer.key, bearer.key in withdrawn), Counter())
            if bearer.state == State.ANALYSED and bearer.key in committing:
                place = "waiting for commitment"
            elif bearer.key in withdrawn:
                place = _place_withdrawn(bearer, sent)
            else:
                place = _place(bearer, held, sent)
            yield study, Place(place, outcome)


def _of_studies(of_rounds: Select[Any], scope: Scope) -> Select[Any]:
    """What is said of rounds, of these studies alone."""
    return of_rounds.join(rounds).where(scope(rounds.c.study_key))


def _latest_closed_rounds(db: Connection, scope: Scope) -> dict[str, _Covering]:
    """Of each study; one of which nothing is sent only where there is no other."""
    closed = select(rounds.c.study_key, rounds.c.key, rounds.c.state).where(rounds.c.state != State.ARRIVING)
    later_last = (unsent(rounds.c.key).desc(), rounds.c.number)
    in_order = closed.where(scope(rounds.c.study_key)).order_by(*later_last)
    return {study: _Covering(key, state) for study, key, state in db.execute(in_order)}


def _bearers(db: Connection, scope: Scope) -> dict[str, _Covering]:
    """Of each round that made no results of its own, the one whose results stand."""
    bearer = rounds.alias()
    joined = gists.join(rounds, rounds.c.key == gists.c.round_key).join(bearer, bearer.c.key == gists.c.stands_on)
    wanted = select(gists.c.round_key, bearer.c.key, bearer.c.state).select_from(joined)
    return {key: _Covering(*stands) for key, *stands in db.execute(wanted.where(scope(rounds.c.study_key)))}


def _at_work(db: Connection, scope: Scope) -> tuple[set[str], set[str]]:
    """The rounds that are being analysed; and those of which all is sent, and a destination is to commit itself."""
    still = _of_studies(select(tasks.c.work, tasks.c.state, tasks.c.round_key), scope).where(tasks.c.state.in_(OPEN))
    opened: dict[str, set[str]] = {work: set() for work in Work}
    held = set()
    for work, state, round_key in db.execute(still):
        opened[work].add(round_key)
        if (work, state) == (Work.ANALYSE, TaskState.LEASED):
            held.add(round_key)
    return held, opened[Work.COMMIT] - opened[Work.DELIVER]


def _fates(db: Connection, scope: Scope) -> Fates:
    note = (objects.c.role == Role.REJECTION).label("note")
    wanted = select(objects.c.round_key, note, deliveries.c.fate, func.count()).select_from(
        objects.join(deliveries).join(rounds, rounds.c.key == objects.c.round_key)
    )
    fates: Fates = {}
    grouped = wanted.where(scope(rounds.c.study_key)).group_by(objects.c.round_key, note, deliveries.c.fate)
    for round_key, is_note, fate, count in db.execute(grouped):
        fates.setdefault((round_key, bool(is_note)), Counter())[fate] += count
    return fates


def _place(covering: _Covering, held: set[str], fates: Counter[str]) -> str:
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


def _place_withdrawn(covering: _Covering, notes: Counter[str]) -> str:
    if covering.state == State.ANALYSED:
        return "withdrawn, rejection notes wait for delivery"
    undelivered = notes[Fate.REFUSED] + notes[Fate.GIVEN_UP]
    return "withdrawn, not all rejection notes delivered" if undelivered else "withdrawn"
