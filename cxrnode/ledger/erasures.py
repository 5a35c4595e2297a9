"""A study is erased: every row that is of it goes, when its bytes have gone; who had its results is told before.

Which rows those are follows from the foreign keys, so that a table that is new is not forgotten. What plans of replays
say of the study is made unrecognisable, as their counts must still sum.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from cxrnode.errors import StillOwed, Unknown
from cxrnode.ledger import replaytables, tables, tallytables, transfers
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.purges import owed
from cxrnode.ledger.replaytables import Step, planned
from cxrnode.ledger.states import TAKEN, TaskState
from cxrnode.ledger.tables import deliveries, instances, metadata, objects, rounds, studies, tasks
from cxrnode.ledger.tallytables import keeps, shares, unsettled

ROOMS = (replaytables, tables, tallytables, transfers)
"""Whose tables speak of studies: `metadata` has them once these are imported."""
LAST = (keeps, shares, unsettled)
"""Triggers write these while the others are emptied (tallytables.py)."""


@dataclass(frozen=True)
class Whole:
    """All of one study: instances and rounds by key, bytes, who holds results of it, and what of it is still owed."""

    key: str
    study_instance_uid: str
    instances: tuple[str, ...]
    classes: dict[str, int]
    size: int
    rounds: tuple[str, ...]
    held_by: dict[str, int]
    """how many result objects each destination has"""
    owes: bool


def whole(ledger: Ledger, study: str, now: datetime) -> Whole:
    """What there is of the study of this name. Raises Unknown, and StillOwed while somebody works on it."""
    with ledger.reading() as db:
        return _whole(db, study_named(db, study), now)


def erase(ledger: Ledger, key: str, now: datetime, removing: Callable[[Whole], None]) -> Whole:
    """Have the bytes of a study removed and remove its rows; what `removing` raises leaves all the rows.

    Nobody else writes meanwhile. Raises StillOwed while somebody works on it, and Unknown where it is gone by now.
    """
    with ledger.writing() as db:
        found = _whole(db, key, now)
        _disguise(db, found.study_instance_uid)
        for table in reversed(metadata.sorted_tables):
            its = _its(table, key)
            if its is not None and table not in (studies, planned, *LAST):
                db.execute(delete(table).where(its))
        for table in LAST:
            db.execute(delete(table).where(table.c.study_key == key))
        db.execute(delete(studies).where(studies.c.key == key))
        removing(found)
        return found


def _whole(db: Connection, key: str, now: datetime) -> Whole:
    uid = db.execute(select(studies.c.study_instance_uid).where(studies.c.key == key)).scalar()
    if uid is None:
        raise Unknown(f"no study {key[:8]} is here any more; another process has erased it")
    _require_rest(db, key, uid, now)
    came = db.execute(select(instances).where(instances.c.study_key == key)).all()
    of_round = select(rounds.c.key).where(rounds.c.study_key == key).order_by(rounds.c.number)
    has = objects.join(deliveries).join(rounds, rounds.c.key == objects.c.round_key)
    taken = db.execute(
        select(deliveries.c.destination).select_from(has).where(rounds.c.study_key == key, deliveries.c.fate.in_(TAKEN))
    ).scalars()
    owing = any(db.execute(one).first() is not None for one in owed(lambda study: study == key))
    return Whole(
        key,
        uid,
        tuple(row.key for row in came),
        dict(Counter(row.sop_class_uid for row in came)),
        sum(row.size for row in came),
        tuple(db.execute(of_round).scalars()),
        dict(Counter(taken)),
        owing,
    )


def _require_rest(db: Connection, key: str, study_instance_uid: str, now: datetime) -> None:
    held = (rounds.c.study_key == key, tasks.c.state == TaskState.LEASED, tasks.c.leased_until > now)
    until = db.execute(select(tasks.c.leased_until).select_from(tasks.join(rounds)).where(*held)).scalar()
    if until is not None:
        raise StillOwed(f"a worker has study {key[:8]} until {until:%H:%M:%S} UTC; wanted one that nobody works on")
    mine = (planned.c.study_instance_uid == study_instance_uid, planned.c.step != Step.DONE)
    if db.execute(select(planned).where(*mine)).first() is not None:
        raise StillOwed(f"a replay has study {key[:8]} in its plan; wanted its verdict first")


def _its(table: Table, key: str) -> ColumnElement[bool] | None:
    """Which rows of a table are of this study; None: it has none of any study."""
    conditions = []
    for constraint in table.foreign_keys:
        target = constraint.column.table
        if target is studies:
            conditions.append(constraint.parent == key)
        elif (theirs := _its(target, key)) is not None:
            conditions.append(constraint.parent.in_(select(constraint.column).where(theirs)))
    return or_(*conditions) if conditions else None


def _disguise(db: Connection, study_instance_uid: str) -> None:
    """In each plan that names the study there stands another UID, which nobody has."""
    nobody = f"2.25.{secrets.randbits(127)}"
    hidden = {"study_instance_uid": nobody, "entry": json.dumps({"study": nobody}), "round_key": None}
    db.execute(update(planned).where(planned.c.study_instance_uid == study_instance_uid).values(**hidden))
