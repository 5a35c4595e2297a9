"""What has come in, told to the audit trail: one message for each study and association, not one an image."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cxrnode.audit.about import about
from cxrnode.audit.recorder import Arrived, Recorder
from cxrnode.errors import AuditUnavailable
from cxrnode.ledger import Ledger, transfers
from cxrnode.ledger.transfers import Transfer
from cxrnode.log import logger
from cxrnode.spool import Spool

LOG = logger("audit")


def tell(ledger: Ledger, spool: Spool, recorder: Recorder, quiet_s: float, now: datetime) -> int:
    """Tell what has come until `quiet_s` ago, or since then nothing more of; how many messages.

    While the trail cannot be written it waits in the ledger. Raises LedgerUnavailable.
    """
    count = 0
    while some := transfers.ended(ledger, now - timedelta(seconds=quiet_s)):
        arrived = {one: _arrived(spool, one) for one in some}  # read before anybody has to wait for the ledger

        def write(same: Sequence[Transfer], known: dict[Transfer, Arrived] = arrived) -> None:
            recorder.received([known[one] for one in same], now)

        try:
            told = transfers.settle(ledger, some, write)
        except AuditUnavailable as error:
            LOG.error("arrivals not told", reason=str(error))
            break
        count += told
        if not told:
            break
    return count


def _arrived(spool: Spool, one: Transfer) -> Arrived:
    whose = about([spool.image(one.instance_key)], one.study_instance_uid, one.study_key)
    return Arrived(one.calling_ae, one.address, one.last_at, whose, one.instances, new=one.fresh > 0)
