"""Canaries: drawn studies that this node sent itself, and whether each came back in time; nobody's, and in no count.

A row is written before the study is sent, so that whatever comes of it is known for a canary from the first image on.
It stays when the study has been erased.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    Table,
    delete,
    exists,
    insert,
    select,
    update,
)

from cxrnode.finding import Outcome
from cxrnode.ledger.columns import String, Text, Utc
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.states import TAKEN, Fate, State
from cxrnode.ledger.tables import UID, deliveries, metadata, objects, readings, rounds, studies
from cxrnode.receipt import Receipt
from cxrnode.uids import uid_from

canaries = Table(
    "canaries",
    metadata,
    Column("study_instance_uid", UID, primary_key=True),
    Column("destination", String(32), nullable=False),  # where its results were to go; empty: nowhere
    Column("began_at", Utc, nullable=False, index=True),
    Column("due_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("back", Integer),  # these: once it has ended
    Column("took_s", Float),
    Column("reason", Text, nullable=False, default=""),
    Column("model", String(128), nullable=False, default=""),
    Column("probability", Float),
)
KEPT = timedelta(days=90)
"""So long it is known what came of each."""
CLOCKS = timedelta(minutes=10)
"""By so much the clocks of hosts that share a ledger may differ."""
WAITS = {
    State.ARRIVING: "it has come and waits to be complete",
    State.READY: "it waits to be read",
    State.ANALYSED: "its results wait to be sent, or to be committed to",
}


@dataclass(frozen=True)
class Flown:
    """One canary: when it began and has to be back, and once it has ended whether it was, in how long, or why not.

    `study` is the key of its study while there is one. `probability` is what `model` made of the film, which is always
    the same.
    """

    study: str
    destination: str
    began_at: datetime
    due_at: datetime
    ended_at: datetime | None
    back: bool
    took_s: float | None
    reason: str
    model: str
    probability: float | None


@dataclass(frozen=True)
class Flock:
    """How canaries stand: the latest, the latest that has ended, and when one came back last."""

    latest: Flown
    ended: Flown | None
    back_at: datetime | None


def begin(
    ledger: Ledger, study_instance_uid: str, destination: str, now: datetime, every: timedelta, within: timedelta
) -> bool:
    """Note that a canary is about to be sent; False: the last one was not so long ago, whoever sent it.

    After one that was lost the next follows as soon as its time is over, so that an alarm ends when all is mended.
    """
    with ledger.reading() as db:
        if not _is_time(db, now, every, within):
            return False
    with ledger.writing() as db:
        if not _is_time(db, now, every, within):
            return False
        gone = ~exists().where(
            studies.c.study_instance_uid == canaries.c.study_instance_uid
        )  # else it would be a patient's
        db.execute(delete(canaries).where(canaries.c.began_at < now - KEPT, gone))
        row = {"study_instance_uid": study_instance_uid, "destination": destination}
        db.execute(insert(canaries).values(began_at=now, due_at=now + within, **row))
        return True


def image_of(study_instance_uid: str) -> str:
    """The UID of the one image of a canary, by which it is known for one without a row."""
    return uid_from({"canary": study_instance_uid, "of": "instance"})


def adopt(db: Connection, receipt: Receipt) -> None:
    """Note a canary that has no row, as a ledger that is older than its spool, from a backup, has none of the last."""
    if receipt.sop_instance_uid != image_of(receipt.study_instance_uid):
        return
    row = {"study_instance_uid": receipt.study_instance_uid, "destination": ""}
    if db.execute(select(canaries).where(canaries.c.study_instance_uid == receipt.study_instance_uid)).first() is None:
        at = datetime.fromisoformat(receipt.received_at)
        db.execute(insert(canaries).values(began_at=at, due_at=at + KEPT, **row))


def fail(ledger: Ledger, study_instance_uid: str, reason: str, now: datetime) -> None:
    """Note that a canary could not be sent."""
    with ledger.writing() as db:
        _end(db, study_instance_uid, now, back=False, reason=reason)


def conclude(ledger: Ledger, now: datetime) -> list[str]:
    """End the canaries that have come back, cannot come back any more, or are late; why, of those that did not."""
    with ledger.reading() as db:
        if not db.execute(_under_way()).first():
            return []
    lost = []
    with ledger.writing() as db:
        for row in db.execute(_under_way()).all():
            lost += _concluded(db, row, now)
    return lost


def spent(ledger: Ledger) -> list[str]:
    """The keys of the studies of canaries that have ended, but for the latest, which may be looked at."""
    latest = select(canaries.c.study_instance_uid).order_by(canaries.c.began_at.desc()).limit(1)
    ended = select(canaries.c.study_instance_uid).where(canaries.c.ended_at.is_not(None))
    over = (studies.c.study_instance_uid.in_(ended), studies.c.study_instance_uid.not_in(latest))
    with ledger.reading() as db:
        return list(db.execute(select(studies.c.key).where(*over)).scalars())


def is_one(ledger: Ledger, study_instance_uid: str) -> bool:
    """Whether a study is a canary."""
    mine = canaries.c.study_instance_uid == study_instance_uid
    with ledger.reading() as db:
        return db.execute(select(canaries.c.began_at).where(mine)).first() is not None


def keys() -> Select[tuple[str]]:
    """The keys of the studies that are canaries, as a subquery."""
    return select(studies.c.key).where(studies.c.study_instance_uid.in_(select(canaries.c.study_instance_uid)))


def of_canary(study_key: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the study with this key is one."""
    return study_key.in_(keys())


