"""Which study a person means: by its key, by enough of its key's beginning, or by its Study Instance UID."""

from sqlalchemy import Connection, or_, select

from cxrnode.errors import Unknown
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.tables import studies

KEY_LENGTH = 8
"""So many characters of a study's key are enough, if they fit one study alone: as many as the status table shows."""


def study_named(db: Connection, name: str) -> str:
    """The study's whole key. Raises Unknown when no study, or more than one, is meant."""
    begun = studies.c.key.startswith(name, autoescape=True) if len(name) >= KEY_LENGTH else studies.c.key == name
    named = select(studies.c.key).where(or_(begun, studies.c.study_instance_uid == name))
    keys = db.execute(named.limit(2)).scalars().all()
    if len(keys) != 1:
        meant = "more than one study" if keys else "no study"
        raise Unknown(
            f"{name!r} means {meant}; wanted the key of one as `cxrnode status` shows it, or its Study Instance UID"
        )
    return str(keys[0])


def study_key_of(ledger: Ledger, study_instance_uid: str) -> str | None:
    """The random key of a study, for those who may know its UID."""
    with ledger.reading() as db:
        return db.execute(select(studies.c.key).where(studies.c.study_instance_uid == study_instance_uid)).scalar()
