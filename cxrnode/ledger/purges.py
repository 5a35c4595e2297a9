"""The end of a study's bytes: which studies may go, and what of them is removed; their rows stay.

A purge is noted before anything is removed, so that whoever reads the study from then on knows; a crash in between
leaves it noted and not removed, and the next turn removes the rest. Nothing is noted or removed of a study while a
replay fetches it: its images may have come again a moment ago.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Index, Select, and_, delete, exists, func, insert, or_, select, update

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.places import Scope, among
from cxrnode.ledger.purged import kept
from cxrnode.ledger.quarantine import missed, wanted
from cxrnode.ledger.replaytables import Step, planned
from cxrnode.ledger.states import OPEN, Fate, State
from cxrnode.ledger.tables import deliveries, instances, objects, purges, rounds, studies, tasks
from cxrnode.ledger.tallytables import keeps

SETTLED = (Fate.ACCEPTED, Fate.COMMITTED, Fate.WITHDRAWN, Fate.SUPERSEDED)
"""The fates after which a destination is owed nothing of an object."""
GONE_ON_WITHIN = timedelta(days=1)
"""So long after a run was cut off it may still go on with what it was fetching, before retention removes that."""
TOGETHER = 100
"""Studies that are looked at together."""
UNDONE = purges.c.removed_at.is_(None)
Index("ix_purges_to_remove", purges.c.round_key, sqlite_where=UNDONE, postgresql_where=UNDONE)


@dataclass(frozen=True)
class Expired:
    """A study whose time is over, with what of it lies on the disk."""

    study: str
    finished_at: datetime
    instances: int
    size: int
    """bytes of its instances; its results are not counted"""


@dataclass(frozen=True)
class Bytes:
    """What is to be removed of one study: instances and rounds, by key."""

    instances: tuple[str, ...]
    rounds: tuple[str, ...]


def owed(scope: Scope) -> list[Select[tuple[str]]]:
    """The studies of which something is still owed, one select a reason: the one place that holds a purge back."""
    study = select(rounds.c.study_key).where(scope(rounds.c.study_key))
    sent = study.join(objects, objects.c.round_key == rounds.c.key).join(deliveries)
    return [
        study.where(rounds.c.state != State.FINISHED),
        study.join(tasks).where(tasks.c.state.in_(OPEN)),
        missed().with_only_columns(rounds.c.study_key).where(scope(rounds.c.study_key)),
        sent.where(deliveries.c.fate.not_in(SETTLED), or_(deliveries.c.fate == Fate.DUE, wanted())),
    ]


def expired(ledger: Ledger, keep_days: float, now: datetime, limit: int | None = None) -> list[Expired]:
    """The studies whose bytes may go, those that were finished first first; none where `keep_days` is 0.

    Of a study it is known once it is settled (tallies.py).
    """
    if not keep_days:
        return []
    before = now - timedelta(days=keep_days)
    may_go = (keeps.c.since <= before, ~_fetched(keeps.c.study_key, now))
    first = select(keeps.c.study_key).where(*may_go).order_by(keeps.c.since, keeps.c.study_key)
    found: list[Expired] = []
    with ledger.reading() as db:
        known = db.execute(first.limit(limit)).scalars().all()
        for at in range(0, len(known), TOGETHER):
            rows = db.execute(_expired(before, among(known[at : at + TOGETHER])))
            found += [Expired(row.study_key, row.finished_at, row.instances, row.size) for row in rows]
    return found


def since(db: Connection, scope: Scope) -> dict[str, datetime]:
    """Of the studies meant that have bytes and of which nothing is owed: when the last thing happened to each."""
    return {row.study_key: max(row.finished_at, row.received_at) for row in db.execute(_unowed(scope))}


def begin(ledger: Ledger, study: str, keep_days: float, now: datetime) -> bool:
    """Note that a study's bytes go; False when something came up meanwhile: they stay."""
    before = now - timedelta(days=keep_days)
    with ledger.writing() as db:
        of_study = select(rounds.c.key).where(rounds.c.study_key == study).order_by(rounds.c.number)
        known = db.execute(of_study).scalars().all()
        fetched = select(rounds.c.key).where(rounds.c.study_key == study, _fetched(rounds.c.study_key, now))
        over = _expired(before, lambda known: known == study)
        if db.execute(over).first() is None or db.execute(fetched).first() is not None:
            return False
        going = select(instances.c.key).where(instances.c.study_key == study, instances.c.received_at <= before)
        for key in db.execute(going.where(kept())).scalars().all():
            noted = {"instance_key": key, "round_key": known[-1], "keep_days": keep_days, "at": now}
            db.execute(delete(purges).where(purges.c.instance_key == key))  # from before a replay had brought it back
            db.execute(insert(purges).values(noted))
        return True


