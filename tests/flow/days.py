"""A node and a real Orthanc that go through many faults, and the promise that holds after each of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from cxrnode.deliver import send
from cxrnode.destination import Destination
from cxrnode.errors import PeerUnavailable
from cxrnode.faultpoints import Fault, Point
from cxrnode.samples import free_ports
from tests.builders import make_cxr
from tests.invariants import broken
from tests.nodes import PATIENCE_S, RunningNode, running_node, saved
from tests.orthanc import Orthanc, running_orthanc

QUEUE = {"time_limit_s": 9, "lease_s": 10, "max_attempts": 5, "resubmit_s": 3.0}
ORTHANC = {"commitment_timeout_s": 5.0, "timeout_s": 3.0}


@dataclass
class Day:
    """A node, its archive, and what was acknowledged so far."""

    node: RunningNode
    archive: Orthanc
    faults: Path
    acknowledged: list[Path] = field(default_factory=list)
    again: int = 0
    """so many objects may have come to the archive without their answer coming back: they are sent again"""
    known: list[str] = field(default_factory=list)
    """what earlier rows broke"""

    def plant(self, point: Point, fault: Fault) -> Callable[[], bool]:
        """Plant a fault; whether it has struck."""
        planted = self.faults / point
        planted.write_text(fault)
        return lambda: not planted.exists()

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
        """Push a bystander, wait until everything is finished, and hold the promise to it."""
        self.push()
        self.node.wait_until_finished(len(self.acknowledged))
        told = broken(self.node.settings, self.acknowledged, self.archive, again=self.again)
        news, self.known = [one for one in told if one not in self.known], told
        assert not news, news

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
