"""The rejection note that a destination is owed: once per withdrawn round, for exactly what it has taken of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from cxrnode.family import Family
from cxrnode.ledger.states import TAKEN
from cxrnode.ledger.tables import deliveries, objects, withdrawals
from cxrnode.uids import Role


@dataclass(frozen=True)
class Owed:
    """Why and when a round was withdrawn, and the files of its results that this destination has, the report first."""

    reason: str
    withdrawn_at: datetime
    files: tuple[str, ...]


def owed(db: Connection, round_key: str, destination: str) -> Owed | None:
    """The note that is still to be made; None when the round stands, has its note, or nothing of it was taken."""
    withdrawn = db.execute(select(withdrawals).where(withdrawals.c.round_key == round_key)).first()
    if withdrawn is None:
        return None
    here = (objects.c.round_key == round_key, deliveries.c.destination == destination)
    rows = db.execute(
        select(objects.c.role, objects.c.sop_instance_uid, objects.c.file, deliveries.c.fate)
        .join(deliveries, deliveries.c.sop_instance_uid == objects.c.sop_instance_uid)
        .where(*here)
    ).all()
    taken = [row for row in rows if row.fate in TAKEN]
    if not taken or any(row.role == Role.REJECTION for row in rows):
        return None
    taken.sort(key=lambda row: (list(Family).index(row.role), row.sop_instance_uid))
    return Owed(withdrawn.reason, withdrawn.at, tuple(row.file for row in taken))
