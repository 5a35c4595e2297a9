"""What a task needs at hand: settings, ledger and spool, one set a process."""

import hashlib
from datetime import UTC, datetime, timedelta

from cxrnode.ledger import Ledger
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.work import Lease
from cxrnode.settings import Settings
from cxrnode.spool import Spool


class Desk:
    """One process's settings, ledger and spool."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.ledger_url)
        self.spool = Spool(settings.node.spool_dir)

    def retry_at(self, attempts: int) -> datetime:
        """When to try again after `attempts` tries: doubling from the first wait to the longest (settings.delivery)."""
        delivery = self.settings.delivery
        wait_s = min(delivery.longest_retry_s, delivery.first_retry_s * 2.0 ** min(attempts - 1, 30))
        return datetime.now(UTC) + timedelta(seconds=wait_s)

    def keep(self, lease: Lease, uids: tuple[str, str, str], role: str, content: bytes) -> ObjectRow:
        """Keep the bytes of an object of the leased round; `uids` are its SOP Instance, SOP Class and Series.

        The file's name holds the fence: a late worker never overwrites the bytes of the one that won.
        """
        digest = hashlib.sha256(content).hexdigest()
        name = f"{role}-{lease.fence}-{digest[:16]}"
        self.spool.keep_result(lease.round_key, name, content)
        return ObjectRow(*uids, role=role, file=name, sha256=digest)
