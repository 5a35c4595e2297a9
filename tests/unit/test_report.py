"""The report: what it says comes back through bytes, under the source's own patient."""

import io
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from cxrnode.finding import Outcome
from cxrnode.results.encode import encode
from cxrnode.results.readback import content_item, image_results, named
from cxrnode.results.report import build_report
from tests.builders import CR, make_cxr
from tests.readings import PREDECESSOR, PROBABILITY, STARTED_AT, analysed, astray, context_for, unread, written

CHARACTER_SETS = {
    "Latin 1": ("ISO_IR 100", "Müller^Jürgen", "latin-1"),
    "UTF-8": ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう", "utf-8"),
    "Japanese": (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "ascii",
    ),
    "Korean": ("\\ISO 2022 IR 149", "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "latin-1"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东", "gb18030"),
    "undecodable": ("ISO_IR 192", "M\xfcller^J\xfcrgen", "latin-1"),
}
COPIED = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
          "ReferringPhysicianName", "StudyDescription", "PatientBirthDate", "PatientSex", "PatientAge")  # fmt: skip


def read_again(instance: FileDataset, transfer_syntax: UID) -> FileDataset:
    copy = Dataset(instance)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = transfer_syntax
    content = io.BytesIO()
    copy.save_as(content, enforce_file_format=True)
    return dcmread(io.BytesIO(content.getvalue()))


def named_in(character_set: str) -> FileDataset:
    """A source whose name and study description lie in the file as given, whatever pydicom thinks of them."""
    term, name, codec = CHARACTER_SETS[character_set]
    marks = {"PatientName": "N" * len(name.encode(codec)), "StudyDescription": "D" * len(name.encode(codec))}
    source = make_cxr(SpecificCharacterSet=term.split("\\"), **marks, PixelData=None, Rows=None, Columns=None)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the description is longer than an LO may be
        source.save_as(content, enforce_file_format=True)
    exact = content.getvalue()
    for mark in marks.values():
        exact = exact.replace(mark.encode(), name.encode(codec))
    return dcmread(io.BytesIO(exact))


def raw(dataset: Dataset, keyword: str) -> bytes | None:
    element = dataset.get_item(keyword)
    return None if element is None else element.value.strip(b" ") if element.value else b""


def test_the_probability_and_the_peak_come_back_as_the_very_doubles(tmp_path: Path) -> None:
    source = make_cxr()

    report = written(build_report([source], [analysed(source)], context_for(source)), tmp_path / "sr.dcm")

    assert [image.probability for image in image_results(report)] == [PROBABILITY]
    tree = content_item(report)
    assert [item.value for item in named(tree, "Gradient-weighted class activation")] == ["3.25"]
    assert "operating point = 0.5" in [item.value for item in named(tree, "Algorithm Parameters")]


@pytest.mark.parametrize("probability", [0.0, 1.0, 1e-12, 0.49999999, 1 / 3])
def test_any_probability_fits_a_decimal_string_and_returns(probability: float, tmp_path: Path) -> None:
    source = make_cxr()

    report = written(build_report([source], [analysed(source, probability)], context_for(source)), tmp_path / "sr.dcm")

    assert image_results(report)[0].probability == probability


def test_every_outcome_is_said_and_none_is_silent(tmp_path: Path) -> None:
    sources = [make_cxr(StudyInstanceUID="1.2.3", InstanceNumber=number) for number in range(1, 6)]
    readings = [
        analysed(sources[0], 0.9, warnings=("The patient is 62 years old.",)),
        analysed(sources[1], 0.1),
        unread(sources[2], Outcome.REFUSED),
        unread(sources[3], Outcome.FAILED, "The pixel data end after 1234 bytes"),
        unread(sources[4], Outcome.NOT_APPLICABLE, "not a chest"),
    ]

    report = written(build_report(sources, readings, context_for(sources[0])), tmp_path / "sr.dcm")

    results = image_results(report)
    assert [result.outcome for result in results] == [reading.outcome for reading in readings[:4]]
    assert "The patient is 62 years old." in results[0].comments
    assert "ViewPosition" in results[2].comments[0]
    assert "1234 bytes" in results[3].comments[0]
    assert [result.probability for result in results] == [0.9, 0.1, None, None]
    said = " ".join(item.value for item in named(content_item(report), "Comment"))
    assert "NOT FOR PRIMARY DIAGNOSIS" in said
    assert "Not a medical device" in said
    assert "74.0%" in said


