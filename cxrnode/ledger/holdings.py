"""What is held of a study: the files of its source images and of the results of all its rounds, for people who look."""

from pathlib import Path

from sqlalchemy import select

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.tables import Kind, instances, objects, rounds
from cxrnode.spool import Spool


def held(ledger: Ledger, spool: Spool, study: str) -> list[Path]:
    """Every source and every result of a study, by its name (`study_named`), less what was purged. Raises Unknown."""
    with ledger.reading() as db:
        key = study_named(db, study)
        sources = select(instances.c.key).where(instances.c.study_key == key, instances.c.kind == Kind.SOURCE)
        results = (
            select(objects.c.round_key, objects.c.file)
            .join(rounds, rounds.c.key == objects.c.round_key)
            .where(rounds.c.study_key == key)
        )
        paths = [
            *(spool.image(key) for key in db.execute(sources).scalars()),
            *(spool.result(row.round_key, row.file) for row in db.execute(results)),
        ]
    return [path for path in paths if path.exists()]
