"""A real Orthanc as the PACS: started on free ports, deaf to other machines, ended by pid."""

import json
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrnode.commands.samples import free_ports
from cxrnode.family import Family
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from tests.peers import library, program

DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
RECEIVED = """
function ReceivedInstanceFilter(dicom, origin)
  local file = io.open("%s", "a")
  file:write(dicom.SOPInstanceUID .. "\\n")
  file:close()
  return true
end
"""
"""Lua that notes each C-STORE, also of what it has already"""


@dataclass
class Orthanc:
    """A real Orthanc, with all of its files in `folder`."""

    folder: Path
    dicom_port: int
    http_port: int
    node_port: int = 0
    """where it reports to on storage commitment; 0: it knows no port, and is not asked for it"""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again with what it had; returns when it answers."""
        log = self.folder / "orthanc.log"
        with log.open("ab") as sink:
            command = [program("Orthanc"), "--verbose", str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink)
        give_up = time.monotonic() + 60
        while True:
            try:
                self.get("/system")
            except OSError:
                if time.monotonic() > give_up or self.process.poll() is not None:
                    raise AssertionError(log.read_text()[-4000:]) from None
                time.sleep(0.2)
            else:
                return

    def end(self) -> None:
        """End it by pid; killed when it does not end, as it may wait for a peer that hangs."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def received(self) -> Counter[str]:
        """How often it was sent each SOP Instance UID."""
        noted = self.folder / "received.txt"
        return Counter(noted.read_text().split() if noted.exists() else ())

    @property
    def moved(self) -> Counter[str]:
        """How often it was asked to send each study by C-MOVE, by its own name for it, as its log tells."""
        log = (self.folder / "orthanc.log").read_text(encoding="utf-8", errors="replace")
        return Counter(re.findall(r"Sending resource (\S+) to modality", log))

    @property
    def sent_again(self) -> int:
        """How many objects it was sent beyond the first time of each."""
        return self.received.total() - len(self.received)

    @property
    def destination(self) -> Destination:
        """This Orthanc as the settings name it."""
        return self.taking({})

    def archive(self, retrieve: str = "move") -> Archive:
        """This Orthanc as one that studies are fetched from."""
        where: dict[str, object] = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": self.dicom_port}
        if retrieve == "web":
            where = {"url": f"http://127.0.0.1:{self.http_port}/dicom-web"}
        return Archive.model_validate({"name": "orthanc", "retrieve": retrieve, "timeout_s": 20} | where)

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

    def saved(self) -> list[Path]:
        """Every instance it holds, as files."""
        folder = self.folder / "filed"
        folder.mkdir(exist_ok=True)
        found = [folder / f"{name}.dcm" for name in self.get("/instances")]
        for path in found:
            if not path.exists():
                path.write_bytes(self.read(f"/instances/{path.stem}/file"))
        return found

    def files(self) -> list[bytes]:
        """Every instance it holds, as PS3.10 bytes."""
        return [self.read(f"/instances/{name}/file") for name in self.get("/instances")]


@contextmanager
def running_orthanc(folder: Path, node_port: int = 0, *, web: bool = False, **changed: object) -> Iterator[Orthanc]:
    """Run Orthanc with its storage in `folder`; only the node on this machine may store, find, move and get.

    With the node's port it is asked for storage commitment, reports back there, and sends there what is moved to
    CXRNODE. With `web` it has DICOMweb, below /dicom-web; HTTP is loopback only. `changed` are settings of its own.
    """
    dicom_port, http_port = free_ports(2)
    (folder / "received.lua").write_text(RECEIVED % (folder / "received.txt"))
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "Plugins": [str(library(DICOMWEB, "orthanc-dicomweb"))] if web else [],
        "LuaScripts": [str(folder / "received.lua")],
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
    (folder / "orthanc.json").write_text(json.dumps(settings | changed))
    orthanc = Orthanc(folder, dicom_port, http_port, node_port)
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.end()
