"""The receiving process: it accepts; processes of its own are the SCP, and what the ledger makes of what that receives.

A study costs the ledger more than an image costs the SCP, and threads of one interpreter wait for each other. All of
them begin and end together: `cxrnode receive` is one service.
"""

import gc
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from select import POLLOUT, poll
from socket import AF_INET, AF_INET6, create_server, socket
from typing import NoReturn

from pydicom import config

from cxrnode.acceptors import GRACE_S, Acceptors, Hatch, wait_for
from cxrnode.audit.alerts import Alerts
from cxrnode.audit.recorder import Recorder
from cxrnode.commitment import Report, Reports
from cxrnode.doorway import Doorway
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import Ledger, commitments
from cxrnode.listener import MAIN, Listener
from cxrnode.log import logger
from cxrnode.metrics import zeros
from cxrnode.metrics.port import serve
from cxrnode.metrics.state import State
from cxrnode.porch import require
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.reception import Reception
from cxrnode.seats import Seats
from cxrnode.settings import Settings
from cxrnode.spool import Spool

LOG = logger("entrance")
LOOK_EVERY_S = 0.2
"""How often it looks whether it has to end."""
MOST_PROCESSES = 4
"""that take associations, where the settings say no number: on a larger machine the workers want the other cores"""
MOST_UNTOLD = 100_000
"""Receipts that wait for an intake that does not listen; the disk has them as well, and it looks there."""
BACKLOG = 128
"""Connections that wait until they are accepted."""


class Entrance:
    """What `cxrnode receive` runs: one of the node's receivers."""

    def __init__(self, settings: Settings, listener: Listener) -> None:
        require(listener.tls)
        self._settings, self._listener = settings, listener
        self._spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
        self._ledger = Ledger(settings.ledger_url)  # opened when the first report comes
        self._seats = Seats(listener.max_associations)
        self._processes = listener.processes or min(MOST_PROCESSES, os.cpu_count() or 1)
        self._stopping = False
        self._alerts = Alerts(Recorder(settings, listener.called))
        self._receipts = -1
        self._untold: deque[bytes] = deque(maxlen=MOST_UNTOLD)
        self._telling, self._behind = threading.Lock(), False

    def run(self) -> bool:
        """Receive until `stop` is called; False: one of the processes ended before that."""
        self._spool.clear_incoming()
        self._spool.lay_out()
        gc.freeze()  # what is here now stays, for all of them: no look for garbage need go through it
        intake = self._begin_intake()
        acceptors, ended = Acceptors(self._accept), False
        try:
            try:
                acceptors.begin(self._processes)
            finally:
                os.close(self._receipts)  # the acceptors have it
            with self._listening() as port:
                while not self._stopping and not (ended := os.waitpid(intake, os.WNOHANG) != (0, 0)):
                    if acceptors.one_has_ended():
                        break
                    with suppress(TimeoutError):
                        acceptors.hand(_accepted(port))
        finally:
            acceptors.end()
            if not ended:
                wait_for(intake, time.monotonic() + GRACE_S)
        return self._stopping

    def stop(self) -> None:
        """End `run`; safe in a signal handler."""
        self._stopping = True

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

    def _listening(self) -> socket:
        """The port. Raises OSError when it is taken."""
        listener = self._listener
        family = AF_INET6 if ":" in listener.host else AF_INET
        port = create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
        port.settimeout(LOOK_EVERY_S)
        LOG.info("listening", ae_title=listener.ae_title, host=listener.host, port=listener.port)
        return port

    def _accept(self, hatch: Hatch) -> None:
        """What each process does that takes associations.

        pydicom checks every UID when it makes one, only to warn; a sender that proposes all there is has hundreds.
        """
        config.settings.reading_validation_mode = config.IGNORE
        listener = self._listener
        reports = Reports(self._settings.destinations, listener.senders, self.keep)
        doorway = Doorway(listener, self._seats, self._processes, hatch.ended)
        receiver = Receiver(
            listener.ae_title, listener, self._spool, self.note, reports, doorway=doorway, alert=self._alert
        )
        receiver.wait()
        while (connection := hatch.connection()) is not None:
            try:
                receiver.take(connection)
            except OSError:  # it has ended already
                connection.close()
                hatch.ended()
        receiver.stop()
        self._alerts.end(datetime.now(UTC))
        self._ledger.close()

    def _alert(self, calling_ae: str, address: str, reason: str) -> None:
        self._alerts.refused(calling_ae, address, reason, datetime.now(UTC))

    def _tell(self, line: str) -> None:
        """Tell the intake, now or when it listens again: no image waits for it."""
        with self._telling:
            self._untold.append(f"{line}\n".encode())  # no longer than a pipe takes whole
            if not self._behind and not self._told():
                self._behind = True
                threading.Thread(target=self._tell_late, daemon=True).start()

    def _told(self) -> bool:
        """Whether nothing is left to be told."""
        while self._untold:
            try:
                os.write(self._receipts, self._untold[0])
            except BlockingIOError:
                return False
            except OSError:  # it has died, and so will this process: the next one finds all on the disk
                self._untold.clear()
                return True
            self._untold.popleft()
        return True

    def _tell_late(self) -> None:
        ready = poll()
        ready.register(self._receipts, POLLOUT)
        while self._behind:
            ready.poll()
            with self._telling:
                self._behind = not self._told()

    def _begin_intake(self) -> int:
        """Its process, which learns by a pipe what arrives, and by the pipe's end that it is to end.

        If the SCP is killed it ends so as well, and not before the ledger has what was acknowledged: a second receiver
        need not be started again for that.
        """
        inbox, self._receipts = os.pipe()
        os.set_blocking(self._receipts, False)
        process = os.fork()
        if process == 0:
            os.close(self._receipts)
            _take_in(self._settings, self._listener, inbox)
        os.close(inbox)
        return process


def _accepted(port: socket) -> socket:
    """The next connection. Raises TimeoutError when there was none for a while, or none can be taken just now."""
    try:
        return port.accept()[0]
    except TimeoutError:
        raise
    except OSError as error:
        LOG.warning("no connection taken", reason=error.strerror)
        time.sleep(LOOK_EVERY_S)
        raise TimeoutError from error


def _take_in(settings: Settings, listener: Listener, inbox: int) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        reception = Reception(settings)
        threading.Thread(target=_listen, args=(inbox, reception), daemon=True).start()
        zeros.of_receiver(listener)
        whole = partial(State, settings) if listener.name == MAIN else None  # what is the node's is told once
        serve(settings.metrics.host, listener.metrics_port, whole)
        reception.run()
    except BaseException as error:  # noqa: BLE001  nothing may get past here: it is a copy of the receiver's process
        LOG.error("intake ended", reason=type(error).__name__)
        os._exit(1)
    os._exit(0)


def _listen(inbox: int, reception: Reception) -> None:
    """Until the pipe ends; a fault ends the process, as nobody would notice that it is deaf."""
    try:
        with open(inbox, encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    reception.note(Receipt(**json.loads(line)))
                else:
                    reception.wake()
    except Exception as error:  # noqa: BLE001  whatever it is
        LOG.error("intake ended", reason=type(error).__name__)
        os._exit(1)
    reception.stop()