def to_remove(ledger: Ledger, now: datetime) -> list[str]:
    """The purges that are noted, and of which something may still lie on the disk: the latest round of each, then."""
    undone = select(purges.c.round_key).join(rounds).where(UNDONE, ~_fetched(rounds.c.study_key, now)).distinct()
    with ledger.reading() as db:
        return list(db.execute(undone).scalars())


def remove(ledger: Ledger, latest: str, now: datetime, removing: Callable[[Bytes], bool]) -> bool:
    """Have what one purge noted removed, and note it where `removing` says that it is gone; whether it is.

    Nobody else writes meanwhile: a replay that claims the study does so before, and keeps it, or after the removal.
    """
    with ledger.writing() as db:
        mine = (purges.c.round_key == latest, UNDONE)
        undone = select(purges).join(rounds).where(*mine, ~_fetched(rounds.c.study_key, now))
        rows = db.execute(undone).all()
        gone = tuple(row.instance_key for row in rows if row.restored_at is None)
        results = tuple(db.execute(_until().where(_last.c.key == latest)).scalars())
        if not rows or not removing(Bytes(gone, results)):
            return False
        db.execute(update(purges).where(*mine).values(removed_at=now))
        return True


def purged() -> ColumnElement[bool]:
    """Whether a round's results were purged: those of every round until the one that was its study's latest then."""
    until = _last.join(purges, purges.c.round_key == _last.c.key)
    later = (_last.c.study_key == rounds.c.study_key, _last.c.number >= rounds.c.number)
    return exists().select_from(until).where(*later).correlate(rounds)


_last = rounds.alias("last_round")


def _until() -> Select[Any]:
    """Rounds beside `_last`: itself and the earlier ones of its study."""
    return select(rounds.c.key).join(
        _last, (_last.c.study_key == rounds.c.study_key) & (_last.c.number >= rounds.c.number)
    )


def _fetched(study_key: ColumnElement[str], now: datetime) -> ColumnElement[bool]:
    """Whether a replay holds a study, or was cut off a short time ago while it fetched it."""
    begun = and_(planned.c.step.in_([Step.WAITING, Step.FETCHING]), planned.c.held_until > now - GONE_ON_WITHIN)
    named = (studies.c.key == study_key, planned.c.study_instance_uid == studies.c.study_instance_uid)
    return exists().where(*named, or_(planned.c.held_until > now, begun))


def _unowed(scope: Scope) -> Select[tuple[str, datetime, datetime, int, int]]:
    """The studies meant that have bytes and of which nothing is owed."""
    study = instances.c.study_key
    ended = select(func.max(rounds.c.finished_at)).where(rounds.c.study_key == study).scalar_subquery()
    one = (
        select(
            study,
            ended.label("finished_at"),
            func.max(instances.c.received_at).label("received_at"),
            func.count().label("instances"),
            func.sum(instances.c.size).label("size"),
        )
        .where(scope(study), kept(), *(study.not_in(owed_of) for owed_of in owed(scope)))
        .group_by(study)
        .subquery()
    )
    return select(one).where(one.c.finished_at.is_not(None))


def _expired(before: datetime, scope: Scope) -> Select[tuple[str, datetime, datetime, int, int]]:
    """Those to which nothing happened since `before`, those that were finished first first."""
    one = _unowed(scope).subquery()
    over = (one.c.finished_at <= before, one.c.received_at <= before)
    return select(one).where(*over).order_by(one.c.finished_at, one.c.study_key)
