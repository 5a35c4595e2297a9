"""DICOM over TLS with programs from elsewhere: DCMTK sends and takes, answers queries; Orthanc takes and sends back."""

import io
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import echo, send
from cxrnode.errors import PeerUnavailable
from cxrnode.peers.find import resolve
from cxrnode.peers.retrieve import get, move
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver
from cxrnode.settings import Receiving
from cxrnode.settings.archive import Archive
from cxrnode.settings.certificates import Certificates
from cxrnode.settings.destination import Destination
from cxrnode.spool import Spool
from cxrnode.validity import looked_at
from tests.authority import Authority
from tests.builders import make_cxr
from tests.house.rooms import ROOT
from tests.nodes import saved
from tests.orthanc import running_orthanc
from tests.peers import program


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def by(certificates: Certificates) -> list[str]:
    """DCMTK's options for these."""
    files = (certificates.key_file, certificates.certificate_file)
    return ["+tls", *files, "+cf", certificates.ca_file]


@contextmanager
def receiving(root: Path, by: Certificates) -> Iterator[tuple[int, list[Receipt]]]:
    """A receiver over TLS: its port, and what it has taken."""
    receipts: list[Receipt] = []
    settings = Receiving(port=free_ports(1)[0], reserve_gb=0, tls=by)
    receiver = Receiver("CXRNODE", settings, Spool(root / "spool", 0), receipts.append)
    receiver.start()
    try:
        yield settings.port, receipts
    finally:
        receiver.stop()


@pytest.mark.parametrize("profile", ["--profile-bcp195-nd", "--profile-bcp195", "--profile-bcp195-ex"])
def test_dcmtk_sends_over_tls(authority: Authority, tmp_path: Path, profile: str) -> None:
    files = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(3)]
    with receiving(tmp_path, authority.certificates("node.example")) as (port, receipts):
        shown = by(authority.certificates("dxroom1.example"))
        target = ["-aec", "CXRNODE", "127.0.0.1", str(port), *map(str, files)]
        subprocess.run([program("storescu"), *shown, profile, *target], check=True, timeout=30)

    assert len(receipts) == 3


def test_certificates_made_as_the_readme_says_are_good(tmp_path: Path) -> None:
    program("openssl")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^```\n(openssl req .*?)^```$", readme, re.DOTALL | re.MULTILINE)
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    files = {"certificate_file": "node.pem", "key_file": "node.key", "ca_file": "hospital-ca.pem"}
    made = Certificates.model_validate({name: str(tmp_path / file) for name, file in files.items()})

    assert "its key match" in looked_at(made, datetime.now(UTC))
    with receiving(tmp_path, made) as (port, _):
        where = {"name": "node", "ae_title": "CXRNODE", "host": "127.0.0.1", "port": port}
        echo(Destination.model_validate(where | {"tls": made, "tls_name": "node.hospital.example"}), "DXROOM1")


def test_dcmtk_without_a_trusted_certificate_sends_nothing(authority: Authority, tmp_path: Path) -> None:
    film = saved(make_cxr(), tmp_path / "film.dcm")
    stranger = Authority(tmp_path / "elsewhere", "Other CA").certificates("dxroom1.example")
    shown = by(stranger.model_copy(update={"ca_file": str(authority.file)}))
    with receiving(tmp_path, authority.certificates("node.example")) as (port, receipts):
        target = ["-aec", "CXRNODE", "127.0.0.1", str(port), str(film)]
        sent = subprocess.run([program("storescu"), *shown, *target], check=False, timeout=30, capture_output=True)

    assert sent.returncode != 0
    assert receipts == []


def test_dcmtk_takes_over_tls(authority: Authority, tmp_path: Path) -> None:
    files = [saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(3)]
    (port,) = free_ports(1)
    filed = tmp_path / "filed"
    filed.mkdir()
    command = [program("storescp"), *by(authority.certificates("pacs.example")), "-od", str(filed), str(port)]
    where = {"name": "pacs", "ae_title": "STORESCP", "host": "127.0.0.1", "port": port, "timeout_s": 10}
    over = {"tls": authority.certificates("node.example"), "tls_name": "pacs.example"}
    pacs = Destination.model_validate(where | over)
    answers: list[int | None] = []
    peer = subprocess.Popen(command)
    try:
        answering(pacs)
        send(files, pacs, "CXRNODE", lambda _index, sent: answers.append(sent.status))
        with pytest.raises(PeerUnavailable):
            echo(pacs.model_copy(update={"tls": False}), "CXRNODE")
    finally:
        peer.terminate()
        peer.wait(10)

    assert answers == [0, 0, 0]
    assert len(list(filed.iterdir())) == 3


def test_orthanc_takes_is_searched_and_gives_back_over_tls(authority: Authority, tmp_path: Path) -> None:
    ours, theirs = authority.certificates("node.example"), authority.certificates("orthanc.example")
    film = make_cxr()
    with receiving(tmp_path, ours) as (port, receipts), running_orthanc(tmp_path, **over_tls(theirs, port)) as orthanc:
        where = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.dicom_port, "timeout_s": 20}
        over = {"name": "orthanc", "tls": ours, "tls_name": "orthanc.example"}
        answers: list[int | None] = []
        pacs = Destination.model_validate(where | over)
        send([saved(film, tmp_path / "film.dcm")], pacs, "CXRNODE", lambda _index, sent: answers.append(sent.status))
        archive = Archive.model_validate(where | over)
        (found,) = resolve(archive, "CXRNODE", [film.StudyInstanceUID])
        moved = move(archive, "CXRNODE", "CXRNODE", film.StudyInstanceUID)
        fetched: list[bytes] = []
        got = get(archive, "CXRNODE", film.StudyInstanceUID, lambda content: fetched.append(content) or 0)

    assert answers == [0]
    assert found.study == film.StudyInstanceUID
    assert (moved.completed, got.completed) == (1, 1)
    assert [receipt.sop_instance_uid for receipt in receipts] == [film.SOPInstanceUID]
    assert pydicom.dcmread(io.BytesIO(fetched[0])).PixelData == film.PixelData


def over_tls(shown: Certificates, node_port: int) -> dict[str, object]:
    """Orthanc's settings for it, in and out."""
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": shown.certificate_file,
        "DicomTlsPrivateKey": shown.key_file,
        "DicomTlsTrustedCertificates": shown.ca_file,
        "DicomModalities": {
            "node": {"AET": "CXRNODE", "Host": "127.0.0.1", "Port": node_port, "UseDicomTls": True, "AllowStore": True}
        },
    }


def answering(peer: Destination) -> None:
    """Wait until it answers C-ECHO."""
    give_up = time.monotonic() + 30
    while True:
        try:
            return echo(peer, "CXRNODE")
        except PeerUnavailable:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