def test_evidence_lists_every_source_the_not_applicable_too(tmp_path: Path) -> None:
    chest, foot = make_cxr(StudyInstanceUID="1.2.3"), make_cxr(StudyInstanceUID="1.2.3", BodyPartExamined="FOOT")
    readings = [analysed(chest), unread(foot, Outcome.NOT_APPLICABLE)]

    report = written(build_report([chest, foot], readings, context_for(chest)), tmp_path / "sr.dcm")

    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert listed == {chest.SOPInstanceUID, foot.SOPInstanceUID}
    assert len(image_results(report)) == 1


def test_a_study_of_which_nothing_is_applicable_has_no_report() -> None:
    source = make_cxr()

    with pytest.raises(ValueError, match="not applicable"):
        build_report([source], [unread(source, Outcome.NOT_APPLICABLE)], context_for(source))


def test_each_image_has_a_tracking_uid_of_its_own() -> None:
    sources = [make_cxr(StudyInstanceUID="1.2.3") for _ in range(3)]

    report = build_report(sources, [analysed(source) for source in sources], context_for(sources[0]))

    uids = [item.value for item in named(content_item(report), "Tracking Unique Identifier")]
    assert len(set(uids)) == 3


def test_the_same_inputs_give_the_same_bytes_and_another_round_another_uid() -> None:
    source = make_cxr()
    content = encode(source)
    built = [
        build_report([again], [analysed(again)], context_for(again))
        for again in (dcmread(io.BytesIO(content)), dcmread(io.BytesIO(content)))
    ]

    later = build_report([source], [analysed(source)], context_for(source, round_number=2))

    assert encode(built[0]) == encode(built[1])
    assert later.SOPInstanceUID != built[0].SOPInstanceUID
    assert later.SeriesInstanceUID != built[0].SeriesInstanceUID


def test_a_later_report_names_the_one_it_supersedes(tmp_path: Path) -> None:
    source = make_cxr()

    context = context_for(source, predecessor=PREDECESSOR)
    report = written(build_report([source], [analysed(source)], context), tmp_path / "sr.dcm")

    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == PREDECESSOR.sop_instance_uid
    assert series.SeriesInstanceUID == PREDECESSOR.series_instance_uid


@pytest.mark.parametrize("character_set", CHARACTER_SETS)
def test_names_return_byte_for_byte_in_every_character_set(character_set: str, tmp_path: Path) -> None:
    source = named_in(character_set)
    expected = {keyword: raw(source, keyword) for keyword in ("PatientName", "StudyDescription")}

    report = build_report([source], [unread(source, Outcome.REFUSED, "Körperteil 足")], context_for(source))
    report = written(report, tmp_path / "sr.dcm")

    assert report.SpecificCharacterSet == source.SpecificCharacterSet
    assert {keyword: raw(report, keyword) for keyword in expected} == expected
    assert image_results(report)[0].comments == ("REFUSED: K?rperteil ?",)


@pytest.mark.parametrize("character_set", list(CHARACTER_SETS)[:-1])
def test_names_that_somebody_has_read_return_as_the_same_characters(character_set: str, tmp_path: Path) -> None:
    source = named_in(character_set)
    name, description = str(source.PatientName), str(source.StudyDescription)

    report = written(build_report([source], [analysed(source)], context_for(source)), tmp_path / "sr.dcm")

    assert (str(report.PatientName), report.StudyDescription) == (name, description)


def test_real_asian_headers_return_byte_for_byte(shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / "dicom" / "chest").glob("*charset*")):
        source, untouched = dcmread(path), dcmread(path)

        report = written(build_report([source], [analysed(source)], context_for(source)), tmp_path / "sr.dcm")

        for keyword in ("PatientName", "PatientID", "AccessionNumber", "OtherPatientNames"):
            assert raw(report, keyword) == raw(untouched, keyword), keyword
        assert report.SpecificCharacterSet == untouched.SpecificCharacterSet
        assert report.PatientName == untouched.PatientName


