"""The account: where every acknowledged instance is, so that the sum is what was received."""

from dataclasses import dataclass

from sqlalchemy import select

from cxrnode.ledger import tallies
from cxrnode.ledger.database import Ledger
from cxrnode.ledger.places import Place
from cxrnode.ledger.tables import instances
from cxrnode.ledger.tallies import Sums
from cxrnode.spool import Spool

WAITING = Place("on the disk, not yet in the ledger", "")


@dataclass(frozen=True)
class Line:
    """How many instances are in one place with one outcome (empty while there is none)."""

    place: str
    outcome: str
    instances: int


@dataclass(frozen=True)
class Account:
    """Every instance, once; `total` is counted from the disk, the lines from the ledger and what it does not know."""

    total: int
    lines: tuple[Line, ...]

    @property
    def balanced(self) -> bool:
        """Whether the lines sum to what was received."""
        return sum(line.instances for line in self.lines) == self.total


@dataclass(frozen=True)
class Recount:
    """An account for which nothing was taken from the running count, and whether that said the same."""

    total: Account
    agreed: bool


def account(ledger: Ledger, spool: Spool) -> Account:
    """Count every instance where it is, the settled studies by their sums and the disk by its folders' counts.

    Instances that wait on the disk for the ledger are a line of their own: as many as the disk has more.
    """
    with ledger.reading() as db:
        sums = tallies.running(db)
    on_disk = spool.count()  # after the ledger, which never knows of one before the disk has it
    return _account(sums, on_disk, max(on_disk - sums.total(), 0))


def recount(ledger: Ledger, spool: Spool) -> Recount:
    """Count every instance, and hold the disk's keys against the ledger's one by one; mend the running count.

    It takes minutes with millions of studies, and holds no writer up.
    """
    on_disk = waiting = 0
    with ledger.reading() as db:
        sums, wrong = tallies.recounted(db)
        agreed = not wrong and tallies.running(db) == sums
        for shard, keys in spool.shards():
            here = (instances.c.key >= shard, instances.c.key < f"{shard}g")  # keys are hexadecimal
            entered = set(db.execute(select(instances.c.key).where(*here)).scalars())
            on_disk += len(keys)
            waiting += len(keys - entered)
    if not agreed:
        tallies.mend(ledger, wrong)
    return Recount(_account(sums, on_disk, waiting), agreed)


def _account(sums: Sums, on_disk: int, waiting: int) -> Account:
    places = sums if not waiting else sums + Sums({WAITING: waiting})
    return Account(on_disk, tuple(Line(*place, count) for place, count in sorted(places.items())))
