"""Retention: the bytes of finished studies are removed when their time is over, a few at a time; the rows stay."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from cxrnode.audit.about import about
from cxrnode.audit.events import About, counted_classes
from cxrnode.draft import locked
from cxrnode.errors import AuditUnavailable
from cxrnode.ledger import Ledger, purges, tallies
from cxrnode.ledger.purges import Bytes
from cxrnode.log import logger
from cxrnode.spool import Spool

LOG = logger("retention")
BITE = 10
"""Studies that are purged in one turn."""
Told = Callable[[About, Mapping[str, int]], None]


def purge(ledger: Ledger, spool: Spool, keep_days: float, now: datetime, told: Told | None = None) -> int:
    """Purge up to `BITE` studies that were finished `keep_days` ago, and what an earlier turn began; how many studies.

    `told` is told of each whose it is and what goes, before it does. A file that cannot be removed is tried again in
    the next turn, and so is what could not be told. While a backup is made nothing is removed.
    Raises LedgerUnavailable.
    """
    with suppress(BlockingIOError), locked(spool.root):
        return _purge(ledger, spool, keep_days, now, told)
    LOG.info("nothing removed: a backup is being made, or another process removes")
    return 0


def _purge(ledger: Ledger, spool: Spool, keep_days: float, now: datetime, told: Told | None) -> int:
    tallies.settle(ledger)
    for study in purges.expired(ledger, keep_days, now, BITE):
        if purges.begin(ledger, study.study, keep_days, now):
            LOG.info("purged", study=study.study, instances=study.instances, keep_days=keep_days)
    return sum(purges.remove(ledger, one, now, partial(_remove, spool, told)) for one in purges.to_remove(ledger, now))


def _remove(spool: Spool, told: Told | None, noted: Bytes) -> bool:
    try:
        receipts = [spool.receipt(key) for key in noted.instances] if told is not None else []
        whose = about(map(spool.image, noted.instances), receipts[0].study_instance_uid) if receipts else None
        if whose is not None and told is not None:
            told(whose, counted_classes(receipt.sop_class_uid for receipt in receipts))
        for key in noted.instances:
            spool.purge_image(key)
        for round_key in noted.rounds:
            spool.purge_results(round_key)
    except (OSError, AuditUnavailable) as error:
        LOG.error("not removed", reason=type(error).__name__)
        return False
    return True
