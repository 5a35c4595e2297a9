"""Which images are gone, their bytes purged; and how one is there again, when a replay has fetched it anew.

While a replay fetches a study, bytes of it may lie on the disk of which the ledger does not know yet. That is noted
before they are fetched, so that retention finds and removes those that no replay has come back for.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, select, update

from cxrnode.ledger.tables import instances, purges, studies
from cxrnode.receipt import Receipt

GONE = purges.c.restored_at.is_(None)
"""Of a row of `purges`: no replay has fetched the image anew since."""


def kept() -> ColumnElement[bool]:
    """Whether the bytes of an instance are there: never purged, or there again."""
    return ~exists().where(purges.c.instance_key == instances.c.key, GONE).correlate(instances)


def is_kept(db: Connection, instance_key: str) -> bool:
    """The same of one instance."""
    return db.execute(select(instances.c.key).where(instances.c.key == instance_key, kept())).first() is not None


def may_come_again(db: Connection, study_instance_uids: Collection[str]) -> None:
    """Note of the images of these studies that are gone that they may lie on the disk from now on."""
    mine = select(instances.c.key).join(studies).where(studies.c.study_instance_uid.in_(study_instance_uids))
    gone = (GONE, purges.c.removed_at.is_not(None), purges.c.instance_key.in_(mine))
    db.execute(update(purges).where(*gone).values(removed_at=None))


def came_again(db: Connection, receipt: Receipt) -> None:
    """Note that an instance that was gone is there again, with these bytes; nothing where no replay has fetched it."""
    gone = (purges.c.instance_key == receipt.key, GONE)
    if not receipt.fetched or db.execute(select(purges).where(*gone)).first() is None:
        return
    db.execute(update(purges).where(*gone).values(restored_at=datetime.fromisoformat(receipt.received_at)))
    found = {"sha256": receipt.sha256, "size": receipt.size}
    db.execute(update(instances).where(instances.c.key == receipt.key).values(**found))
