"""What came of each study over each association, until the audit trail has been told: a row for each, gone then.

It is noted in the transaction that enters the instances, so whoever is killed in between leaves it here: each arrival
is told at least once.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Integer,
    Row,
    Table,
    and_,
    delete,
    insert,
    select,
    update,
)

from cxrnode.ledger.columns import String, Text, Utc
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.tables import KEY, metadata, studies
from cxrnode.receipt import Receipt

transfers = Table(
    "transfers",
    metadata,
    Column("study_key", KEY, ForeignKey("studies.key"), primary_key=True),
    Column("association", String(64), primary_key=True),
    Column("calling_ae", String(16), primary_key=True),
    Column("address", String(64), primary_key=True),
    Column("last_at", Utc, nullable=False, index=True),
    Column("fresh", Integer, nullable=False),  # instances that were not here before
    Column("classes", Text, nullable=False),  # how many instances of each SOP class, as JSON
    Column("instance_key", KEY, nullable=False),  # the last one: its header says whose study it is
)
MOST = 100
"""Transfers that are told together."""
Way = tuple[str, str, str, str]


@dataclass(frozen=True)
class Transfer:
    """What came of one study over one association: instances by SOP class, and how many were not here before."""

    study_key: str
    study_instance_uid: str
    association: str
    calling_ae: str
    address: str
    last_at: datetime
    fresh: int
    classes: str
    instance_key: str

    @property
    def instances(self) -> dict[str, int]:
        """How many instances of each SOP class."""
        return {str(uid): int(count) for uid, count in json.loads(self.classes).items()}


def count(db: Connection, receipts: Sequence[Receipt], fresh: Collection[str]) -> None:
    """Note that instances came that the ledger has entered, and which of them, by key, were not here before."""
    came: dict[Way, list[Receipt]] = {}
    for receipt in receipts:
        way = (receipt.study_instance_uid, receipt.association, receipt.calling_ae, receipt.address)
        came.setdefault(way, []).append(receipt)
    for (study_instance_uid, *over), some in came.items():
        named = select(studies.c.key).where(studies.c.study_instance_uid == study_instance_uid)
        if (study_key := db.execute(named).scalar()) is not None:
            _add(db, (study_key, *over), some, sum(one.key in fresh for one in some))


def ended(ledger: Ledger, since: datetime) -> list[Transfer]:
    """Those to which nothing was added since then, the oldest first, up to `MOST`."""
    joined = select(transfers, studies.c.study_instance_uid).join(studies)
    with ledger.reading() as db:
        rows = db.execute(joined.where(transfers.c.last_at <= since).order_by(transfers.c.last_at).limit(MOST))
        return [Transfer(**row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's name for a public thing


def settle(ledger: Ledger, told: Sequence[Transfer], tell: Callable[[Sequence[Transfer]], None]) -> int:
    """Tell those that have not grown meanwhile, and forget them; how many. What `tell` raises leaves all as it was."""
    with ledger.writing() as db:
        same = [one for one in told if _unchanged(db, one)]
        tell(same)
        for one in same:
            db.execute(delete(transfers).where(_over(_way(one))))
    return len(same)


def _add(db: Connection, way: Way, some: Sequence[Receipt], fresh: int) -> None:
    row = db.execute(select(transfers).where(_over(way))).first()
    classes = Counter(json.loads(row.classes)) if row is not None else Counter()
    classes.update(one.sop_class_uid for one in some)
    last = max(some, key=lambda one: datetime.fromisoformat(one.received_at))
    last_at = datetime.fromisoformat(last.received_at)
    values = {"classes": json.dumps(classes), "instance_key": last.key}
    if row is None:
        names = ("study_key", "association", "calling_ae", "address")
        db.execute(
            insert(transfers).values(**dict(zip(names, way, strict=True)), last_at=last_at, fresh=fresh, **values)
        )
        return
    grown = {"last_at": max(last_at, row.last_at), "fresh": row.fresh + fresh}
    db.execute(update(transfers).where(_over(way)).values(**grown, **values))


def _unchanged(db: Connection, one: Transfer) -> bool:
    row: Row[tuple[object, ...]] | None = db.execute(select(transfers).where(_over(_way(one)))).first()
    return row is not None and (row.last_at, row.classes) == (one.last_at, one.classes)


def _way(one: Transfer) -> Way:
    return one.study_key, one.association, one.calling_ae, one.address


def _over(way: Way) -> ColumnElement[bool]:
    study_key, association, calling_ae, address = way
    return and_(
        transfers.c.study_key == study_key,
        transfers.c.association == association,
        transfers.c.calling_ae == calling_ae,
        transfers.c.address == address,
    )