@pytest.mark.parametrize("transfer_syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_source_in_another_encoding_gives_the_same_report(transfer_syntax: UID, tmp_path: Path) -> None:
    source = make_cxr(IssuerOfPatientID="HOSPITAL", ProcedureCodeSequence=[procedure()], PixelData=None)
    other = read_again(source, transfer_syntax)

    report = written(build_report([other], [analysed(other)], context_for(other)), tmp_path / "sr.dcm")

    assert {keyword: report.get(keyword) for keyword in COPIED} == {keyword: source.get(keyword) for keyword in COPIED}
    assert [item.value for item in named(content_item(report), "Procedure reported")] == ["Chest X-ray"]


def procedure() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399208008", "SCT", "Chest X-ray"
    return code


def test_what_is_absent_is_empty_and_what_is_invalid_is_left_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom remarks on the values that this test plants
        source = make_cxr(
            SOPClassUID=CR, PatientAge="62", StudyDate=None, StudyTime="9:30", PatientID=None, StudyID=None,
            PatientBirthDate="1962.01.01", PatientSex="X", AccessionNumber=None,
        )  # fmt: skip

    report = build_report([source], [analysed(source)], context_for(source))

    empty = ("StudyDate", "StudyTime", "PatientID", "StudyID", "PatientBirthDate", "PatientSex", "AccessionNumber")
    for keyword in empty:
        assert keyword in report, keyword
        assert not report[keyword].value, keyword
    assert "PatientAge" not in report


def test_an_image_without_a_series_is_reported_though_it_cannot_be_referred_to(tmp_path: Path) -> None:
    source = make_cxr(SeriesInstanceUID=None)

    report = written(build_report([source], [analysed(source)], context_for(source)), tmp_path / "sr.dcm")

    assert "CurrentRequestedProcedureEvidenceSequence" not in report
    assert image_results(report)[0].outcome is Outcome.POSITIVE


def test_times_are_written_in_the_offset_that_the_source_names() -> None:
    here, plain = make_cxr(TimezoneOffsetFromUTC="+0900"), make_cxr()

    reports = [build_report([source], [analysed(source)], context_for(source)) for source in (here, plain)]

    assert (reports[0].ContentDate, reports[0].ContentTime) == ("20260103", "082030.123456")
    assert reports[0].TimezoneOffsetFromUTC == "+0900"
    assert (reports[1].ContentDate, reports[1].ContentTime) == ("20260102", "232030.123456")
    assert "TimezoneOffsetFromUTC" not in reports[1]
    assert reports[0].ContributingEquipmentSequence[0].ContributionDateTime == "20260102232030.123456+0000"


def test_the_algorithm_signs_with_its_device_uid() -> None:
    source = make_cxr()

    context = context_for(source, started_at=STARTED_AT + timedelta(days=1))
    report = build_report([source], [analysed(source)], context)

    assert report.ContributingEquipmentSequence[0].DeviceUID == context.algorithm.device_uid
    assert [item.value for item in named(content_item(report), "Device Observer UID")] == [context.algorithm.device_uid]


def test_the_share_of_the_map_in_the_lungs_is_a_number_and_a_stray_map_is_said(tmp_path: Path) -> None:
    source = make_cxr()

    report = written(build_report([source], [astray(source)], context_for(source)), tmp_path / "sr.dcm")

    shares = [
        item for item in named(content_item(report), "Gradient-weighted class activation") if item.value != "3.25"
    ]
    assert [item.value for item in shares] == ["0.1234 {ratio}"]
    assert {(child.name, child.value) for child in shares[0].children} >= {
        ("Derivation", "Total"),
        ("Finding Site", "Lung"),
    }
    (result,) = image_results(report)
    assert result.outcome is Outcome.POSITIVE
    assert any("12.3%" in comment and "does not show it" in comment for comment in result.comments)


def test_a_map_in_the_lungs_is_a_number_and_no_words(tmp_path: Path) -> None:
    source = make_cxr()

    report = written(
        build_report([source], [astray(source, 0.75, localised=True)], context_for(source)), tmp_path / "sr.dcm"
    )

    assert "0.75 {ratio}" in [item.value for item in named(content_item(report), "Gradient-weighted class activation")]
    assert not [comment for comment in image_results(report)[0].comments if "ocalised" in comment]
