"""The receiving process: it accepts; processes of its own are the SCP, and what the ledger makes of what that receives.

A study costs the ledger more than an image costs the SCP, and threads of one interpreter wait for each other. All of
them begin and end together: `cxrnode receive` is one service. When the settings are read anew others take their place,
and those that hold associations stay until these have ended.
"""

import gc
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

from pydicom import config

from cxrnode.audit.alerts import Alerts
from cxrnode.audit.recorder import Recorder
from cxrnode.commitment import Report, Reports
from cxrnode.errors import SettingsError
from cxrnode.faultpoints import Point, reached
from cxrnode.ledger import Ledger, commitments
from cxrnode.log import logger
from cxrnode.metrics import zeros
from cxrnode.metrics.port import serve
from cxrnode.metrics.state import State
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.receiving.doorway import Doorway
from cxrnode.receiving.porch import require
from cxrnode.receiving.seats import Seats
from cxrnode.serving.acceptors import GRACE_S, Acceptors, Hatch, wait_for
from cxrnode.serving.anew import on_hangup
from cxrnode.serving.inbox import Inbox
from cxrnode.serving.reception import Reception
from cxrnode.serving.running import metrics_of, present, require_same, started_with
from cxrnode.serving.shift import at_work
from cxrnode.serving.threshold import Threshold
from cxrnode.settings import Settings, load
from cxrnode.settings.listener import MAIN, Listener
from cxrnode.spool import Spool

LOG = logger("entrance")
MOST_PROCESSES = 4
"""that take associations, where the settings say no number: on a larger machine the workers want the other cores"""


@dataclass(frozen=True)
class Terms:
    """What a receiver goes by until the settings are read anew."""

    settings: Settings
    listener: Listener
    spool: Spool
    seats: Seats
    alerts: Alerts

    @property
    def processes(self) -> int:
        """How many take associations."""
        return self.listener.processes or min(MOST_PROCESSES, os.cpu_count() or 1)

    @property
    def where(self) -> dict[str, object]:
        """Where it listens, for the log."""
        return {name: getattr(self.listener, name) for name in ("ae_title", "host", "port")}


