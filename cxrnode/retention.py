"""Retention: the bytes of finished studies are removed when their time is over, a few at a time; the rows stay."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from cxrnode.receipt import Receipt
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
        if told is not None:
            receipts = list(_receipts(spool, noted.instances))
            uid = receipts[0].study_instance_uid if receipts else ""
            classes = counted_classes(receipt.sop_class_uid for receipt in receipts)
            told(about(map(spool.image, noted.instances), uid), classes)
        for key in noted.instances:
            spool.purge_image(key)
        for round_key in noted.rounds:
            spool.purge_results(round_key)
    except (OSError, AuditUnavailable) as error:
        LOG.error("not removed", reason=type(error).__name__)
        return False
    return True


def _receipts(spool: Spool, keys: Iterable[str]) -> Iterator[Receipt]:
    """Those that can be read: one that was damaged keeps no study for ever, nor the rest of a turn from being done."""
    for key in keys:
        try:
            yield spool.receipt(key)
        except (OSError, ValueError, TypeError) as error:
            LOG.error("receipt not readable", key=key, reason=type(error).__name__)
