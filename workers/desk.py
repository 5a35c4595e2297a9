"""What a task needs at hand: settings, ledger and spool, one set a process."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import SystemRandom

from cxrnode.audit.recorder import Recorder
from cxrnode.complete import submit
from cxrnode.errors import BrokerUnavailable, LedgerUnavailable, PeerUnavailable
from cxrnode.jobs import Jobs
from cxrnode.ledger import Ledger, work
from cxrnode.ledger.parcels import ObjectRow
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool

LOG = logger("desk")
DRAW = SystemRandom().random


class Desk:
    """One process's settings, ledger, spool and way to the queue; `chance` draws from [0, 1)."""

    def __init__(self, settings: Settings, chance: Callable[[], float] = DRAW, jobs: Jobs | None = None) -> None:
        self.settings = settings
        self.chance = chance
        self.jobs = jobs
        self.ledger = Ledger(settings.ledger_url)
        self.spool = Spool(settings.node.spool_dir)
        self.recorder = Recorder(settings, "worker")

    def retry_at(self, attempts: int, now: datetime) -> datetime:
        """When to try again after `attempts` tries: doubling from the first wait to the longest (settings.delivery).

        Half of the wait is drawn by lot (equal jitter: Brooker, Exponential Backoff And Jitter, AWS 2015), so that
        what failed together does not come back together; the other half is always given to a peer to recover.
        """
        delivery = self.settings.delivery
        wait_s = min(delivery.longest_retry_s, delivery.first_retry_s * 2.0 ** min(attempts - 1, 30))
        return now + timedelta(seconds=wait_s * (1 + self.chance()) / 2)

    def hand_on(self, round_key: str) -> None:
        """Put what a task has led to in the queue at once; what that fails for, the receiver's next look submits."""
        if self.jobs is None:
            return
        try:
            now = datetime.now(UTC)
            submit(self.ledger, self.jobs, work.next_of(self.ledger, round_key, now), now)
        except (BrokerUnavailable, LedgerUnavailable) as error:
            LOG.warning("not handed on", round=round_key, reason=str(error))

    def destination(self, name: str) -> Destination:
        """The destination that a task names. Raises PeerUnavailable when the settings do not name it (any more)."""
        named = {destination.name: destination for destination in self.settings.destinations}
        if name not in named:
            raise PeerUnavailable(f"destination {name!r} is not in the settings; wanted one of {sorted(named)}")
        return named[name]

    def keep(self, lease: Lease, uids: tuple[str, str, str], role: str, content: bytes) -> ObjectRow:
        """Keep the bytes of an object of the leased round; `uids` are its SOP Instance, SOP Class and Series."""
        return self.keep_all(lease, [(uids, role, content)])[0]

    def keep_all(self, lease: Lease, made: Sequence[tuple[tuple[str, str, str], str, bytes]]) -> list[ObjectRow]:
        """Keep the bytes of several, made durable together.

        A file's name holds the fence: a late worker never overwrites the bytes of the one that won.
        """
        rows = []
        for uids, role, content in made:
            digest = hashlib.sha256(content).hexdigest()
            rows.append(ObjectRow(*uids, role=role, file=f"{role}-{lease.fence}-{digest[:16]}", sha256=digest))
        contents = [content for _, _, content in made]
        self.spool.keep_results(lease.round_key, {row.file: one for row, one in zip(rows, contents, strict=True)})
        return rows
