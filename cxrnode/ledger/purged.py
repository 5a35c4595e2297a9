"""A purged instance that came again: a replay wants its bytes back; else they are removed once more."""

from sqlalchemy import Connection, delete, update

from cxrnode.ledger.tables import purges


def came_again(db: Connection, instance_key: str, *, wanted: bool) -> None:
    """Note that an instance's bytes may be on the disk again; nothing where it was never purged."""
    mine = purges.c.instance_key == instance_key
    db.execute(delete(purges).where(mine) if wanted else update(purges).where(mine).values(removed_at=None))
