"""A node and a real Orthanc that go through many faults, and the promise that holds after each of them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pydicom

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import send
from cxrnode.errors import PeerUnavailable
from cxrnode.family import Family
from cxrnode.faultpoints import Fault, Point
from cxrnode.finding import Outcome
from cxrnode.ledger import Ledger
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Fate
from cxrnode.results.series import SERIES
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.invariants import broken
from tests.nodes import PATIENCE_S, RunningNode, running_node, saved
from tests.orthanc import Orthanc, running_orthanc

QUEUE = {"time_limit_s": 9, "lease_s": 10, "max_attempts": 5, "resubmit_s": 3.0}
REPORT = SERIES[Family.REPORT].sop_class_uid
ORTHANC = {"commitment_timeout_s": 5.0, "timeout_s": 3.0}


@dataclass
class Day:
    """A node, its archive, and what was acknowledged so far."""

    node: RunningNode
    archive: Orthanc
    faults: Path
    acknowledged: list[Path] = field(default_factory=list)
    again: int = 0
    """so many objects have come to the archive again, or may: their answer may not have come back"""
    known: list[str] = field(default_factory=list)
    """what earlier rows broke"""

    def plant(self, point: Point, fault: Fault) -> Callable[[], bool]:
        """Plant a fault; whether it has struck."""
        return plant(self.faults, point, fault)

    def push(self, *receivers: Destination) -> None:
        """A new study; sent again, as modalities do, to one receiver after the other until it is answered 0x0000."""
        asked = cycle(receivers or [self.node.receiver])
        file = saved(make_cxr(), self.node.config.parent / f"{len(self.acknowledged)}.dcm")
        give_up = time.monotonic() + PATIENCE_S
        answers: list[int | None] = []
        while 0 not in answers:
            assert time.monotonic() < give_up, answers
            with suppress(PeerUnavailable):
                send([file], next(asked), "MODALITY", lambda _, sent: answers.append(sent.status))
        self.acknowledged.append(file)

    def wait(self, true: Callable[[], bool]) -> None:
        """Wait until `true`."""
        self.node.wait_until(lambda _status: true())

    def finish(self) -> None:
        """Push a bystander, wait until everything is finished, and hold the promise to it.

        A row has no use of the answers that an earlier one may have lost.
        """
        self.push()
        self.node.wait_until_finished(len(self.acknowledged))
        told = broken(self.node.settings, self.acknowledged, self.archive, again=self.again)
        told += [f"I2: {one}" for one in self._not_delivered()] + [f"I3: {one}" for one in self._not_reported_once()]
        self.again = self.archive.sent_again
        news, self.known = [one for one in told if one not in self.known], told
        assert not news, news

    def _not_delivered(self) -> Iterator[str]:
        """Every study here is one whole film of a chest: it is read, in one round, and its results are committed."""
        ledger = Ledger(self.node.settings.ledger_url)
        told = round_lines(ledger)
        ledger.close()
        for line in told:
            fates = [fate.partition(" ")[2] for fate in line.deliveries.values()]
            if line.outcome not in (Outcome.POSITIVE, Outcome.NEGATIVE) or fates != [Fate.COMMITTED]:
                named = f"round {line.round_number} of study {line.study[:8]}"
                yield f"{named} is {line.outcome}, for {line.reasons}; its deliveries: {line.deliveries}"
        numbers = Counter(line.study for line in told)
        yield from (f"{count} rounds of study {study[:8]}" for study, count in numbers.items() if count > 1)

    def _not_reported_once(self) -> Iterator[str]:
        filed = [pydicom.dcmread(file, stop_before_pixels=True) for file in self.archive.saved()]
        reports = Counter(one.StudyInstanceUID for one in filed if one.SOPClassUID == REPORT)
        for file in self.acknowledged:
            count = reports[pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID]
            if count != 1:
                yield f"the archive holds {count} reports of {file.name}"

    def pids(self, *words: str) -> list[int]:
        """The processes of the node whose command line has all of these words."""
        return [pid for pid, command in self.node.children().items() if all(word in command for word in words)]

    @contextmanager
    def another(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process of this node, as on a second host: the same ledger, spool and broker."""
        environ = os.environ | {"CXRNODE_FAULTS": str(self.faults)} | environment
        ours = [sys.executable, "-m", "cxrnode.cli", "--config", str(self.node.config), *command]
        with self.node.log.open("ab") as sink:
            process = subprocess.Popen(ours, stdout=sink, stderr=sink, env=environ, start_new_session=True)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                process.terminate()
            process.wait(60)


def plant(faults: Path, point: Point, fault: Fault) -> Callable[[], bool]:
    """Plant a fault for whoever comes to the point first; whether it has struck."""
    planted, draft = faults / point, faults / f"{point}.draft"
    draft.write_text(fault)
    draft.rename(planted)  # whole or not at all: nobody reads it empty
    return lambda: not planted.exists()


@contextmanager
def long_day(
    folder: Path,
    orthanc: Mapping[str, object] = ORTHANC,
    environment: Mapping[str, str] | None = None,
    **tables: dict[str, object],
) -> Iterator[Day]:
    """A node with its archive, which offers storage commitment; `tables` go over the settings that it has here."""
    (port,) = free_ports(1)
    faults = folder / "faults"
    faults.mkdir()
    with ExitStack() as stack:
        archive = stack.enter_context(running_orthanc(folder, port))
        destination = archive.destination.model_copy(update=dict(orthanc))
        delivery: dict[str, object] = {"first_retry_s": 1.0, "longest_retry_s": 4.0}
        settings: dict[str, dict[str, object]] = {"receiving": {"port": port}, "delivery": delivery}
        settings |= {"queue": dict(QUEUE)} | tables
        environ = {"CXRNODE_FAULTS": str(faults)} | dict(environment or {})
        node = stack.enter_context(running_node(folder, destination, environment=environ, **settings))
        yield Day(node, archive, faults)
