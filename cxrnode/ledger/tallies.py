"""The running count: finished studies are settled a few at a time; what is written of one later unsettles it again.

The tables and what keeps them true are in tallytables.py. `recount` is the truth that this is held against.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, select, true

from cxrnode.ledger.database import Ledger
from cxrnode.ledger.places import Place, Scope, among, placed
from cxrnode.ledger.purges import since
from cxrnode.ledger.states import State
from cxrnode.ledger.tables import rounds, studies
from cxrnode.ledger.tallytables import keeps, shares, tallies, unsettled

BITE, LOOK = 100, 500
"""Studies that are settled together, and that are counted together: so few that a database goes by their keys."""
PART = 4096
"""So many studies, about, are counted anew at a time."""
UNFINISHED = [state for state in State if state is not State.FINISHED]
Sums = Counter[Place]


def settle(ledger: Ledger, most: int = BITE) -> int:
    """Settle up to `most` studies whose rounds are all finished, but for what is written of meanwhile; how many.

    They are counted before the writers' lock is taken, so that nobody waits for that.
    """
    with ledger.reading() as db:
        versions = {row.study_key: row.version for row in db.execute(_finished().limit(most))}
        if not versions:
            return 0
        counted, may_go = _count(db, among(versions)), since(db, among(versions))
    with ledger.writing() as db:
        now = db.execute(select(unsettled).where(unsettled.c.study_key.in_(versions)))
        same = [row.study_key for row in now if row.version == versions[row.study_key]]
        if rows := [_share(study, *one) for study in same for one in counted.get(study, Counter()).items()]:
            db.execute(insert(shares), rows)
        if rows := [{"study_key": study, "since": may_go[study]} for study in same if study in may_go]:
            db.execute(insert(keeps), rows)
        db.execute(delete(unsettled).where(unsettled.c.study_key.in_(same)))
    return len(versions)


def running(db: Connection) -> Sums:
    """Where every instance is that the ledger knows: the sums of the settled studies, and the others counted now."""
    sums = Counter({Place(row.place, row.outcome): row.instances for row in db.execute(select(tallies))})
    others = db.execute(select(unsettled.c.study_key)).scalars().all()
    for at in range(0, len(others), LOOK):
        sums.update(place for _, place in placed(db, among(others[at : at + LOOK])))
    return +sums


def recounted(db: Connection) -> tuple[Sums, list[str]]:
    """The same with every study counted now, and the settled ones of which the running count says something else."""
    sums: Sums = Counter()
    wrong = []
    for scope in _parts(db):
        counted, may_go = _count(db, scope), since(db, scope)
        for share in counted.values():
            sums.update(share)
        noted = {row.study_key: row.since for row in db.execute(select(keeps).where(scope(keeps.c.study_key)))}
        for key, share in _settled(db, scope).items():
            if (share, noted.get(key)) != (counted.get(key, Counter()), may_go.get(key)):
                wrong.append(key)
    return sums, wrong


def mend(ledger: Ledger, wrong: Collection[str]) -> None:
    """Unsettle these studies, and make the sums from the shares again."""
    with ledger.writing() as db:
        for study in wrong:
            if db.execute(select(unsettled).where(unsettled.c.study_key == study)).first() is None:
                db.execute(insert(unsettled).values(study_key=study, version=0))
        db.execute(delete(tallies))
        summed = select(shares.c.place, shares.c.outcome, func.sum(shares.c.instances)).group_by(
            shares.c.place, shares.c.outcome
        )
        db.execute(insert(tallies).from_select(["place", "outcome", "instances"], summed))


def _share(study: str, place: Place, count: int) -> dict[str, object]:
    return {"study_key": study, "instances": count, **place._asdict()}


def _finished() -> Select[Any]:
    """The unsettled studies whose rounds are all finished."""
    under_way = select(rounds.c.study_key).where(rounds.c.state.in_(UNFINISHED))
    return select(unsettled).where(unsettled.c.study_key.not_in(under_way))


def _count(db: Connection, scope: Scope) -> dict[str, Sums]:
    counted: dict[str, Sums] = {}
    for study, place in placed(db, scope):
        counted.setdefault(study, Counter())[place] += 1
    return counted


def _settled(db: Connection, scope: Scope) -> dict[str, Sums]:
    """The share of each study that is settled; none of one that has no instance."""
    known = (
        select(studies.c.key, shares.c.place, shares.c.outcome, shares.c.instances)
        .select_from(studies.outerjoin(shares, shares.c.study_key == studies.c.key))
        .where(scope(studies.c.key), studies.c.key.not_in(select(unsettled.c.study_key)))
    )
    there: dict[str, Sums] = {}
    for study, place, outcome, count in db.execute(known):
        share = there.setdefault(study, Counter())
        if place is not None:
            share[Place(place, outcome)] = count
    return there


def _parts(db: Connection) -> Iterator[Scope]:
    """All studies, in parts of which none is much larger than the others: their keys are random."""
    digits = 0
    while PART * 16**digits < db.execute(select(func.count()).select_from(studies)).scalar_one():
        digits += 1
    bounds = [None, *(f"{part:0{digits}x}" for part in range(1, 16**digits)), None]
    for least, most in pairwise(bounds):
        yield _between(least, most)


def _between(least: str | None, most: str | None) -> Scope:
    def scope(study: ColumnElement[str]) -> ColumnElement[bool]:
        above = study >= least if least is not None else true()
        return and_(above, study < most) if most is not None else above

    return scope
