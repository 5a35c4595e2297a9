"""Retention: the bytes of finished studies are removed when their time is over, a few at a time; the rows stay."""

from datetime import datetime

from cxrnode.ledger import Ledger, purges, tallies
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
    gone = 0
    for one in purges.to_remove(ledger):
        try:
            for key in one.instances:
                spool.purge_image(key)
            for round_key in one.rounds:
                spool.purge_results(round_key)
        except OSError as error:
            LOG.error("not removed", reason=type(error).__name__)
            continue
        purges.removed(ledger, one.instances, now)
        gone += 1
    return gone
