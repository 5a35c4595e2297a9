"""The receiver as a process of its own, `cxrnode receive` on loopback, and what may be asked of it from outside."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from cxrnode.commands.samples import free_ports
from cxrnode.errors import LedgerUnavailable
from cxrnode.ledger import Ledger
from cxrnode.ledger.account import account
from cxrnode.settings import Settings, load
from cxrnode.spool import Spool
from tests.builders import DX_PRESENTATION
from tests.databases import ledger_url
from tests.fuzz import pdus
from tests.fuzz.campaign import resident_mb, settled
from tests.fuzz.hostile import film
from tests.nodes import beneath

STARTS_WITHIN_S = 60
OWN_FILES = {"image.dcm", "receipt.json"}


@dataclass
class Target:
    """A receiver's process, its settings, and the folder that is its own."""

    settings: Settings
    process: subprocess.Popen[bytes]
    folder: Path
    sent: int = 0
    status: int = 0
    """with which it ends"""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.settings.receiving.port

    def serves(self) -> bool:
        """Whether a good sender's film is acknowledged."""
        self.sent += 1
        uid, content = film(self.sent)
        with pdus.Peer(self.port) as peer:
            accepted, _ = peer.ask(pdus.associate())
            stored = peer.ask(pdus.message(pdus.store_command(DX_PRESENTATION, uid), content))
            released, _ = peer.ask(pdus.RELEASE)
            return (accepted, pdus.statuses([stored]), released) == (pdus.ASSOCIATE_AC, [0], pdus.RELEASE_RP)

    def listens(self) -> bool:
        """Whether anybody is there."""
        try:
            with pdus.Peer(self.port):
                return True
        except ConnectionRefusedError:
            return False

    def keys(self) -> list[str]:
        """The instances on the disk."""
        return [path.name for path in (self.spool_dir / "instances").glob("*/*")]

    def strays(self) -> list[str]:
        """Files where none should be."""
        state = self.settings.node.state_dir
        known = {state / name for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")}
        known |= {self.spool_dir / "salt", self.folder / "node.toml", self.folder / "node.log"}
        run_dir = self.settings.node.run_dir
        others = {run_dir / "metrics", run_dir / "processes", state / "audit"}
        found = {path for path in self.folder.rglob("*") if path.is_file() and others.isdisjoint(path.parents)}
        files = found - known
        instances = self.spool_dir / "instances"
        return [str(path) for path in files if path.parents[2] != instances or path.name not in OWN_FILES]

    def counted(self) -> int:
        """What the ledger counts as received."""
        ledger = Ledger(self.settings.ledger_url)
        try:
            lines = account(ledger, Spool(self.spool_dir)).lines
            return sum(line.instances for line in lines if not line.place.startswith("on the disk"))
        except LedgerUnavailable:
            return -1
        finally:
            ledger.close()

    @property
    def spool_dir(self) -> Path:
        """Its spool."""
        return self.settings.node.spool_dir

    @property
    def pids(self) -> list[int]:
        """Its processes: the one that accepts, the one that keeps the ledger, then those that take associations."""
        return [self.process.pid, *beneath(self.process.pid)]

    @property
    def threads(self) -> int:
        """Its threads, in all its processes."""
        return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in self.pids)

    @property
    def handles(self) -> int:
        """Its open files and sockets."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids)

    @property
    def memory_mb(self) -> float:
        """Its memory."""
        return sum(map(resident_mb, self.pids))


@contextmanager
def receiving(folder: Path, **settings: object) -> Iterator[Target]:
    """`cxrnode receive` with a short patience, its state in `folder`, and no broker."""
    config = folder / "node.toml"
    port, metrics_port = free_ports(2)
    tables = {
        "node": {"state_dir": str(folder / "state")},
        "ledger": {"url": ledger_url(folder / "state")},
        "metrics": {"receiver_port": metrics_port},  # at the default one another node's Prometheus may ask
        "receiving": {"port": port, "reserve_gb": 0.1, "network_timeout_s": 3.0, "quiet_s": 3600.0} | settings,
    }
    config.write_text(tomli_w.dumps(tables), encoding="utf-8")
    with (folder / "node.log").open("wb") as log:
        command = [sys.executable, "-m", "cxrnode.cli", "--config", str(config), "receive"]
        target = Target(load(config), subprocess.Popen(command, stdout=log, stderr=log), folder)
        try:
            assert settled(target.listens, STARTS_WITHIN_S), (folder / "node.log").read_text()[-3000:]
            yield target
            target.process.send_signal(signal.SIGTERM)
            assert target.process.wait(30) == target.status, "it does not end when told to"
        finally:
            target.process.kill()
            target.process.wait()
