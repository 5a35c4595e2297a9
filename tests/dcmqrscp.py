"""DCMTK's dcmqrscp as the PACS: started on a free port, with the files it is given, ended by pid.

It has room for 500 studies, tells no counts of instances, and ignores ModalitiesInStudy.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo
from cxrnode.errors import PeerUnavailable
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from tests.peers import program

SETTINGS = """\
NetworkTCPPort  = {port}
MaxPDUSize      = 131072
MaxAssociations = 64
HostTable BEGIN
{host}
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
DCMQRSCP {filed} RW (500, 1024mb) ANY
AETable END
"""


@dataclass
class Dcmqrscp:
    """A running dcmqrscp, with all of its files in `folder`; its log tells every request."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def filed(self) -> Path:
        """Where its images lie."""
        return self.folder / "filed"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "dcmqrscp.log").read_text(encoding="utf-8", errors="replace")

    @property
    def destination(self) -> Destination:
        """This dcmqrscp as one that is sent to."""
        where = {"ae_title": "DCMQRSCP", "host": "127.0.0.1", "port": self.port}
        return Destination.model_validate({"name": "dcmqrscp"} | where)

    def archive(self, retrieve: str = "move") -> Archive:
        """This dcmqrscp as one that studies are fetched from."""
        where = {"ae_title": "DCMQRSCP", "host": "127.0.0.1", "port": self.port, "timeout_s": 20}
        return Archive.model_validate({"name": "dcmqrscp", "retrieve": retrieve} | where)

    def index(self, files: Iterable[Path]) -> None:
        """Take copies of these files among its images."""
        known = len(list(self.filed.glob("*.dcm")))
        copies = []
        for number, file in enumerate(files, start=known):
            copies.append(self.filed / f"{number:06}.dcm")
            shutil.copy(file, copies[-1])
        for begin in range(0, len(copies), 500):
            subprocess.run([program("dcmqridx"), "-q", str(self.filed), *copies[begin : begin + 500]], check=True)

    def start(self) -> None:
        """Start it, again with what it had; returns when it answers C-ECHO."""
        config = str(self.folder / "dcmqrscp.cfg")
        with (self.folder / "dcmqrscp.log").open("ab") as sink:
            command = [program("dcmqrscp"), "-v", "-c", config]
            # a session of its own: it forks a child for each association, and they end with it
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        give_up = time.monotonic() + 60
        while True:
            try:
                return echo(self.destination, "CXRNODE")
            except PeerUnavailable:
                if time.monotonic() > give_up or self.process.poll() is not None:
                    raise AssertionError(self.log[-4000:]) from None
                time.sleep(0.1)

    def end(self) -> None:
        """End it and its children, as the group that it leads."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running_dcmqrscp(folder: Path, files: Iterable[Path] = (), node_port: int = 0) -> Iterator[Dcmqrscp]:
    """Run dcmqrscp (AE title DCMQRSCP) with these images; anybody on this machine may store, find, move and get.

    With the node's port it knows where CXRNODE is, and C-MOVE can send there; else that destination is unknown to it.
    """
    (port,) = free_ports(1)
    peer = Dcmqrscp(folder, port)
    peer.filed.mkdir(parents=True, exist_ok=True)
    host = f"node = (CXRNODE, 127.0.0.1, {node_port})" if node_port else ""
    settings = SETTINGS.format(port=port, host=host, filed=peer.filed)
    (folder / "dcmqrscp.cfg").write_text(settings, encoding="utf-8")
    try:
        peer.index(files)
        peer.start()
        yield peer
    finally:
        peer.end()
