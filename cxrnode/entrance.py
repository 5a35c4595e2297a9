"""The receiving process: the SCP, and beside it, in a process of its own, what the ledger makes of what it receives.

A study costs the ledger more than an image costs the receiver, and two threads of one interpreter would wait for each
other. The two begin and end together: `cxrnode receive` is one service.
"""

import gc
import json
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

from cxrnode.audit.alerts import Alerts
from cxrnode.audit.recorder import Recorder
from cxrnode.commitment import Report, Reports
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import Ledger, commitments
from cxrnode.log import logger
from cxrnode.metrics import zeros
from cxrnode.metrics.port import serve
from cxrnode.metrics.state import State
from cxrnode.porch import require
from cxrnode.receive import Receiver
from cxrnode.reception import Reception
from cxrnode.settings import Settings
from cxrnode.spool import Receipt, Spool

LOG = logger("entrance")
LOOK_EVERY_S = 0.2
"""How often it looks whether it has to end."""


class Entrance:
    """What `cxrnode receive` runs."""

    def __init__(self, settings: Settings) -> None:
        require(settings.receiving.tls)
        self._settings = settings
        self._spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
        self._ledger = Ledger(settings.ledger_url)  # opened when the first report comes
        self._alerts = Alerts(Recorder(settings, "receiver"))
        self._stopping = threading.Event()
        self._receipts = -1

    def run(self) -> bool:
        """Receive until `stop` is called; False: the intake ended before that."""
        self._spool.clear_incoming()
        intake = self._begin_intake()
        node, receiving = self._settings.node, self._settings.receiving
        reports = Reports(self._settings.destinations, receiving.senders, self.keep)
        receiver = Receiver(node.ae_title, receiving, self._spool, self.note, reports, self._alert)
        ended = False
        gc.freeze()  # what is here now stays: no look for garbage need go through it
        try:
            receiver.start()
            while not ended and not self._stopping.wait(LOOK_EVERY_S):
                ended = os.waitpid(intake, os.WNOHANG) != (0, 0)
        finally:
            receiver.stop()
            os.close(self._receipts)
            if not ended:
                os.waitpid(intake, 0)
            self._ledger.close()
        return not ended

    def stop(self) -> None:
        """End `run`; safe in a signal handler."""
        self._stopping.set()

    def note(self, receipt: Receipt) -> None:
        """Told by the SCP once the bytes are durable; the ledger learns of it at once when it can."""
        self._tell(json.dumps(vars(receipt)))

    def keep(self, report: Report, destinations: Sequence[str]) -> bool:
        """Told by the SCP what a destination reports; False: it was not asked. Raises LedgerUnavailable."""
        reached(Point.BEFORE_REPORT)
        known = commitments.record(self._ledger, report, destinations, datetime.now(UTC))
        reached(Point.AFTER_REPORT)
        self._tell("")
        return known

    def _alert(self, calling_ae: str, address: str, reason: str) -> None:
        self._alerts.refused(calling_ae, address, reason, datetime.now(UTC))

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # the intake has died, and so will this process: the next one finds all on the disk
            os.write(self._receipts, f"{line}\n".encode())  # no longer than a pipe takes whole

    def _begin_intake(self) -> int:
        """Its process, which learns by a pipe what arrives, and by the pipe's end that it is to end.

        If the SCP is killed it ends so as well, and not before the ledger has what was acknowledged: a second receiver
        need not be started again for that.
        """
        inbox, self._receipts = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(self._receipts)
            _take_in(self._settings, inbox)
        os.close(inbox)
        return process


def _take_in(settings: Settings, inbox: int) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        reception = Reception(settings)
        threading.Thread(target=_listen, args=(inbox, reception), daemon=True).start()
        zeros.of_receiver(settings.receiving)
        serve(settings.metrics.host, settings.metrics.receiver_port, partial(State, settings))
        reception.run()
    except BaseException as error:  # noqa: BLE001  nothing may get past here: it is a copy of the receiver's process
        LOG.error("intake ended", reason=type(error).__name__)
        os._exit(1)
    os._exit(0)


def _listen(inbox: int, reception: Reception) -> None:
    with open(inbox, encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                reception.note(Receipt(**json.loads(line)))
            else:
                reception.wake()
    reception.stop()
