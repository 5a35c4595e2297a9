"""The intake of receipts into the ledger, and the reconciler, in one loop."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from cxrnode.audit import arrivals as audited
from cxrnode.audit.forward import Forwarder
from cxrnode.audit.question import asked_by
from cxrnode.audit.recorder import Recorder
from cxrnode.complete import ask, enter, next_closing, reconcile, sweep
from cxrnode.errors import LedgerUnavailable
from cxrnode.faultpoints import Point, reached
from cxrnode.jobs import Jobs
from cxrnode.ledger import Ledger, tallies
from cxrnode.log import logger
from cxrnode.peers.query import Inquiries
from cxrnode.receipt import Receipt
from cxrnode.retention import purge
from cxrnode.serving.canary import Canary
from cxrnode.settings import Settings
from cxrnode.spool import Spool

LOG = logger("reception")
PURGE_EVERY = timedelta(minutes=1)
"""How often the reconciler looks for studies whose time is over, when it found none the last time."""
GATHER_S = 0.1
"""So long receipts are gathered after the first, that a stream of them costs the ledger few transactions."""
LOOK_EVERY = timedelta(seconds=5)
"""How often it looks through one more of the 256 parts of the disk for receipts that the ledger does not know."""
AUDIT_EVERY = timedelta(seconds=2)
"""How often it looks for what has come and the audit trail has not been told."""
CANARY_EVERY = timedelta(seconds=2)
"""How often it looks whether a canary is to be sent, or has come back."""
SETTLE_EVERY, BITES = timedelta(seconds=10), 5
"""How often it settles finished studies in the running count, when there were few the last time; and how many bites."""


class Reception:
    """Everything between the network and the queue. A ledger or a broker that is away refuses no image."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
        self._ledger = Ledger(settings.ledger_url)
        self._jobs = Jobs(settings.broker_url)
        self._receipts: deque[Receipt] = deque()
        self._something = threading.Event()
        self._stopping = False
        self._recorder = Recorder(settings, "receiver")
        self._inquiries = Inquiries(settings.node.ae_title, self._something.set, asked_by(self._recorder))
        self._forwarder = Forwarder(self._recorder.trail, settings.audit)
        self._canary = Canary(settings, self._ledger, self._spool, self._recorder)
        self._turned_at = self._purge_at = self._settle_at = datetime.min.replace(tzinfo=UTC)
        self._look_at = self._audit_at = self._canary_at = self._turned_at
        self._parts: Iterator[tuple[str, set[str]]] = iter(())
        self._close_at: datetime | None = None
        self._behind = True  # whether receipts may lie on the disk that the ledger has not seen

    def run(self) -> None:
        """Take in and reconcile until `stop` is called."""
        if self._settings.audit.syslog != "off":
            threading.Thread(target=self._forwarder.run, daemon=True).start()
        try:
            while not self._stopping:
                self._something.wait(self._pause_s(datetime.now(UTC)))
                if self._receipts:
                    time.sleep(GATHER_S)
                self._something.clear()
                self._turn_whatever_happens(datetime.now(UTC))
        finally:
            self._take_in()
            self._tell_all(datetime.now(UTC))
            self._forwarder.stop()
            self._jobs.close()
            self._ledger.close()

    def stop(self) -> None:
        """End `run` after its present turn; safe in a signal handler."""
        self._stopping = True
        self._something.set()

    def note(self, receipt: Receipt) -> None:
        """Told by the SCP once the bytes are durable; the ledger learns of it at once when it can."""
        self._receipts.append(receipt)
        self._something.set()

    def wake(self) -> None:
        """Told that something is in the ledger that `turn` should look at."""
        self._something.set()

    def _turn_whatever_happens(self, now: datetime) -> None:
        """A fault that nobody thought of ends no receiver: images go on being taken, and the next turn begins anew."""
        try:
            self.turn(now)
        except Exception as error:  # noqa: BLE001  the edge of the loop; its text may quote a header
            LOG.error("turn failed", reason=type(error).__name__)
            self._behind = True

    def turn(self, now: datetime) -> None:
        """Enter what arrived, then reconcile; while the ledger is away, receipts wait on the disk."""
        self._close_at = None
        if now < self._turned_at:
            self._begin_anew(now)
        self._turned_at = now
        self._take_in()
        if self._behind:
            return
        try:
            ask(self._ledger, self._inquiries, self._settings, now)
            if reconcile(self._ledger, self._jobs, self._spool, self._settings, now):
                self._something.set()
            self._close_at = next_closing(self._ledger, self._settings, now)
            if now >= self._purge_at:
                told = partial(self._recorder.removed, now=now, by_hand=False)
                more = purge(self._ledger, self._spool, self._settings.retention.keep_days, now, told)
                self._purge_at = now if more else now + PURGE_EVERY
            if now >= self._audit_at:
                self._audit_at = now + AUDIT_EVERY
                audited.tell(self._ledger, self._spool, self._recorder, self._settings.receiving.quiet_s, now)
            if now >= self._canary_at:
                self._canary_at = now + CANARY_EVERY
                self._canary.turn(now)
            if now >= self._settle_at:
                more = all(tallies.settle(self._ledger) == tallies.BITE for _ in range(BITES))
                self._settle_at = now if more else now + SETTLE_EVERY
            if now >= self._look_at:
                self._look_at = now + LOOK_EVERY
                self._look_through_a_part()
        except LedgerUnavailable as error:
            self._lost_touch(error)

    def _begin_anew(self, now: datetime) -> None:
        """All that is done now and then is due, as it is when the clock was put back: it would wait for so long."""
        self._purge_at = self._settle_at = self._look_at = self._audit_at = self._canary_at = now

    def _pause_s(self, now: datetime) -> float:
        """How long there is nothing to do, unless something arrives: until a study is quiet, or the next look."""
        pause_s = self._settings.queue.reconcile_s
        return min(pause_s, max(0.0, (self._close_at - now).total_seconds())) if self._close_at else pause_s

    def _take_in(self) -> None:
        arrived = [self._receipts.popleft() for _ in range(len(self._receipts))]
        try:
            if self._behind:
                found = sweep(self._spool, self._ledger)
                self._behind = False
                LOG.info("ledger agrees with the disk", receipts_found=found)
            if arrived:
                reached(Point.BEFORE_INGEST)
                enter(self._ledger, arrived, self._spool)
                reached(Point.AFTER_INGEST)
        except LedgerUnavailable as error:
            self._lost_touch(error)

    def _tell_all(self, now: datetime) -> None:
        """The trail is told of all that has come before the process ends; while the ledger is away, by the next one."""
        try:
            audited.tell(self._ledger, self._spool, self._recorder, 0.0, now)
        except LedgerUnavailable as error:
            self._lost_touch(error)

    def _look_through_a_part(self) -> None:
        """What a receiver on the same spool has acknowledged that was killed and did not come back lies there."""
        part = next(self._parts, None)
        if part is None:
            self._parts = self._spool.shards()
        elif found := sweep(self._spool, self._ledger, [part]):
            LOG.warning("receipts found that nobody entered", receipts_found=found)
            self._something.set()

    def _lost_touch(self, error: LedgerUnavailable) -> None:
        LOG.warning("ledger away", reason=str(error))
        self._behind = True