class Entrance:
    """What `cxrnode receive` runs: one of the node's receivers."""

    def __init__(self, settings: Settings, listener: Listener) -> None:
        self._stopping = self._again = self._intake_ends = self._intake_told = False
        self._by = _terms(settings, listener, Seats(listener.max_associations))
        self._ledger = Ledger(settings.ledger_url)  # opened when the first report comes

    def run(self, heard: Callable[[str], None] = lambda _: None) -> bool:
        """Receive until `stop` is called; False: one of the processes ended before that.

        `heard` is told when the settings were read anew: why they were refused, or nothing.
        """
        self._by.spool.clear_incoming()
        self._by.spool.lay_out()
        gc.freeze()  # what is here now stays, for all of them: no look for garbage need go through it
        self._inbox, self._threshold, self._acceptors = Inbox(), Threshold(), Acceptors(self._accept)
        self._begin_intake()
        ended = False
        try:
            self._acceptors.begin(self._by.processes)
            self._threshold.open(self._by.listener)
            LOG.info("listening", **self._by.where)
            while not self._stopping and not (ended := not self._intake_goes_on()):
                if self._acceptors.one_has_ended():
                    break
                if self._again:
                    self._again = False
                    heard(self._read_anew())
                with suppress(TimeoutError):
                    self._acceptors.hand(self._threshold.accepted())
        finally:
            self._threshold.close()
            self._acceptors.end()
            self._inbox.only_read()  # nobody tells it anything any more
            if not ended:
                wait_for(self._intake, time.monotonic() + GRACE_S)
        return self._stopping

    def stop(self) -> None:
        """End `run`; safe in a signal handler."""
        self._stopping = True

    def again(self) -> None:
        """Have the settings read anew, soon; safe in a signal handler."""
        self._again = True

    def note(self, receipt: Receipt) -> None:
        """Told by the SCP once the bytes are durable; the ledger learns of it at once when it can."""
        self._inbox.tell(json.dumps(vars(receipt)))

    def keep(self, report: Report, destinations: Sequence[str]) -> bool:
        """Told by the SCP what a destination reports; False: it was not asked. Raises LedgerUnavailable."""
        reached(Point.BEFORE_REPORT)
        known = commitments.record(self._ledger, report, destinations, datetime.now(UTC))
        reached(Point.AFTER_REPORT)
        self._inbox.tell("")
        return known

    def _read_anew(self) -> str:
        """Have others go by the settings as they are now; where these are wrong, those of before hold: why."""
        before = self._by
        try:
            settings = load()
            listener = settings.listener(before.listener.name)
            require_same(fixed(before.settings, before.listener), fixed(settings, listener), listener.called)
            self._by = _terms(settings, listener, before.seats.of(listener.max_associations))
            self._by.spool.lay_out()
            self._threshold.open(listener)
            self._acceptors.renew(self._by.processes)
        except (SettingsError, OSError) as error:
            self._by = before
            self._threshold.keep()
            LOG.error("settings refused", reason=str(error))
            return str(error)
        for connection in self._threshold.leave():
            self._acceptors.hand(connection)
        self._intake_ends = True
        LOG.info("settings read anew", **self._by.where)
        return ""

    def _accept(self, hatch: Hatch) -> None:
        """What each process does that takes associations.

        pydicom checks every UID when it makes one, only to warn; a sender that proposes all there is has hundreds.
        """
        self._threshold.close()
        self._inbox.only_tell()
        config.settings.reading_validation_mode = config.IGNORE
        by, listener = self._by, self._by.listener
        reports = Reports(by.settings.destinations, listener.senders, self.keep)
        doorway = Doorway(listener, by.seats, by.processes, hatch.ended)
        receiver = Receiver(
            listener.ae_title, listener, by.spool, self.note, reports, doorway=doorway, alert=self._alert
        )
        receiver.wait()
        while (connection := hatch.connection()) is not None:
            try:
                receiver.take(connection)
            except OSError:  # it has ended already
                connection.close()
                hatch.ended()
        receiver.stop()
        by.alerts.end(datetime.now(UTC))
        self._ledger.close()

    def _alert(self, calling_ae: str, address: str, reason: str) -> None:
        self._by.alerts.refused(calling_ae, address, reason, datetime.now(UTC))

    def _begin_intake(self) -> None:
        """Its process, which learns by a pipe what arrives, and by the pipe's end that it is to end.

        If the SCP is killed it ends so as well, and not before the ledger has what was acknowledged: a second receiver
        need not be started again for that.
        """
        self._intake_ends = self._intake_told = False
        self._intake = os.fork()
        if self._intake == 0:
            self._threshold.close()
            self._acceptors.forget()
            self._inbox.only_read()
            _take_in(self._by.settings, self._by.listener, self._inbox)

    def _intake_goes_on(self) -> bool:
        """Whether its process is there, or the next one, which begins where one has ended that was told to."""
        if self._intake_ends and not self._intake_told:
            self._intake_told = self._inbox.ask_to_end()
        if os.waitpid(self._intake, os.WNOHANG) == (0, 0):
            return True
        if self._intake_told:
            self._begin_intake()
            return True
        return False


def receive(settings: Settings, listener: Listener) -> bool:
    """Receive until SIGTERM or SIGINT; SIGHUP has the settings read anew. False: a process ended before that."""
    entrance = Entrance(settings, listener)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: entrance.stop())
    on_hangup(entrance.again, entrance.stop)
    with (
        at_work(settings, listener.called),
        present(settings, listener.called, **metrics_of(settings, listener)) as presence,
    ):
        return entrance.run(lambda fault: presence.heard(fault, datetime.now(UTC)))


def fixed(settings: Settings, listener: Listener) -> dict[str, str]:
    """The settings of a receiver that take a new start."""
    return started_with(settings) | metrics_of(settings, listener)


def _terms(settings: Settings, listener: Listener, seats: Seats) -> Terms:
    """Raises SettingsError where the files for TLS cannot be read."""
    require(listener.tls)
    spool = Spool(settings.node.spool_dir, settings.receiving.reserve_gb)
    return Terms(settings, listener, spool, seats, Alerts(Recorder(settings, listener.called)))


def _take_in(settings: Settings, listener: Listener, inbox: Inbox) -> NoReturn:
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
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


def _listen(inbox: Inbox, reception: Reception) -> None:
    """Until it is enough; a fault ends the process, as nobody would notice that it is deaf."""
    try:
        for line in inbox.lines():
            if line.strip():
                reception.note(Receipt(**json.loads(line)))
            else:
                reception.wake()
    except Exception as error:  # noqa: BLE001  whatever it is
        LOG.error("intake ended", reason=type(error).__name__)
        os._exit(1)
    reception.stop()
