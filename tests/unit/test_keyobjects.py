"""Key object selections: the flagged images, and the note that rejects results, come back through bytes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelectionDocument
from pydicom import Dataset, dcmread

from cxrnode.family import Family
from cxrnode.finding import Outcome, Reading
from cxrnode.results.encode import encode
from cxrnode.results.keyobjects import build_key_objects, build_rejection
from cxrnode.results.make import Told, make
from cxrnode.results.overlay import build_overlay
from cxrnode.results.readback import content_item, named
from cxrnode.results.report import build_report
from tests.builders import make_cxr
from tests.readings import analysed, context_for, radiograph_of, unread, written

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
JAPANESE = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}
NO_SERIES = {"SeriesInstanceUID": None}


def mixed(**first: object) -> tuple[list[Dataset], list[Reading]]:
    """Four images of one study: two positives, a negative and a foot."""
    sources = [make_cxr(StudyInstanceUID="1.2.3", **(first if number == 0 else {})) for number in range(4)]
    foot = unread(sources[3], Outcome.NOT_APPLICABLE)
    return list(sources), [analysed(sources[0], 0.9), analysed(sources[1], 0.8), analysed(sources[2], 0.1), foot]


def referenced(selection: Dataset) -> list[tuple[str, str]]:
    """What the content items of a selection refer to: value type and UID."""
    return [
        (item.ValueType, item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in selection.ContentSequence
        if "ReferencedSOPSequence" in item
    ]


def listed(selection: Dataset) -> set[tuple[str, str, str]]:
    """The evidence: study, series, instance."""
    return {
        (study.StudyInstanceUID, series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for study in selection.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def address(instance: Dataset) -> tuple[str, str, str]:
    return (instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID)


def said(selection: Dataset) -> str:
    return " ".join(item.value for item in named(content_item(selection), "Key Object Description"))


def test_the_selection_has_the_positive_images_and_no_others(tmp_path: Path) -> None:
    sources, readings = mixed()

    built = build_key_objects(sources, readings, context_for(sources[0]))

    assert built is not None
    selection = written(built, tmp_path / "kos.dcm")
    assert referenced(selection) == [("IMAGE", source.SOPInstanceUID) for source in sources[:2]]
    assert listed(selection) == {address(source) for source in sources[:2]}
    assert content_item(selection).name == "Of Interest"
    assert "POSITIVE for pneumonia (3 images: 2 positive, 1 negative)" in said(selection)
    assert "NOT FOR PRIMARY DIAGNOSIS" in said(selection)


def test_a_second_reader_finds_the_selected_images(tmp_path: Path) -> None:
    sources, readings = mixed()
    built = build_key_objects(sources, readings, context_for(sources[0]))
    assert built is not None

    selection = KeyObjectSelectionDocument.from_dataset(written(built, tmp_path / "kos.dcm"))

    found = [item.referenced_sop_instance_uid for item in selection.content.get_references()]
    assert found == [source.SOPInstanceUID for source in sources[:2]]
    assert selection.resolve_reference(found[1]) == address(sources[1])
    assert len(selection.content.get_observer_contexts()) == 1


def test_an_image_that_cannot_be_referred_to_is_not_selected() -> None:
    sources, readings = mixed(**NO_SERIES)

    selection = build_key_objects(sources, readings, context_for(sources[0]))

    assert selection is not None
    assert [uid for _, uid in referenced(selection)] == [sources[1].SOPInstanceUID]


def test_without_a_positive_there_is_no_selection() -> None:
    sources, readings = mixed()
    context = context_for(sources[0])

    assert build_key_objects(sources[2:], readings[2:], context) is None
    (alone, *_), (positive, *_) = mixed(**NO_SERIES)
    assert build_key_objects([alone], [positive], context) is None


@pytest.mark.parametrize("wanted_of", [Outcome.POSITIVE, Outcome.NEGATIVE])
def test_a_selection_is_made_once_a_study_and_only_where_it_is_wanted_of_positives(wanted_of: Outcome) -> None:
    images = [Told(source, reading) for source, reading in zip(*mixed(), strict=True)]
    wanted = {outcome: frozenset[Family]() for outcome in Outcome} | {wanted_of: frozenset({Family.KEY_OBJECTS})}

    made = [(one.family, one.outcomes) for one in make(images, wanted, context_for(images[0].source))]

    assert made == ([(Family.KEY_OBJECTS, {Outcome.POSITIVE})] if wanted_of is Outcome.POSITIVE else [])


def results(tmp_path: Path, **attributes: object) -> list[Dataset]:
    """A report and an overlay, as they were delivered."""
    source = make_cxr(**attributes)
    context = context_for(source)
    built = [build_report([source], [analysed(source)], context)]
    built.append(build_overlay(source, radiograph_of(), analysed(source), context))
    return [written(result, tmp_path / f"{number}.dcm") for number, result in enumerate(built)]


def rejection(rejected: list[Dataset], reason: str = "The model was withdrawn.") -> Dataset:
    return build_rejection(rejected[0], rejected, reason, uid="2.25.1", series_uid="2.25.2", now=NOW)


def test_a_rejection_says_what_is_rejected_why_and_when(tmp_path: Path) -> None:
    report, overlay = rejected = results(tmp_path)

    note = written(rejection(rejected, "Wrong for films of adults \N{EM DASH} withdrawn."), tmp_path / "note.dcm")

    assert referenced(note) == [("IMAGE", overlay.SOPInstanceUID), ("COMPOSITE", report.SOPInstanceUID)]
    assert listed(note) == {address(report), address(overlay)}
    assert said(note) == "Wrong for films of adults ? withdrawn."
    assert (note.SOPInstanceUID, note.SeriesInstanceUID) == ("2.25.1", "2.25.2")
    assert (note.ContentDate, note.ContentTime) == ("20260504", "030201.000000")


def test_a_rejection_by_quality_has_the_modifier_that_its_title_wants(tmp_path: Path) -> None:
    note = written(rejection(results(tmp_path)), tmp_path / "note.dcm")

    assert content_item(note).name == "Rejected for Quality Reasons"
    first = note.ContentSequence[0]
    assert first.RelationshipType == "HAS CONCEPT MOD"
    assert [item.value for item in named(content_item(note), "Document Title Modifier")] == ["Software failure"]


def test_a_rejection_is_of_the_same_patient_study_and_device(tmp_path: Path) -> None:
    report, _ = rejected = results(tmp_path, **JAPANESE, TimezoneOffsetFromUTC="+0900")

    note = written(rejection(rejected), tmp_path / "note.dcm")

    for keyword in ("SpecificCharacterSet", "PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID",
                    "StudyDescription", "PatientAge", "DeviceUID", "Manufacturer", "SoftwareVersions"):  # fmt: skip
        assert note[keyword].value == report[keyword].value, keyword
    assert str(note.PatientName) == JAPANESE["PatientName"]
    assert (note.TimezoneOffsetFromUTC, note.ContentTime) == ("+0900", "120201.000000")


def test_a_rejection_of_nothing_or_of_another_study_is_a_mistake(tmp_path: Path) -> None:
    report, overlay = results(tmp_path)
    overlay.StudyInstanceUID = "1.2.3.4"

    with pytest.raises(ValueError, match=r"1 of 2 results .* are not of study"):
        rejection([report, overlay])
    with pytest.raises(ValueError, match="0 of 0"):
        build_rejection(report, [], "", uid="2.25.1", series_uid="2.25.2", now=NOW)


def test_the_same_rejection_is_the_same_bytes(tmp_path: Path) -> None:
    rejected = results(tmp_path)

    assert encode(rejection(rejected)) == encode(rejection([dcmread(tmp_path / f"{number}.dcm") for number in (0, 1)]))
    later = build_rejection(
        rejected[0], rejected, "Why.", uid="2.25.3", series_uid="2.25.2", now=NOW + timedelta(days=1)
    )
    assert later.ContentDate == "20260505"
