"""A real Orthanc as the PACS: started on free ports, deaf to other machines, ended by pid."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrnode.destination import Destination
from cxrnode.family import Family
from cxrnode.samples import free_ports
from tests.peers import program


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    dicom_port: int
    http_port: int
    node_port: int = 0
    """where it reports to on storage commitment; 0: it knows no port, and is not asked for it"""

    @property
    def destination(self) -> Destination:
        """This Orthanc as the settings name it."""
        return self.taking({})

    def taking(self, send: dict[str, list[Family]]) -> Destination:
        """The same with what it is to be sent, by outcome."""
        where = {"name": "orthanc", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": self.dicom_port}
        commitment = "required" if self.node_port else "off"
        return Destination.model_validate(where | {"send": send, "commitment": commitment})

    def get(self, path: str) -> Any:
        """What its REST interface says, JSON decoded."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """The bytes behind a path of its REST interface."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def lose(self, name: str) -> None:
        """Delete an instance, by Orthanc's name for it."""
        path = f"http://127.0.0.1:{self.http_port}/instances/{name}"
        urllib.request.urlopen(urllib.request.Request(path, method="DELETE"), timeout=30).close()

    def files(self) -> list[bytes]:
        """Every instance it holds, as PS3.10 bytes."""
        return [self.read(f"/instances/{name}/file") for name in self.get("/instances")]


@contextmanager
def running_orthanc(folder: Path, node_port: int = 0) -> Iterator[Orthanc]:
    """Run Orthanc with its storage in `folder`; only the node on this machine may store, and HTTP is loopback only.

    With the node's port it is asked for storage commitment, and reports back there.
    """
    dicom_port, http_port = free_ports(2)
    config = folder / "orthanc.json"
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "Plugins": [],
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "DicomCheckModalityHost": True,
        "DicomModalities": {"node": ["CXRNODE", "127.0.0.1", node_port or 104]},
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
    }
    config.write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as sink:
        process = subprocess.Popen([program("Orthanc"), str(config)], stdout=sink, stderr=sink)
        orthanc = Orthanc(dicom_port, http_port, node_port)
        try:
            _wait_until_up(orthanc, process, folder / "orthanc.log")
            yield orthanc
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(orthanc: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            orthanc.get("/system")
        except OSError:
            if time.monotonic() > give_up or process.poll() is not None:
                raise AssertionError(log.read_text()[-4000:]) from None
            time.sleep(0.2)
        else:
            return
