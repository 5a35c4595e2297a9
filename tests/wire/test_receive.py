"""The receiver on the wire: real associations on loopback, good peers and bad ones."""

import io
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from cxrnode.commands.samples import free_ports
from cxrnode.deliver import send
from cxrnode.errors import PeerUnavailable
from cxrnode.log import start
from cxrnode.receipt import Receipt
from cxrnode.receive import Receiver, StoreStatus
from cxrnode.settings import Receiving
from cxrnode.settings.destination import Destination
from cxrnode.settings.sender import Sender
from cxrnode.spool import Spool
from tests.builders import CR, make_cxr, remade
from tests.cables import Cable
from tests.invariants import not_on_disk
from tests.nodes import saved
from tests.peers import program


class Bench:
    """A receiver over a spool in a temporary folder, with the receipts it told."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.settings = Receiving.model_validate({"port": free_ports(1)[0], "reserve_gb": 0} | settings)
        self.spool = Spool(root / "spool", self.settings.reserve_gb)
        self.receipts: list[Receipt] = []
        self.receiver = Receiver("CXRNODE", self.settings, self.spool, self.receipts.append)

    def associate(self, calling: str = "MODALITY", called: str = "CXRNODE", *contexts: tuple[str, str]) -> Association:
        """An association that proposes DX (or `contexts`) in Explicit VR Little Endian."""
        ae = AE(calling)
        for sop_class, syntax in contexts or (("1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.1.2.1"),):
            ae.add_requested_context(sop_class, syntax)
        return ae.associate("127.0.0.1", self.settings.port, ae_title=called)

    def send(self, *instances: Dataset) -> list[Dataset]:
        """Send over one association; the responses."""
        association = self.associate()
        assert association.is_established
        answers = [association.send_c_store(instance) for instance in instances]
        association.release()
        return answers


def test_what_is_acknowledged_lies_on_the_disk_byte_for_byte_with_its_receipt(bench: Bench) -> None:
    sent = make_cxr()

    answers = bench.send(sent)

    assert [answer.Status for answer in answers] == [StoreStatus.SUCCESS]
    (receipt,) = bench.receipts
    kept = pydicom.dcmread(bench.spool.image(receipt.key))
    assert kept == sent
    assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    assert bench.spool.receipt(receipt.key) == receipt
    assert (receipt.calling_ae, receipt.address) == ("MODALITY", "127.0.0.1")
    assert receipt.study_instance_uid == sent.StudyInstanceUID


def test_file_names_say_nothing_of_the_patient_or_the_uid(bench: Bench) -> None:
    sent = make_cxr()
    bench.send(sent)

    names = " ".join(str(path) for path in bench.spool.root.rglob("*"))

    assert sent.SOPInstanceUID not in names
    assert sent.StudyInstanceUID not in names
    assert "PID" not in names


def test_the_same_content_twice_is_acknowledged_twice_and_stored_once(bench: Bench) -> None:
    sent = make_cxr()

    answers = bench.send(sent, sent)

    assert [answer.Status for answer in answers] == [0x0000, 0x0000]
    assert len(list(bench.spool.keys())) == 1
    first, again = bench.receipts
    assert replace(first, received_at=again.received_at) == again


def test_other_content_under_a_known_uid_is_kept_aside_and_told(bench: Bench) -> None:
    sent = make_cxr()
    other = remade(sent, PatientName="Zzother^Patient", ViewPosition="PA")

    answers = bench.send(sent, other, other)

    assert [answer.Status for answer in answers] == [0x0000] * 3
    first, aside, again = bench.receipts
    assert (aside.aside_of, aside.corrected) == (first.key, "")
    assert again.key == aside.key
    assert pydicom.dcmread(bench.spool.image(first.key)).PatientName == sent.PatientName
    assert pydicom.dcmread(bench.spool.image(aside.key)).PatientName == other.PatientName


def test_a_copy_with_other_patient_and_study_attributes_alone_is_a_correction(bench: Bench) -> None:
    sent = make_cxr()
    corrected = remade(sent, PatientName="Zzcorrect^Patient", AccessionNumber="ACC-2", PatientComments="put right")

    bench.send(sent, corrected, corrected)

    first, correction, again = bench.receipts
    assert (correction.aside_of, correction.corrected) == (first.key, "AccessionNumber, PatientComments, PatientName")
    assert again == correction
    assert pydicom.dcmread(bench.spool.image(correction.key)).PatientName == corrected.PatientName
    assert bench.spool.receipt(correction.key) == correction


def test_dcmtk_corrects_a_film_in_two_encodings_and_it_is_one_correction(bench: Bench, tmp_path: Path) -> None:
    film = make_cxr()
    bench.send(film)
    path = tmp_path / "film.dcm"
    remade(film, PatientID="ZZ-PID-0002").save_as(path, enforce_file_format=True)
    for syntax in ("-xe", "-xi"):
        target = ["-aet", "MODALITY", "-aec", "CXRNODE", "127.0.0.1", str(bench.settings.port), str(path)]
        subprocess.run([program("storescu"), syntax, *target], check=True, timeout=30)

    _first, correction, again = bench.receipts
    assert correction.corrected == "PatientID"
    assert again == correction
    assert len(list(bench.spool.keys())) == 2


def test_a_full_disk_is_refused_before_it_is_full(tmp_path: Path) -> None:
    full = Bench(tmp_path, reserve_gb=10.0**9)
    full.receiver.start()
    try:
        (answer,) = full.send(make_cxr())
    finally:
        full.receiver.stop()

    assert answer.Status == StoreStatus.OUT_OF_RESOURCES
    assert "reserve" in answer.ErrorComment
    assert full.receipts == []
    assert list(full.spool.keys()) == []


@pytest.mark.parametrize(
    ("attributes", "status", "named"),
    [
        ({"SOPInstanceUID": "1.2.3/../../4"}, StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "SOP Instance UID"),
        ({"StudyInstanceUID": None}, StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "StudyInstanceUID"),
        ({"SOPClassUID": CR}, StoreStatus.DOES_NOT_MATCH_SOP_CLASS, "SOP Class UID"),
    ],
)
def test_a_data_set_that_cannot_be_placed_gets_its_status_and_a_comment(
    bench: Bench, attributes: dict[str, str], status: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydicom.config.settings.reading_validation_mode", 0)
    sent = _encoded_as(make_cxr(), attributes)

    association = bench.associate()
    answer = sent(association)
    association.release()

    assert answer.Status == status
    assert named in answer.ErrorComment
    assert list(bench.spool.keys()) == []
    assert bench.send(make_cxr())[0].Status == 0x0000, "the receiver goes on"


def test_bytes_that_are_no_data_set_are_not_understood(bench: Bench) -> None:
    association = bench.associate()

    answer = _send_raw(association, make_cxr(), b"\x08\x00\x05\x00XX not a data set at all")
    association.release()

    assert answer.Status == StoreStatus.CANNOT_UNDERSTAND
    assert list(bench.spool.keys()) == []


@pytest.mark.parametrize(("calling", "called"), [("STRANGER", "CXRNODE"), ("MODALITY", "OTHER")])
def test_who_is_not_on_the_list_is_refused_with_the_reason_in_the_log(
    tmp_path: Path, calling: str, called: str
) -> None:
    log = io.StringIO()
    start("info", log)
    listed = Bench(tmp_path, senders=(Sender(ae_title="MODALITY", addresses=("127.0.0.0/8",)),))
    listed.receiver.start()
    try:
        association = listed.associate(calling, called)
        assert association.is_rejected
        assert listed.associate().is_established
    finally:
        listed.receiver.stop()

    assert "association refused" in log.getvalue()
    assert calling in log.getvalue()


def test_a_known_ae_title_from_another_address_is_refused(tmp_path: Path) -> None:
    listed = Bench(tmp_path, senders=(Sender(ae_title="MODALITY", addresses=("192.0.2.7",)),))
    listed.receiver.start()
    try:
        assert listed.associate().is_rejected
    finally:
        listed.receiver.stop()


def test_an_aborted_association_loses_nothing_that_was_acknowledged(
    bench: Bench, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("matrix", ("association accepted", "sender aborts", "I1 on the disk"))
    film = saved(make_cxr(), tmp_path / "film.dcm")
    association = bench.associate()
    assert association.send_c_store(film).Status == 0x0000
    association.abort()

    assert list(not_on_disk(bench.spool, [film])) == []
    assert len(list(bench.spool.keys())) == 1
    assert bench.send(make_cxr())[0].Status == 0x0000


@pytest.mark.parametrize("way", ["there, in mid PDU", "back, the answer lost"])
def test_a_network_that_is_cut_leaves_no_half_of_an_instance_and_one_of_a_whole(
    bench: Bench, way: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The sender does what senders do, and sends again."""
    record_property("matrix", ("mid data set", f"network cut {way}", "I1 on the disk"))
    first, second = (saved(make_cxr(), tmp_path / f"{number}.dcm") for number in range(2))
    answers = []

    def push(file: Path, cable: Cable) -> None:
        node = Destination(name="node", ae_title="CXRNODE", host="127.0.0.1", port=cable.port)
        send([file], node, "MODALITY", lambda _index, sent: answers.append(sent.status))

    with Cable(bench.settings.port).laid() as whole:
        push(first, whole)
    there, back = whole.carried
    limits = {"there": there // 2} if way.startswith("there") else {"back": back - 60}
    with Cable(bench.settings.port, cuts=1, **limits).laid() as cable:
        with suppress(PeerUnavailable):
            push(second, cable)
        assert 0 not in answers[1:], "nothing was acknowledged that came in half"
        push(second, cable)

    assert (answers[0], answers[-1]) == (0, 0)
    assert len(list(bench.spool.keys())) == len({receipt.key for receipt in bench.receipts}) == 2
    assert list(not_on_disk(bench.spool, [first, second])) == []


def test_compressed_pixels_are_stored_as_they_came(bench: Bench) -> None:
    from cxrnode.commands.samples import CHEST

    data_store = pytest.importorskip("data_store", reason="pydicom-data is not installed")
    path = Path(data_store.__file__).parent / "data" / CHEST
    chest = pydicom.dcmread(path)

    association = bench.associate("MODALITY", "CXRNODE", (CR, JPEG2000Lossless))
    answer = association.send_c_store(chest)
    association.release()

    assert answer.Status == 0x0000
    kept = pydicom.dcmread(bench.spool.image(bench.receipts[0].key))
    assert kept.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert kept.PixelData == chest.PixelData


def test_dcmtk_pushes_the_same_film_in_two_encodings_and_it_is_one_instance(bench: Bench, tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    make_cxr().save_as(film, enforce_file_format=True)
    target = ["-aet", "MODALITY", "-aec", "CXRNODE", "127.0.0.1", str(bench.settings.port), str(film)]

    for syntax in ("-xe", "-xi"):
        subprocess.run([program("storescu"), syntax, *target], check=True, timeout=30)
    subprocess.run([program("echoscu"), *target[:-1]], check=True, timeout=30)

    assert len(list(bench.spool.keys())) == 1
    assert {receipt.key for receipt in bench.receipts} == set(bench.spool.keys())


def _file(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _send_raw(association: Association, instance: Dataset, raw: bytes) -> Dataset:
    """C-STORE with a data set that no honest library would encode."""
    with patch("pynetdicom.association.encode", return_value=raw):
        return association.send_c_store(instance)


def _encoded_as(instance: Dataset, attributes: dict[str, str]) -> Callable[[Association], Dataset]:
    """A sender whose request names `instance` and whose data set has other attributes; an odd UID is in both."""
    odd = remade(instance, **attributes)
    if "SOPInstanceUID" in attributes:
        instance = odd
    raw = encode(odd, is_implicit_vr=False, is_little_endian=True)
    return lambda association: _send_raw(association, instance, raw)
