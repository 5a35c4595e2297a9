"""correction: what tells a corrected copy from a repeat and from other content."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileDataset
from pydicom.uid import ImplicitVRLittleEndian

from cxrnode.receipt import Receipt
from cxrnode.receiving.correction import CORRECTABLE, differing, identification
from cxrnode.spool import Spool
from tests.builders import make_cxr, remade


def test_every_attribute_that_may_be_corrected_is_one_of_the_standard() -> None:
    assert [keyword for keyword in CORRECTABLE if tag_for_keyword(keyword) is None] == []


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({}, set()),
        ({"PatientID": "ZZ-PID-0002"}, {"PatientID"}),
        ({"PatientID": "2", "IssuerOfPatientID": "HOSPITAL"}, {"PatientID", "IssuerOfPatientID"}),
        ({"AccessionNumber": None}, {"AccessionNumber"}),
        ({"StudyDate": "20260103", "StudyTime": "090000"}, {"StudyDate", "StudyTime"}),
    ],
)
def test_a_copy_in_which_patient_and_study_alone_differ_is_a_correction(
    attributes: dict[str, str], told: set[str]
) -> None:
    film = make_cxr()

    found = differing(written(film), written(remade(film, **attributes)))

    assert found == told
    assert found <= CORRECTABLE


@pytest.mark.parametrize("keyword", ["PixelData", "ViewPosition", "PatientOrientation", "Rows", "SeriesInstanceUID"])
def test_a_copy_in_which_anything_else_differs_is_none(keyword: str) -> None:
    film = make_cxr()
    other = {"PixelData": bytes(len(film.PixelData)), "Rows": 1, "SeriesInstanceUID": "1.2"}.get(keyword)

    found = differing(written(film), written(remade(film, **{keyword: other, "PatientID": "ZZ-PID-0002"})))

    assert found == {keyword, "PatientID"}
    assert not found <= CORRECTABLE


def test_neither_encoding_nor_group_length_nor_character_set_makes_a_name_another() -> None:
    uids = {f"{name}InstanceUID": f"1.2.{number}" for number, name in enumerate(("SOP", "Study", "Series"))}
    film, latin = (
        make_cxr(PatientName="Zz^J\xfcrgen", SpecificCharacterSet=c, **uids) for c in ("ISO_IR 192", "ISO_IR 100")
    )
    content = written(film)
    begin = 144 + dcmread(io.BytesIO(content)).file_meta.FileMetaInformationGroupLength
    group_length = b"\x08\x00\x00\x00UL\x04\x00\x10\x00\x00\x00"  # retired; a library that encodes anew drops it

    assert differing(content, written(implicit(film))) == set()
    assert differing(content, content[:begin] + group_length + content[begin:]) == set()
    assert differing(content, written(latin)) == {"SpecificCharacterSet"}


def test_a_correction_has_one_digest_in_every_encoding_and_another_where_a_value_is_another() -> None:
    film = make_cxr(OtherPatientIDsSequence=[patient("A")])

    assert identification(written(film)) == identification(written(implicit(film)))
    assert identification(written(film)) == identification(written(remade(film, ViewPosition="PA")))
    for attributes in ({"PatientID": "2"}, {"PatientName": None}, {"OtherPatientIDsSequence": [patient("B")]}):
        assert identification(written(film)) != identification(written(remade(film, **attributes)))


def test_a_receipt_of_before_there_were_corrections_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    receipt = Receipt(spool.key_for("1.2"), "1.2", "1.3", "1.4", "1.2", "0" * 64, 1, "A", "B", "::1", "1", "2026-01-02")
    spool.store(b"x", receipt)
    file = spool.image(receipt.key).parent / "receipt.json"
    old = asdict(receipt)
    del old["corrected"]
    file.write_text(json.dumps(old))

    assert spool.receipt(receipt.key) == receipt


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def implicit(film: FileDataset) -> FileDataset:
    made = remade(film)
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.set_original_encoding(is_implicit_vr=True, is_little_endian=True)
    return made


def patient(name: str) -> Dataset:
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = name, "TEXT"
    return item
