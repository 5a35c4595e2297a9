"""Retention: the bytes of finished studies are removed when their time is over, a few at a time; the rows stay."""

from datetime import datetime
from functools import partial

from cxrnode.ledger import Ledger, purges, tallies
from cxrnode.ledger.purges import Bytes
from cxrnode.log import logger
from cxrnode.spool import Spool

LOG = logger("retention")
BITE = 10
"""Studies that are purged in one turn."""


def purge(ledger: Ledger, spool: Spool, keep_days: float, now: datetime) -> int:
    """Purge up to `BITE` studies that were finished `keep_days` ago, and what an earlier turn began; how many studies.

    A file that cannot be removed is tried again in the next turn. Raises LedgerUnavailable.
    """
    tallies.settle(ledger)
    for study in purges.expired(ledger, keep_days, now, BITE):
        if purges.begin(ledger, study.study, keep_days, now):
            LOG.info("purged", study=study.study, instances=study.instances, keep_days=keep_days)
    return sum(purges.remove(ledger, one, now, partial(_remove, spool)) for one in purges.to_remove(ledger, now))


def _remove(spool: Spool, noted: Bytes) -> bool:
    try:
        for key in noted.instances:
            spool.purge_image(key)
        for round_key in noted.rounds:
            spool.purge_results(round_key)
    except OSError as error:
        LOG.error("not removed", reason=type(error).__name__)
        return False
    return True