def flock(ledger: Ledger) -> Flock | None:
    """How they stand; None: there was none."""
    joined = canaries.outerjoin(studies, studies.c.study_instance_uid == canaries.c.study_instance_uid)
    known = select(canaries, studies.c.key).select_from(joined).order_by(canaries.c.began_at.desc())
    with ledger.reading() as db:
        latest = db.execute(known.limit(1)).first()
        if latest is None:
            return None
        ended = db.execute(known.where(canaries.c.ended_at.is_not(None)).limit(1)).first()
        back = db.execute(known.where(canaries.c.back == 1).limit(1)).first()
    return Flock(_flown(latest), _flown(ended) if ended else None, back.ended_at if back else None)


def lost(standing: Flock | None, every: timedelta, now: datetime) -> str:
    """Why there is an alarm; empty: there is none. `every` is how often one is sent, 0 never: then none is missed."""
    if standing is None or not every:
        return ""
    if now > standing.latest.began_at + 2 * every:
        return f"none was sent since {standing.latest.began_at:%Y-%m-%d %H:%M} UTC"
    if standing.latest.ended_at is None and now > standing.latest.due_at + CLOCKS:
        return "nobody looks whether it has come back: no receiver runs"
    if standing.ended is not None and not standing.ended.back:
        return standing.ended.reason
    return ""


def _is_time(db: Connection, now: datetime, every: timedelta, within: timedelta) -> bool:
    last = db.execute(select(canaries).order_by(canaries.c.began_at.desc()).limit(1)).first()
    if last is None:
        return True
    lost = last.ended_at is not None and not last.back
    return bool(now >= last.began_at + (min(within, every) if lost else every))


def _under_way() -> Select[Any]:
    return select(canaries).where(canaries.c.ended_at.is_(None))


def _concluded(db: Connection, row: Row[Any], now: datetime) -> list[str]:
    """Why this one has not come back, if it is known by now."""
    of_study = rounds.join(studies, studies.c.key == rounds.c.study_key)
    mine = select(rounds).select_from(of_study).where(studies.c.study_instance_uid == row.study_instance_uid)
    latest = db.execute(mine.order_by(rounds.c.number.desc()).limit(1)).first()
    finished = latest is not None and latest.state == State.FINISHED
    if latest is not None and finished:
        told = _fault(db, latest.key, row.destination)
        took_s = (latest.finished_at - row.began_at).total_seconds()
        if not told and latest.finished_at > row.due_at:
            told = f"it came back after {took_s:.0f} s; wanted it within {_patience_s(row):.0f} s"
        found = db.execute(select(readings.c.probability).where(readings.c.round_key == latest.key)).scalar()
        read = {"model": latest.model or "", "probability": found}
        _end(db, row.study_instance_uid, latest.finished_at, back=not told, reason=told, took_s=took_s, **read)
        return [told] if told else []
    if now <= row.due_at:
        return []
    where = "it was not received" if latest is None else WAITS[State(latest.state)]
    told = f"after {_patience_s(row):.0f} s {where}"
    _end(db, row.study_instance_uid, now, back=False, reason=told)
    return [told]


def _fault(db: Connection, round_key: str, destination: str) -> str:
    """What is wrong with a round that is finished; empty: it was read, and its results are where they were to go."""
    outcomes = db.execute(select(readings.c.outcome, readings.c.reason).where(readings.c.round_key == round_key)).all()
    if unread := [one for one in outcomes if not Outcome(one.outcome).analysed]:
        return f"it was not read: {unread[0].outcome}: {unread[0].reason}"
    if not outcomes:
        return "no image of it was read"
    if not destination:
        return ""
    its = (objects.c.round_key == round_key, deliveries.c.destination == destination)
    fates: Sequence[str] = db.execute(select(deliveries.c.fate).join(objects).where(*its)).scalars().all()
    if not fates:
        return f"{destination} was sent nothing of it"
    bad = sorted({fate for fate in fates if fate not in TAKEN or fate == Fate.NOT_COMMITTED})
    return f"{destination}: its results are {', '.join(bad)}" if bad else ""


def _patience_s(row: Row[Any]) -> float:
    return float((row.due_at - row.began_at).total_seconds())


def _end(db: Connection, study_instance_uid: str, at: datetime, *, back: bool, reason: str, **more: object) -> None:
    mine = (canaries.c.study_instance_uid == study_instance_uid, canaries.c.ended_at.is_(None))
    db.execute(update(canaries).where(*mine).values(ended_at=at, back=int(back), reason=reason, **more))


def _flown(row: Row[Any]) -> Flown:
    return Flown(
        study=row.key or "",
        destination=row.destination,
        began_at=row.began_at,
        due_at=row.due_at,
        ended_at=row.ended_at,
        back=bool(row.back),
        took_s=row.took_s,
        reason=row.reason,
        model=row.model,
        probability=row.probability,
    )
