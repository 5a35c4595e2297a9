"""What is held of a study: the files of its source images and of the results of all its rounds, for people who look."""

from pathlib import Path

from sqlalchemy import or_, select

from cxrnode.errors import Unknown
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.tables import Kind, instances, objects, rounds, studies
from cxrnode.ledger.withdrawals import KEY_LENGTH
from cxrnode.spool import Spool


def held(ledger: Ledger, spool: Spool, study: str) -> list[Path]:
    """Every source and every result of a study, by its Study Instance UID, its key, or enough of its key's beginning.

    Raises Unknown when no study, or more than one, is meant.
    """
    begun = studies.c.key.startswith(study, autoescape=True) if len(study) >= KEY_LENGTH else studies.c.key == study
    with ledger.reading() as db:
        keys = (
            db.execute(select(studies.c.key).where(or_(begun, studies.c.study_instance_uid == study))).scalars().all()
        )
        if len(keys) != 1:
            raise Unknown(
                f"{study!r} is no file and means {len(keys) or 'no'} studies; wanted a file, a folder, a study's key "
                "as `cxrnode status` shows it, or its Study Instance UID"
            )
        sources = select(instances.c.key).where(instances.c.study_key == keys[0], instances.c.kind == Kind.SOURCE)
        results = (
            select(objects.c.round_key, objects.c.file)
            .join(rounds, rounds.c.key == objects.c.round_key)
            .where(rounds.c.study_key == keys[0])
        )
        return [
            *(spool.image(key) for key in db.execute(sources).scalars()),
            *(spool.result(row.round_key, row.file) for row in db.execute(results)),
        ]
