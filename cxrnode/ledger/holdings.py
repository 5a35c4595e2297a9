"""What is held: the files of a study's images and results, for people who look; and every study, for a plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, func, select

from cxrnode.ledger.canaries import of_canary
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.naming import study_named
from cxrnode.ledger.purged import kept
from cxrnode.ledger.states import Kind
from cxrnode.ledger.tables import instances, objects, rounds, studies
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.spool import Spool

PAGE = 1000


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


@dataclass(frozen=True)
class Named:
    """A study by its random key and its UID, with the keys of its instances, those that came first first."""

    key: str
    study_instance_uid: str
    instances: tuple[str, ...]


def images_of(ledger: Ledger, study: str) -> Named:
    """The study of this name (`study_named`). Raises Unknown."""
    with ledger.reading() as db:
        key = study_named(db, study)
        uid = db.execute(select(studies.c.study_instance_uid).where(studies.c.key == key)).scalar_one()
        mine = select(instances.c.key).where(instances.c.study_key == key).order_by(instances.c.received_at)
        return Named(key, uid, tuple(db.execute(mine).scalars()))


def studies_kept(ledger: Ledger) -> Iterator[Entry]:
    """Every study of which there is an image, in the order of their random keys; one page of them in memory."""
    last = ""
    while True:
        with ledger.reading() as db:
            page = db.execute(_kept().where(studies.c.key > last).order_by(studies.c.key).limit(PAGE)).all()
        if not page:
            return
        last = page[-1].key
        yield from (_entry(row) for row in page)


def study_kept(ledger: Ledger, study_instance_uid: str) -> Entry:
    """One study; of one of which there is no image the verdict is known."""
    with ledger.reading() as db:
        row = db.execute(_kept().where(studies.c.study_instance_uid == study_instance_uid)).first()
    if row is not None:
        return _entry(row)
    reason = "The node has no image of it, or not any more."
    return Entry(study=study_instance_uid, verdict=Verdict.NOT_FOUND, reason=reason)


def _kept() -> Select[tuple[Any, ...]]:
    count, size = func.count().label("instances"), func.sum(instances.c.size).label("size")
    there = (instances.c.kind == Kind.SOURCE, kept(), ~of_canary(studies.c.key))
    joined = studies.join(instances, instances.c.study_key == studies.c.key)
    return (
        select(studies.c.key, studies.c.study_instance_uid, count, size)
        .select_from(joined)
        .where(*there)
        .group_by(studies.c.key, studies.c.study_instance_uid)
    )


def _entry(row: Row[tuple[Any, ...]]) -> Entry:
    return Entry(study=row.study_instance_uid, instances=row.instances, size=row.size)
